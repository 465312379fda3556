//! Which experts get replicas, and on which device each replica lies.
//!
//! One policy so far: DeepSeek's expert-parallelism load balancer (EPLB), which must equal its reference to the
//! last replica, so ties and single-precision sums are part of the definition.

mod eplb;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use eplb::rebalance;

/// A question to the balancer, as its users write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceCase {
    /// Load of each expert, by layer.
    pub weights: Vec<Vec<f64>>,
    /// Replicas in all.
    pub num_replicas: usize,
    /// Groups of experts that a token's node limit counts in.
    pub num_groups: usize,
    /// Nodes.
    pub num_nodes: usize,
    /// Devices in all.
    pub num_gpus: usize,
}

/// Where replicas lie; the names are those of the reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The expert of each replica, by layer; replicas are numbered device by device.
    pub phy2log: Vec<Vec<usize>>,
    /// The replicas of each expert, by layer, filled with −1 to the length of the longest.
    pub log2phy: Vec<Vec<Vec<i64>>>,
    /// How many replicas each expert has, by layer.
    pub logcnt: Vec<Vec<usize>>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalanceError {
    /// A count is zero.
    #[error("`{name}` is 0\n  = help: give at least 1")]
    Zero {
        /// Which count.
        name: &'static str,
    },
    /// A layer has another number of experts than the first.
    #[error(
        "layer {layer} of `weights` has {found} experts, layer 0 has {expected}\n  = help: give every layer one load per expert"
    )]
    Ragged {
        /// Which layer.
        layer: usize,
        /// Its experts.
        found: usize,
        /// Experts of the first layer.
        expected: usize,
    },
    /// A load is negative, infinite or not a number.
    #[error(
        "the load of expert {expert} in layer {layer} is no load\n  = help: give a finite number of tokens, 0 or more"
    )]
    NoLoad {
        /// Which layer.
        layer: usize,
        /// Which expert.
        expert: usize,
    },
    /// One count does not divide another.
    #[error(
        "`{of}` = {value} is no multiple of `{by}` = {divisor}\n  = help: set `{of}` to {below} or {above}"
    )]
    Indivisible {
        /// What is to be divided.
        of: &'static str,
        /// Its value.
        value: usize,
        /// By what.
        by: &'static str,
        /// Its value.
        divisor: usize,
        /// The nearest multiple below, at least one divisor.
        below: usize,
        /// The nearest multiple above.
        above: usize,
    },
    /// Some expert would have no replica.
    #[error(
        "`num_replicas` = {replicas} is less than the {experts} experts\n  = help: set `num_replicas` to at least {experts}"
    )]
    TooFew {
        /// Replicas asked for.
        replicas: usize,
        /// Experts.
        experts: usize,
    },
}

impl BalanceCase {
    /// Answers the question by EPLB.
    ///
    /// # Errors
    /// When the numbers do not fit together; see [`BalanceError`].
    pub fn rebalance(&self) -> Result<Placement, BalanceError> {
        rebalance(
            &self.weights,
            self.num_replicas,
            self.num_groups,
            self.num_nodes,
            self.num_gpus,
        )
    }
}

impl Placement {
    /// The load of the busiest device of each layer, when the replicas of an expert share its load equally.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
    pub fn max_load(&self, weights: &[Vec<f64>], num_gpus: usize) -> Vec<f64> {
        let layers = self.phy2log.iter().zip(weights).zip(&self.logcnt);
        layers
            .map(|((experts, weights), counts)| {
                let load = |&expert: &usize| weights[expert] / counts[expert] as f64;
                let devices = experts.chunks(experts.len() / num_gpus);
                devices
                    .map(|device| device.iter().map(load).sum())
                    .fold(0.0, f64::max)
            })
            .collect()
    }
}
