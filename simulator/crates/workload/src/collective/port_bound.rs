//! Expert exchanges by the bound of their ports.
//!
//! For an all-to-all that starts at once, the time of the busiest port is the time of the exchange: in six cases
//! (uniform, random, hot experts, oversubscribed) a max-min simulation gave exactly the bound. What a library makes
//! of a port is its efficiency, measured.

use orrery_operation::CollectiveOp;
use orrery_profile::{Bottleneck, Profile};
use orrery_scenario::plan::{Cluster, GroupShape};
use orrery_units::{Bytes, Evidence, SimDuration};

use super::Timing;
use super::nccl::{Architecture, Graph};
use crate::cost::ExchangePorts;

/// The share of the NVLinks that NCCL counts which its grouped sends were measured to reach: 344 of 371 GB/s, H100.
/// Assumed of libraries that were not measured.
pub(super) const GROUPED_SENDS_NODE: f64 = 0.93;
/// The share of the NICs which NCCL's grouped sends were measured to reach: 69.2 of 93.8 GB/s, two nodes of B200.
/// Assumed of libraries that were not measured.
pub(super) const GROUPED_SENDS_NETWORK: f64 = 0.74;

/// What one library makes of a device's ports.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Usable rate into the node's own network, bytes per second.
    node: f64,
    /// Usable rate over the NIC, bytes per second.
    network: f64,
    node_latency: SimDuration,
    network_latency: SimDuration,
    /// Time of the handshake over the time in which data moves, per node beyond the first.
    handshake: f64,
    evidence: Evidence,
    name: &'static str,
    channels: f64,
    /// Efficiency by size and nodes, where the library's depends on them; the network rate is then the line rate.
    ramp: Option<Ramp>,
}

/// A table of efficiencies with its logarithms taken once.
#[derive(Clone, Debug)]
struct Ramp {
    nodes: Vec<f64>,
    bytes: Vec<f64>,
    ratios: Vec<Vec<f64>>,
}

impl Ramp {
    /// The ratio at `size` among `nodes`, interpolated in logarithms, clamped.
    fn at(&self, size: f64, nodes: u32) -> f64 {
        let (row, row_share) = bracket(&self.bytes, size.max(1.0).ln());
        let (column, column_share) = bracket(&self.nodes, f64::from(nodes.max(1)).ln());
        let next_column = (column + 1).min(self.nodes.len() - 1);
        let along = |r: usize| {
            let row = &self.ratios[r.min(self.ratios.len() - 1)];
            column_share.mul_add(row[next_column] - row[column], row[column])
        };
        let low = along(row);
        row_share.mul_add(along(row + 1) - low, low)
    }
}

fn bracket(axis: &[f64], at: f64) -> (usize, f64) {
    let last = axis.len() - 1;
    if at <= axis[0] {
        return (0, 0.0);
    }
    if at >= axis[last] {
        return (last, 0.0);
    }
    let above = axis.partition_point(|&value| value <= at);
    (
        above - 1,
        (at - axis[above - 1]) / (axis[above] - axis[above - 1]),
    )
}

impl Exchange {
    /// What `library` makes of the ports of `cluster`, by `profile`.
    ///
    /// A library that the profile does not have is taken to reach the shares of ports that grouped sends do, and its
    /// answers are analytic.
    #[must_use]
    pub fn new(cluster: &Cluster, profile: &Profile, library: &'static str) -> Self {
        let architecture = Architecture::named(&cluster.device.architecture);
        let one_node = GroupShape {
            ranks: cluster.node.num_devices,
            ranks_per_node: cluster.node.num_devices,
            nodes: 1,
        };
        let graph = Graph::new(architecture, &cluster.node, one_node);
        let links = graph.intra * graph.channels * 1e9;
        let line = cluster.nic_per_device().get();
        let micros = SimDuration::from_micros;
        let curve = profile.exchange(library);
        let (node, network, latencies, evidence) = curve.map_or(
            (
                GROUPED_SENDS_NODE,
                GROUPED_SENDS_NETWORK,
                (micros(12), micros(30)),
                Evidence::Analytic,
            ),
            |curve| {
                let latencies = (curve.node_latency_picos, curve.network_latency_picos);
                (
                    curve.node_efficiency,
                    curve.network_efficiency,
                    latencies,
                    Evidence::Interpolated,
                )
            },
        );
        let ramp = profile
            .ratio(CollectiveOp::AllToAll, Bottleneck::Network)
            .filter(|_| library == "nccl")
            .map(|table| Ramp {
                nodes: table.nodes.iter().map(|&n| f64::from(n).ln()).collect(),
                bytes: table.bytes.iter().map(|b| b.as_f64().ln()).collect(),
                ratios: table.ratios.clone(),
            });
        Self {
            node: links * node,
            network: line * network,
            node_latency: latencies.0,
            network_latency: latencies.1,
            handshake: curve.map_or(0.0, |curve| curve.handshake_per_node),
            evidence,
            name: library,
            channels: graph.blocks,
            ramp,
        }
    }

    /// Time before the first byte moves.
    #[must_use]
    pub const fn latency(&self, shape: GroupShape) -> SimDuration {
        if shape.nodes > 1 {
            self.network_latency
        } else {
            self.node_latency
        }
    }

    /// Bytes per second of a device's ports within its node and between nodes, the handshake counted as moving: what
    /// [`time`](Self::time) divides by where efficiency does not depend on size.
    #[must_use]
    pub fn rates(&self, shape: GroupShape) -> [f64; 2] {
        let handshake = 1.0 + self.handshake * f64::from(shape.nodes.saturating_sub(1));
        [self.node / handshake, self.network / handshake]
    }

    /// Time of an exchange that puts `ports` on the ports of a device.
    ///
    /// `latency + (1 + handshake) max(network / (NIC · η_network), node / (NVLink · η_node))`, each the larger of
    /// in and out; units are held during the handshake, but no data moves.
    /// Worked: 93 MB over a NIC of 50 GB/s at 0.89 and 218 MB over 160 GB/s at 0.95: 2.09 ms after the latency.
    #[must_use]
    pub fn time(&self, ports: &ExchangePorts, shape: GroupShape) -> Timing {
        let across = ports.network_out.max(ports.network_in).as_f64();
        let inside = ports.node_out.max(ports.node_in).as_f64();
        let network = match &self.ramp {
            Some(ramp) if across > 0.0 => self.network * ramp.at(across, shape.nodes),
            _ => self.network,
        };
        let seconds = (across / network).max(inside / self.node);
        let handshake = self.handshake * f64::from(shape.nodes.saturating_sub(1));
        Timing {
            latency: self.latency(shape) + SimDuration::from_secs(seconds * handshake),
            moving: SimDuration::from_secs(seconds),
            evidence: self.evidence,
            algorithm: self.name,
            channels: self.channels,
        }
    }
}

/// The bytes of a uniform all-to-all on the ports of one device: `size` sent by each of the ranks of `shape`.
///
/// Worked: 16 ranks on 2 nodes, 16 MB each: 8 MB over the network, 7 MB inside the node, each way.
#[must_use]
pub fn uniform(size: Bytes, shape: GroupShape) -> ExchangePorts {
    let part = size.get() / u64::from(shape.ranks.max(1));
    let inside = Bytes::new(part * u64::from(shape.ranks_per_node.max(1) - 1));
    let across = Bytes::new(part * u64::from(shape.ranks.saturating_sub(shape.ranks_per_node)));
    ExchangePorts {
        network_out: across,
        network_in: across,
        node_out: inside,
        node_in: inside,
    }
}
