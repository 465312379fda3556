//! Which experts get replicas, and on which device each replica lies.
//!
//! Every balancer is a [`Policy`]: it sees what was observed of a layer's loads and where replicas lie now, and says
//! where they shall lie. What it does not know is what a move costs and when it is asked: that is the laboratory's.
//! Where ties decide, the lower number wins; DeepSeek's balancer (EPLB) equals its reference to the last replica, so
//! ties and single-precision sums are part of its definition.

mod assignment;
mod case;
mod eplb;
mod flash;
mod flex;
mod greedy;
mod layer;
mod policy;
mod refine;
mod search;
mod shadow;
mod shape;
mod simple;
mod split;
#[cfg(test)]
mod tests;

pub use case::{BalanceCase, Tables};
pub use layer::{LayerPlacement, max_over_mean};
pub use policy::{Algorithm, Observed, Policy, Setting};
pub use shadow::ExpertCost;
pub use shape::{BalanceError, Shape};
pub use split::{Dispatch, Sources, shares};
pub(crate) use split::{near_shares, nearest_slots, slots_by_expert};
