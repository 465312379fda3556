//! The topology of a cluster: one domain repeated, a fabric, and dense numbers for every link.
//!
//! Links of domain 0 come first, then those of domain 1 and so on, then those of the fabric; within each by
//! (from, to). The links of a domain are stored once, those of the fabric in 12 bytes each; routes are not
//! stored at all.

use std::fmt;

use orrery_units::{DeviceId, LinkId};

use super::fabric::{Cabling, FabricShape, Laid, Ports};
use super::link::{Edges, LinkKind, VertexId, VertexKind, Wire, at, number};
use super::node::Domain;
use crate::plan::Assumption;

/// What a topology is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    /// The scale-up domain that is repeated.
    pub domain: Domain,
    /// Nodes in all; the last domain is left partly empty where they do not fill it.
    pub num_nodes: u32,
    /// What joins the domains.
    pub fabric: FabricShape,
    /// What was not said and was filled in.
    pub assumptions: Vec<Assumption>,
}

/// A blueprint that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlueprintFault {
    /// What is wrong.
    pub message: String,
    /// What would work.
    pub help: String,
}

/// A directed link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Where it leaves.
    pub from: VertexId,
    /// Where it arrives.
    pub to: VertexId,
    /// What it carries.
    pub wire: Wire,
}

/// A cluster, link by link.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    domain: Domain,
    num_nodes: u32,
    num_domains: u32,
    shape: FabricShape,
    laid: Laid,
    edges: Edges,
    switches: Vec<VertexKind>,
    num_ports: u32,
    nics_per_node: u32,
}

impl BlueprintFault {
    pub(super) fn new(message: String, help: &str) -> Self {
        Self {
            message,
            help: help.to_owned(),
        }
    }
}

impl fmt::Display for BlueprintFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  = help: {}", self.message, self.help)
    }
}

impl std::error::Error for BlueprintFault {}

impl Topology {
    /// The topology of `blueprint`.
    ///
    /// # Errors
    /// When the fabric does not hold the nodes, or there are more links than 32 bits number.
    pub fn build(blueprint: Blueprint) -> Result<Self, BlueprintFault> {
        let Blueprint {
            domain,
            num_nodes,
            fabric,
            assumptions: _,
        } = blueprint;
        let num_domains = num_nodes.div_ceil(domain.num_nodes());
        let nics_per_node = domain.nics_per_node();
        check(&domain, num_nodes, &fabric)?;
        let nics: Vec<(u32, Wire)> = domain.nics()[..at(nics_per_node)]
            .iter()
            .map(|nic| (nic.rail, nic.port))
            .collect();
        let ports = Ports {
            num_nodes,
            nics: &nics,
            num_rails: domain.num_rails(),
        };
        let num_ports = num_nodes * nics_per_node;
        let mut cabling = Cabling::new(num_ports);
        let laid = fabric.lay(&ports, &mut cabling)?;
        let edges = Edges::of(at(num_ports) + cabling.switches.len(), &cabling.cables);
        Ok(Self {
            domain,
            num_nodes,
            num_domains,
            shape: fabric,
            laid,
            edges,
            switches: cabling.switches,
            num_ports,
            nics_per_node,
        })
    }

    /// Devices.
    #[must_use]
    pub const fn num_devices(&self) -> u32 {
        self.num_nodes * self.domain.devices_per_node()
    }

    /// Nodes.
    #[must_use]
    pub const fn num_nodes(&self) -> u32 {
        self.num_nodes
    }

    /// Scale-up domains.
    #[must_use]
    pub const fn num_domains(&self) -> u32 {
        self.num_domains
    }

    /// Vertices.
    #[must_use]
    pub fn num_vertices(&self) -> u32 {
        self.num_domains * self.domain_vertices() + number(self.switches.len())
    }

    /// Directed links.
    #[must_use]
    pub fn num_links(&self) -> u32 {
        self.first_fabric_link() + number(self.edges.len())
    }

    /// The domain that is repeated.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// What joins the domains.
    #[must_use]
    pub const fn fabric(&self) -> &FabricShape {
        &self.shape
    }

