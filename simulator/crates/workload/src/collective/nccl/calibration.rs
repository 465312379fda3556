//! What measured peaks and floors say of the tuner's: efficiencies and launch floors by architecture.
//!
//! From the sweeps in tests/truth/nccl (peaks of at least 256 MiB, floors of 1-4 KiB); one number per algorithm
//! and architecture, none per machine.

use orrery_operation::CollectiveOp;

use super::{Algorithm, Architecture, Graph};

/// Measured peak over the tuner's peak.
///
/// Ring: A100 0.97 (235 of 240), H100 0.995 (360 of 360; 392 of 384 between nodes), B200 0.96. NVLS: H100 1.20
/// (480 of 400), B200 1.17. NVLS tree: H100 1.03 (468 of 462 on two nodes, 365 of 364 on four), B200 0.935. Tree
/// between nodes: A100 1.24 (238 of 192).
#[must_use]
pub const fn efficiency(algorithm: Algorithm, architecture: Architecture) -> f64 {
    match (algorithm, architecture) {
        (Algorithm::Ring, Architecture::Volta | Architecture::Ampere) => 0.97,
        (Algorithm::Ring, Architecture::Hopper) => 0.995,
        (Algorithm::Ring, Architecture::Blackwell) => 0.96,
        (Algorithm::Tree, Architecture::Volta | Architecture::Ampere) => 1.24,
        (Algorithm::Tree, Architecture::Hopper | Architecture::Blackwell) => 1.0,
        (Algorithm::Nvls, Architecture::Blackwell) => 1.17,
        (Algorithm::Nvls, _) => 1.20,
        (Algorithm::NvlsTree, Architecture::Blackwell) => 0.935,
        (Algorithm::NvlsTree, _) => 1.03,
    }
}

/// The floor of a collective: base and cost of one step, us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Launch and flags.
    base: f64,
    /// Each step inside a node.
    step: f64,
}

/// Time of the smallest collectives of `op`, us: `base + step · steps` inside nodes, and the tuner's 2.7 us for each
/// step of a low-latency ring over the network (4 us when each node has one rank).
///
/// Worked: H100, 8 ranks, all-gather: 4.4 + 7 · 0.88 = 10.6 us.
#[must_use]
pub fn floor(op: CollectiveOp, graph: &Graph) -> f64 {
    let Floor { base, step } = measured(op, graph.architecture);
    let others = graph.ranks - 1.0;
    let nodes = f64::from(graph.nodes);
    let (steps, rounds) = match op {
        CollectiveOp::AllReduce => (2.0 * others, 2.0),
        CollectiveOp::AllGather | CollectiveOp::ReduceScatter => (others, 1.0),
        // Grouped sends start together; a chain of sends passes the network once.
        CollectiveOp::AllToAll | CollectiveOp::SendRecv | CollectiveOp::Broadcast | CollectiveOp::Reduce => {
            (0.0, 0.0)
        }
    };
    if rounds == 0.0 {
        return base + if graph.nodes > 1 { 14.0 } else { 0.0 };
    }
    // A small all-reduce over several nodes goes by a tree: its depth counts, not the length of a ring.
    let ring = {
        let across = rounds * (nodes - 1.0);
        let hop = if graph.per_node > 1.0 { 2.7 } else { 4.0 };
        (steps - across).max(0.0).mul_add(step, across * hop)
    };
    let tree = if op == CollectiveOp::AllReduce {
        2.0 * (graph.per_node - 1.0).mul_add(step, f64::from(graph.nodes.ilog2()) * 5.0)
    } else {
        f64::INFINITY
    };
    base + ring.min(tree)
}

/// Floors measured on one node: tests/truth/nccl/aic_*.csv, sizes of 1-4 KiB, fitted over 2, 4 and 8 ranks.
const fn measured(op: CollectiveOp, architecture: Architecture) -> Floor {
    let (base, step) = match (op, architecture) {
        (CollectiveOp::AllReduce, Architecture::Volta | Architecture::Ampere) => (8.3, 0.95),
        (CollectiveOp::AllReduce, Architecture::Hopper) => (4.7, 0.79),
        (CollectiveOp::AllReduce, Architecture::Blackwell) => (7.6, 1.28),
        (CollectiveOp::AllGather, Architecture::Volta | Architecture::Ampere) => (8.2, 0.94),
        (CollectiveOp::AllGather, Architecture::Hopper) => (4.4, 0.88),
        (CollectiveOp::AllGather, Architecture::Blackwell) => (7.1, 1.5),
        (CollectiveOp::ReduceScatter, Architecture::Volta | Architecture::Ampere) => (8.1, 0.98),
        (CollectiveOp::ReduceScatter, Architecture::Hopper) => (4.5, 0.85),
        (CollectiveOp::ReduceScatter, Architecture::Blackwell) => (8.2, 1.2),
        (_, Architecture::Volta | Architecture::Ampere) => (12.0, 0.0),
        (_, Architecture::Hopper) => (7.25, 0.0),
        (_, Architecture::Blackwell) => (10.5, 0.0),
    };
    Floor { base, step }
}
