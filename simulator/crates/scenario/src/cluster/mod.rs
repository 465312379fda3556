//! What a cluster is wired like: vertices, directed links, routes between devices, and what is wrong with them.
//!
//! The engine never sees this: it is handed links by number, and paths of them with weights. Here those numbers
//! mean something. A [`Blueprint`] (of a planned [`Cluster`](crate::plan::Cluster), or with an imported
//! [`Domain`] or [`SwitchTree`]) builds a [`Topology`]; [`Faults`] say what is wrong with it when; a [`Router`]
//! finds routes on it; [`LinkLoads`] sum what a set of messages puts on each link.
//!
//! ```
//! use orrery_scenario::cluster::{Faults, LinkLoads, Policy, Router, Topology};
//! use orrery_units::{Bytes, DeviceId, SimTime};
//! # fn show(cluster: &orrery_scenario::plan::Cluster) {
//! let topology = Topology::of(cluster);
//! let health = Faults::default().health(&topology, SimTime::ZERO);
//! let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
//! let mut loads = LinkLoads::new(&topology);
//! let sent = loads.add(&mut router, DeviceId::new(0), DeviceId::new(9), Bytes::new(1 << 30));
//! # let _ = sent;
//! # }
//! ```
//!
//! Capacities are line rates, one way; the share of them that software reaches belongs to profiles. Latencies of a
//! route add up to the plan's: half a scale-up hop on each side of the switch, half of the NIC-to-NIC latency at
//! each NIC, and one switch latency for each link between switches.

mod blueprint;
mod choose;
mod device;
mod fabric;
mod fault;
pub mod import;
mod link;
mod load;
mod name;
mod node;
mod route;
mod search;
mod shapes;
mod topology;

pub use blueprint::{FatTree, SWITCH_PORTS, devices_per_domain};
pub use choose::{HashVersion, Spreading};
pub use device::{DeviceWiring, device_wiring, wiring_of_capability};
pub use fabric::{
    ClosShape, DragonflyShape, FabricShape, Site, SwitchTree, TorusShape, TreeSwitch, WideAreaLink, Wiring,
};
pub use fault::{CapacityChange, Fault, Faults, Health, Place, Window};
pub use link::{LinkKind, VertexId, VertexKind, Wire};
pub use load::{LinkLoad, LinkLoads, Placement};
pub use node::{Domain, DomainBuilder, DomainNic, DomainVertex};
pub use route::{CrossRail, Hop, Policy, Route, Router, Unreachable};
pub use search::{Search, Through};
pub use shapes::{NodeShape, PCIE_HOP, SOCKET_RATE, ScaleUp};
pub use topology::{Blueprint, BlueprintFault, Link, Topology};
