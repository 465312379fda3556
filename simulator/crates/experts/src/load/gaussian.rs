//! The multinomial law where counts are large: normal numbers with its covariance.

use orrery_units::Key;
use pulp::{Arch, Simd, WithSimd};

use super::draw::{self, NORMAL_FROM};
use super::normal;

/// Tokens per expert when `tokens` tokens go to `top_k` different experts each, by `shares` that add up to one.
///
/// `c_i = n p_i + sqrt(n p_i) z_i − p_i Σ_j sqrt(n p_j) z_j` has the mean `n p_i` and the covariance
/// `n (p_i δ_ij − p_i p_j)` of the multinomial law, and adds up to `n`. Experts of fewer than 30 expected
/// assignments are drawn first, one by one and exactly; what they leave over is the `n` of the others. Whole
/// numbers come from rounding running sums, so each is within one of its real number, and they add up. No expert
/// receives more than `tokens`.
///
/// Worked: `n` = 1,000,000 and a share of 1/4: standard deviation `sqrt(1e6 · 3/16)` = 433.
///
/// # Panics
/// When `counts` and `shares` differ in length.
pub fn spread(shares: &[f32], tokens: u64, top_k: u64, key: Key, counts: &mut [u32]) {
    assert_eq!(counts.len(), shares.len(), "one count per expert");
    Arch::new().dispatch(Spread {
        shares,
        tokens,
        top_k,
        key,
        counts,
    });
}

/// [`spread`], compiled once for every width of vectors that processors have: the same to the last bit.
struct Spread<'a> {
    shares: &'a [f32],
    tokens: u64,
    top_k: u64,
    key: Key,
    counts: &'a mut [u32],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        drawn(self.shares, (self.tokens, self.top_k), self.key, self.counts);
        draw::limit(self.shares, self.tokens, self.counts);
    }
}

/// [`spread`] but for what exceeds the tokens.
#[inline(always)]
fn drawn(shares: &[f32], (tokens, top_k): (u64, u64), key: Key, counts: &mut [u32]) {
    let total = tokens * top_k;
    let least = in_eights(shares, f32::INFINITY, |a, b| if b < a { b } else { a });
    if f64::from(least) * total as f64 >= NORMAL_FROM {
        let mut scratch = vec![0.0; shares.len()];
        normals(shares, total, key, &mut scratch, counts);
    } else {
        mixed(shares, total, key, counts);
    }
}

/// Every expert by normal numbers: `total` assignments by `shares`, which add up to one.
#[inline(always)]
fn normals(shares: &[f32], total: u64, key: Key, scratch: &mut [f32], counts: &mut [u32]) {
    normal::fill(key, scratch);
    let trials = total as f32;
    for (noise, &share) in scratch.iter_mut().zip(shares) {
        *noise *= (trials * share).sqrt();
    }
    let rest = total as f64 - f64::from(in_eights(scratch, 0.0, |a, b| a + b));
    // Only the sum itself goes from one to the next; what is before and after it are loops of vectors.
    let mut running: Vec<f64> = scratch
        .iter()
        .zip(shares)
        .map(|(&noise, &share)| f64::from(share) * rest + f64::from(noise))
        .collect();
    running_sums(&mut running);
    let (least, most) = (differences(&running, counts), total as f64);
    let given = running.last().copied().map_or(0.0, rounded);
    if least < 0.0 || given > most {
        return from_one_to_the_next(shares, scratch, total, rest, counts);
    }
    // Shares in single precision add up to one to seven digits; the rest is the last expert's.
    if let Some(last) = counts.last_mut() {
        *last += (most - given) as u32;
    }
}

/// Replaces numbers by their running sums: four quarters beside each other, for an addition waits for the one before it.
#[inline(always)]
fn running_sums(numbers: &mut [f64]) {
    let quarter = numbers.len() / 4;
    let (first, rest) = numbers.split_at_mut(quarter);
    let (second, rest) = rest.split_at_mut(quarter);
    let (third, last) = rest.split_at_mut(quarter);
    let mut sums = [0.0; 4];
    let quarters = first
        .iter_mut()
        .zip(&mut *second)
        .zip(&mut *third)
        .zip(&mut *last);
    for (((first, second), third), last) in quarters {
        for (sum, number) in sums.iter_mut().zip([first, second, third, last]) {
            *sum += *number;
            *number = *sum;
        }
    }
    for number in &mut last[quarter..] {
        sums[3] += *number;
        *number = sums[3];
    }
    let mut before = 0.0;
    for (part, sum) in [second, third, last].into_iter().zip(sums) {
        before += sum;
        part.iter_mut().for_each(|number| *number += before);
    }
}

