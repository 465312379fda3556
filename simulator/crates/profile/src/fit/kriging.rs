//! Kriging: smooth interpolation of what a law leaves, between the rows that it was fitted to.
//!
//! The residual is taken to vary as a sum of components, each with an amplitude and, per coordinate, a length over which
//! it changes; far from every row it goes back to zero, and the law stands alone (Rasmussen and Williams 2006, §2.2).

use std::collections::BTreeMap;

/// One way in which the residual varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    amplitude: f64,
    lengths: Vec<(usize, f64)>,
    shape: Shape,
    /// The part that holds wherever these coordinates are, and the lengths over which the rest changes with them.
    kin: Option<(f64, Vec<(usize, f64)>)>,
}

/// How likeness falls with distance `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `exp(−d² / 2)`.
    Smooth,
    /// `(1 + √3 d) exp(−√3 d)` (Matérn 3/2).
    Rough,
    /// 1 in one place, 0 elsewhere.
    Apart,
}

/// Residuals at known coordinates, ready to be read between them.
///
/// A residual is read from the places that vary most alike with it, so that thousands of rows take no longer than they
/// must: what lies further off is screened by what lies between (Vecchia 1988). Up to `NEAREST` places this is exact; the
/// tests hold it against `solved`, which takes all of them at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Kriging {
    components: Vec<Component>,
    /// Different places.
    known: Vec<Vec<f64>>,
    /// The mean residual of the rows of each place.
    values: Vec<f64>,
    /// The variance of that mean.
    scatter: Vec<f64>,
}

/// Places that a residual is read from.
const NEAREST: usize = 64;

impl Component {
    /// Varies without kinks over `(coordinate, length)`.
    #[must_use]
    pub fn smooth(amplitude: f64, lengths: &[(usize, f64)]) -> Self {
        Self {
            amplitude,
            lengths: lengths.to_vec(),
            shape: Shape::Smooth,
            kin: None,
        }
    }

    /// Varies with kinks over `(coordinate, length)`.
    #[must_use]
    pub fn rough(amplitude: f64, lengths: &[(usize, f64)]) -> Self {
        Self {
            shape: Shape::Rough,
            ..Self::smooth(amplitude, lengths)
        }
    }

    /// The same for all that agree in `coordinates`, and unrelated to that of others.
    #[must_use]
    pub fn apart(amplitude: f64, coordinates: &[usize]) -> Self {
        let lengths: Vec<(usize, f64)> = coordinates.iter().map(|&at| (at, 1.0)).collect();
        Self {
            shape: Shape::Apart,
            ..Self::smooth(amplitude, &lengths)
        }
    }

    /// The component of which a `share` holds whatever the coordinates of `lengths` are, and the rest changes smoothly with
    /// them.
    #[must_use]
    pub fn partly(self, share: f64, lengths: &[(usize, f64)]) -> Self {
        Self {
            kin: Some((share, lengths.to_vec())),
            ..self
        }
    }

    fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        let square = square(&self.lengths, a, b);
        let likeness = match self.shape {
            Shape::Smooth => (-square / 2.0).exp(),
            Shape::Rough => {
                let distance = (3.0 * square).sqrt();
                (1.0 + distance) * (-distance).exp()
            }
            Shape::Apart => f64::from(u8::from(square < 1e-18)),
        };
        let kin = self.kin.as_ref().map_or(1.0, |(share, lengths)| {
            share + (1.0 - share) * (-self::square(lengths, a, b) / 2.0).exp()
        });
        self.amplitude * self.amplitude * likeness * kin
    }
}

/// Square of the distance between two places, in lengths.
fn square(lengths: &[(usize, f64)], a: &[f64], b: &[f64]) -> f64 {
    let part = |&(at, length): &(usize, f64)| ((a[at] - b[at]) / length).powi(2);
    lengths.iter().map(part).sum()
}

impl Kriging {
    /// Residuals `values` at `known`, each with a scatter of its own of `scatter`. Several at one place count as their mean,
    /// whose scatter is as much smaller as there are more of them.
    ///
    /// # Panics
    /// When there are not as many values as places.
    #[must_use]
    pub fn new(components: Vec<Component>, known: &[Vec<f64>], values: &[f64], scatter: f64) -> Self {
        assert_eq!(known.len(), values.len(), "a value at every place");
        let mut places: BTreeMap<Vec<u64>, (usize, f64, f64)> = BTreeMap::new();
        for (at, (place, value)) in known.iter().zip(values).enumerate() {
            let bits = place.iter().map(|coordinate| coordinate.to_bits()).collect();
            let (_, sum, count) = places.entry(bits).or_insert((at, 0.0, 0.0));
            *sum += value;
            *count += 1.0;
        }
        let places = || places.values();
        Self {
            components,
            known: places().map(|&(at, ..)| known[at].clone()).collect(),
            values: places().map(|&(_, sum, count)| sum / count).collect(),
            scatter: places().map(|&(.., count)| scatter * scatter / count).collect(),
        }
    }

