//! The forward path on the CPU: the same steps as the kernels, rounded in the same places.
//!
//! What a launcher is checked against, and what stands in for it on machines without a GPU. Clear, not fast.

mod gates;
mod quantized;

pub use gates::{GroupLimit, gate_groups, gumbel, histogram, scan};
pub use quantized::{Quantized, dequantize_tiles, grouped_gemm_fp8, quantize_rows, quantize_tiles};

use crate::Bf16;

/// Experts a token may choose at most, `MAX_TOP_K` in the source of the gate.
pub const MAX_TOP_K: usize = 8;

/// How logits become scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Scoring {
    /// Softmax over all experts.
    Softmax,
    /// Sigmoid of each; the bias steers the choice and never the weight (DeepSeek-V3, §2.1.2).
    Sigmoid {
        /// One per expert.
        bias: Vec<f32>,
    },
}

/// What a gate is told.
#[derive(Clone, Debug, PartialEq)]
pub struct GateRule {
    /// How logits become scores.
    pub scoring: Scoring,
    /// Experts chosen per token: 1 to [`MAX_TOP_K`], at most the experts there are.
    pub top_k: usize,
    /// Whether the weights of a token are divided by their sum.
    pub normalize: bool,
    /// What every weight is multiplied by.
    pub scale: f32,
}

/// Choices of every token: slot `token * top_k + choice`, best first, ties to the lower expert.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The expert of each slot.
    pub experts: Vec<usize>,
    /// The weight of each slot.
    pub weights: Vec<f32>,
}

/// Where each slot's row went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// The row of each slot; none if its expert was full.
    pub row_of_slot: Vec<Option<usize>>,
    /// The slot of each row.
    pub slot_of_row: Vec<usize>,
    /// Where the rows of each expert start, and as one more entry where the last one's end.
    pub expert_start: Vec<usize>,
}

/// Weights of a layer's experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Experts {
    /// Width of the activations.
    pub hidden: usize,
    /// Width between the two products.
    pub inner: usize,
    /// `[experts, 2 inner, hidden]`: the gate half, then the up half.
    pub gate_and_up: Vec<Bf16>,
    /// `[experts, hidden, inner]`.
    pub down: Vec<Bf16>,
}

/// The whole path: gate, permute, product, SwiGLU, product, combine. `activations` is `[tokens, hidden]` and
/// `logits` `[tokens, experts]`; an expert takes its first `capacity` slots.
#[must_use]
pub fn forward(
    activations: &[Bf16],
    logits: &[f32],
    experts: &Experts,
    rule: &GateRule,
    capacity: usize,
) -> Vec<Bf16> {
    let count = experts.count();
    let routing = gate(logits, count, rule);
    let permutation = permute(&routing.experts, count, capacity);
    let rows = gather(activations, &permutation, rule.top_k, experts.hidden);
    let starts = &permutation.expert_start;
    let gate_and_up = grouped_gemm(
        &rows,
        &experts.gate_and_up,
        starts,
        2 * experts.inner,
        experts.hidden,
    );
    let activated = swiglu(&gate_and_up, experts.inner);
    let rows = grouped_gemm(&activated, &experts.down, starts, experts.hidden, experts.inner);
    combine(&rows, &permutation, &routing.weights, rule.top_k, experts.hidden)
}

/// `moe_gate_softmax` and `moe_gate_sigmoid`: the experts of every token. Logits must be finite.
#[must_use]
pub fn gate(logits: &[f32], experts: usize, rule: &GateRule) -> Routing {
    assert!(
        (1..=MAX_TOP_K.min(experts)).contains(&rule.top_k),
        "top-{} of {experts} experts",
        rule.top_k
    );
    let mut routing = Routing {
        experts: Vec::new(),
        weights: Vec::new(),
    };
    for logits in logits.chunks_exact(experts) {
        let (keys, scores) = keys_and_scores(logits, &rule.scoring);
        let mut order: Vec<usize> = (0..experts).collect();
        // The sort is stable, so equal keys stay in order of their experts.
        order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
        order.truncate(rule.top_k);
        let total: f32 = order.iter().map(|&expert| scores[expert]).sum();
        let factor = if rule.normalize {
            rule.scale / total
        } else {
            rule.scale
        };
        routing
            .weights
            .extend(order.iter().map(|&expert| scores[expert] * factor));
        routing.experts.extend(order);
    }
    routing
}

/// What experts are chosen by, and what they are weighted by.
fn keys_and_scores(logits: &[f32], scoring: &Scoring) -> (Vec<f32>, Vec<f32>) {
    match scoring {
        Scoring::Softmax => {
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let denominator: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
            let score = |logit: &f32| (logit - highest).exp() / denominator;
            // Logits order as their softmax does, without ties by underflow.
            (logits.to_vec(), logits.iter().map(score).collect())
        }
        Scoring::Sigmoid { bias } => {
            assert_eq!(bias.len(), logits.len(), "one bias per expert");
            let scores: Vec<f32> = logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
            let keys = scores
                .iter()
                .zip(bias)
                .map(|(score, bias)| score + bias)
                .collect();
            (keys, scores)
        }
    }
}

