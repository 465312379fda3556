//! Balance without a loss: biases that steer which experts are chosen and touch nothing else.

use super::scores::Scores;
use super::select::top_k;

/// Moves each expert's bias by `rate` towards balance: `b_e += rate · sign(mean c − c_e)` (DeepSeek-V3, arXiv
/// 2408.15664; Megatron-Core's `get_updated_expert_bias`).
///
/// Worked: counts 8, 9, 6 and 9, rate 1e-3: 0, −1e-3, 1e-3, −1e-3.
pub fn sign_update(bias: &mut [f32], counts: &[u32], rate: f32) {
    let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let experts = counts.len() as u64;
    for (bias, &count) in bias.iter_mut().zip(counts) {
        // Compared as whole numbers, for the mean may be none.
        match (u64::from(count) * experts).cmp(&sum) {
            std::cmp::Ordering::Less => *bias += rate,
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => *bias -= rate,
        }
    }
}

/// The bias that one step of quantile balancing finds (Megatron-Core's `qb_dual_update`): with `α_t` the
/// (top-k + 1)-th of token t's `score − β`, an expert's new `β` is the (T k / E + 1)-th largest of `score − α`, so
/// that about `T k / E` tokens would pick it. Choices are made by `score − β`; the result is `−β`, a bias to add.
///
/// # Panics
/// When every expert is chosen anyway, or the biases are not one per expert.
#[must_use]
pub fn quantile_bias(scores: &Scores, experts_per_token: usize, bias: &[f32]) -> Vec<f32> {
    let (tokens, experts) = (scores.num_tokens(), scores.num_experts());
    assert!(experts_per_token < experts, "a choice leaves some expert out");
    assert_eq!(bias.len(), experts, "one bias per expert");
    let target = (tokens * experts_per_token / experts).min(tokens.saturating_sub(1));
    let mut thresholds = Vec::with_capacity(tokens);
    let mut biased = vec![0.0; experts];
    for row in scores.rows() {
        for (sum, (score, bias)) in biased.iter_mut().zip(row.iter().zip(bias)) {
            *sum = score + bias;
        }
        thresholds.push(least_of_largest(&biased, experts_per_token + 1));
    }
    (0..experts)
        .map(|expert| {
            let column = scores.column(expert).zip(&thresholds);
            let column: Vec<f32> = column.map(|(score, threshold)| score - threshold).collect();
            -least_of_largest(&column, target + 1)
        })
        .collect()
}

/// The `k`-th largest of `values`.
fn least_of_largest(values: &[f32], k: usize) -> f32 {
    let largest = top_k(values, k);
    largest
        .into_iter()
        .map(|place| values[place as usize])
        .fold(f32::INFINITY, f32::min)
}
