//! One forward, one backward (PipeDream-flush; Narayanan et al. 2021, figure 3), as Megatron-LM runs it.

use super::{Action, Slot};

/// The order of work of one rank: `pp − 1 − p` forwards to warm up, then one forward and one backward in
/// turn, then the backwards that are left.
///
/// Worked: `pp = 2`, rank 0, 3 microbatches: F0 F1 B0 F2 B1 B2.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    let slot = |microbatch| Slot { chunk: 0, microbatch };
    let warmup = (pp - 1 - pipeline).min(num_microbatches);
    let mut actions: Vec<Action> = (0..warmup).map(|m| Action::Forward(slot(m))).collect();
    for microbatch in warmup..num_microbatches {
        actions.push(Action::Forward(slot(microbatch)));
        actions.push(Action::Backward(slot(microbatch - warmup)));
    }
    actions.extend((num_microbatches - warmup..num_microbatches).map(|m| Action::Backward(slot(m))));
    actions
}
