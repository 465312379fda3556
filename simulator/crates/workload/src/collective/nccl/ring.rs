//! Rings.

use orrery_operation::CollectiveOp;

use super::{Algorithm, Estimate, Graph, NcclPreset, Protocol};

/// What the tuner thinks of a ring.
///
/// `bus = channels · bw`, halved for LL, `· 0.92` for LL128, each with its caps; algorithm bandwidth
/// `bus · n / steps`. Latency: base, then a step over NVLink or the network each (tuning.cc 285-455).
/// Worked: 8 H100, all-gather, Simple: 360 GB/s · 8 / 7 = 411.4 and 8.4 + 7 · 3.4 = 32.2 us.
pub(super) fn estimate(
    preset: &NcclPreset,
    graph: &Graph,
    op: CollectiveOp,
    protocol: Protocol,
) -> Option<Estimate> {
    let others = graph.ranks - 1.0;
    let steps = match op {
        CollectiveOp::AllReduce => 2.0 * others,
        CollectiveOp::AllGather | CollectiveOp::ReduceScatter => others,
        CollectiveOp::Broadcast | CollectiveOp::Reduce => graph.ranks,
        CollectiveOp::AllToAll | CollectiveOp::SendRecv => return None,
    };
    let nodes = f64::from(graph.nodes);
    let bandwidth = if graph.nodes <= 2 {
        graph.intra
    } else {
        graph.inter
    };
    let full = graph.channels * bandwidth;
    let bus = match protocol {
        Protocol::LowLatency => (full * 0.5).min(preset.low_latency_cap(graph.architecture, graph.nodes)),
        Protocol::LowLatency128 => {
            (full * 0.92).min(graph.channels * preset.ring_128_cap(graph.architecture, graph.nodes))
        }
        Protocol::Simple => full,
    };
    let inter_steps = match (op, graph.nodes) {
        (_, 0 | 1) => 0.0,
        (CollectiveOp::AllReduce, _) => 2.0 * (nodes - 1.0),
        _ => nodes - 1.0,
    };
    let post = if protocol == Protocol::Simple { 3.0 } else { 1.0 };
    let overhead = if graph.nodes > 1 { post } else { 0.0 };
    let inside = preset.nvlink(Algorithm::Ring, protocol).max(overhead);
    let across = if graph.per_node > 1.0 {
        preset.network(Algorithm::Ring, protocol)
    } else {
        preset.network(Algorithm::Tree, protocol)
    };
    let latency = preset.base(Algorithm::Ring, protocol)
        + (steps - inter_steps).max(0.0) * inside
        + inter_steps * across;
    Some(Estimate {
        bandwidth: bus * graph.ranks / steps.max(1.0),
        latency,
    })
}
