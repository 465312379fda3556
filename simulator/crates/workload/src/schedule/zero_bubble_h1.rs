//! ZB-H1 (Qi et al. 2023, arXiv 2401.10241, section 2.1 and figure 3, top): 1F1B with backwards split, so that input
//! gradients go on at once and weight gradients fill the bubble, in no more memory than 1F1B takes.

use super::{Action, Slot};

/// The order of work of one rank: forwards and input gradients as in 1F1B; the weight gradients of a microbatch
/// follow the input gradients of the `p`-th after it, so that every rank holds `pp` microbatches, as the first rank
/// of 1F1B does.
///
/// Worked: `pp = 2`, rank 1, 3 microbatches: F0 B0 F1 B1 W0 F2 B2 W1 W2.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    let slot = |microbatch| Slot { chunk: 0, microbatch };
    let warmup = (pp - 1 - pipeline).min(num_microbatches);
    let mut actions: Vec<Action> = (0..warmup).map(|m| Action::Forward(slot(m))).collect();
    for backward in 0..num_microbatches {
        let forward = backward + warmup;
        if forward < num_microbatches {
            actions.push(Action::Forward(slot(forward)));
        }
        actions.push(Action::BackwardInput(slot(backward)));
        if let Some(weight) = backward.checked_sub(pipeline) {
            actions.push(Action::BackwardWeight(slot(weight)));
        }
    }
    let left = num_microbatches.saturating_sub(pipeline)..num_microbatches;
    actions.extend(left.map(|m| Action::BackwardWeight(slot(m))));
    actions
}
