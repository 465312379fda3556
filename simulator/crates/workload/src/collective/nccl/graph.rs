//! What NCCL's search finds of a machine: channels, and their bandwidth inside and between nodes.

use orrery_scenario::plan::{GroupShape, Node};

use super::Architecture;

/// The result of the search for one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Graph {
    /// Architecture.
    pub architecture: Architecture,
    /// Ranks.
    pub ranks: f64,
    /// Nodes.
    pub nodes: u32,
    /// Ranks on each node.
    pub per_node: f64,
    /// Search channels.
    pub channels: f64,
    /// Bandwidth of a channel inside a node, GB/s.
    pub intra: f64,
    /// Bandwidth of a channel between nodes, GB/s.
    pub inter: f64,
    /// Channels of NVLS.
    pub nvls_channels: f64,
    /// Bandwidth of an NVLS channel inside a node, GB/s.
    pub nvls_speed: f64,
    /// Bandwidth of an NVLS tree channel between nodes, GB/s.
    pub nvls_inter: f64,
    /// Whether the switch reduces.
    pub nvls: bool,
    /// Thread blocks of the communicator once channels are doubled.
    pub blocks: f64,
}

/// Speeds that the search tries inside a node, fastest first (`search.cc` 1051-1066).
const fn intra_speeds(architecture: Architecture) -> &'static [f64] {
    match architecture {
        Architecture::Volta | Architecture::Ampere => &[40.0, 30.0, 20.0, 18.0, 15.0],
        Architecture::Hopper => &[60.0, 50.0, 40.0, 30.0, 24.0, 20.0],
        Architecture::Blackwell => &[90.0, 80.0, 70.0, 60.0, 50.0, 45.0],
    }
}

/// Speeds that the search tries between nodes, fastest first.
const fn inter_speeds(architecture: Architecture) -> &'static [f64] {
    match architecture {
        Architecture::Volta | Architecture::Ampere => &[48.0, 30.0, 28.0, 24.0, 20.0, 12.0],
        Architecture::Hopper => &[48.0, 45.0, 42.0, 40.0, 30.0, 24.0, 20.0, 12.0],
        Architecture::Blackwell => &[96.0, 86.0, 80.0, 48.0, 45.1, 42.0, 24.0, 12.0],
    }
}

/// Share of an NVLink's data-sheet rate that the search counts (`topo.h` 18-24: 20.0 of 25, 20.6 of 25, 40.1 of
/// 50 GB/s).
const fn link_share(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::Volta | Architecture::Ampere => 20.0 / 25.0,
        Architecture::Hopper => 20.6 / 25.0,
        Architecture::Blackwell => 40.1 / 50.0,
    }
}

/// Share of a device's NVLinks that one of the eight channels of NVLS gets: 50 of 370.8 GB/s on H100, 90 of
/// 721.8 on B200, the values that reproduce public logs.
const fn nvls_share(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::Volta | Architecture::Ampere | Architecture::Hopper => 50.0 / 370.8,
        Architecture::Blackwell => 90.0 / 721.8,
    }
}

impl Graph {
    /// The same as rings run on it. One that leaves the node runs at one speed all along, that of the NICs, whatever
    /// the tuner thinks of two nodes: 8 channels of 24 GB/s on A100 with 8 NICs of 200 Gbit/s, 4 of them with 4, of 45
    /// on H100 with 8 of 400.
    #[must_use]
    pub fn of_rings(self) -> Self {
        if self.nodes == 1 {
            return self;
        }
        Self {
            intra: self.intra.min(self.inter),
            ..self
        }
    }

    /// What the search finds for a group of `shape` on nodes like `node`.
    ///
    /// Inside a node: the speed of its list that leaves the least of the NVLinks unused; channels are then
    /// doubled at half speed. Worked: H100, 450 GB/s: 370.8 counted, 6 x 60, hence 12 x 30 = 360. A100: 12 x 20.
    /// H800, 200 GB/s: 4 x 40, hence 8 x 20 = 160. Between nodes: one channel per NIC that the group's ranks
    /// are next to, at the largest speed of the list within the NIC's rate: 48 of 50 GB/s.
    #[must_use]
    pub fn new(architecture: Architecture, node: &Node, shape: GroupShape) -> Self {
        let total = node.scale_up.get() / 1e9 * link_share(architecture);
        let (count, speed) = intra_speeds(architecture)
            .iter()
            .map(|&speed| ((total / speed).floor(), speed))
            .max_by(|a, b| (a.0 * a.1).total_cmp(&(b.0 * b.1)).then(a.1.total_cmp(&b.1)))
            .filter(|&(count, _)| count > 0.0)
            .unwrap_or((1.0, total));
        let inside = count * speed;
        let per_node = f64::from(shape.ranks_per_node.max(1));
        let nic = node.nic.get() / 1e9;
        let nics = (per_node * f64::from(node.num_nics) / f64::from(node.num_devices.max(1))).max(1.0);
        let inter = inter_speeds(architecture)
            .iter()
            .copied()
            .find(|&speed| speed <= nic)
            .unwrap_or(nic);
        let across = shape.nodes > 1;
        let channels = if across { nics } else { count * 2.0 };
        Self {
            architecture,
            ranks: f64::from(shape.ranks.max(1)),
            nodes: shape.nodes.max(1),
            per_node,
            channels,
            intra: if per_node > 1.0 || !across {
                inside / channels
            } else {
                inter
            },
            inter: if per_node > 1.0 {
                inter.min(inside / channels)
            } else {
                inter
            },
            nvls_channels: 8.0,
            nvls_speed: total * nvls_share(architecture),
            nvls_inter: inter,
            nvls: matches!(architecture, Architecture::Hopper | Architecture::Blackwell),
            blocks: if across {
                (channels * 2.0).clamp(4.0, 16.0)
            } else {
                count * 4.0
            },
        }
    }
}
