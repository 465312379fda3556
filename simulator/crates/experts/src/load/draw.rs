//! Tokens per expert by one multinomial draw of a whole layer, never token by token.

use orrery_units::Key;
use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

/// Above this mean on both sides, a binomial law is drawn as a rounded normal: its skewness is then below
/// `1 / sqrt(30) = 0.18`, far less than the noise of a draw.
pub(super) const NORMAL_FROM: f64 = 30.0;

/// Shares of popularity, ready to be drawn from.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Shares by expert; they add up to one.
    shares: Vec<f64>,
    /// Share of each expert in what the experts before it left over; one for the last.
    of_rest: Vec<f64>,
}

impl Chain {
    /// The chain of `shares`, which add up to one.
    #[must_use]
    pub fn new(shares: Vec<f64>) -> Self {
        let mut rest = 0.0;
        let mut of_rest: Vec<f64> = shares
            .iter()
            .rev()
            .map(|&share| {
                rest += share;
                if rest > 0.0 { share / rest } else { 1.0 }
            })
            .collect();
        of_rest.reverse();
        Self { shares, of_rest }
    }

    /// Shares by expert.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }
}

/// Tokens per expert when `tokens` tokens go to `top_k` different experts each, by popularity.
///
/// A chain of binomials (expert by expert: how many of the assignments left over fall to it, given its share
/// of what is left) gives the multinomial law with an exact sum. Assignments are drawn as if independent;
/// real ones of a token are distinct, which lowers the variance of a count by about `top_k / experts`. No
/// expert receives more than `tokens`: the excess goes to the others by popularity.
///
/// # Panics
/// When `counts` is not one entry per expert, or an expert gets 2^32 assignments or more.
pub fn multinomial(chain: &Chain, tokens: u64, top_k: u64, key: Key, counts: &mut [u32]) {
    assert_eq!(counts.len(), chain.of_rest.len(), "one count per expert");
    let mut rng = key.rng();
    let mut left = tokens * top_k;
    for (count, &chance) in counts.iter_mut().zip(&chain.of_rest) {
        let drawn = binomial(left, chance, &mut rng);
        left -= drawn;
        *count = u32::try_from(drawn).expect("an expert has fewer than 2^32 assignments");
    }
    limit(&chain.shares, tokens, counts);
}

/// The same number for every expert, to the token: `tokens top_k / experts`, remainders spread evenly.
///
/// # Panics
/// When an expert gets 2^32 assignments or more.
pub fn balanced(tokens: u64, top_k: u64, counts: &mut [u32]) {
    let (total, experts) = (tokens * top_k, counts.len() as u64);
    for (expert, count) in (0..experts).zip(counts) {
        let even = total * (expert + 1) / experts - total * expert / experts;
        *count = u32::try_from(even).expect("an expert has fewer than 2^32 assignments");
    }
}

/// What is expected of `total` assignments by `shares`, which add up to one, in whole numbers of the same sum:
/// running sums are rounded, so each is within one of its real number.
///
/// # Panics
/// When an expert gets 2^32 assignments or more.
pub fn expected(shares: &[f32], total: u64, counts: &mut [u32]) {
    let sum: f64 = shares.iter().copied().map(f64::from).sum();
    let (mut running, mut given) = (0.0, 0);
    for (count, &share) in counts.iter_mut().zip(shares) {
        running += f64::from(share) / sum;
        let upto = ((running * total as f64 + 0.5) as u64).min(total);
        *count = u32::try_from(upto - given).expect("an expert has fewer than 2^32 assignments");
        given = upto;
    }
}

/// A draw of the binomial law: exact by inversion where it is short, a rounded normal elsewhere.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=trials, and trials are far below 2^53"
)]
pub(super) fn binomial(trials: u64, chance: f64, rng: &mut impl Rng) -> u64 {
    if chance >= 1.0 || trials == 0 {
        return trials;
    }
    let mean = trials as f64 * chance;
    let unlikely = trials as f64 * (1.0 - chance);
    if mean.min(unlikely) >= NORMAL_FROM {
        let normal: f64 = StandardNormal.sample(rng);
        let draw = mean + normal * (mean * (1.0 - chance)).sqrt();
        // Casting cuts towards zero and takes what is negative for zero.
        return ((draw + 0.5) as u64).min(trials);
    }
    if chance > 0.5 {
        return trials - inversion(trials, 1.0 - chance, rng);
    }
    inversion(trials, chance, rng)
}

/// A draw of the binomial law with `chance` at most one half, by inversion: exact.
#[expect(clippy::cast_precision_loss, reason = "trials are far below 2^53")]
fn inversion(trials: u64, chance: f64, rng: &mut impl Rng) -> u64 {
    // Walk up the law until its sum passes a uniform draw. The mean is below 30, so the first
    // term is above e^-60 (chance at most one half) and the walk is short.
    let odds = chance / (1.0 - chance);
    let mut term = (trials as f64 * (-chance).ln_1p()).exp();
    let mut draw: f64 = rng.random();
    let mut count = 0;
    while draw > term && count < trials {
        draw -= term;
        count += 1;
        term *= odds * (trials - count + 1) as f64 / count as f64;
    }
    count
}