/// Fills in what rounded sums rise by from one to the next, and returns the least of it: where that is negative all are to
/// be counted again.
#[inline(always)]
fn differences(running: &[f64], counts: &mut [u32]) -> f64 {
    let (Some((&first, later)), Some((first_count, counts))) =
        (running.split_first(), counts.split_first_mut())
    else {
        return 0.0;
    };
    *first_count = whole(rounded(first));
    let (counts, rest_counts) = counts.as_chunks_mut::<AT_ONCE>();
    let (upto, rest_upto) = later.as_chunks::<AT_ONCE>();
    let (given, rest_given) = running[..later.len()].as_chunks::<AT_ONCE>();
    let mut least = [rounded(first).min(0.0); AT_ONCE];
    for (counts, (upto, given)) in counts.iter_mut().zip(upto.iter().zip(given)) {
        for at in 0..AT_ONCE {
            let own = rounded(upto[at]) - rounded(given[at]);
            least[at] = if own < least[at] { own } else { least[at] };
            counts[at] = whole(own);
        }
    }
    let mut least = least.into_iter().fold(0.0, f64::min);
    for (count, (&upto, &given)) in rest_counts.iter_mut().zip(rest_upto.iter().zip(rest_given)) {
        let own = rounded(upto) - rounded(given);
        least = least.min(own);
        *count = whole(own);
    }
    least
}

/// What [`normals`] does where some count would be negative, which is one in fifty million: what lacks is left to the next expert.
fn from_one_to_the_next(shares: &[f32], noises: &[f32], total: u64, rest: f64, counts: &mut [u32]) {
    let (mut running, mut given, most) = (0.0_f64, 0, total.cast_signed());
    for ((count, &noise), &share) in counts.iter_mut().zip(noises).zip(shares) {
        running += f64::from(share) * rest + f64::from(noise);
        let upto = (rounded(running) as i64).clamp(given, most);
        *count = (upto - given) as u32;
        given = upto;
    }
    if let Some(last) = counts.last_mut() {
        *last += (most - given) as u32;
    }
}

/// Added to a number it leaves no room for a fraction: three halves of 2^52. The casts of the language mind what does not
/// fit; these run for every expert of every layer of every step, on numbers far below 2^51.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The nearest whole number.
#[inline(always)]
const fn rounded(number: f64) -> f64 {
    (number + ROUND) - ROUND
}

/// A whole number from 0 to 2^32 − 1 as such.
#[inline(always)]
const fn whole(number: f64) -> u32 {
    (number + ROUND).to_bits() as u32
}

/// Numbers that a loop of vectors takes at once.
const AT_ONCE: usize = 8;

/// All of `numbers` put together by `both`, eight beside each other, so that it is a loop of vectors.
#[inline(always)]
fn in_eights(numbers: &[f32], start: f32, both: impl Fn(f32, f32) -> f32) -> f32 {
    let (eights, rest) = numbers.as_chunks::<AT_ONCE>();
    let mut so_far = [start; AT_ONCE];
    for eight in eights {
        for (so_far, &number) in so_far.iter_mut().zip(eight) {
            *so_far = both(*so_far, number);
        }
    }
    so_far.iter().chain(rest).copied().fold(start, both)
}

