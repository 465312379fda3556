//! The tuner: every candidate's time, and the least of them (tuning.cc 618-655).

use orrery_operation::CollectiveOp;
use orrery_units::{Bytes, SimDuration};

use super::{Algorithm, Estimate, Graph, NcclPreset, Protocol, nvls, nvls_tree, ring, tree};

/// One candidate with what the tuner thinks of it at one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Protocol.
    pub protocol: Protocol,
    /// Its latency.
    pub latency: SimDuration,
    /// Its time in all.
    pub time: SimDuration,
    /// Size over time for a large size, GB/s.
    pub(crate) bandwidth: f64,
}

/// Every candidate for `op` at `size`, in order of algorithm and protocol.
#[must_use]
pub fn candidates(preset: &NcclPreset, graph: &Graph, op: CollectiveOp, size: Bytes) -> Vec<Choice> {
    let algorithms = [
        Algorithm::Ring,
        Algorithm::Tree,
        Algorithm::Nvls,
        Algorithm::NvlsTree,
    ];
    let mut all = Vec::new();
    for algorithm in algorithms {
        for protocol in Protocol::ALL {
            let estimate = match algorithm {
                Algorithm::Ring => ring::estimate(preset, graph, op, protocol),
                Algorithm::Tree => tree::estimate(preset, graph, op, protocol),
                Algorithm::Nvls => nvls::estimate(preset, graph, op, protocol),
                Algorithm::NvlsTree => nvls_tree::estimate(preset, graph, op, protocol),
            };
            if let Some(estimate) = estimate {
                all.push(timed(preset, graph, op, size, algorithm, protocol, estimate));
            }
        }
    }
    all
}

/// The candidate that takes the least time by the tuner's own count; none for what is not tuned (all-to-all,
/// send and receive).
#[must_use]
pub fn choose(preset: &NcclPreset, graph: &Graph, op: CollectiveOp, size: Bytes) -> Option<Choice> {
    candidates(preset, graph, op, size)
        .into_iter()
        .min_by_key(|choice| choice.time)
}

/// `time = latency · plateau + size / (bandwidth · correction)`.
fn timed(
    preset: &NcclPreset,
    graph: &Graph,
    op: CollectiveOp,
    size: Bytes,
    algorithm: Algorithm,
    protocol: Protocol,
    estimate: Estimate,
) -> Choice {
    let reduces = op == CollectiveOp::AllReduce;
    let correction = if algorithm == Algorithm::Tree && reduces {
        preset.correction(protocol, size.get())
    } else {
        1.0
    };
    let plateau = algorithm == Algorithm::Ring
        && protocol == Protocol::Simple
        && reduces
        && graph.nodes > 1
        && size.as_f64() / (graph.channels * graph.ranks) >= 64.0;
    let latency = estimate.latency * if plateau { 1.4 } else { 1.0 };
    let micros = latency + size.as_f64() / (1000.0 * estimate.bandwidth * correction);
    Choice {
        algorithm,
        protocol,
        latency: SimDuration::from_secs(latency * 1e-6),
        time: SimDuration::from_secs(micros * 1e-6),
        bandwidth: estimate.bandwidth,
    }
}

#[cfg(test)]
mod tests {
    use orrery_scenario::plan::{GroupShape, Node};
    use orrery_units::BytesPerSec;

    use super::*;
    use crate::collective::nccl::Architecture;

    fn node(scale_up: f64, nic: f64) -> Node {
        Node {
            num_devices: 8,
            scale_up: BytesPerSec::new(scale_up * 1e9),
            scale_up_latency: SimDuration::from_micros(1),
            num_nics: 8,
            nic: BytesPerSec::new(nic * 1e9),
            nic_latency: SimDuration::from_micros(3),
        }
    }

    fn shape(nodes: u32, ranks_per_node: u32) -> GroupShape {
        GroupShape {
            ranks: nodes * ranks_per_node,
            ranks_per_node,
            nodes,
        }
    }

    /// Bus bandwidth that the tuner expects of a large `op`, and by which algorithm.
    fn peak(
        architecture: Architecture,
        machine: &Node,
        op: CollectiveOp,
        group: GroupShape,
    ) -> (f64, Algorithm) {
        let graph = Graph::new(architecture, machine, group);
        let choice = choose(&NcclPreset::V2_30_7, &graph, op, Bytes::new(16 << 30)).unwrap();
        (
            choice.bandwidth * op.bus_factor(u64::from(group.ranks)),
            choice.algorithm,
        )
    }

    #[test]
    fn peaks_are_those_of_the_tuner() {
        let (hopper, h100) = (Architecture::Hopper, node(450.0, 50.0));
        let (ampere, a100) = (Architecture::Ampere, node(300.0, 25.0));
        let near = |got: (f64, Algorithm), bus: f64, algorithm| {
            assert!((got.0 / bus - 1.0).abs() < 0.02 && got.1 == algorithm, "{got:?}");
        };
        let (all_reduce, all_gather) = (CollectiveOp::AllReduce, CollectiveOp::AllGather);
        near(
            peak(hopper, &h100, all_gather, shape(1, 8)),
            360.0,
            Algorithm::Ring,
        );
        near(
            peak(hopper, &h100, all_reduce, shape(1, 8)),
            400.0,
            Algorithm::Nvls,
        );
        near(
            peak(hopper, &h100, all_reduce, shape(1, 4)),
            360.0,
            Algorithm::Ring,
        );
        near(
            peak(hopper, &h100, all_reduce, shape(2, 8)),
            462.0,
            Algorithm::NvlsTree,
        );
        near(
            peak(hopper, &h100, all_reduce, shape(4, 8)),
            364.0,
            Algorithm::NvlsTree,
        );
        near(
            peak(ampere, &a100, all_gather, shape(1, 8)),
            240.0,
            Algorithm::Ring,
        );
        near(
            peak(hopper, &node(200.0, 50.0), all_gather, shape(1, 8)),
            160.0,
            Algorithm::Ring,
        );
        near(
            peak(hopper, &h100, all_gather, shape(16, 1)),
            48.0,
            Algorithm::Ring,
        );
    }

    #[test]
    fn small_sizes_choose_low_latency() {
        let graph = Graph::new(Architecture::Hopper, &node(450.0, 50.0), shape(1, 8));
        let small = choose(
            &NcclPreset::V2_30_7,
            &graph,
            CollectiveOp::AllReduce,
            Bytes::new(4096),
        )
        .unwrap();
        assert_eq!(small.protocol, Protocol::LowLatency);
    }
}
