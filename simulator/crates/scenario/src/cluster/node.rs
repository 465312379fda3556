//! One scale-up domain, wire by wire: a box, or a rack that one NVSwitch network joins.
//!
//! A cluster repeats one domain, so its wires and the paths inside it are stored once. A path inside a domain
//! prefers the better kind of wire (scale-up, then PCIe, then between host bridges, then between sockets), then
//! fewer links, as NCCL's search of paths does (`src/graph/paths.cc`); a device forwards for others over
//! scale-up links only, and once (`PATH_NVB`).

use orrery_units::BytesPerSec;

use super::link::{Edges, LinkKind, VertexKind, Wire, at, number};

/// A vertex of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainVertex {
    /// What it is.
    pub kind: VertexKind,
    /// Its name in the input, such as `0000:1b:00.0` or `mlx5_0`; absent in built-in shapes.
    pub name: Option<String>,
}

/// A NIC of a domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DomainNic {
    /// Its vertex.
    pub vertex: u32,
    /// Its rail.
    pub rail: u32,
    /// Its port into the fabric.
    pub port: Wire,
}

/// Vertices and cables of a domain under construction.
#[derive(Clone, Debug, Default)]
pub struct DomainBuilder {
    vertices: Vec<DomainVertex>,
    cables: Vec<(u32, u32, Wire)>,
    nics: Vec<DomainNic>,
}

/// A scale-up domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    vertices: Vec<DomainVertex>,
    edges: Edges,
    devices: Vec<u32>,
    nics: Vec<DomainNic>,
    devices_per_node: u32,
    own_nic: Vec<Option<u32>>,
    between: Paths,
    before_nic: Paths,
    after_nic: Paths,
}

/// Paths by number, each a run of edges; an absent path is an empty run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Paths {
    first: Vec<u32>,
    edges: Vec<u32>,
}

impl DomainBuilder {
    /// Adds a vertex and returns its number.
    pub fn vertex(&mut self, kind: VertexKind, name: Option<String>) -> u32 {
        self.vertices.push(DomainVertex { kind, name });
        number(self.vertices.len() - 1)
    }

    /// Adds a NIC of rail `rail` whose port into the fabric is `port`.
    pub fn nic(&mut self, rail: u32, port: Wire, name: Option<String>) -> u32 {
        let vertex = self.vertex(VertexKind::Nic, name);
        self.nics.push(DomainNic { vertex, rail, port });
        vertex
    }

    /// Joins two vertices, both ways.
    pub fn cable(&mut self, one: u32, other: u32, wire: Wire) {
        self.cables.push((one, other, wire));
    }

    /// The domain, whose devices stand in the order in which they were added, `devices_per_node` to a node.
    ///
    /// # Panics
    /// When there is no device, or the last node is not full: the importers and shapes see to both.
    #[must_use]
    pub fn build(self, devices_per_node: u32) -> Domain {
        let edges = Edges::of(self.vertices.len(), &self.cables);
        let devices: Vec<u32> = (0u32..)
            .zip(&self.vertices)
            .filter(|(_, vertex)| vertex.kind == VertexKind::Device)
            .map(|(vertex, _)| vertex)
            .collect();
        assert!(
            !devices.is_empty() && devices.len().is_multiple_of(at(devices_per_node)),
            "a domain is made of whole nodes of {devices_per_node} devices, not of {}",
            devices.len()
        );
        let mut domain = Domain {
            vertices: self.vertices,
            edges,
            devices,
            nics: self.nics,
            devices_per_node,
            own_nic: Vec::new(),
            between: Paths::default(),
            before_nic: Paths::default(),
            after_nic: Paths::default(),
        };
        domain.find_paths();
        domain
    }
}

impl Domain {
    /// Its vertices.
    #[must_use]
    pub fn vertices(&self) -> &[DomainVertex] {
        &self.vertices
    }

    /// The vertices of its devices, in order.
    #[must_use]
    pub fn devices(&self) -> &[u32] {
        &self.devices
    }

    /// Its NICs.
    #[must_use]
    pub fn nics(&self) -> &[DomainNic] {
        &self.nics
    }

    /// Devices of one node.
    #[must_use]
    pub const fn devices_per_node(&self) -> u32 {
        self.devices_per_node
    }