    /// Bytes that its tables take.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.domain.heap_bytes() + self.edges.heap_bytes() + self.switches.capacity()
    }

    /// The node of a device.
    #[must_use]
    pub const fn node_of(&self, device: DeviceId) -> u32 {
        device.get() / self.domain.devices_per_node()
    }

    /// The vertex of a device.
    ///
    /// # Panics
    /// When there is no such device.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> VertexId {
        let (domain, local) = self.place(device);
        VertexId::new(domain * self.domain_vertices() + self.domain.devices()[at(local)])
    }

    /// The vertex of NIC `nic` of node `node`.
    ///
    /// # Panics
    /// When there is no such NIC.
    #[must_use]
    pub fn nic(&self, node: u32, nic: u32) -> VertexId {
        assert!(
            node < self.num_nodes && nic < self.nics_per_node,
            "node {node} has a NIC {nic}"
        );
        self.vertex_of_port(node * self.nics_per_node + nic)
    }

    /// The NIC, counted in its node, that `device` uses; absent when none is within reach.
    #[must_use]
    pub fn nic_of(&self, device: DeviceId) -> Option<u32> {
        let port = self.port_of(device)?;
        Some(port % self.nics_per_node)
    }

    /// What vertex `vertex` is.
    #[must_use]
    pub fn kind(&self, vertex: VertexId) -> VertexKind {
        let inside = self.num_domains * self.domain_vertices();
        match vertex.get().checked_sub(inside) {
            Some(switch) => self.switches[at(switch)],
            None => self.domain.vertices()[at(vertex.get() % self.domain_vertices())].kind,
        }
    }

    /// The link `link`.
    ///
    /// # Panics
    /// When there is no such link.
    #[must_use]
    pub fn link(&self, link: LinkId) -> Link {
        let (from, to) = self.ends(link);
        Link {
            from,
            to,
            wire: *self.wire(link),
        }
    }

    /// What link `link` carries.
    #[must_use]
    pub fn wire(&self, link: LinkId) -> &Wire {
        match link.get().checked_sub(self.first_fabric_link()) {
            Some(edge) => self.edges.wire(edge),
            None => self.domain.edges().wire(link.get() % self.domain_links()),
        }
    }

    /// All links in order of their numbers, such as an engine takes them up: `(number, link)`.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, Link)> + '_ {
        (0..self.num_links()).map(|link| (LinkId::new(link), self.link(LinkId::new(link))))
    }

    /// The links that leave `vertex`.
    pub fn out(&self, vertex: VertexId) -> impl Iterator<Item = LinkId> + use<> {
        let (inside, fabric) = (self.domain_vertices(), self.num_domains * self.domain_vertices());
        let (near, far) = if let Some(switch) = vertex.get().checked_sub(fabric) {
            (0..0, self.edges.out(self.num_ports + switch))
        } else {
            let (domain, local) = (vertex.get() / inside, vertex.get() % inside);
            let base = domain * self.domain_links();
            let range = self.domain.edges().out(local);
            let far = self.port_at(vertex).map_or(0..0, |port| self.edges.out(port));
            (base + range.start..base + range.end, far)
        };
        let first = self.first_fabric_link();
        near.chain(first + far.start..first + far.end).map(LinkId::new)
    }

    /// The first link from `from` to `to`.
    #[must_use]
    pub fn find(&self, from: VertexId, to: VertexId) -> Option<LinkId> {
        self.out(from).find(|&link| self.ends(link).1 == to)
    }

    /// The same cable the other way.
    #[must_use]
    pub fn reverse(&self, link: LinkId) -> Option<LinkId> {
        let (from, to) = self.ends(link);
        self.find(to, from)
    }

    /// Where `link` leaves and arrives.
    #[must_use]
    pub fn ends(&self, link: LinkId) -> (VertexId, VertexId) {
        if let Some(edge) = link.get().checked_sub(self.first_fabric_link()) {
            let edge = self.edges.edge(edge);
            return (self.vertex_of_fabric(edge.from), self.vertex_of_fabric(edge.to));
        }
        let domain = link.get() / self.domain_links();
        let edge = self.domain.edges().edge(link.get() % self.domain_links());
        let base = domain * self.domain_vertices();
        (VertexId::new(base + edge.from), VertexId::new(base + edge.to))
    }

    /// The domain of a vertex; absent for a switch of the fabric.
    #[must_use]
    pub fn domain_of(&self, vertex: VertexId) -> Option<u32> {
        let domain = vertex.get() / self.domain_vertices();
        (domain < self.num_domains).then_some(domain)
    }

    pub(super) fn domain_vertices(&self) -> u32 {
        number(self.domain.vertices().len())
    }

    pub(super) fn domain_links(&self) -> u32 {
        number(self.domain.edges().len())
    }

    pub(super) fn first_fabric_link(&self) -> u32 {
        self.num_domains * self.domain_links()
    }

    pub(super) const fn laid(&self) -> &Laid {
        &self.laid
    }

    pub(super) const fn fabric_edges(&self) -> &Edges {
        &self.edges
    }

    /// Domain of a device and its number there.
    pub(super) fn place(&self, device: DeviceId) -> (u32, u32) {
        assert!(
            device.get() < self.num_devices(),
            "device {} is one of {}",
            device.get(),
            self.num_devices()
        );
        let per_domain = number(self.domain.devices().len());
        (device.get() / per_domain, device.get() % per_domain)
    }

    /// The port of the NIC that a device uses.
    pub(super) fn port_of(&self, device: DeviceId) -> Option<u32> {
        let (domain, local) = self.place(device);
        let nic = self.domain.own_nic(local)?;
        Some(domain * number(self.domain.nics().len()) + nic)
    }

    pub(super) fn rail_of(&self, port: u32) -> u32 {
        self.domain.nics()[at(port % self.nics_per_node)].rail
    }

    /// The port whose NIC is `vertex`.
    pub(super) fn port_at(&self, vertex: VertexId) -> Option<u32> {
        let domain = self.domain_of(vertex)?;
        let local = vertex.get() % self.domain_vertices();
        if self.domain.vertices()[at(local)].kind != VertexKind::Nic {
            return None;
        }
        let nic = self.domain.nics().iter().position(|nic| nic.vertex == local)?;
        let port = domain * number(self.domain.nics().len()) + number(nic);
        (port < self.num_ports).then_some(port)
    }

    fn vertex_of_port(&self, port: u32) -> VertexId {
        let nics = number(self.domain.nics().len());
        let vertex = self.domain.nics()[at(port % nics)].vertex;
        VertexId::new(port / nics * self.domain_vertices() + vertex)
    }

    fn vertex_of_fabric(&self, vertex: u32) -> VertexId {
        match vertex.checked_sub(self.num_ports) {
            Some(switch) => VertexId::new(self.num_domains * self.domain_vertices() + switch),
            None => self.vertex_of_port(vertex),
        }
    }
}

