//! What the job runs on.

use crate::cluster::{Blueprint, CrossRail, Faults};
use orrery_operation::Precision;
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, SimDuration, Watts};

/// One accelerator, as the hardware catalogue has it (scenarios/hardware/hardware.csv).
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Catalogue name, such as `H800-SXM5-80GB`.
    pub name: String,
    /// Architecture, such as `Hopper`.
    pub architecture: String,
    /// Dense peak per format; absent where the device has no such unit.
    pub peaks: Vec<(Precision, FlopsPerSec)>,
    /// Device memory.
    pub memory: Bytes,
    /// Memory bandwidth by data sheet.
    pub memory_bandwidth: BytesPerSec,
    /// Execution units (SMs, CUs).
    pub num_units: u32,
    /// Board power limit of the data sheet, at which kernels were measured.
    pub power_limit: Watts,
    /// What the board is held to instead, where a scenario asks what that does.
    pub power_cap: Option<Watts>,
}

/// A node: devices joined by a fast switch, with NICs.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Devices in it.
    pub num_devices: u32,
    /// Bandwidth of one device into the node's own network, one way.
    pub scale_up: BytesPerSec,
    /// Latency of a hop inside the node.
    pub scale_up_latency: SimDuration,
    /// NICs in it.
    pub num_nics: u32,
    /// Rate of one NIC, one way.
    pub nic: BytesPerSec,
    /// Latency of a NIC-to-NIC message on an idle fabric.
    pub nic_latency: SimDuration,
}

/// What joins the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Fabric {
    /// Ratio of capacity into a leaf switch to capacity out of it; 1 is non-blocking.
    pub oversubscription: f64,
    /// Latency of one switch.
    pub switch_latency: SimDuration,
    /// How transfers share links; absent when each has its path to itself.
    pub contention: Option<Contention>,
}

/// Transfers share the links of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Contention {
    /// What the links are; it builds, and all that is not lost of it hangs together.
    pub blueprint: Blueprint,
    /// Queue pairs that a flow is hashed over; absent where switches spread every flow over all paths.
    pub queue_pairs: Option<u32>,
    /// How a message changes rail.
    pub cross_rail: CrossRail,
    /// What is wrong with links, and when.
    pub faults: Faults,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The accelerator in every node.
    pub device: Device,
    /// The node.
    pub node: Node,
    /// Nodes.
    pub num_nodes: u32,
    /// What joins them.
    pub fabric: Fabric,
}

impl Device {
    /// Dense peak for `precision`, if the device has it.
    #[must_use]
    pub fn peak(&self, precision: Precision) -> Option<FlopsPerSec> {
        self.peaks
            .iter()
            .find(|&&(p, _)| p == precision)
            .map(|&(_, rate)| rate)
    }
}

impl Cluster {
    /// Devices in all.
    #[must_use]
    pub const fn num_devices(&self) -> u32 {
        self.num_nodes * self.node.num_devices
    }

    /// NIC bandwidth that one device can count on, one way.
    #[must_use]
    pub fn nic_per_device(&self) -> BytesPerSec {
        self.node
            .nic
            .scaled(f64::from(self.node.num_nics) / f64::from(self.node.num_devices))
    }
}