    /// Nodes of the domain.
    #[must_use]
    pub fn num_nodes(&self) -> u32 {
        number(self.devices.len()) / self.devices_per_node
    }

    /// NICs of one node.
    #[must_use]
    pub fn nics_per_node(&self) -> u32 {
        number(self.nics.len()) / self.num_nodes()
    }

    /// Rails: one more than the greatest rail of a NIC.
    #[must_use]
    pub fn num_rails(&self) -> u32 {
        self.nics.iter().map(|nic| nic.rail + 1).max().unwrap_or(0)
    }

    /// The NIC that device number `device` of the domain uses, if any is within reach.
    #[must_use]
    pub fn own_nic(&self, device: u32) -> Option<u32> {
        self.own_nic[at(device)]
    }

    /// The device of the node of `device` whose NIC is on `rail`, if scale-up links alone lead there.
    #[must_use]
    pub fn rail_peer(&self, device: u32, rail: u32) -> Option<u32> {
        let node = device / self.devices_per_node * self.devices_per_node;
        (node..node + self.devices_per_node).find(|&peer| {
            let on_rail = self
                .own_nic(peer)
                .is_some_and(|nic| self.nics[at(nic)].rail == rail);
            let path = self.between(device, peer);
            let scale_up = |edge: &u32| self.edges.wire(*edge).kind == LinkKind::ScaleUp;
            on_rail && peer != device && !path.is_empty() && path.iter().all(scale_up)
        })
    }

    /// The wires of the path from device `from` to device `to`, in order; empty when there is none.
    #[must_use]
    pub fn path(&self, from: u32, to: u32) -> Vec<Wire> {
        let wires = self.between(from, to).iter();
        wires.map(|&edge| *self.edges.wire(edge)).collect()
    }

    /// The narrowest wire of the path from device `from` to device `to`.
    #[must_use]
    pub fn bandwidth(&self, from: u32, to: u32) -> Option<BytesPerSec> {
        let narrower = |a: BytesPerSec, b: BytesPerSec| if b.get() < a.get() { b } else { a };
        self.path(from, to)
            .iter()
            .map(|wire| wire.capacity)
            .reduce(narrower)
    }

    pub(super) const fn edges(&self) -> &Edges {
        &self.edges
    }

    pub(super) fn between(&self, from: u32, to: u32) -> &[u32] {
        self.between.get(from * number(self.devices.len()) + to)
    }

    pub(super) fn before_nic(&self, device: u32) -> &[u32] {
        self.before_nic.get(device)
    }

    pub(super) fn after_nic(&self, device: u32) -> &[u32] {
        self.after_nic.get(device)
    }

    /// Bytes that the tables take.
    pub(super) fn heap_bytes(&self) -> usize {
        let paths = [&self.between, &self.before_nic, &self.after_nic];
        self.edges.heap_bytes()
            + self.vertices.capacity() * size_of::<DomainVertex>()
            + paths
                .iter()
                .map(|paths| (paths.first.capacity() + paths.edges.capacity()) * size_of::<u32>())
                .sum::<usize>()
    }

    fn find_paths(&mut self) {
        let mut search = Search::new(self.vertices.len());
        for &from in &self.devices {
            for &to in &self.devices {
                let path = search.best(&self.vertices, &self.edges, from, to);
                self.between.push(&path.unwrap_or_default());
            }
        }
        self.own_nic = self.nearest_nics(&mut search);
        for (&device, nic) in self.devices.iter().zip(&self.own_nic) {
            let vertex = nic.map(|nic| self.nics[at(nic)].vertex);
            let mut path = |from, to| {
                search
                    .best(&self.vertices, &self.edges, from, to)
                    .unwrap_or_default()
            };
            let (out, back) =
                vertex.map_or_else(Default::default, |nic| (path(device, nic), path(nic, device)));
            self.before_nic.push(&out);
            self.after_nic.push(&back);
        }
    }