/// Takes what exceeds `tokens` from each expert and gives it to those below, by popularity.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts fit 32 bits"
)]
#[inline(always)]
pub(crate) fn limit<S: Copy + Into<f64>>(shares: &[S], tokens: u64, counts: &mut [u32]) {
    let cap = u32::try_from(tokens).unwrap_or(u32::MAX);
    // Nearly always: a loop of vectors.
    if counts.iter().copied().max().unwrap_or(0) <= cap {
        return;
    }
    let mut excess: u64 = 0;
    for count in counts.iter_mut().filter(|count| **count > cap) {
        excess += u64::from(*count - cap);
        *count = cap;
    }
    let free: f64 = shares
        .iter()
        .zip(&*counts)
        .filter(|&(_, &count)| count < cap)
        .map(|(&share, _)| share.into())
        .sum();
    let portion = excess as f64 / free.max(f64::MIN_POSITIVE);
    for (count, &share) in counts.iter_mut().zip(shares) {
        let given = ((share.into() * portion).floor() as u64)
            .min(excess)
            .min(u64::from(cap - *count));
        *count += given as u32;
        excess -= given;
    }
    // Rounding leaves a few, and a full expert may have left some: first come, first served.
    for count in counts.iter_mut() {
        let given = excess.min(u64::from(cap - *count));
        *count += given as u32;
        excess -= given;
    }
    assert!(
        excess == 0,
        "top-k is at most the number of experts, so every assignment finds a place"
    );
}

/// Applies a capacity per expert, of the whole group: drops what is beyond it, and pads up to it when asked.
/// Returns the assignments dropped.
pub fn apply_capacity(capacity: u32, pad: bool, counts: &mut [u32]) -> u64 {
    let mut dropped = 0;
    for count in counts {
        dropped += u64::from(count.saturating_sub(capacity));
        *count = if pad { capacity } else { (*count).min(capacity) };
    }
    dropped
}

/// Assignments that one expert accepts from one source: `ceil(tokens top_k / experts · factor)` (Megatron-Core,
/// `get_capacity`, which every rank applies to its own tokens).
///
/// Worked: 4096 tokens, top 2 of 8, factor 1.25: 1,280.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "token counts are far below 2^53; the factor is positive"
)]
#[must_use]
pub fn capacity(tokens: u64, top_k: u64, experts: u64, factor: f64) -> u64 {
    ((tokens * top_k) as f64 / experts as f64 * factor).ceil() as u64
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;

    use super::*;

    fn sum(counts: &[u32]) -> u64 {
        counts.iter().map(|&count| u64::from(count)).sum()
    }

    #[test]
    fn counts_add_up_exactly_and_no_expert_exceeds_the_tokens() {
        let mut counts = [0; 8];
        let skewed = Chain::new(vec![0.5, 0.25, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01]);
        for draw in 0..2000 {
            for tokens in [1, 3, 64, 4096] {
                multinomial(
                    &skewed,
                    tokens,
                    2,
                    Seed::new(5).at("routing", &[draw, tokens]),
                    &mut counts,
                );
                assert_eq!(sum(&counts), tokens * 2);
                assert!(
                    counts.iter().all(|&count| u64::from(count) <= tokens),
                    "{counts:?}"
                );
            }
        }
    }

    /// Mean `n p` and variance `n p (1 − p)`, in the exact and in the normal branch.
    #[test]
    fn draws_have_the_moments_of_the_binomial_law() {
        let draws = 20_000;
        for (trials, chance) in [
            (100, 0.05),
            (40, 0.5),
            (2000, 0.01),
            (5000, 0.3),
            (2_097_152, 1.0 / 256.0),
        ] {
            let values: Vec<f64> = (0..draws)
                .map(|i| {
                    binomial(
                        trials,
                        chance,
                        &mut Seed::new(9).at("binomial", &[i, trials]).rng(),
                    ) as f64
                })
                .collect();
            let mean = values.iter().sum::<f64>() / draws as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws as f64;
            let (expected, spread) = (trials as f64 * chance, trials as f64 * chance * (1.0 - chance));
            // Five standard errors of the mean, and of the variance of a nearly normal law.
            assert!(
                (mean - expected).abs() < 5.0 * (spread / draws as f64).sqrt(),
                "{mean} {expected}"
            );
            assert!(
                (variance / spread - 1.0).abs() < 5.0 * (2.0 / draws as f64).sqrt(),
                "{variance} {spread}"
            );
        }
    }

    #[test]
    fn balanced_counts_differ_by_one_token_at_most() {
        let mut counts = [0; 8];
        balanced(5, 2, &mut counts);
        assert_eq!(sum(&counts), 10);
        assert_eq!((counts.iter().min(), counts.iter().max()), (Some(&1), Some(&2)));
    }

    #[test]
    fn capacity_drops_and_pads() {
        assert_eq!(capacity(4096, 2, 8, 1.25), 1280);
        let mut counts = vec![1500, 100, 1280];
        assert_eq!(apply_capacity(1280, false, &mut counts), 220);
        assert_eq!(counts, [1280, 100, 1280]);
        assert_eq!(apply_capacity(1280, true, &mut counts), 0);
        assert_eq!(counts, [1280; 3]);
    }
}
