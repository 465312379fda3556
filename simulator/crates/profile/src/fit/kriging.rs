//! Kriging: smooth interpolation of what a law leaves, between the rows that it was fitted to.
//!
//! The residual is taken to vary as a sum of components, each with an amplitude and, per coordinate, a length over which
//! it changes; far from every row it goes back to zero, and the law stands alone (Rasmussen and Williams 2006, §2.2).

/// One way in which the residual varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    amplitude: f64,
    lengths: Vec<(usize, f64)>,
    rough: bool,
}

/// Residuals at known coordinates, ready to be read between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kriging {
    components: Vec<Component>,
    known: Vec<Vec<f64>>,
    weights: Vec<f64>,
}

impl Component {
    /// Varies without kinks: `a² exp(−d² / 2)`, over `(coordinate, length)`.
    #[must_use]
    pub fn smooth(amplitude: f64, lengths: &[(usize, f64)]) -> Self {
        Self {
            amplitude,
            lengths: lengths.to_vec(),
            rough: false,
        }
    }

    /// Varies with kinks: `a² (1 + √3 d) exp(−√3 d)` (Matérn 3/2), over `(coordinate, length)`.
    #[must_use]
    pub fn rough(amplitude: f64, lengths: &[(usize, f64)]) -> Self {
        Self {
            rough: true,
            ..Self::smooth(amplitude, lengths)
        }
    }

    fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        let square: f64 = self
            .lengths
            .iter()
            .map(|&(at, length)| ((a[at] - b[at]) / length).powi(2))
            .sum();
        let shape = if self.rough {
            let distance = (3.0 * square).sqrt();
            (1.0 + distance) * (-distance).exp()
        } else {
            (-square / 2.0).exp()
        };
        self.amplitude * self.amplitude * shape
    }
}

impl Kriging {
    /// Residuals `values` at `known`, each with a scatter of its own of `scatter`.
    ///
    /// # Panics
    /// When there are not as many values as places.
    #[must_use]
    pub fn new(components: Vec<Component>, known: Vec<Vec<f64>>, values: &[f64], scatter: f64) -> Self {
        assert_eq!(known.len(), values.len(), "a value at every place");
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(known.len());
        for (at, place) in known.iter().enumerate() {
            let mut row: Vec<f64> = known[..=at]
                .iter()
                .map(|other| covariance(&components, place, other))
                .collect();
            row[at] += scatter * scatter;
            factor(&mut row, &lower);
            lower.push(row);
        }
        let weights = solve(&lower, values);
        Self {
            components,
            known,
            weights,
        }
    }

    /// The residual expected at `place`.
    #[must_use]
    pub fn at(&self, place: &[f64]) -> f64 {
        self.known
            .iter()
            .zip(&self.weights)
            .map(|(known, weight)| weight * covariance(&self.components, place, known))
            .sum()
    }
}

fn covariance(components: &[Component], a: &[f64], b: &[f64]) -> f64 {
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
            vec![vec![3.0]],
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
        let field = Kriging::new(
            vec![Component::rough(1.0, &[(0, 3.0)])],
            places.clone(),
            &values,
            1e-4,
        );
        for (place, value) in places.iter().zip(&values) {
            assert!((field.at(place) - value).abs() < 1e-5, "{place:?}");
        }
        assert!(
            (field.at(&[7.5]) - 7.5_f64.sin()).abs() < 0.1,
            "{}",
            field.at(&[7.5])
        );
    }
}
