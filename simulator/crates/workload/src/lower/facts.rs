//! Model FLOPs of a step, by the conventions in use; the shapes are those that are simulated.

use orrery_operation::{Attention, Mask};
use orrery_scenario::Plan;
use orrery_scenario::plan::Layer;
use orrery_units::Flops;

use crate::block::attention_core;

/// Floating-point operations of one optimiser step over all devices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelFlops {
    /// `3 x (products forward + attention, causal counted half + logits)`, trained multi-token-prediction
    /// modules included, recompute not.
    pub causal: Flops,
    /// The same with attention counted over all pairs.
    pub full_attention: Flops,
}

/// Model FLOPs of one optimiser step of `plan`.
///
/// Products: two per parameter that a token uses, `2 N_active` per token; the input embedding is a lookup.
/// Attention: [`Attention::forward_flops`]. Backward counts twice forward.
/// Worked: GPT-3 175B (96 layers, 12288, 2048 tokens, vocabulary 51200, batch 64): see the test.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn model_flops(plan: &Plan) -> ModelFlops {
    let model = &plan.model;
    let tokens = (plan.training.global_batch * plan.training.sequence_length) as f64;
    let mut products = 0.0;
    let [mut causal, mut full] = [0.0; 2];
    let mut add = |layer: &Layer, times: f64| {
        let active = layer.attention.parameters(model.hidden) + layer.mlp.active_parameters(model.hidden);
        products += times * 2.0 * active as f64;
        let core = attention_core(
            &layer.attention,
            plan.training.formats.attention,
            plan.training.sequence_length,
        );
        let sequences = times / plan.training.sequence_length as f64;
        causal += sequences * core.forward_flops().get();
        let mask = match core.mask {
            Mask::Causal => Mask::Full,
            other @ (Mask::Full | Mask::Sliding(_)) => other,
        };
        full += sequences * Attention { mask, ..core }.forward_flops().get();
    };
    for layer in &model.layers {
        add(layer, 1.0);
    }
    let modules = model.mtp_layers as f64;
    if let Some(last) = model.layers.last() {
        add(last, modules);
    }
    let logits = 2.0 * (model.vocab * model.hidden) as f64;
    products += logits * (1.0 + modules) + modules * 2.0 * (2 * model.hidden * model.hidden) as f64;
    ModelFlops {
        causal: Flops::new(3.0 * tokens * (products + causal)),
        full_attention: Flops::new(3.0 * tokens * (products + full)),
    }
}
