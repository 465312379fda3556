//! Double binary trees.

use orrery_operation::CollectiveOp;

use super::{Algorithm, Estimate, Graph, NcclPreset, Protocol};

/// What the tuner thinks of a tree all-reduce.
///
/// `bus = min(0.92 · channels · bw, channels · cap)`, over 3.8 for LL, with LL128's caps; algorithm bandwidth half
/// of it. Latency `base + 2 ((n / N − 1) intra + ⌊log₂ N⌋ inter)`.
pub(super) fn estimate(
    preset: &NcclPreset,
    graph: &Graph,
    op: CollectiveOp,
    protocol: Protocol,
) -> Option<Estimate> {
    if op != CollectiveOp::AllReduce {
        return None;
    }
    let bandwidth = if graph.nodes <= 2 {
        graph.intra
    } else {
        graph.inter
    };
    let architecture = graph.architecture;
    let full =
        (graph.channels * bandwidth * 0.92).min(graph.channels * preset.tree_cap(architecture, graph.nodes));
    let bus = match protocol {
        Protocol::LowLatency => (full / 3.8).min(preset.low_latency_cap(architecture, graph.nodes)),
        Protocol::LowLatency128 => {
            let share = if graph.nodes == 1 {
                7.0 / 9.0
            } else {
                120.0 / 128.0
            };
            (full * share).min(graph.channels * preset.tree_128_cap(architecture, graph.nodes))
        }
        Protocol::Simple => full,
    };
    let depth = f64::from(graph.nodes.ilog2());
    let inside = (graph.per_node - 1.0).max(0.0) * preset.nvlink(Algorithm::Tree, protocol);
    let across = depth * preset.network(Algorithm::Tree, protocol);
    Some(Estimate {
        bandwidth: bus * 0.5,
        latency: 2.0_f64.mul_add(inside + across, preset.base(Algorithm::Tree, protocol)),
    })
}
