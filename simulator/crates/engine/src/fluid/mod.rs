//! Flows that share links: weighted max-min fair rates, and the instants at which flows end.
//!
//! [`Fluid`] is the fast sharing, [`Twin`] the slow and obvious one with the same verbs, [`Batched`] one within
//! a tolerance for bursts of very many flows; [`check_fair`] says of any rates whether they are fair. None of them knows what a link is. Flows on private paths never come
//! here.

mod activity;
mod arena;
mod batched;
mod due;
mod fairness;
mod filling;
mod link;
mod members;
mod reference;
mod refill;
mod relax;
mod slack;
mod solver;
mod totals;
mod twin;

pub use activity::Activity;
pub use batched::Batched;
pub use fairness::{Rated, Unfair, check_fair};
pub use solver::{Effort, FlowId, Fluid};
pub use totals::LinkTotals;
pub use twin::Twin;

use orrery_units::BytesPerSec;

/// A rate, or none at all: what gets nothing stands still, and so does what rounding left below nothing.
fn rate_or_none(rate: f64) -> BytesPerSec {
    if rate > 0.0 {
        BytesPerSec::new(rate)
    } else {
        BytesPerSec::default()
    }
}

/// The number of a position in a table.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "tables hold fewer than 2^32 entries"
)]
fn number(position: usize) -> u32 {
    debug_assert!(
        u32::try_from(position).is_ok(),
        "tables hold fewer than 2^32 entries"
    );
    position as u32
}
