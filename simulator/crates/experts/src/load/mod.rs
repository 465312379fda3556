//! Processes that give the load of every expert of every layer at every step.
//!
//! A process is a function of the place that it is asked about: draws are keyed, so any step can be drawn alone,
//! in any order, and policies that are compared see the same tokens.

mod domain;
pub mod draw;
mod gaussian;
mod mixture;
mod normal;
mod pool;
mod popularity;
mod replay;
#[cfg(test)]
mod tests;
mod workload;

use std::fmt;
use std::ops::Range;

pub use domain::{Domain, Layers, Shape};
pub use draw::Chain;
pub use gaussian::spread;
pub use mixture::{Burst, Draws, Mixture, Phase, Scatter};
pub(crate) use normal::fill as normals;
pub use popularity::{Law, cap, power_law, shares, zipf_sorted};
pub use replay::{Replay, ReplayError};
pub use workload::{Benchmark, Workload};

/// A layer of experts at a step. Layers count those that have experts, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepLayer {
    /// The step: a training step, a batch of prompts or an iteration of decoding.
    pub step: u64,
    /// The layer.
    pub layer: u32,
}

impl StepLayer {
    /// Layer `layer` at step `step`.
    #[must_use]
    pub const fn new(step: u64, layer: u32) -> Self {
        Self { step, layer }
    }
}

/// Expert load that changes with time.
///
/// An assignment is one token at one of its top-k experts; the counts of a layer add up to
/// [`assignments`](Self::assignments).
pub trait LoadProcess: fmt::Debug + Send + Sync {
    /// Layers with experts.
    fn layers(&self) -> u32;

    /// Experts of a layer.
    fn experts(&self) -> usize;

    /// Assignments of one layer at `step`: what the counts of each layer add up to.
    fn assignments(&self, step: u64) -> u64;

    /// The shares that each expert attracts at `at` in expectation; they add up to one.
    ///
    /// # Panics
    /// When `into` is not one entry per expert; so do the others.
    fn popularity(&self, at: StepLayer, into: &mut [f64]);

    /// Assignments of each expert at `at`: a draw that is the same whenever it is asked for.
    fn counts(&self, at: StepLayer, into: &mut [u32]);

    /// The sum of [`counts`](Self::counts) of `layer` over `steps`: what a balancer has seen of them.
    fn history(&self, layer: u32, steps: Range<u64>, into: &mut [u64]) {
        let mut counts = vec![0; self.experts()];
        into.fill(0);
        for step in steps {
            self.counts(StepLayer::new(step, layer), &mut counts);
            for (sum, &count) in into.iter_mut().zip(&counts) {
                *sum += u64::from(count);
            }
        }
    }

    /// What [`history`](Self::history) may have been, drawn at once where the process can: by the same law, up to the
    /// little that popularity moved meanwhile, on numbers of its own.
    fn window(&self, layer: u32, steps: Range<u64>, into: &mut [u64]) {
        self.history(layer, steps, into);
    }

    /// The shares of the tokens of `step` that come from each of the ranks that send them: evenly, unless the
    /// process says otherwise.
    fn sources(&self, _step: u64, into: &mut [f64]) {
        let even = 1.0 / into.len() as f64;
        into.fill(even);
    }
}
