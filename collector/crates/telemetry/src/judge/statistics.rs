//! Medians, and who is apart from the others.

/// Scales the median absolute deviation to the standard deviation of a normal law.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// Deviations from which a value counts as apart.
const DEVIATIONS: f64 = 3.0;

/// The median; the mean of the middle two of an even number. `None` of nothing.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    let middle = values.len().checked_sub(1)? / 2;
    let is_even = values.len().is_multiple_of(2);
    let (_, &mut low, above) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_even {
        let high = above.iter().copied().min_by(f64::total_cmp)?;
        return Some(f64::midpoint(low, high));
    }
    Some(low)
}

/// The middle of a fleet, and how far from it a value is apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fleet {
    pub(super) median: f64,
    /// `max(3 · 1.4826 · MAD, floor)`.
    pub(super) apart: f64,
}

impl Fleet {
    /// The fleet of `values`, whose noise is never taken as less than `floor` of its median: a fleet that agrees to
    /// the last digit has no deviation to measure by. `None` with fewer than four values, of which nobody can say
    /// who is apart.
    ///
    /// Worked: 100, 101, 99, 100, 80 have the median 100 and the MAD 1; with a floor of 5 % a value is apart from 5
    /// on, and 80 is.
    pub(super) fn of(values: &[f64], floor: f64) -> Option<Self> {
        if values.len() < 4 {
            return None;
        }
        let median = median(values.iter().copied())?;
        let mad = self::median(values.iter().map(|value| (value - median).abs()))?;
        Some(Self {
            median,
            apart: (DEVIATIONS * MAD_TO_DEVIATION * mad).max(floor * median.abs()),
        })
    }

    /// Whether `value` is apart, below.
    pub(super) fn is_below(self, value: f64) -> bool {
        value < self.median - self.apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: sorts everything.
    fn median_by_sorting(values: &[f64]) -> Option<f64> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        (n > 0).then(|| f64::midpoint(values[(n - 1) / 2], values[n / 2]))
    }

    #[test]
    fn the_median_is_that_of_the_sorted_values() {
        let mut state = 7u64;
        for n in 0..40 {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                f64::from(u32::try_from(state >> 54).unwrap())
            };
            let values: Vec<f64> = (0..n).map(|_| next()).collect();
            assert_eq!(
                median(values.iter().copied()),
                median_by_sorting(&values),
                "{values:?}"
            );
        }
    }

    #[test]
    fn worked_number() {
        let fleet = Fleet::of(&[100.0, 101.0, 99.0, 100.0, 80.0], 0.05).unwrap();
        assert!((fleet.median - 100.0).abs() < 1e-12, "{fleet:?}");
        assert!((fleet.apart - 5.0).abs() < 1e-12, "{fleet:?}");
        assert!(fleet.is_below(80.0) && !fleet.is_below(99.0));
        assert_eq!(Fleet::of(&[1.0, 2.0, 3.0], 0.05), None);
    }
}
