//! Where the median of what was sampled lies, whatever its distribution.

/// Samples from which on the normal law stands for the binomial one.
const MANY: usize = 400;

/// Indices of the sorted samples between which the true median lies with at least 95 %: each sample is below it with
/// probability one half, so the ranks are those of a binomial law. With fewer than six samples no pair of them reaches
/// 95 %, and the whole range is the answer.
///
/// Worked: 10 samples: the 2nd and the 9th (97.9 %); 30: the 10th and the 21st (95.7 %).
#[must_use]
pub fn median_interval(count: usize) -> (usize, usize) {
    if count == 0 {
        return (0, 0);
    }
    let below = if count > MANY {
        normal_rank(count)
    } else {
        exact_rank(count)
    };
    (below, count - 1 - below)
}

/// Most samples `d` that may lie outside on each side: `P(X <= d) <= 2.5 %` for `X` binomial with one half.
fn exact_rank(count: usize) -> usize {
    // Terms `C(n, k) / 2^n`, each from the one before.
    let size = u32::try_from(count).expect("few samples are few");
    let mut term = 0.5_f64.powi(size.cast_signed());
    let mut sum = 0.0;
    for k in 0..size {
        sum += term;
        if sum > 0.025 {
            return (k as usize).saturating_sub(1);
        }
        term *= f64::from(size - k) / f64::from(k + 1);
    }
    0
}

/// The same by the normal law, rounded towards the outside.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are far fewer than 2^53 samples, and hundreds of them leave a positive rank"
)]
fn normal_rank(count: usize) -> usize {
    let count = count as f64;
    (0.5 * (count - 1.96 * count.sqrt()) - 1.0).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: every subset of samples below the median, counted.
    fn coverage(count: u32, outside: u32) -> f64 {
        let inside = (0..1_u32 << count).filter(|below| {
            let below = below.count_ones();
            below > outside && below < count - outside
        });
        inside.count() as f64 / f64::from(1_u32 << count)
    }

    #[test]
    fn intervals_cover_at_least_95_percent_and_no_narrower_one_does() {
        for count in 6..=18_u32 {
            let (low, high) = median_interval(count as usize);
            assert_eq!(low + high, count as usize - 1);
            let low = u32::try_from(low).unwrap();
            assert!(coverage(count, low) >= 0.95, "{count}");
            assert!(coverage(count, low + 1) < 0.95, "{count}");
        }
    }

    #[test]
    fn worked_numbers_and_few_samples() {
        assert_eq!(median_interval(10), (1, 8));
        assert_eq!(median_interval(30), (9, 20));
        for count in 1..6 {
            assert_eq!(median_interval(count), (0, count - 1));
        }
    }

    #[test]
    fn both_laws_meet() {
        let (exact, normal) = (exact_rank(MANY), normal_rank(MANY));
        assert!(normal <= exact && exact - normal <= 1, "{exact}, {normal}");
    }
}
