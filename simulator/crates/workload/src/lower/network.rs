//! What became of the links of the cluster in a run: what a report of the network needs.

use orrery_scenario::cluster::{LinkKind, Topology};
use orrery_units::{BytesPerSec, LinkId};

use crate::wires::Wired;

/// The links of a cluster, and the links and paths of the resources that stand for them.
#[derive(Debug)]
pub struct NetworkMap {
    topology: Topology,
    wired: Wired,
    devices_per_node: u32,
}

/// A link of the cluster, one way.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkLink {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// What it carries, lasting faults taken off.
    pub capacity: BytesPerSec,
    /// The link of the resources that carries the same bytes.
    pub stands_in: LinkId,
}

impl NetworkMap {
    pub(super) const fn new(topology: Topology, wired: Wired, devices_per_node: u32) -> Self {
        Self {
            topology,
            wired,
            devices_per_node,
        }
    }

    /// Devices of one node.
    #[must_use]
    pub const fn devices_per_node(&self) -> u32 {
        self.devices_per_node
    }

    /// Every link that something may cross, in the order of the topology.
    pub fn links(&self) -> impl Iterator<Item = NetworkLink> + '_ {
        self.wired.cables().iter().map(|cable| NetworkLink {
            name: self.topology.link_name(cable.link),
            kind: self.topology.wire(cable.link).kind,
            capacity: cable.capacity,
            stands_in: cable.stands_in,
        })
    }

    /// What was laid.
    #[must_use]
    pub const fn wired(&self) -> &Wired {
        &self.wired
    }
}
