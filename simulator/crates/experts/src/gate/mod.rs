//! Gates and routers: which experts each token goes to, what is dropped, and how training moves the balance.
//!
//! First as functions on the logits of a batch ([`Gate::route`], [`Capacity::apply`], the losses of [`loss`]), then
//! as dynamics over training steps ([`Router`]), in which logits drift under the task, the losses or a bias, so
//! that balance emerges, collapses or costs quality. No token has a text here: quality is told by proxies, namely
//! what is dropped, the entropy of choices and the affinity that balancing gives away.

mod assign;
mod bias;
mod capacity;
mod choose;
mod dynamics;
pub mod loss;
mod process;
mod schedule;
mod scores;
mod select;
#[cfg(test)]
mod tests;

pub use assign::{Balanced, SINKHORN_TOLERANCE, Sinkhorn, SinkhornStop, expert_choice, sinkhorn};
pub use bias::{quantile_bias, sign_update};
pub use capacity::{Capacity, DropPolicy, Kept};
pub use choose::{Gate, Groups, ScoreFunction, TopK, gshard, gumbel, hash, noisy};
pub use dynamics::{Balance, Recipe, Router, RouterStep, Trend};
pub use process::Trained;
pub use schedule::{Activation, Temperature};
pub use scores::{Route, Routes, Scores};
pub use select::top_k;
