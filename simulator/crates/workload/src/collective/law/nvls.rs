//! Reduction and multicast in the switch of one node.

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::super::nccl::nvls_blocks;
use super::{Asked, Candidate, Forced, micros};

const KIB: f64 = 1024.0;

/// The chunk of NVLS at `size`, bytes (`enqueue.cc` 2182-2361): 128 KiB, halved while less than 64, 8 and 2 rounds of
/// `channels · heads` chunks are left.
///
/// Worked: 8 H100, 8 MiB: 32 KiB; 1 GiB: 128 KiB.
fn chunk(size: f64, heads: f64, channels: f64) -> f64 {
    let mut chunk = 128.0 * KIB;
    for (rounds, next) in [(64.0, 64.0), (8.0, 32.0), (2.0, 16.0)] {
        if size < rounds * channels * heads * chunk {
            chunk = next * KIB;
        }
    }
    chunk
}

/// NVLS, one node of at least five devices (below, rings are as fast: NCCL's p6 tuner).
///
/// `t = launch + latency + fill · chunk + S / (share · B / (1 + k / chunk))`: what a chunk costs beyond its bytes, and the
/// time until the first chunk has passed every stage, show as steps of the measured curve at 8 MiB, 64 MiB and 1 GiB: on
/// 8 H100 the time beyond the bytes is 26 us with chunks of 16 KiB, 41 with 32, 72 with 64
/// (aic_h100_sxm_nccl2.29.2.csv). `B` is the tuner's bus bandwidth for eight devices, 400 GB/s on
/// H100 and 720 on B200 ([`super::Machine`]); the share refers to chunks of 128 KiB.
pub(super) fn candidate(asked: &Asked<'_>) -> Option<Candidate> {
    let call = asked.call;
    let free = matches!(call.forced, Forced::None | Forced::Sharp);
    let wide = call.ranks_per_node() >= 5.0 && asked.machine.nvlink;
    if call.op != CollectiveOp::AllReduce || asked.across() || !free || !wide {
        return None;
    }
    let peak = asked.known.nvls?;
    let channels = nvls_blocks(asked.machine.architecture);
    let cost = asked.get(Parameter::NvlsChunk);
    let chunk = chunk(asked.size(), call.ranks_per_node(), channels) / KIB;
    let ramp = (1.0 + cost / 128.0) / (1.0 + cost / chunk);
    let rate = peak * 8.0 / 14.0 * asked.get(Parameter::NvlsShare) * ramp;
    Some(Candidate {
        name: "nvls/simple",
        micros: asked.get(Parameter::Launch)
            + asked.get(Parameter::NvlsLatency)
            + asked.get(Parameter::NvlsFill) * chunk
            + micros(asked.size(), rate),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_nccl() {
        let kib = |mib: f64| chunk(mib * 1024.0 * 1024.0, 8.0, 16.0) / KIB;
        assert!((kib(8.0) - 32.0).abs() < 1e-9, "{}", kib(8.0));
        assert!((kib(1024.0) - 128.0).abs() < 1e-9, "{}", kib(1024.0));
    }
}
