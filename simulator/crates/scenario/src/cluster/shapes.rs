//! The usual boxes: devices on a scale-up switch, on a full mesh, or on PCIe alone.

use orrery_units::{BytesPerSec, SimDuration};

use super::link::{LinkKind, VertexKind, Wire};
use super::node::{Domain, DomainBuilder};

/// Time of one PCIe hop from device to device: NCCL's constant for a ring over PCIe with the LL protocol
/// (reference table of NCCL 2.30.7, `src/graph/tuning.cc`), 1 µs.
pub const PCIE_HOP: SimDuration = SimDuration::from_nanos(1000);

/// Rate between two sockets that NCCL assumes of AMD hosts (`AMD_BW`, `src/graph/topo.h` of 2.30.7), in bytes
/// per second; other hosts range from 6 to 40 GB/s, and an imported topology names its own.
pub const SOCKET_RATE: f64 = 16e9;

/// What joins the devices of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScaleUp {
    /// One non-blocking switch; each device has `port` into it.
    Switch {
        /// The port of one device.
        port: BytesPerSec,
        /// Nodes that one switch network joins: 1 in a box, 18 in an NVL72 rack.
        nodes: u32,
    },
    /// A link between every pair of a group: MI300X, 7 x 64 GB/s; two cards on a bridge. Groups talk over PCIe.
    Mesh {
        /// One link.
        pair: BytesPerSec,
        /// Devices of a group.
        group: u32,
    },
    /// Nothing but PCIe.
    Pcie,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeShape {
    /// Devices.
    pub num_devices: u32,
    /// What joins them.
    pub scale_up: ScaleUp,
    /// Latency from device to device over the scale-up network.
    pub scale_up_latency: SimDuration,
    /// NICs.
    pub num_nics: u32,
    /// Rate of one NIC, one way.
    pub nic: BytesPerSec,
    /// Latency from device to device through both NICs and one leaf.
    pub nic_latency: SimDuration,
    /// PCIe, one way.
    pub pcie: BytesPerSec,
    /// Devices under one PCIe switch; 1 puts each device on a switch (or root port) of its own.
    pub devices_per_switch: u32,
    /// Sockets, between which the PCIe switches of a node without scale-up network are divided.
    pub num_sockets: u32,
}

impl NodeShape {
    /// Ports of a node into the fabric: a NIC for each device at most. More NICs than devices are bundled by
    /// device (32 NICs of 100 Gbit/s on 8 devices are 8 ports of 400), fewer are shared.
    #[must_use]
    pub const fn num_ports(&self) -> u32 {
        if self.num_nics < self.num_devices {
            self.num_nics
        } else {
            self.num_devices
        }
    }

    /// Rate of one port.
    #[must_use]
    pub fn port_rate(&self) -> BytesPerSec {
        let bundled = f64::from(self.num_nics) / f64::from(self.num_ports().max(1));
        self.nic.scaled(bundled.max(1.0))
    }

    /// The domain of such nodes.
    ///
    /// PCIe between a device of a switched box and its NIC takes the greater of the PCIe rate and the NIC's: such
    /// boxes are built so that the NIC can be fed (B300: 100 GB/s NICs on PCIe switches of their own).
    #[must_use]
    pub fn domain(&self) -> Domain {
        let nodes = match self.scale_up {
            ScaleUp::Switch { nodes, .. } => nodes,
            ScaleUp::Mesh { .. } | ScaleUp::Pcie => 1,
        };
        let mut builder = DomainBuilder::default();
        let devices: Vec<u32> = (0..nodes * self.num_devices)
            .map(|_| builder.vertex(VertexKind::Device, None))
            .collect();
        self.join(&mut builder, &devices);
        for node in devices.chunks(self.num_devices as usize) {
            self.host(&mut builder, node);
        }
        builder.build(self.num_devices)
    }

    /// Whether some pair of devices has nothing better than PCIe.
    const fn talks_over_pcie(&self) -> bool {
        match self.scale_up {
            ScaleUp::Switch { .. } => false,
            ScaleUp::Mesh { group, .. } => group < self.num_devices,
            ScaleUp::Pcie => true,
        }
    }

