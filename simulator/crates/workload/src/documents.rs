//! Documents packed into sequences: what of a sequence's attention is left where it stays inside each document.
//!
//! Documents follow each other until a sequence is full; the last one is cut. Each is cut evenly among context-parallel
//! ranks (Transformer Engine's packed `thd` layout), so that they have equal work. A shorter document is taken to cost its
//! share of the pairs: what a kernel loses on short ones is not in it.

use orrery_operation::{Attention, Mask};
use orrery_scenario::plan::{Documents, Plan};
use orrery_units::{Key, Seed};

/// Sequences over which the mean of a law is taken where no draw is at hand.
const SAMPLE: u64 = 64;

/// Share of the pairs of whole sequences that the documents of a microbatch leave to a core under `mask`:
/// `Σ pairs(l) / (b pairs(S))` over its documents of `l` tokens; of causal masks `Σ l² / (b S²)`.
///
/// Worked: one sequence of 4,096 tokens in documents of 1,024: 1 / 4; of 3,072 and 1,024: 10 / 16.
pub(crate) fn share(lengths: &[u64], mask: Mask, sequences: u64, sequence: u64) -> f64 {
    let pairs = |tokens: u64| {
        let core = Attention {
            query_tokens: tokens,
            key_tokens: tokens,
            mask,
            ..ONE
        };
        core.pairs()
    };
    let whole: f64 = (0..sequences).map(|_| pairs(sequence)).sum();
    lengths.iter().map(|&tokens| pairs(tokens)).sum::<f64>() / whole
}

/// A core of one head, whose sizes do not matter.
const ONE: Attention = Attention {
    sequences: 1,
    query_tokens: 0,
    key_tokens: 0,
    heads: 1,
    kv_heads: 1,
    qk_dim: 1,
    v_dim: 1,
    mask: Mask::Causal,
    precision: orrery_operation::Precision::Bf16,
};

/// Lengths of the documents of `sequences` sequences of `sequence` tokens each, drawn at `key`.
pub(crate) fn lengths(law: Documents, key: Key, sequences: u64, sequence: u64) -> Vec<u64> {
    let mut lengths = Vec::new();
    for number in 0..sequences {
        let mut left = sequence;
        let mut drawn = 0;
        while left > 0 {
            let length = match law {
                Documents::Fixed { tokens } => tokens,
                Documents::LogNormal { median, sigma } => {
                    log_normal(median, sigma, key.with(number).with(drawn).normal())
                }
            };
            let length = length.clamp(1, left);
            lengths.push(length);
            left -= length;
            drawn += 1;
        }
    }
    lengths
}

/// `median exp(σ z)` tokens.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a length is cut to its sequence, and none is negative"
)]
fn log_normal(median: u64, sigma: f64, draw: f64) -> u64 {
    (median as f64 * (sigma * draw).exp()).round().min(1e15) as u64
}

/// The documents of microbatch `microbatch` of data-parallel rank `data` in `step`.
pub(crate) fn of_microbatch(plan: &Plan, seed: Seed, [data, step, microbatch]: [u64; 3]) -> Option<Vec<u64>> {
    let law = plan.training.documents?;
    let key = seed.at("documents", &[data, step, microbatch]);
    Some(lengths(
        law,
        key,
        plan.training.micro_batch,
        plan.training.sequence_length,
    ))
}

/// The mean share under `mask`: that of many sequences.
pub(crate) fn mean_share(plan: &Plan, mask: Mask) -> f64 {
    let Some(law) = plan.training.documents else {
        return 1.0;
    };
    let sequence = plan.training.sequence_length;
    let drawn = lengths(law, plan.run.seed.at("documents", &[]), SAMPLE, sequence);
    share(&drawn, mask, SAMPLE, sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    #[test]
    fn shares_by_hand() {
        close(share(&[4096], Mask::Causal, 1, 4096), 1.0);
        close(share(&[1024; 4], Mask::Causal, 1, 4096), 0.25);
        close(share(&[3072, 1024], Mask::Causal, 1, 4096), 0.625);
        close(share(&[4096, 2048, 2048], Mask::Causal, 2, 4096), 0.75);
        // A window of 1,024: 1,024 · 2,048 − 2^19 pairs each, of 1,024 · 4,096 − 2^19.
        close(share(&[2048; 2], Mask::Sliding(1024), 1, 4096), 3.0 / 3.5);
    }

    #[test]
    fn documents_fill_their_sequences() {
        let key = Seed::new(3).at("documents", &[0, 0, 0]);
        let fixed = lengths(Documents::Fixed { tokens: 1500 }, key, 2, 4096);
        assert_eq!(fixed, [1500, 1500, 1096, 1500, 1500, 1096]);
        let law = Documents::LogNormal {
            median: 800,
            sigma: 1.0,
        };
        let drawn = lengths(law, key, 64, 8192);
        assert_eq!(drawn.iter().sum::<u64>(), 64 * 8192);
        assert_eq!(drawn, lengths(law, key, 64, 8192), "the same key, the same draws");
        let mut whole: Vec<u64> = drawn;
        whole.sort_unstable();
        let median = whole[whole.len() / 2];
        assert!((600..1000).contains(&median), "{median}");
    }
}
