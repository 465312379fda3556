//! The order of work of each pipeline rank: which chunk of the model runs which microbatch, when.
//!
//! Pure order: no cost, no time, no message. Every rank's list is computed alone; that the lists of all
//! ranks fit together (no deadlock, messages consumed in the order in which they are sent) is proved by the
//! tests of this module for every schedule.
//!
//! Microbatches are numbered per data-parallel replica, from 0. A chunk is what
//! [`Layout::stage_index`](orrery_scenario::plan::Layout::stage_index) says it is: for interleaved schedules
//! chunk `c` of rank `p` is virtual stage `c pp + p`; along a V (ZB-V, DualPipeV) chunk 0 of rank `p` is stage `p`
//! and chunk 1 stage `2 pp − 1 − p`; for DualPipe chunk 0 belongs to direction 0 (rank `p` is stage `p`), chunk 1 to
//! direction 1 (rank `p` is stage `pp − 1 − p`).

mod dual_pipe;
mod dual_pipe_v;
mod gpipe;
mod interleaved;
mod one_f_one_b;
mod phases;
#[cfg(test)]
mod tests;
mod zero_bubble_h1;
mod zero_bubble_v;

use std::ops::Range;

use orrery_scenario::plan::{Schedule, ScheduleKind};

/// One microbatch on one chunk of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The chunk of the rank's model; for DualPipe, the direction; along a V, its way down or up.
    pub chunk: u32,
    /// The microbatch, numbered over the step.
    pub microbatch: u32,
}

/// One entry of a rank's order of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The forward pass.
    Forward(Slot),
    /// The backward pass: input and weight gradients.
    Backward(Slot),
    /// Input gradients only; the [`BackwardWeight`](Self::BackwardWeight) of the same slot follows later.
    BackwardInput(Slot),
    /// Weight gradients that an earlier [`BackwardInput`](Self::BackwardInput) left out.
    BackwardWeight(Slot),
    /// A forward and a whole backward interleaved layer by layer, so that the communication of one hides
    /// under the compute of the other. Both inputs must be there before it starts.
    Overlapped {
        /// The forward half.
        forward: Slot,
        /// The backward half: input and weight gradients.
        backward: Slot,
    },
}

impl Action {
    /// The slot whose forward pass this runs.
    #[must_use]
    pub const fn forward(self) -> Option<Slot> {
        match self {
            Self::Forward(forward) | Self::Overlapped { forward, .. } => Some(forward),
            Self::Backward(_) | Self::BackwardInput(_) | Self::BackwardWeight(_) => None,
        }
    }

    /// The slot whose input gradients this computes.
    #[must_use]
    pub const fn input_gradient(self) -> Option<Slot> {
        match self {
            Self::Backward(backward) | Self::BackwardInput(backward) | Self::Overlapped { backward, .. } => {
                Some(backward)
            }
            Self::Forward(_) | Self::BackwardWeight(_) => None,
        }
    }

    /// The slot whose weight gradients this computes.
    #[must_use]
    pub const fn weight_gradient(self) -> Option<Slot> {
        match self {
            Self::Backward(backward) | Self::BackwardWeight(backward) | Self::Overlapped { backward, .. } => {
                Some(backward)
            }
            Self::Forward(_) | Self::BackwardInput(_) => None,
        }
    }
}

/// The order of work of pipeline rank `pipeline` of `pp` for one step of `num_microbatches`.
///
/// # Panics
/// When the schedule does not exist for these numbers, which a validated plan rules out: interleaved needs
/// `num_microbatches` to be a multiple of `pp`; DualPipe needs an even `pp` and an even number of at least
/// `2 pp` microbatches, DualPipeV at least `2 pp`, ZB-V at least `2 pp − 1`.
#[must_use]
pub fn order(schedule: Schedule, pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    assert!(pipeline < pp, "pipeline rank {pipeline} of {pp}");
    match schedule.kind {
        ScheduleKind::GPipe => gpipe::order(num_microbatches),
        ScheduleKind::OneFOneB => one_f_one_b::order(pp, pipeline, num_microbatches),
        ScheduleKind::Interleaved => interleaved::order(pp, pipeline, num_microbatches, schedule.chunks),
        ScheduleKind::ZeroBubbleH1 => zero_bubble_h1::order(pp, pipeline, num_microbatches),
        ScheduleKind::ZeroBubbleV => zero_bubble_v::order(pp, pipeline, num_microbatches),
        ScheduleKind::DualPipe => dual_pipe::order(pp, pipeline, num_microbatches),
        ScheduleKind::DualPipeV => dual_pipe_v::order(pp, pipeline, num_microbatches),
    }
}

/// Microbatches that pass through `chunk`: all of them, except for DualPipe, where the first half belongs to
/// direction 0 and the second half to direction 1.
#[must_use]
pub const fn microbatches_of(schedule: Schedule, chunk: u32, num_microbatches: u32) -> Range<u32> {
    let half = num_microbatches / 2;
    match (schedule.kind, chunk) {
        (ScheduleKind::DualPipe, 0) => 0..half,
        (ScheduleKind::DualPipe, _) => half..num_microbatches,
        _ => 0..num_microbatches,
    }
}

/// Where the activations of `chunk` on rank `pipeline` go, as (rank, chunk); none after the last stage.
///
/// Gradients travel the same way back: they come from here.
#[must_use]
pub fn next_of(schedule: Schedule, pp: u32, pipeline: u32, chunk: u32) -> Option<(u32, u32)> {
    match schedule.kind {
        ScheduleKind::DualPipe if chunk == 1 => pipeline.checked_sub(1).map(|rank| (rank, 1)),
        _ if chunk == 1 && schedule.is_v_shaped() => pipeline.checked_sub(1).map(|rank| (rank, 1)),
        _ if pipeline + 1 < pp => Some((pipeline + 1, chunk)),
        // The turn of the V.
        _ if schedule.is_v_shaped() => Some((pipeline, 1)),
        ScheduleKind::Interleaved if chunk + 1 < schedule.chunks => Some((0, chunk + 1)),
        _ => None,
    }
}

/// Where the activations of `chunk` on rank `pipeline` come from, as (rank, chunk); none for the first stage.
#[must_use]
pub fn previous_of(schedule: Schedule, pp: u32, pipeline: u32, chunk: u32) -> Option<(u32, u32)> {
    match schedule.kind {
        ScheduleKind::DualPipe if chunk == 1 => (pipeline + 1 < pp).then_some((pipeline + 1, 1)),
        // The turn of the V is the last rank.
        _ if chunk == 1 && schedule.is_v_shaped() => Some(if pipeline + 1 < pp {
            (pipeline + 1, 1)
        } else {
            (pipeline, 0)
        }),
        _ if pipeline > 0 => Some((pipeline - 1, chunk)),
        ScheduleKind::Interleaved if chunk > 0 => Some((pp - 1, chunk - 1)),
        _ => None,
    }
}
