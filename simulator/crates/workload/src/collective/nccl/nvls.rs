//! Reduction and multicast in the switch of one node.

use orrery_operation::CollectiveOp;

use super::{Architecture, Estimate, Graph, NcclPreset, Protocol};

/// What the tuner thinks of NVLS on one node; between nodes it needs SHARP, which is not modelled.
///
/// `bw = min(speed · efficiency · (channels − 1) / channels · f, speed)` with `f = 2` for an all-reduce and
/// `(g − 1) / g` for the others; algorithm bandwidth `channels · bw · n / steps` for the all-reduce and
/// `channels · bw` for the others. Worked: 8 H100 at 50 GB/s per channel: 400 GB/s of bus bandwidth for an
/// all-reduce. Below five devices a ring is at least as good (tuner of the p6 images), and NVLS is not offered.
pub(super) fn estimate(
    preset: &NcclPreset,
    graph: &Graph,
    op: CollectiveOp,
    protocol: Protocol,
) -> Option<Estimate> {
    if !graph.nvls || graph.nodes > 1 || protocol != Protocol::Simple || graph.per_node < 5.0 {
        return None;
    }
    let bandwidth = match op {
        CollectiveOp::AllReduce => bus(preset, graph) * graph.ranks / (2.0 * (graph.ranks - 1.0)),
        CollectiveOp::AllGather | CollectiveOp::ReduceScatter => {
            graph.nvls_channels * useful(preset, graph) * (graph.per_node - 1.0) / graph.per_node
        }
        CollectiveOp::AllToAll | CollectiveOp::Broadcast | CollectiveOp::Reduce | CollectiveOp::SendRecv => {
            return None;
        }
    };
    Some(Estimate {
        bandwidth,
        latency: preset.nvls[0],
    })
}

/// Thread blocks, a channel each: 16 on Hopper, 24 on Blackwell (`nvls.cc` 155-243).
pub(in super::super) const fn blocks(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::Blackwell => 24.0,
        Architecture::Volta | Architecture::Ampere | Architecture::Hopper => 16.0,
    }
}

/// Bus bandwidth of an all-reduce, GB/s: `channels · min(2 · useful, speed)`. Worked: 8 H100: 400.
pub(in super::super) fn bus(preset: &NcclPreset, graph: &Graph) -> f64 {
    graph.nvls_channels * (useful(preset, graph) * 2.0).min(graph.nvls_speed)
}

/// What a channel moves of its speed, GB/s: `speed · efficiency · (channels − 1) / channels`.
fn useful(preset: &NcclPreset, graph: &Graph) -> f64 {
    let channels = graph.nvls_channels;
    graph.nvls_speed * preset.nvls_efficiency(graph.architecture) * (channels - 1.0) / channels
}
