//! Reduction in the switch of each node, a tree between nodes.

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::super::nccl::{Architecture, nvls_blocks};
use super::{Asked, Candidate, Forced, micros};

const KIB: f64 = 1024.0;

/// The chunk of an NVLS tree at `size`, bytes (`enqueue.cc` 2182-2361): 256 KiB, halved below 32, 16 and 4 rounds of
/// channels and heads, at most 64 KiB from four nodes on, but for Blackwell. Worked, H100: 2 nodes, 64 MiB: 64 KiB;
/// 16 GiB: 256 KiB.
fn chunk(size: f64, heads: f64, nodes: f64, architecture: Architecture) -> f64 {
    let channels = nvls_blocks(architecture);
    let mut chunk = 256.0 * KIB;
    for (rounds, next) in [(32.0, 128.0), (16.0, 64.0), (4.0, 32.0)] {
        if size < rounds * channels * heads * chunk {
            chunk = next * KIB;
        }
    }
    if nodes >= 4.0 && architecture != Architecture::Blackwell {
        chunk.min(64.0 * KIB)
    } else {
        chunk
    }
}

/// NVLS tree, all-reduce over several nodes.
///
/// `t = launch + latency + fill · chunk + 2 ⌊log₂ N⌋ hop + S · f / (share · depth^(log₂ N / 4) · B · ramp)`: `B` is the tuner's bus
/// bandwidth ([`super::Machine`]): 462 GB/s on two nodes of H100, 364 on more. Nodes whose NICs carry less than 20 GB/s per rank do not take it.
pub(super) fn candidate(asked: &Asked<'_>) -> Option<Candidate> {
    let call = asked.call;
    let free = matches!(call.forced, Forced::None | Forced::Sharp);
    let fed = asked.machine.network / call.ranks_per_node() > 20.0
        && asked.machine.nvlink
        && call.ranks_per_node() >= 2.0;
    if call.op != CollectiveOp::AllReduce || !asked.across() || !free || !fed {
        return None;
    }
    let peak = asked.known.nvls_tree?;
    let cost = asked.get(Parameter::NvlsTreeChunk);
    let heads = call.ranks_per_node().min(8.0);
    let chunk = chunk(asked.size(), heads, call.nodes, asked.machine.architecture) / KIB;
    let ramp = (1.0 + cost / 256.0) / (1.0 + cost / chunk);
    let deep = asked
        .get(Parameter::DepthShare)
        .powf((call.nodes / 4.0).log2().max(0.0));
    let bus = peak * asked.get(Parameter::NvlsTreeShare) * deep * asked.tuned() * ramp;
    let levels = 2.0 * call.nodes.log2().floor() * asked.get(Parameter::NvlsTreeHop);
    Some(Candidate {
        name: "nvls_tree/simple",
        micros: asked.get(Parameter::Launch)
            + asked.get(Parameter::NvlsLatency)
            + levels
            + asked.get(Parameter::NvlsFill) * chunk
            + micros(asked.size() * asked.bus_factor(), bus),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_nccl() {
        let kib = |mib: f64, nodes: f64| chunk(mib * 1024.0 * 1024.0, 8.0, nodes, Architecture::Hopper) / KIB;
        assert!((kib(64.0, 2.0) - 64.0).abs() < 1e-9, "{}", kib(64.0, 2.0));
        assert!((kib(16384.0, 2.0) - 256.0).abs() < 1e-9, "{}", kib(16384.0, 2.0));
        assert!((kib(16384.0, 4.0) - 64.0).abs() < 1e-9, "{}", kib(16384.0, 4.0));
        let blackwell = chunk(16384.0 * 1024.0 * 1024.0, 8.0, 4.0, Architecture::Blackwell) / KIB;
        assert!((blackwell - 256.0).abs() < 1e-9, "{blackwell}");
    }
}