/// What must hold whatever the fabric.
fn check(domain: &Domain, num_nodes: u32, fabric: &FabricShape) -> Result<(), BlueprintFault> {
    if num_nodes == 0 {
        return Err(BlueprintFault::new(
            "a cluster has no node".to_owned(),
            "set `cluster.nodes` to at least 1",
        ));
    }
    let joined = *fabric != FabricShape::None;
    if joined && domain.nics_per_node() == 0 {
        return Err(BlueprintFault::new(
            "nodes without NICs cannot be joined by a fabric".to_owned(),
            "set `cluster.node.nics.count` to at least 1, or leave the fabric out",
        ));
    }
    if num_nodes > domain.num_nodes() && !joined {
        return Err(BlueprintFault::new(
            format!(
                "{num_nodes} nodes are more than one domain of {} and nothing joins them",
                domain.num_nodes()
            ),
            "give a fabric, or as many nodes as one domain holds",
        ));
    }
    let domains = u64::from(num_nodes.div_ceil(domain.num_nodes()));
    let inside = domains * (domain.edges().len() as u64 + domain.vertices().len() as u64);
    // A fat tree of three levels has six directed links for a port; a margin covers every other shape.
    let outside = u64::from(num_nodes) * u64::from(domain.nics_per_node()) * 64;
    if inside + outside > u64::from(u32::MAX) {
        return Err(BlueprintFault::new(
            format!("{num_nodes} such nodes have more links than 32 bits number"),
            "simulate fewer nodes",
        ));
    }
    Ok(())
}

/// Whether a kind of link belongs to the fabric.
pub(super) const fn is_of_fabric(kind: LinkKind) -> bool {
    !matches!(
        kind,
        LinkKind::ScaleUp | LinkKind::ChipToChip | LinkKind::Pcie | LinkKind::HostBridge | LinkKind::Socket
    )
}