    fn join(&self, builder: &mut DomainBuilder, devices: &[u32]) {
        let wire = |rate, share| {
            let latency = self.scale_up_latency.as_picos() / share;
            Wire::new(LinkKind::ScaleUp, rate, SimDuration::from_picos(latency))
        };
        match self.scale_up {
            ScaleUp::Switch { port, .. } => {
                let switch = builder.vertex(VertexKind::ScaleUpSwitch, None);
                for &device in devices {
                    builder.cable(device, switch, wire(port, 2));
                }
            }
            ScaleUp::Mesh { pair, group } => {
                for group in devices.chunks(group.max(1) as usize) {
                    for (position, &device) in group.iter().enumerate() {
                        for &other in &group[position + 1..] {
                            builder.cable(device, other, wire(pair, 1));
                        }
                    }
                }
            }
            ScaleUp::Pcie => {}
        }
    }

    /// PCIe switches with their devices and NICs; host bridges only where devices talk over PCIe.
    fn host(&self, builder: &mut DomainBuilder, devices: &[u32]) {
        let over_pcie = self.talks_over_pcie();
        let (pcie, to_nic) = self.pcie_wires(over_pcie);
        let num_ports = self.num_ports();
        // A switch holds at least the devices that share a NIC.
        let sharers = self.num_devices.div_ceil(num_ports.max(1)).max(1);
        let per_switch = if over_pcie {
            self.devices_per_switch.max(1)
        } else {
            sharers
        };
        let groups: Vec<&[u32]> = devices.chunks(per_switch as usize).collect();
        let switches: Vec<u32> = groups
            .iter()
            .map(|group| {
                let switch = builder.vertex(VertexKind::PcieSwitch, None);
                for &device in *group {
                    builder.cable(device, switch, pcie);
                }
                switch
            })
            .collect();
        for port in 0..num_ports {
            let device = port * self.num_devices / num_ports;
            let nic = builder.nic(port, self.port(over_pcie), None);
            builder.cable(switches[(device / per_switch) as usize], nic, to_nic);
        }
        if over_pcie {
            self.bridges(builder, &switches);
        }
    }

    fn bridges(&self, builder: &mut DomainBuilder, switches: &[u32]) {
        let per_socket = switches.len().div_ceil(self.num_sockets.max(1) as usize);
        let up = Wire::new(LinkKind::Pcie, self.pcie, SimDuration::ZERO);
        let across = Wire::new(LinkKind::Socket, BytesPerSec::new(SOCKET_RATE), SimDuration::ZERO);
        let mut bridges: Vec<u32> = Vec::new();
        for socket in switches.chunks(per_socket) {
            let bridge = builder.vertex(VertexKind::HostBridge, None);
            for &switch in socket {
                builder.cable(switch, bridge, up);
            }
            for &other in &bridges {
                builder.cable(other, bridge, across);
            }
            bridges.push(bridge);
        }
    }

    /// Wire of a device, and wire of a NIC, into their PCIe switch.
    fn pcie_wires(&self, over_pcie: bool) -> (Wire, Wire) {
        let port = self.port_rate();
        let fed = if !over_pcie && port.get() > self.pcie.get() {
            port
        } else {
            self.pcie
        };
        let latency = if over_pcie { PCIE_HOP.as_picos() / 2 } else { 0 };
        (
            Wire::new(LinkKind::Pcie, fed, SimDuration::from_picos(latency)),
            Wire::new(LinkKind::Pcie, fed, SimDuration::ZERO),
        )
    }

    /// The port of a NIC: half of the latency from device to device, less what PCIe already adds.
    fn port(&self, over_pcie: bool) -> Wire {
        let half = SimDuration::from_picos(self.nic_latency.as_picos() / 2);
        let pcie = if over_pcie { PCIE_HOP.as_picos() / 2 } else { 0 };
        let latency = half.saturating_sub(SimDuration::from_picos(pcie));
        Wire::new(LinkKind::Nic, self.port_rate(), latency)
    }
}
