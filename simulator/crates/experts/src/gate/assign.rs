//! Assignments that balance themselves: experts that choose, and scores that are normalised in turn.

use super::scores::{Route, Routes, Scores};
use super::select::top_k;

/// Megatron-Core's tolerance of [`sinkhorn`].
pub const SINKHORN_TOLERANCE: f32 = 1e-4;

/// Every expert takes its best `tokens · top_k / experts` tokens by their softmax (Zhou et al. 2022): balanced by
/// construction, and some tokens may be seen by no expert ([`Routes::unserved`]).
///
/// Worked: 64 tokens, top 2 of 8: every expert takes 16.
#[must_use]
pub fn expert_choice(logits: &Scores, experts_per_token: usize) -> Routes {
    let (tokens, experts) = (logits.num_tokens(), logits.num_experts());
    let scores = logits.softmax();
    let capacity = (tokens * experts_per_token / experts).min(tokens);
    let mut routes = Vec::with_capacity(capacity * experts);
    for (number, expert) in (0..).zip(0..experts) {
        let column: Vec<f32> = scores.column(expert).collect();
        routes.extend(top_k(&column, capacity).into_iter().map(|token| Route {
            token,
            expert: number,
            weight: column[token as usize],
        }));
    }
    Routes::new(tokens, experts, routes)
}

/// When the normalisation in turn ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinkhorn {
    /// What must be small.
    pub stop: SinkhornStop,
    /// How small.
    pub tolerance: f32,
}

/// What tells [`sinkhorn`] that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkhornStop {
    /// The mean change of the experts' factors, as Megatron-Core does: it may stop far from balance.
    FactorChange,
    /// The largest relative error of an expert's total.
    MarginalError,
}

/// What [`sinkhorn`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Balanced {
    /// Each token at its best expert by balanced score, weighted by the sigmoid of its logit.
    pub routes: Routes,
    /// Rounds of both normalisations.
    pub rounds: u32,
}

/// Rounds after which [`sinkhorn`] gives up coming closer.
const MOST_ROUNDS: u32 = 10_000;

/// Each token's best expert by `d1_e K_te d0_t`, `K = exp(logits)`, with `d0 = 1 / (T Σ_e d1 K)` and
/// `d1 = 1 / (E Σ_t d0 K)` in turn until nothing moves (S-BASE, Clark et al. 2022; Megatron-Core's `sinkhorn`, which
/// starts from ones, adds 1e-8 to sums and looks at the mean change of `d1`).
#[must_use]
pub fn sinkhorn(logits: &Scores, until: Sinkhorn) -> Balanced {
    const LEAST: f32 = 1e-8;
    let (tokens, experts) = (logits.num_tokens(), logits.num_experts());
    let kernel = logits.map_rows(|row| row.iter_mut().for_each(|x| *x = x.exp()));
    let mut of_experts = vec![1.0_f32; experts];
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut totals = vec![0.0_f32; experts];
        for row in kernel.rows() {
            let sum: f32 = row.iter().zip(&of_experts).map(|(k, d)| k * d).sum();
            let of_token = 1.0 / tokens as f32 / (sum + LEAST);
            for (total, k) in totals.iter_mut().zip(row) {
                *total += of_token * k;
            }
        }
        let (mut change, mut error) = (0.0, 0.0_f32);
        for (factor, total) in of_experts.iter_mut().zip(totals) {
            let new = 1.0 / experts as f32 / (total + LEAST);
            error = error.max((*factor / new - 1.0).abs());
            change += (new - *factor).abs() / experts as f32;
            *factor = new;
        }
        let left = match until.stop {
            SinkhornStop::FactorChange => change,
            SinkhornStop::MarginalError => error,
        };
        if left <= until.tolerance || rounds == MOST_ROUNDS {
            break;
        }
    }
    let routes = (0..)
        .zip(kernel.rows().zip(logits.rows()))
        .map(|(token, (row, logits))| {
            let balanced: Vec<f32> = row.iter().zip(&of_experts).map(|(k, d)| k * d).collect();
            // Several best: the first, as `argmax` has it.
            let best = (0..experts)
                .rev()
                .max_by(|&a, &b| balanced[a].total_cmp(&balanced[b]));
            let best = best.expect("a batch has experts");
            Route {
                token,
                expert: u32::try_from(best).expect("a model has fewer than 2^32 experts"),
                weight: 1.0 / (1.0 + (-logits[best]).exp()),
            }
        });
    Balanced {
        routes: Routes::new(tokens, experts, routes.collect()),
        rounds,
    }
}
