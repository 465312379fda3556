//! The machine that the laws read, and what NCCL's search and tuner make of it.

use orrery_scenario::plan::{GroupShape, Node};
use orrery_units::{BytesPerSec, SimDuration};

use super::super::nccl::{Architecture, Graph, NcclPreset, nvls_bus, nvls_tree_bus};
use super::Call;

/// The machine of a platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Architecture of its devices.
    pub architecture: Architecture,
    /// Data-sheet rate of a device's links into its node, one way, GB/s.
    pub scale_up: f64,
    /// Whether those links are NVLinks.
    pub nvlink: bool,
    /// NICs beside the ranks of a node.
    pub num_nics: u32,
    /// Line rate of those NICs together, GB/s.
    pub network: f64,
}

impl Machine {
    /// Bus bandwidth that a ring inside a node is expected to have, GB/s: what NCCL's search finds.
    /// Worked: H100, 450 GB/s: 360.
    #[must_use]
    pub fn ring(&self) -> f64 {
        let graph = self.graph(1, 8);
        graph.intra * graph.channels
    }

    /// Bus bandwidth that the tuner expects of NVLS in one node, GB/s; none where the switch does not reduce.
    pub(super) fn nvls(&self, call: &Call) -> Option<f64> {
        let graph = self.graph_of(call);
        graph.nvls.then(|| nvls_bus(&NcclPreset::V2_30_7, &graph))
    }

    /// Bus bandwidth that the tuner expects of an NVLS tree, GB/s; none where it is not offered.
    pub(super) fn nvls_tree(&self, call: &Call) -> Option<f64> {
        nvls_tree_bus(&NcclPreset::V2_30_7, &self.graph_of(call))
    }

    /// Cap of the tuner on the bus bandwidth of low-latency rings, GB/s.
    pub(super) fn low_latency_cap(&self, call: &Call) -> f64 {
        NcclPreset::V2_30_7.low_latency_cap(self.architecture, self.graph_of(call).nodes)
    }

    /// What the search finds for the group of `call`.
    pub(super) fn graph_of(&self, call: &Call) -> Graph {
        self.graph(whole(call.nodes), whole(call.ranks_per_node()))
    }

    fn graph(&self, nodes: u32, per_node: u32) -> Graph {
        let node = Node {
            num_devices: per_node,
            scale_up: BytesPerSec::new(self.scale_up * 1e9),
            scale_up_latency: SimDuration::ZERO,
            num_nics: self.num_nics,
            nic: BytesPerSec::new(self.network * 1e9 / f64::from(self.num_nics.max(1))),
            nic_latency: SimDuration::ZERO,
        };
        let shape = GroupShape {
            ranks: nodes.saturating_mul(per_node),
            ranks_per_node: per_node,
            nodes,
        };
        Graph::new(self.architecture, &node, shape).of_rings()
    }
}

/// A count of ranks or nodes as a whole number, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts lie between one and 2^32, and casts saturate"
)]
const fn whole(count: f64) -> u32 {
    count.max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use orrery_operation::CollectiveOp;
    use orrery_units::Bytes;

    use super::super::Forced;
    use super::*;

    #[test]
    fn rings_and_switches_are_the_tuners() {
        let machine = |architecture, scale_up| Machine {
            architecture,
            scale_up,
            nvlink: true,
            num_nics: 8,
            network: 400.0,
        };
        let call = |nodes: f64| Call {
            op: CollectiveOp::AllReduce,
            ranks: 8.0 * nodes,
            nodes,
            bytes: Bytes::new(1),
            out_of_place: false,
            forced: Forced::None,
            tuned: false,
        };
        let near = |got: Option<f64>, wanted: f64| {
            let got = got.unwrap_or(-1.0);
            assert!((got / wanted - 1.0).abs() < 0.01, "{got} for {wanted}");
        };
        let (h100, h800) = (
            machine(Architecture::Hopper, 450.0),
            machine(Architecture::Hopper, 200.0),
        );
        let b200 = machine(Architecture::Blackwell, 900.0);
        near(Some(h100.ring()), 360.0);
        near(Some(h800.ring()), 160.0);
        near(Some(b200.ring()), 720.0);
        near(h100.nvls(&call(1.0)), 400.0);
        near(b200.nvls(&call(1.0)), 720.0);
        near(h100.nvls_tree(&call(2.0)), 462.0);
        near(h100.nvls_tree(&call(4.0)), 364.0);
        near(b200.nvls_tree(&call(2.0)), 768.0);
        near(b200.nvls_tree(&call(4.0)), 384.0);
    }
}
