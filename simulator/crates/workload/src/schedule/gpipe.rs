//! GPipe (Huang et al. 2019, figure 2c): all forwards, then all backwards in reverse order.

use super::{Action, Slot};

/// The order of work of any rank: it does not depend on the rank.
pub(super) fn order(num_microbatches: u32) -> Vec<Action> {
    let slot = |microbatch| Slot { chunk: 0, microbatch };
    let forwards = (0..num_microbatches).map(|m| Action::Forward(slot(m)));
    let backwards = (0..num_microbatches).rev().map(|m| Action::Backward(slot(m)));
    forwards.chain(backwards).collect()
}
