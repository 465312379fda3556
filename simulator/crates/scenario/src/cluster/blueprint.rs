//! The blueprint of a planned cluster: what the plan says, and what usual machines add to it.

use orrery_units::BytesPerSec;

use super::device::device_wiring;
use super::fabric::{ClosShape, FabricShape, Wiring};
use super::node::Domain;
use super::shapes::{NodeShape, ScaleUp};
use super::topology::{Blueprint, Topology};
use crate::plan::{Assumption, Cluster};

/// Ports of a switch: 64 of 400 Gbit/s, half of them down (scenarios/hardware/pods.csv, MegaScale: "64x400G
/// switches; 32 down 32 up at ToR"; DGX H100 SuperPOD: 32 nodes on a leaf of each rail).
pub const SWITCH_PORTS: u32 = 64;

/// PCIe rate of a device whose row in the catalogue has none (it reaches its host otherwise): Gen5 x16, 63 GB/s.
const PCIE_RATE: f64 = 63e9;

impl Topology {
    /// The topology of a planned cluster, with the defaults of [`Blueprint::of`].
    ///
    /// # Panics
    /// When the cluster has more links than 32 bits number; the plan bounds its devices far below.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self::build(Blueprint::of(cluster)).expect("a fat tree sized for its nodes holds them")
    }
}

/// What is said of a fat tree; the rest is sized for its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FatTree {
    /// Whether every NIC of a node has a leaf of its own.
    pub rails: Option<bool>,
    /// Nodes that share their leaves.
    pub nodes_per_block: Option<u32>,
    /// Spines above a leaf.
    pub num_spines: Option<u32>,
}

impl Blueprint {
    /// The blueprint of a planned cluster.
    ///
    /// The plan gives rates, latencies and oversubscription. Filled in, and named in `assumptions`: how many
    /// nodes a scale-up domain joins and whether it is a switch, a mesh or PCIe (hardware catalogue), PCIe's rate,
    /// rails, block size and levels of the fat tree (switches of [`SWITCH_PORTS`] ports).
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self::with(cluster, None, &FatTree::default())
    }

    /// The blueprint of a planned cluster with nodes wired like `domain`, if it is given, and a fat tree as far
    /// as `tree` says.
    #[must_use]
    pub fn with(cluster: &Cluster, domain: Option<Domain>, tree: &FatTree) -> Self {
        let mut assumptions = Vec::new();
        let domain = domain.unwrap_or_else(|| node_shape(cluster, &mut assumptions).domain());
        let fabric = if cluster.num_nodes <= domain.num_nodes() {
            FabricShape::None
        } else {
            FabricShape::Clos(fat_tree(cluster, domain.nics_per_node(), tree, &mut assumptions))
        };
        Self {
            domain,
            num_nodes: cluster.num_nodes,
            fabric,
            assumptions,
        }
    }
}

fn note(assumptions: &mut Vec<Assumption>, key: &str, value: String, reason: &str) {
    assumptions.push(Assumption {
        key: key.to_owned(),
        value,
        reason: reason.to_owned(),
    });
}

fn node_shape(cluster: &Cluster, assumptions: &mut Vec<Assumption>) -> NodeShape {
    const CATALOG: &str = "hardware catalogue (scenarios/hardware/hardware.csv)";
    let node = &cluster.node;
    let wiring = device_wiring(&cluster.device.name);
    let group = wiring.as_ref().map_or(node.num_devices, |wiring| wiring.domain);
    let has_scale_up = wiring
        .as_ref()
        .is_none_or(|wiring| wiring.num_links > 0 && wiring.domain > 1)
        || wiring.as_ref().is_some_and(|wiring| wiring.is_mesh);
    let is_mesh = wiring.as_ref().is_some_and(|wiring| wiring.is_mesh) || group < node.num_devices;
    let scale_up = if !has_scale_up {
        ScaleUp::Pcie
    } else if is_mesh {
        let group = group.min(node.num_devices).max(2);
        ScaleUp::Mesh {
            pair: node.scale_up.scaled(1.0 / f64::from(group - 1)),
            group,
        }
    } else {
        ScaleUp::Switch {
            port: node.scale_up,
            nodes: nodes_per_domain(cluster.num_nodes, group / node.num_devices.max(1)),
        }
    };
    let (name, reason) = match scale_up {
        ScaleUp::Switch { nodes, .. } => (format!("a switch over {nodes} node(s)"), CATALOG),
        ScaleUp::Mesh { group, .. } => (format!("a link between any two of {group} devices"), CATALOG),
        ScaleUp::Pcie => ("PCIe alone".to_owned(), CATALOG),
    };
    note(assumptions, "cluster.node.scale_up.kind", name, reason);
    let pcie = if scale_up == ScaleUp::Pcie {
        node.scale_up
    } else {
        let rate = wiring
            .and_then(|wiring| wiring.pcie)
            .unwrap_or_else(|| BytesPerSec::new(PCIE_RATE));
        note(
            assumptions,
            "cluster.node.pcie",
            format!("{} GB/s each way", rate.get() / 1e9),
            CATALOG,
        );
        rate
    };
    note(
        assumptions,
        "cluster.node.sockets",
        "2".to_owned(),
        "assumed: two sockets, a PCIe switch for every two devices; felt only where devices talk over PCIe",
    );
    NodeShape {
        num_devices: node.num_devices,
        scale_up,
        scale_up_latency: node.scale_up_latency,
        num_nics: node.num_nics,
        nic: node.nic,
        nic_latency: node.nic_latency,
        pcie,
        devices_per_switch: 2,
        num_sockets: 2,
    }
}