    /// The NIC of each device: the one with the best path in its node; of equals the one that serves fewest so
    /// far, then the first.
    fn nearest_nics(&self, search: &mut Search) -> Vec<Option<u32>> {
        let mut served = vec![0u32; self.nics.len()];
        let nics_per_node = self.nics_per_node();
        let mut own = Vec::with_capacity(self.devices.len());
        for (device, &vertex) in (0u32..).zip(&self.devices) {
            let node = device / self.devices_per_node;
            let best = (node * nics_per_node..(node + 1) * nics_per_node)
                .filter_map(|nic| {
                    let to = self.nics[at(nic)].vertex;
                    let path = search.best(&self.vertices, &self.edges, vertex, to)?;
                    let worst = path.iter().map(|&edge| rank(self.edges.wire(edge).kind)).max()?;
                    Some((worst, path.len(), served[at(nic)], nic))
                })
                .min();
            if let Some((_, _, _, nic)) = best {
                served[at(nic)] += 1;
            }
            own.push(best.map(|(_, _, _, nic)| nic));
        }
        own
    }
}

impl Paths {
    fn push(&mut self, path: &[u32]) {
        if self.first.is_empty() {
            self.first.push(0);
        }
        self.edges.extend_from_slice(path);
        self.first.push(number(self.edges.len()));
    }

    fn get(&self, path: u32) -> &[u32] {
        &self.edges[at(self.first[at(path)])..at(self.first[at(path) + 1])]
    }
}

/// How good a kind of wire is for a path; less is better.
const fn rank(kind: LinkKind) -> u8 {
    match kind {
        LinkKind::ScaleUp => 0,
        LinkKind::ChipToChip | LinkKind::Pcie => 1,
        LinkKind::HostBridge => 2,
        LinkKind::Socket
        | LinkKind::Nic
        | LinkKind::LeafSpine
        | LinkKind::SpineCore
        | LinkKind::Border
        | LinkKind::WideArea
        | LinkKind::Torus
        | LinkKind::GroupLocal
        | LinkKind::GroupGlobal
        | LinkKind::Tree => WORST,
    }
}

const WORST: u8 = 3;

/// Breadth-first search inside a domain.
#[derive(Debug)]
struct Search {
    queue: Vec<u32>,
    arrived: Vec<Option<u32>>,
}

impl Search {
    fn new(num_vertices: usize) -> Self {
        Self {
            queue: Vec::with_capacity(num_vertices),
            arrived: vec![None; num_vertices],
        }
    }

    /// The best path: over wires no worse than needed, and of those the fewest.
    fn best(&mut self, vertices: &[DomainVertex], edges: &Edges, from: u32, to: u32) -> Option<Vec<u32>> {
        if from == to {
            return Some(Vec::new());
        }
        (0..=WORST).find_map(|worst| self.within(vertices, edges, (from, to), worst))
    }

    fn within(
        &mut self,
        vertices: &[DomainVertex],
        edges: &Edges,
        (from, to): (u32, u32),
        worst: u8,
    ) -> Option<Vec<u32>> {
        self.queue.clear();
        self.queue.push(from);
        self.arrived.fill(None);
        let mut head = 0;
        while head < self.queue.len() && self.arrived[at(to)].is_none() {
            let vertex = self.queue[head];
            head += 1;
            let by = self.arrived[at(vertex)];
            for edge in edges.out(vertex) {
                let next = edges.edge(edge).to;
                let passes =
                    rank(edges.wire(edge).kind) <= worst && may_pass(vertices, edges, by, edge, from);
                if passes && next != from && self.arrived[at(next)].is_none() {
                    self.arrived[at(next)] = Some(edge);
                    self.queue.push(next);
                }
            }
        }
        let mut path = Vec::new();
        let mut vertex = to;
        while vertex != from {
            let edge = self.arrived[at(vertex)]?;
            path.push(edge);
            vertex = edges.edge(edge).from;
        }
        path.reverse();
        Some(path)
    }
}

/// Whether what came over `by` may go on over `edge`: a NIC forwards nothing, a device what came straight from
/// its source over a scale-up link and leaves over one.
fn may_pass(vertices: &[DomainVertex], edges: &Edges, by: Option<u32>, edge: u32, source: u32) -> bool {
    let Some(by) = by else { return true };
    match vertices[at(edges.edge(edge).from)].kind {
        VertexKind::Nic => false,
        VertexKind::Device => {
            let scale_up = |edge| edges.wire(edge).kind == LinkKind::ScaleUp;
            scale_up(by) && scale_up(edge) && edges.edge(by).from == source
        }
        _ => true,
    }
}
