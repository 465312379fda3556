//! Reduction in the switch of each node and a double binary tree between nodes.

use orrery_operation::CollectiveOp;

use super::{Estimate, Graph, NcclPreset, Protocol};

/// What the tuner thinks of an NVLS tree all-reduce between nodes.
///
/// `bw = min(intra · efficiency · (channels − 1) / channels · 2, inter · (2 on two nodes), cap)`; algorithm
/// bandwidth `channels · bw · n / (2 (n − 1))`; latency `25 + 2 ⌊log₂ N⌋ 20.9` us. Worked: 2 nodes of 8 H100:
/// 8 · 57.7 = 462 GB/s of bus bandwidth; 4 nodes: 364.
pub(super) fn estimate(
    preset: &NcclPreset,
    graph: &Graph,
    op: CollectiveOp,
    protocol: Protocol,
) -> Option<Estimate> {
    if op != CollectiveOp::AllReduce || protocol != Protocol::Simple {
        return None;
    }
    let bus = bus(preset, graph)?;
    let depth = f64::from(graph.nodes.ilog2());
    Some(Estimate {
        bandwidth: bus * graph.ranks / (2.0 * (graph.ranks - 1.0)),
        latency: (2.0 * depth).mul_add(preset.nvls[2], preset.nvls[0]),
    })
}

/// Bus bandwidth of an all-reduce, GB/s; none where it is not offered. Worked: 2 nodes of 8 H100: 462.
pub(in super::super) fn bus(preset: &NcclPreset, graph: &Graph) -> Option<f64> {
    let channels = graph.nvls_channels.min(graph.channels);
    if !graph.nvls || graph.nodes <= 1 || graph.per_node < 2.0 || channels < 2.0 {
        return None;
    }
    let efficiency = preset.nvls_efficiency(graph.architecture);
    let useful = graph.nvls_speed * efficiency * (channels - 1.0) / channels;
    let inter = graph.nvls_inter * if graph.nodes <= 2 { 2.0 } else { 1.0 };
    let cap = preset.nvls_tree_cap(graph.architecture, graph.nodes);
    Some(channels * (useful * 2.0).min(inter).min(cap))
}
