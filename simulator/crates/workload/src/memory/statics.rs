//! What a rank holds from the first task to the last.

use orrery_operation::Precision;
use orrery_scenario::plan::Plan;
use orrery_scenario::plan::ZeroStage;
use orrery_units::Bytes;

use super::Cause;
use super::buffers::{context_buffers, deep_ep_buffers, framework_context, nccl_buffers};
use super::parameters::{RankParameters, rank_ends, rank_parameters};

/// The memory that does not change over a step.
#[derive(Clone, Copy, Debug)]
pub struct StaticMemory;

impl StaticMemory {
    /// What every rank of pipeline rank `pipeline` holds, by cause.
    ///
    /// Sharding follows ZeRO (Rajbhandari et al. 2020): optimiser states, then gradients, then parameters are
    /// divided among the ranks that hold copies: data- and context-parallel ranks for dense parameters,
    /// expert-data-parallel ranks for experts.
    #[must_use]
    pub fn of(plan: &Plan, pipeline: u32) -> Vec<(Cause, Bytes)> {
        let parameters = rank_parameters(plan, pipeline);
        let (zero, formats) = (plan.layout.zero, plan.training.formats);
        let held = |format: Precision, divided: bool| share(plan, parameters, format, divided.then_some(1));
        // Parameters held in the master format need no second copy.
        let master = if formats.master == formats.weights {
            Bytes::ZERO
        } else {
            held(formats.master, zero >= ZeroStage::Optimizer)
        };
        let layers = RankParameters {
            dense: parameters.dense - rank_ends(plan, pipeline).dense,
            ..parameters
        };
        let weights = |parameters, format| {
            share(
                plan,
                parameters,
                format,
                (zero >= ZeroStage::Parameters).then_some(1),
            )
        };
        let moments = held(formats.moments, zero >= ZeroStage::Optimizer) * 2;
        vec![
            (
                Cause::Weights,
                weights(layers, formats.weights)
                    + weights(rank_ends(plan, pipeline), formats.of_ends(formats.weights)),
            ),
            (
                Cause::Gradients,
                held(formats.gradients, zero >= ZeroStage::Gradients),
            ),
            (Cause::Optimizer, master + moments),
            (
                Cause::Communication,
                nccl_buffers(plan) + deep_ep_buffers(plan) + context_buffers(plan),
            ),
            (Cause::Context, framework_context()),
        ]
    }
}

/// Bytes of `parameters` in `format` on one rank, whole or divided among the ranks that hold copies, which form so many
/// groups that each hold all of it.
pub(super) fn share(
    plan: &Plan,
    parameters: RankParameters,
    format: Precision,
    groups: Option<u64>,
) -> Bytes {
    let layout = &plan.layout;
    let (dense, experts) = groups.map_or((1, 1), |groups| {
        (
            (u64::from(layout.dp) * u64::from(layout.cp) / groups).max(1),
            (u64::from(layout.expert_dp()) / groups).max(1),
        )
    });
    format.bytes_of(parameters.dense) / dense + format.bytes_of(parameters.experts) / experts
}
