//! Which algorithm a collective takes, and its time on an idle network.

use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::{Bottleneck, Profile, TransferLaw};
use orrery_scenario::catalog::hardware;
use orrery_scenario::plan::{Cluster, GroupShape, Node};
use orrery_units::{Bytes, Evidence, SimDuration};

use super::nccl::{
    Algorithm, Architecture, Choice, Graph, NcclPreset, candidates, choose, efficiency, floor, name,
    nvls_blocks,
};
use super::port_bound::{GROUPED_SENDS_NETWORK, GROUPED_SENDS_NODE};

/// When a transfer's bytes move, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Time before the first byte moves.
    pub latency: SimDuration,
    /// Time that the bytes take.
    pub moving: SimDuration,
    /// What it rests on.
    pub evidence: Evidence,
    /// Algorithm and protocol.
    pub algorithm: &'static str,
    /// Thread blocks, one per channel, on each device.
    pub(crate) channels: f64,
}

/// The network of a plan: its nodes, and what was measured of them.
#[derive(Clone, Debug)]
pub struct Network {
    preset: NcclPreset,
    architecture: Architecture,
    node: Node,
    num_units: f64,
    memory_bandwidth: f64,
    profile: std::sync::Arc<Profile>,
    /// The node that curves of the profile between nodes were measured on: the usual one of its device.
    measured: Option<Node>,
}

impl Timing {
    /// Time in all.
    #[must_use]
    pub fn time(&self) -> SimDuration {
        self.latency + self.moving
    }
}

impl Network {
    /// The network of `cluster` as `profile` knows it.
    #[must_use]
    pub fn new(cluster: &Cluster, profile: &std::sync::Arc<Profile>) -> Self {
        Self {
            preset: NcclPreset::V2_30_7,
            architecture: Architecture::named(&cluster.device.architecture),
            node: cluster.node.clone(),
            num_units: f64::from(cluster.device.num_units.max(1)),
            memory_bandwidth: cluster.device.memory_bandwidth.get(),
            profile: profile.clone(),
            measured: hardware(&profile.device).ok().map(|usual| Node {
                num_nics: usual.num_nics,
                nic: usual.nic,
                ..cluster.node.clone()
            }),
        }
    }

    /// The share of a device that a kernel of `blocks` blocks takes.
    pub(crate) fn units_taken(&self, blocks: f64) -> f64 {
        self.profile.units_taken(blocks, self.num_units)
    }

    pub(crate) const fn memory_bandwidth(&self) -> f64 {
        self.memory_bandwidth
    }

    /// Time of `collective` among a group of `shape`.
    ///
    /// By a measured curve for this operation and shape; over many nodes by a measured table of efficiencies; else
    /// by the tuner's candidates, each with its measured efficiency, above the measured floor.
    #[must_use]
    pub fn collective(&self, collective: Collective, shape: GroupShape) -> Timing {
        if shape.ranks <= 1 || collective.bytes == Bytes::ZERO {
            return Timing {
                latency: SimDuration::ZERO,
                moving: SimDuration::ZERO,
                evidence: Evidence::Analytic,
                algorithm: "none",
                channels: 0.0,
            };
        }
        let graph = Graph::new(self.architecture, &self.node, shape);
        let chosen = choose(&self.preset, &graph, collective.op, collective.bytes);
        let algorithm = chosen.map_or("p2p", |choice| name(choice.algorithm, choice.protocol));
        let channels = chosen.map_or(graph.blocks, |choice| blocks(&choice, &graph));
        let known = self
            .profile
            .collective(collective.op, shape.nodes, shape.ranks_per_node);
        if let Some(curve) = known {
            let inside = (curve.bytes.min..=curve.bytes.max).contains(&collective.bytes.get());
            let moving = curve.law.moving(collective.bytes);
            let other = self.on_other_nics(collective, shape, &graph);
            return Timing {
                latency: curve.law.latency_picos,
                moving: other.map_or(moving, |times| SimDuration::from_secs(moving.as_secs() * times)),
                evidence: if other.is_some() {
                    Evidence::Analytic
                } else if inside {
                    Evidence::Interpolated
                } else {
                    Evidence::Extrapolated
                },
                algorithm,
                channels,
            };
        }
        self.unmeasured(collective, shape, &graph, algorithm, channels)
    }

    /// How much longer a group takes than on the NICs that it was measured on, by calculation; none where it has those,
    /// or needs none.
    fn on_other_nics(&self, collective: Collective, shape: GroupShape, graph: &Graph) -> Option<f64> {
        let measured = self.measured.as_ref().filter(|_| shape.nodes > 1)?;
        let line = |node: &Node| node.nic.get() * f64::from(node.num_nics);
        let same = (line(measured) / line(&self.node) - 1.0).abs() < 1e-6;
        if same {
            return None;
        }
        let there = Graph::new(self.architecture, measured, shape);
        let seconds = |graph: &Graph| self.calculated(collective.op, collective.bytes, shape, graph);
        Some(seconds(graph) / seconds(&there))
    }

    fn unmeasured(
        &self,
        collective: Collective,
        shape: GroupShape,
        graph: &Graph,
        algorithm: &'static str,
        channels: f64,
    ) -> Timing {
        let size = collective.bytes;
        let latency = floor(collective.op, graph) * 1e-6;
        let calculated = self.calculated(collective.op, size, shape, graph).max(latency);
        let (seconds, evidence) = match self.tabulated(collective, shape, graph) {
            Some((seconds, evidence)) => (seconds.max(latency), evidence),
            None => (calculated, Evidence::Analytic),
        };
        Timing {
            latency: SimDuration::from_secs(latency),
            moving: SimDuration::from_secs((seconds - latency).max(0.0)),
            evidence,
            algorithm,
            channels,
        }
    }