    /// The residual expected at `place`.
    #[must_use]
    pub fn at(&self, place: &[f64]) -> f64 {
        let mut alike: Vec<(f64, usize)> = self
            .known
            .iter()
            .map(|known| covariance(&self.components, place, known))
            .zip(0..)
            .collect();
        if alike.len() > NEAREST {
            alike.select_nth_unstable_by(NEAREST, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            alike.truncate(NEAREST);
            alike.sort_unstable_by_key(|&(_, number)| number);
        }
        self.solved(&alike)
    }

    /// The residual that `alike` tell, each by its covariance with the place that is asked for and its number.
    fn solved(&self, alike: &[(f64, usize)]) -> f64 {
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(alike.len());
        for (at, &(_, number)) in alike.iter().enumerate() {
            let mut row: Vec<f64> = alike[..=at]
                .iter()
                .map(|&(_, other)| covariance(&self.components, &self.known[number], &self.known[other]))
                .collect();
            row[at] += self.scatter[number];
            factor(&mut row, &lower);
            lower.push(row);
        }
        let values: Vec<f64> = alike.iter().map(|&(_, number)| self.values[number]).collect();
        let weights = solve(&lower, &values);
        alike
            .iter()
            .zip(weights)
            .map(|((covariance, _), weight)| covariance * weight)
            .sum()
    }
}

/// How alike the residuals of two places are.
pub(super) fn covariance(components: &[Component], a: &[f64], b: &[f64]) -> f64 {
    components
        .iter()
        .map(|component| component.covariance(a, b))
        .sum()
}

/// The next row of Cholesky's factor, in place, from the rows above.
fn factor(row: &mut [f64], above: &[Vec<f64>]) {
    let last = above.len();
    for (at, other) in above.iter().enumerate() {
        row[at] = (row[at] - dot(&row[..at], &other[..at])) / other[at];
    }
    row[last] = (row[last] - dot(&row[..last], &row[..last])).max(1e-12).sqrt();
}

/// `x` of `L Lᵀ x = right`.
fn solve(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = right.to_vec();
    for (at, row) in lower.iter().enumerate() {
        x[at] = (x[at] - dot(&row[..at], &x[..at])) / row[at];
    }
    for (at, row) in lower.iter().enumerate().rev() {
        x[at] /= row[at];
        let value = x[at];
        for (below, factor) in x[..at].iter_mut().zip(row) {
            *below -= factor * value;
        }
    }
    x
}

/// Sum of products, in eight lanes: the compiler may not reorder a plain sum, and this is where the time goes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (left, left_rest) = a.as_chunks::<8>();
    let (right, right_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for (x, y) in left.iter().zip(right) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of residual 1, amplitude 1 and scatter 1: half of it is believed there, `½ exp(−½)` one length away, and
    /// nothing far off.
    #[test]
    fn one_row_is_half_believed() {
        let one = Kriging::new(
            vec![Component::smooth(1.0, &[(0, 2.0)])],
            &[vec![3.0]],
            &[1.0],
            1.0,
        );
        assert!((one.at(&[3.0]) - 0.5).abs() < 1e-12, "{}", one.at(&[3.0]));
        assert!((one.at(&[5.0]) - 0.303_265).abs() < 1e-6, "{}", one.at(&[5.0]));
        assert!(one.at(&[90.0]).abs() < 1e-12, "the law stands alone");
    }

    /// Without scatter every row is met, and the factor of a long dot product is that of a plain one.
    #[test]
    fn rows_are_met() {
        let places: Vec<Vec<f64>> = (0..40).map(|at| vec![f64::from(at)]).collect();
        let values: Vec<f64> = places.iter().map(|place| place[0].sin()).collect();
        let field = Kriging::new(vec![Component::rough(1.0, &[(0, 3.0)])], &places, &values, 1e-4);
        for (place, value) in places.iter().zip(&values) {
            assert!((field.at(place) - value).abs() < 1e-5, "{place:?}");
        }
        assert!(
            (field.at(&[7.5]) - 7.5_f64.sin()).abs() < 0.1,
            "{}",
            field.at(&[7.5])
        );
    }

    /// The nearest places tell what all of them do, to a hundredth of how much residuals vary.
    #[test]
    fn the_nearest_equal_all() {
        let place = |at: u32| vec![f64::from(at % 29) / 7.0, f64::from(at % 31) / 9.0];
        let places: Vec<Vec<f64>> = (0..280).map(place).collect();
        let value = |place: &Vec<f64>| (3.0 * place[0]).sin() + place[1] * place[1] / 6.0;
        let values: Vec<f64> = places.iter().map(value).collect();
        let components = vec![
            Component::rough(1.0, &[(0, 0.7), (1, 1.0)]),
            Component::smooth(0.5, &[(1, 2.0)]),
        ];
        let field = Kriging::new(components.clone(), &places, &values, 0.05);
        assert!(field.known.len() > 4 * NEAREST, "{} places", field.known.len());
        for at in 0..8 {
            let place = vec![f64::from(at) / 2.1, f64::from(at % 5) / 1.3];
            let all = field
                .known
                .iter()
                .map(|known| covariance(&components, &place, known));
            let all: Vec<(f64, usize)> = all.zip(0..).collect();
            let (near, whole) = (field.at(&place), field.solved(&all));
            assert!((near - whole).abs() < 0.01, "{place:?}: {near}, not {whole}");
        }
    }

    /// Two rows at one place count as their mean with half the variance: the same as both apart.
    #[test]
    fn rows_of_one_place_are_one() {
        let components = || vec![Component::smooth(1.0, &[(0, 1.0)])];
        let twice = Kriging::new(components(), &[vec![0.0], vec![0.0]], &[1.0, 2.0], 0.5);
        // Covariances of 1, and 1.25 of each with itself: weights (−0.75, 1.5) / 0.5625, which sum to 3 / 2.25.
        assert!(
            (twice.at(&[0.0]) - 3.0 / 2.25).abs() < 1e-12,
            "{}",
            twice.at(&[0.0])
        );
    }
}
