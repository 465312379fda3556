//! What the driver says is used of a device in a run of Megatron-DeepSpeed: states, activations with what the
//! allocator keeps cached around them, and everything outside the allocator.

use orrery_operation::Precision;
use orrery_scenario::plan::Plan;
use orrery_units::Bytes;

use super::parameters::{RankParameters, rank_parameters, stages_of};
use super::{ActivationMemory, AllocatedPart, Scores};

/// Bytes outside the allocator: context, libraries and buffers of NCCL; fitted, see [`CACHE`].
const OUTSIDE: Bytes = Bytes::new(8_600_000_000);

/// Blocks that the allocator keeps over the activations that need them, per thousand. This and [`OUTSIDE`] are the two
/// constants that are fitted: to the 36 tier-A rows of BigScience that print what the driver says (tests/truth/training.csv.gz).
const CACHE: u64 = 1220;

/// What is used of a device of the fullest stage, part by part; the first stage holds most activations, the last the
/// logits.
///
/// Worked: 80 layers of 14,400 on TP 8 and PP 10, one replica, FP16: states 58.8 GB, activations 6.5 GB, outside 8.6 GB.
#[must_use]
pub fn deep_speed_device_used(plan: &Plan) -> Vec<AllocatedPart> {
    let last = plan.layout.pp - 1;
    let total = |parts: &Vec<AllocatedPart>| -> Bytes { parts.iter().map(|part| part.bytes).sum() };
    let (first, last) = (of_stage(plan, 0), of_stage(plan, last));
    if total(&first) >= total(&last) {
        first
    } else {
        last
    }
}

fn of_stage(plan: &Plan, pipeline: u32) -> Vec<AllocatedPart> {
    let (whole, shared) = states(plan, rank_parameters(plan, pipeline));
    let activations = activations(plan, pipeline) * CACHE / 1000;
    let part = |name, bytes| AllocatedPart { name, bytes };
    vec![
        part("parameters and gradients", whole),
        part("optimizer states", shared),
        part("activations with what is cached for them", activations),
        part("outside the allocator", OUTSIDE),
    ]
}

/// What a rank holds whole, and what it shares with its data-parallel peers under ZeRO stage 1.
///
/// FP16: parameters and gradients of 2 bytes each; master, two moments and the gradients of the part of 4 bytes each
/// (DeepSpeed, `stage_1_and_2.py`). BF16: gradients are also accumulated whole in FP32; those in 16 bits are zeroed, not
/// freed (`bf16_optimizer.py`, `clear_lp_grads`).
fn states(plan: &Plan, parameters: RankParameters) -> (Bytes, Bytes) {
    let (whole, shared) = if plan.training.formats.weights == Precision::Bf16 {
        (2 + 2 + 4, 3 * 4)
    } else {
        (2 + 2, 4 * 4)
    };
    let total = Bytes::new(parameters.total());
    let peers = u64::from(plan.layout.dp) * u64::from(plan.layout.cp);
    (total * whole, total * shared / peers)
}

/// Layer inputs of the microbatches in flight under 1F1B, one layer computed again, and the logits on the last stage.
fn activations(plan: &Plan, pipeline: u32) -> Bytes {
    let memory = ActivationMemory::with_scores(plan, Scores::HeldWithDropout);
    let ahead = u64::from(plan.layout.pp - pipeline).min(plan.training.num_microbatches);
    let stages = stages_of(plan, pipeline);
    stages
        .map(|stage| {
            let layers = &plan.model.layers[stage.layers.clone()];
            let kept: Bytes = layers.iter().map(|layer| memory.layer(layer, 0)).sum();
            let again = layers.iter().map(|layer| memory.recomputed(layer, 0)).max();
            let head = if stage.head { logits(plan) } else { Bytes::ZERO };
            kept * ahead + again.unwrap_or(Bytes::ZERO) + head
        })
        .sum()
}

/// Logits in 16 bits, in FP32, and their gradient in 16 bits.
fn logits(plan: &Plan) -> Bytes {
    let tokens = plan.training.micro_batch * plan.training.sequence_length;
    Bytes::new(8 * (tokens * plan.model.vocab).div_ceil(u64::from(plan.layout.tp)))
}