/// `moe_count`, `moe_offsets` and `moe_scatter`: a stable counting sort of slots by expert.
#[must_use]
pub fn permute(chosen: &[usize], experts: usize, capacity: usize) -> Permutation {
    let mut counts = vec![0_usize; experts];
    let positions: Vec<usize> = chosen
        .iter()
        .map(|&expert| {
            counts[expert] += 1;
            counts[expert] - 1
        })
        .collect();
    let mut expert_start = vec![0];
    for (expert, &count) in counts.iter().enumerate() {
        expert_start.push(expert_start[expert] + count.min(capacity));
    }
    let mut slot_of_row = vec![0; expert_start[experts]];
    let mut row_of_slot = vec![None; chosen.len()];
    for (slot, (&expert, &position)) in chosen.iter().zip(&positions).enumerate() {
        if position < capacity {
            let row = expert_start[expert] + position;
            row_of_slot[slot] = Some(row);
            slot_of_row[row] = slot;
        }
    }
    Permutation {
        row_of_slot,
        slot_of_row,
        expert_start,
    }
}

/// `moe_gather`: the activations of each row's token.
#[must_use]
pub fn gather(activations: &[Bf16], permutation: &Permutation, top_k: usize, hidden: usize) -> Vec<Bf16> {
    let tokens = permutation.slot_of_row.iter().map(|slot| slot / top_k);
    tokens
        .flat_map(|token| &activations[token * hidden..(token + 1) * hidden])
        .copied()
        .collect()
}

/// `moe_grouped_gemm`: rows of each expert times its weights `[experts, columns, depth]`, float sums in order
/// of depth.
#[must_use]
pub fn grouped_gemm(
    input: &[Bf16],
    weights: &[Bf16],
    expert_start: &[usize],
    columns: usize,
    depth: usize,
) -> Vec<Bf16> {
    let mut result = Vec::with_capacity(input.len() / depth * columns);
    for (expert, range) in expert_start.windows(2).enumerate() {
        let matrix = &weights[expert * columns * depth..(expert + 1) * columns * depth];
        for row in range[0]..range[1] {
            let row = &input[row * depth..(row + 1) * depth];
            result.extend(
                matrix
                    .chunks_exact(depth)
                    .map(|column| Bf16::from_f32(dot(row, column))),
            );
        }
    }
    result
}

fn dot(left: &[Bf16], right: &[Bf16]) -> f32 {
    let pairs = left.iter().zip(right);
    pairs.fold(0.0, |sum, (a, b)| a.to_f32().mul_add(b.to_f32(), sum))
}

/// `moe_router`: logits `[tokens, experts]` of activations `[tokens, hidden]` and weights `[experts, hidden]`.
#[must_use]
pub fn router(activations: &[Bf16], weights: &[Bf16], hidden: usize) -> Vec<f32> {
    let rows = activations.chunks_exact(hidden);
    rows.flat_map(|row| weights.chunks_exact(hidden).map(|column| dot(row, column)))
        .collect()
}

/// All-reduce as one shot does it: everybody's numbers added in full precision in the order of ranks, rounded once.
#[must_use]
pub fn sum_of_ranks(ranks: &[Vec<Bf16>]) -> Vec<Bf16> {
    let length = ranks.first().map_or(0, Vec::len);
    let sum = |at: usize| ranks.iter().fold(0.0, |sum: f32, rank| sum + rank[at].to_f32());
    (0..length).map(|at| Bf16::from_f32(sum(at))).collect()
}

/// `moe_swiglu`: `silu(gate) * up`, with `silu(x) = x / (1 + exp(-x))`.
/// Worked: gate 1 and up 2 give 1.4621, as bfloat 1.4609375.
#[must_use]
pub fn swiglu(gate_and_up: &[Bf16], inner: usize) -> Vec<Bf16> {
    let rows = gate_and_up.chunks_exact(2 * inner);
    rows.flat_map(|row| row[..inner].iter().zip(&row[inner..]))
        .map(|(gate, up)| {
            let gate = gate.to_f32();
            Bf16::from_f32(gate / (1.0 + (-gate).exp()) * up.to_f32())
        })
        .collect()
}

/// `moe_combine`: each token is the weighted sum of its rows in order of choice; a slot without a row adds
/// nothing.
#[must_use]
pub fn combine(
    rows: &[Bf16],
    permutation: &Permutation,
    weights: &[f32],
    top_k: usize,
    hidden: usize,
) -> Vec<Bf16> {
    let mut combined = Vec::with_capacity(weights.len() / top_k * hidden);
    let choices = permutation.row_of_slot.chunks_exact(top_k);
    for (choices, weights) in choices.zip(weights.chunks_exact(top_k)) {
        for column in 0..hidden {
            let sum = choices.iter().zip(weights).fold(0.0, |sum: f32, (row, weight)| {
                row.map_or(sum, |row| {
                    weight.mul_add(rows[row * hidden + column].to_f32(), sum)
                })
            });
            combined.push(Bf16::from_f32(sum));
        }
    }
    combined
}

impl Experts {
    /// How many experts.
    #[must_use]
    pub fn count(&self) -> usize {
        self.down.len() / (self.hidden * self.inner)
    }
}
