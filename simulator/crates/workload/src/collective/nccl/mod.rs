//! NCCL's cost model as facts: which algorithm and protocol it takes, and what it thinks they cost.
//!
//! Restated from `src/graph/tuning.cc` and `src/graph/search.cc` of NCCL 2.30.7 as a preset with a version.
//! Its choice and its peaks are good; its times below some megabytes are not, and are not used as such.

mod calibration;
mod graph;
mod nvls;
mod nvls_tree;
mod ring;
mod tables;
mod tree;
mod tuner;

pub use calibration::{Floor, efficiency, floor};
pub use graph::Graph;
pub(in crate::collective) use nvls::{blocks as nvls_blocks, bus as nvls_bus};
pub(in crate::collective) use nvls_tree::bus as nvls_tree_bus;
pub use tables::{Architecture, NcclPreset};
pub use tuner::{Choice, candidates, choose};

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Rings.
    Ring,
    /// Double binary tree over nodes, chains inside.
    Tree,
    /// Reduction in the switch of one node.
    Nvls,
    /// Reduction in the switch of each node, a tree between nodes.
    NvlsTree,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Flag with every 4 bytes: least latency, half the bandwidth.
    LowLatency,
    /// Flag with every 120 bytes.
    LowLatency128,
    /// Plain copies with fences.
    Simple,
}

/// What the tuner thinks of one (algorithm, protocol).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Size over time for a large size, GB/s.
    bandwidth: f64,
    /// Latency, us.
    latency: f64,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::LowLatency, Self::LowLatency128, Self::Simple];
}

/// What reports call an algorithm with a protocol.
#[must_use]
pub const fn name(algorithm: Algorithm, protocol: Protocol) -> &'static str {
    match (algorithm, protocol) {
        (Algorithm::Ring, Protocol::LowLatency) => "ring/ll",
        (Algorithm::Ring, Protocol::LowLatency128) => "ring/ll128",
        (Algorithm::Ring, Protocol::Simple) => "ring/simple",
        (Algorithm::Tree, Protocol::LowLatency) => "tree/ll",
        (Algorithm::Tree, Protocol::LowLatency128) => "tree/ll128",
        (Algorithm::Tree, Protocol::Simple) => "tree/simple",
        (Algorithm::Nvls, _) => "nvls/simple",
        (Algorithm::NvlsTree, _) => "nvls_tree/simple",
    }
}