/// Rare experts one by one and exactly, the others by normal numbers of what is left.
fn mixed(shares: &[f32], total: u64, key: Key, counts: &mut [u32]) {
    let is_rare = |share: f32| f64::from(share) * (total as f64) < NORMAL_FROM;
    let mut rng = key.with(0).rng();
    let (mut left, mut rest) = (total, 1.0_f64);
    for (count, &share) in counts
        .iter_mut()
        .zip(shares)
        .filter(|(_, share)| is_rare(**share))
    {
        let chance = (f64::from(share) / rest).min(1.0);
        let drawn = if share > 0.0 {
            draw::binomial(left, chance, &mut rng)
        } else {
            0
        };
        *count = drawn as u32;
        left -= drawn;
        rest = (rest - f64::from(share)).max(f64::MIN_POSITIVE);
    }
    let frequent: Vec<usize> = (0..shares.len())
        .filter(|&expert| !is_rare(shares[expert]))
        .collect();
    if frequent.is_empty() {
        // All are rare: the last binomial had what was left of the chance, up to rounding.
        if let Some(most) = (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b])) {
            counts[most] += left as u32;
        }
        return;
    }
    let theirs: f32 = frequent.iter().map(|&expert| shares[expert]).sum();
    let theirs: Vec<f32> = frequent.iter().map(|&expert| shares[expert] / theirs).collect();
    let (mut scratch, mut drawn) = (vec![0.0; theirs.len()], vec![0; theirs.len()]);
    normals(&theirs, left, key.with(1), &mut scratch, &mut drawn);
    for (&expert, &count) in frequent.iter().zip(&drawn) {
        counts[expert] = count;
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;

    use super::super::Chain;
    use super::*;

    const SHARES: [f32; 6] = [0.4, 0.25, 0.2, 0.1, 0.049, 0.001];

    /// Means and covariances of many draws of `draw`.
    fn moments(draw: impl Fn(u64, &mut [u32])) -> (Vec<f64>, Vec<f64>) {
        let draws = 40_000;
        let mut counts = [0; 6];
        let (mut sum, mut products) = (vec![0.0; 6], vec![0.0; 36]);
        for number in 0..draws {
            draw(number, &mut counts);
            for (i, &a) in counts.iter().enumerate() {
                sum[i] += f64::from(a);
                for (j, &b) in counts.iter().enumerate() {
                    products[6 * i + j] += f64::from(a) * f64::from(b);
                }
            }
        }
        let num = draws as f64;
        let means: Vec<f64> = sum.iter().map(|sum| sum / num).collect();
        let covariances = (0..36).map(|at| products[at] / num - means[at / 6] * means[at % 6]);
        let covariances = covariances.collect();
        (means, covariances)
    }

    /// Both against the law `n p`, `n (p_i δ_ij − p_i p_j)`, within five standard errors; 3,000 assignments leave
    /// the last expert 3 on average, so that both branches are met.
    #[test]
    fn normal_draws_have_the_covariance_of_exact_ones() {
        let tokens = 3000;
        let chain = Chain::new(SHARES.map(f64::from).to_vec());
        let key = |number| Seed::new(1).at("draw", &[number]);
        let fast = moments(|number, counts| spread(&SHARES, tokens, 1, key(number), counts));
        let slow = moments(|number, counts| draw::multinomial(&chain, tokens, 1, key(number), counts));
        let (n, p) = (tokens as f64, SHARES.map(f64::from));
        for (name, (means, covariances)) in [("fast", fast), ("slow", slow)] {
            for i in 0..6 {
                let deviation = (n * p[i] * (1.0 - p[i])).sqrt();
                assert!(
                    (means[i] - n * p[i]).abs() < 5.0 * deviation / 200.0,
                    "{name} mean {i}"
                );
                for j in 0..6 {
                    let own = if i == j { n * p[i] } else { 0.0 };
                    let error = (covariances[6 * i + j] - (own - n * p[i] * p[j])).abs();
                    let scale = deviation * (n * p[j] * (1.0 - p[j])).sqrt();
                    // Rounding to whole numbers adds 1/6 to a variance.
                    assert!(
                        error < 5.0 * 1.5 * scale / 200.0 + 0.2,
                        "{name} {i} {j}: {error} of {scale}"
                    );
                }
            }
        }
    }

    #[test]
    fn counts_add_up_and_no_expert_exceeds_the_tokens() {
        let skewed = [0.5, 0.2, 0.1, 0.1, 0.09, 0.01];
        let mut counts = [0; 6];
        for number in 0..2000 {
            for tokens in [0, 1, 17, 300, 4096, 600_000] {
                spread(
                    &skewed,
                    tokens,
                    2,
                    Seed::new(2).at("sum", &[number, tokens]),
                    &mut counts,
                );
                assert_eq!(
                    counts.iter().map(|&count| u64::from(count)).sum::<u64>(),
                    tokens * 2
                );
                assert!(
                    counts.iter().all(|&count| u64::from(count) <= tokens),
                    "{counts:?}"
                );
            }
        }
    }

    /// Wide vectors against those that every processor has.
    #[test]
    fn counts_are_those_of_every_processor() {
        let shares: Vec<f32> = (1_u8..=61).map(|at| f32::from(at) / 1891.0).collect();
        for number in 0..50 {
            for tokens in [40, 100_000] {
                let spread = |counts| Spread {
                    shares: &shares,
                    tokens,
                    top_k: 4,
                    key: Seed::new(5).at("width", &[number]),
                    counts,
                };
                let (mut wide, mut narrow) = ([0; 61], [0; 61]);
                Arch::new().dispatch(spread(&mut wide));
                spread(&mut narrow).with_simd(pulp::Scalar);
                assert_eq!(wide, narrow);
            }
        }
    }

    /// The slow twin: one after the other.
    #[test]
    fn running_sums_are_those_of_one_after_the_other() {
        for len in [0, 1, 3, 4, 7, 64, 257] {
            let numbers: Vec<f64> = (0..len).map(|at| f64::from(at % 13) - 4.0).collect();
            let mut sums = numbers.clone();
            running_sums(&mut sums);
            let mut sum = 0.0;
            let slow = numbers.iter().map(|number| {
                sum += number;
                sum
            });
            assert!(slow.eq(sums), "{len}");
        }
    }

    /// Few assignments by normal numbers: many would be negative, and what lacks is left to the next.
    #[test]
    fn counts_that_would_be_negative_leave_theirs_to_the_next() {
        let mut counts = [0; 6];
        for number in 0..2000 {
            let key = Seed::new(4).at("few", &[number]);
            normals(&SHARES, 20, key, &mut [0.0; 6], &mut counts);
            assert_eq!(counts.iter().sum::<u32>(), 20, "{counts:?}");
        }
    }

    #[test]
    fn an_expert_without_a_share_gets_nothing() {
        let mut counts = [9; 4];
        for number in 0..100 {
            spread(
                &[0.5, 0.0, 0.5, 0.0],
                1000,
                1,
                Seed::new(3).at("none", &[number]),
                &mut counts,
            );
            assert_eq!((counts[1], counts[3]), (0, 0));
        }
    }
}
