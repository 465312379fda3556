//! Losses that hold a router together, and measures of what it does.

use super::scores::{Routes, Scores};

/// `E Σ_e f_e P_e`: `f_e` the share of the routes that expert e gets, `P_e` its mean probability (Switch
/// Transformer; Megatron-Core's `switch_load_balancing_loss_func` with coefficient 1). Over one sequence, or over
/// the global batch, it is the same formula on their `f`.
///
/// Worked: balance gives 1; everything at one expert of 8 with certainty gives 8.
#[must_use]
pub fn auxiliary(counts: &[u32], probabilities: &Scores) -> f64 {
    let sum: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let mean = probabilities.mean();
    let products = counts.iter().zip(&mean).map(|(&count, p)| f64::from(count) * p);
    counts.len() as f64 * products.sum::<f64>() / sum.max(1.0)
}

/// The mean over tokens of `(ln Σ_e exp x_e)^2`, which keeps logits small (ST-MoE, Zoph et al. 2022).
///
/// Worked: two logits of 0: `(ln 2)^2` = 0.4805.
#[must_use]
pub fn z(logits: &Scores) -> f64 {
    let squares = logits.rows().map(|row| log_sum_exp(row).powi(2));
    squares.sum::<f64>() / logits.num_tokens().max(1) as f64
}

/// `ln Σ exp x`.
pub(super) fn log_sum_exp(row: &[f32]) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| f64::from(x - most).exp()).sum();
    f64::from(most) + sum.ln()
}

/// The squared coefficient of variation `(σ / mean)^2` of loads or of importances, which noisy top-k gating keeps
/// small (Shazeer et al. 2017). Worked: 1 and 3: `(1 / 2)^2` = 0.25.
#[must_use]
pub fn squared_variation(loads: &[f64]) -> f64 {
    let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
    if mean <= 0.0 {
        return 0.0;
    }
    let variance = loads.iter().map(|load| (load - mean).powi(2)).sum::<f64>() / loads.len() as f64;
    variance / mean.powi(2)
}

/// The largest load over the mean; 1 when there is none. Worked: 1, 1 and 4: 2.
#[must_use]
pub fn imbalance(counts: &[u32]) -> f64 {
    let sum: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let most = counts.iter().copied().max().unwrap_or(0);
    if sum > 0.0 {
        f64::from(most) * counts.len() as f64 / sum
    } else {
        1.0
    }
}

/// The entropy of shares over that of as many equal ones: 1 for balance, 0 for collapse.
///
/// Worked: 1/2, 1/2, 0 and 0: `ln 2 / ln 4` = 0.5.
#[must_use]
pub fn relative_entropy(loads: &[f64]) -> f64 {
    let sum: f64 = loads.iter().sum();
    if loads.len() < 2 || sum <= 0.0 {
        return 1.0;
    }
    let terms = loads
        .iter()
        .filter(|load| **load > 0.0)
        .map(|load| -load / sum * (load / sum).ln());
    terms.sum::<f64>() / (loads.len() as f64).ln()
}

/// The mean affinity of what was chosen over that of each token's best `top_k` experts: 1 where every token gets
/// what it likes best, less where balancing or dropping took it away.
///
/// Worked: a token that likes two experts with 0.6 and 0.4 and goes to the second: 0.667.
#[must_use]
pub fn affinity_kept(routes: &Routes, probabilities: &Scores, top_k: usize) -> f64 {
    let best: f64 = probabilities
        .rows()
        .map(|row| {
            super::top_k(row, top_k)
                .iter()
                .map(|&expert| f64::from(row[expert as usize]))
                .sum::<f64>()
        })
        .sum();
    let affinity = |token: u32, expert: u32| f64::from(probabilities.of(token as usize)[expert as usize]);
    let chosen: f64 = routes
        .all()
        .iter()
        .map(|route| affinity(route.token, route.expert))
        .sum();
    if best > 0.0 { chosen / best } else { 1.0 }
}