    /// Seconds by the tuner's candidates: `min over candidates of latency + size / (bandwidth · efficiency)`, or by
    /// ports for what is not tuned. Rings count what their NICs carry.
    fn calculated(&self, op: CollectiveOp, size: Bytes, shape: GroupShape, graph: &Graph) -> f64 {
        let calibrated = |choice: &Choice| {
            let rate = choice.bandwidth * 1e9 * efficiency(choice.algorithm, self.architecture);
            choice.latency.as_secs() + size.as_f64() / rate
        };
        let is_ring = |choice: &Choice| choice.algorithm == Algorithm::Ring;
        let rings = candidates(&self.preset, &graph.of_rings(), op, size);
        let others = candidates(&self.preset, graph, op, size);
        let rings = rings.iter().filter(|choice| is_ring(choice));
        let tuned = rings
            .chain(others.iter().filter(|choice| !is_ring(choice)))
            .map(calibrated)
            .min_by(f64::total_cmp);
        tuned.unwrap_or_else(|| self.ports(size, shape, graph))
    }

    /// Seconds of a uniform all-to-all by its ports, at the shares of them that grouped sends were measured to reach.
    fn ports(&self, size: Bytes, shape: GroupShape, graph: &Graph) -> f64 {
        let inside = self.node.scale_up.scaled(0.824 * GROUPED_SENDS_NODE);
        let across = self.nic_per_rank().scaled(GROUPED_SENDS_NETWORK);
        let bound =
            super::closed_form::uniform_all_to_all(shape.ranks, shape.ranks_per_node, size, inside, across);
        bound.as_secs() + floor(CollectiveOp::AllToAll, graph) * 1e-6
    }

    fn nic_per_rank(&self) -> orrery_units::BytesPerSec {
        let share = f64::from(self.node.num_nics) / f64::from(self.node.num_devices.max(1));
        self.node.nic.scaled(share)
    }

    /// Seconds by the profile's table of efficiencies, for groups of full nodes: `size · bus factor / (theory · ratio)`,
    /// where the theory is what NICs or NVLinks could carry. Below the table's smallest size the tuner's time is
    /// scaled so that the two meet.
    fn tabulated(&self, collective: Collective, shape: GroupShape, graph: &Graph) -> Option<(f64, Evidence)> {
        let full = shape.nodes > 8 && shape.ranks_per_node == self.node.num_devices;
        if !full {
            return None;
        }
        let inside = graph.intra * graph.channels * 1e9;
        let line = self.node.nic.get() * f64::from(self.node.num_nics);
        let network = self.profile.ratio(collective.op, Bottleneck::Network)?;
        // NVLinks are taken for the limit only where they are clearly slower: rings of H100 were measured at 392 GB/s
        // between nodes, above the 360 that the search counts inside one.
        let limited = line * network.nic_share < 1.1 * inside;
        let table = if limited {
            network
        } else {
            self.profile
                .ratio(collective.op, Bottleneck::Node)
                .unwrap_or(network)
        };
        let theory = if limited { line * table.nic_share } else { inside };
        let smallest = *table.bytes.first()?;
        let at = collective.bytes.max(smallest);
        let (ratio, known) = table.at(at, shape.nodes);
        let factor = collective.op.bus_factor(u64::from(shape.ranks));
        let seconds = at.as_f64() * factor / (theory * ratio);
        if collective.bytes >= smallest {
            let evidence = if known {
                Evidence::Interpolated
            } else {
                Evidence::Extrapolated
            };
            return Some((seconds, evidence));
        }
        let here = self.calculated(collective.op, collective.bytes, shape, graph);
        let there = self.calculated(collective.op, smallest, shape, graph);
        Some((here * seconds / there, Evidence::Extrapolated))
    }

    /// Time of one message: a hop of NVLink or of the network, then bytes at the port's rate.
    ///
    /// By the profile's curve of `send_recv` where it has one. Else floor and the port's rate: NVLink's share counted
    /// by the search, 0.97 of a NIC's line rate (48.5 of 50 GB/s).
    #[must_use]
    pub fn send_recv(&self, bytes: Bytes, crosses_nodes: bool) -> Timing {
        let shape = GroupShape {
            ranks: 2,
            ranks_per_node: if crosses_nodes { 1 } else { 2 },
            nodes: if crosses_nodes { 2 } else { 1 },
        };
        let graph = Graph::new(self.architecture, &self.node, shape);
        let curve: Option<(TransferLaw, Evidence)> = self
            .profile
            .collective(CollectiveOp::SendRecv, shape.nodes, shape.ranks_per_node)
            .map(|curve| (curve.law, Evidence::Interpolated));
        let (latency, moving, evidence) = if let Some((law, evidence)) = curve {
            (law.latency_picos, law.moving(bytes), evidence)
        } else {
            let rate = if crosses_nodes {
                self.nic_per_rank().scaled(0.97)
            } else {
                self.node.scale_up.scaled(0.824)
            };
            let latency = SimDuration::from_secs(floor(CollectiveOp::SendRecv, &graph) * 1e-6);
            (latency, bytes / rate, Evidence::Analytic)
        };
        Timing {
            latency,
            moving,
            evidence,
            algorithm: "p2p",
            channels: 4.0,
        }
    }
}

/// Thread blocks of a collective: NVLS has its own count.
const fn blocks(choice: &Choice, graph: &Graph) -> f64 {
    match choice.algorithm {
        Algorithm::Nvls | Algorithm::NvlsTree => nvls_blocks(graph.architecture),
        Algorithm::Ring | Algorithm::Tree => graph.blocks,
    }
}