/// Devices that one scale-up network of `cluster` joins: those of a node, or of as many nodes as a rack holds, by
/// the hardware catalogue; racks are filled evenly.
#[must_use]
pub fn devices_per_domain(cluster: &Cluster) -> u32 {
    match node_shape(cluster, &mut Vec::new()).scale_up {
        ScaleUp::Switch { nodes, .. } => nodes * cluster.node.num_devices,
        ScaleUp::Mesh { .. } | ScaleUp::Pcie => cluster.node.num_devices,
    }
}

/// Nodes to a domain that holds at most `most`: the fewest domains that hold all, evenly filled. 32 nodes of
/// which a rack holds 18 stand as two racks of 16.
fn nodes_per_domain(num_nodes: u32, most: u32) -> u32 {
    let most = most.max(1);
    num_nodes.div_ceil(num_nodes.div_ceil(most).max(1)).max(1)
}

fn fat_tree(
    cluster: &Cluster,
    ports_per_node: u32,
    given: &FatTree,
    assumptions: &mut Vec<Assumption>,
) -> ClosShape {
    let down = SWITCH_PORTS / 2;
    let rails = given.rails.unwrap_or(ports_per_node > 1);
    let (wiring, usual_block, leaves_per_block) = if rails {
        (Wiring::Rails, down, ports_per_node)
    } else {
        (Wiring::Nodes, (down / ports_per_node.max(1)).max(1), 1)
    };
    let nodes_per_block = given.nodes_per_block.unwrap_or(usual_block);
    if given.rails.is_none() {
        note(
            assumptions,
            "cluster.fabric.rails",
            if rails { ports_per_node } else { 0 }.to_string(),
            "rail-optimised, as the reference pods with several NICs a node are (scenarios/hardware/pods.csv)",
        );
    }
    if given.nodes_per_block.is_none() {
        note(
            assumptions,
            "cluster.fabric.nodes_per_block",
            nodes_per_block.to_string(),
            "switches of 64 ports, half of them down (scenarios/hardware/pods.csv)",
        );
    }
    let blocks = cluster.num_nodes.div_ceil(nodes_per_block);
    let oversubscription = cluster.fabric.oversubscription.max(1.0);
    let num_spines = given
        .num_spines
        .unwrap_or_else(|| uplinks(down, oversubscription));
    if given.num_spines.is_none() {
        note(
            assumptions,
            "cluster.fabric.spines",
            num_spines.to_string(),
            "as many as a leaf of 64 ports has links up (scenarios/hardware/pods.csv)",
        );
    }
    // At two levels a spine has a port for each leaf.
    let blocks_per_pod = (blocks * leaves_per_block > SWITCH_PORTS).then(|| (down / leaves_per_block).max(1));
    note(
        assumptions,
        "cluster.fabric.levels",
        if blocks_per_pod.is_some() { "3" } else { "2" }.to_owned(),
        "two while a spine has a port for every leaf, else three; only leaves are oversubscribed",
    );
    ClosShape {
        wiring,
        nodes_per_block,
        num_spines,
        oversubscription,
        blocks_per_pod,
        num_cores: blocks_per_pod.unwrap_or(1) * leaves_per_block,
        pod_oversubscription: 1.0,
        switch_latency: cluster.fabric.switch_latency,
        sites: Vec::new(),
        wide_area: Vec::new(),
    }
}

/// Uplinks of a leaf with `down` ports down, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the ports of a switch"
)]
fn uplinks(down: u32, oversubscription: f64) -> u32 {
    (f64::from(down) / oversubscription).round().max(1.0) as u32
}
