//! What people call vertices and links.

use orrery_units::{DeviceId, LinkId};

use super::fabric::{FabricShape, Laid};
use super::link::{VertexId, VertexKind, at, number};
use super::topology::Topology;

impl Topology {
    /// The name of a vertex, such as `node 12 device 3`, `leaf 40` or what the imported file calls it.
    #[must_use]
    pub fn vertex_name(&self, vertex: VertexId) -> String {
        match self.domain_of(vertex) {
            Some(domain) => self.inner_name(domain, vertex.get() % self.domain_vertices()),
            None => self.switch_name(vertex),
        }
    }

    /// The name of a device.
    #[must_use]
    pub fn device_name(&self, device: DeviceId) -> String {
        self.vertex_name(self.device(device))
    }

    /// The name of a link: where it leaves and where it arrives.
    #[must_use]
    pub fn link_name(&self, link: LinkId) -> String {
        let (from, to) = self.ends(link);
        format!("{} -> {}", self.vertex_name(from), self.vertex_name(to))
    }

    /// The name of a node.
    #[must_use]
    pub fn node_name(&self, node: u32) -> String {
        match self.fabric() {
            FabricShape::Tree(tree) if at(node) < tree.nodes.len() => tree.nodes[at(node)].clone(),
            _ => format!("node {node}"),
        }
    }

    /// The vertex of this name.
    #[must_use]
    pub fn vertex_named(&self, name: &str) -> Option<VertexId> {
        (0..self.num_vertices())
            .map(VertexId::new)
            .find(|&vertex| self.vertex_name(vertex) == name)
    }

    /// The link of this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<LinkId> {
        (0..self.num_links())
            .map(LinkId::new)
            .find(|&link| self.link_name(link) == name)
    }

    fn inner_name(&self, domain: u32, local: u32) -> String {
        let vertices = self.domain().vertices();
        let vertex = &vertices[at(local)];
        let alike = |range: &[super::node::DomainVertex]| {
            number(range.iter().filter(|other| other.kind == vertex.kind).count())
        };
        let (position, count) = (alike(&vertices[..at(local)]), alike(vertices));
        let nodes = self.domain().num_nodes();
        let first = domain * nodes;
        if count < nodes || !count.is_multiple_of(nodes) {
            let place = if nodes == 1 {
                self.node_name(first)
            } else {
                format!("domain {domain}")
            };
            return format!("{place} {}", vertex.kind.name());
        }
        let per_node = count / nodes;
        let node = self.node_name(first + position / per_node);
        match &vertex.name {
            Some(name) => format!("{node} {name}"),
            None if vertex.kind == VertexKind::ScaleUpSwitch => format!("{node} {}", vertex.kind.name()),
            None => format!("{node} {} {}", vertex.kind.name(), position % per_node),
        }
    }

    fn switch_name(&self, vertex: VertexId) -> String {
        let first = self.num_domains() * self.domain_vertices();
        let switch = vertex.get() - first;
        let kind = self.kind(vertex);
        if let FabricShape::Tree(tree) = self.fabric() {
            return format!("switch {}", tree.switches[at(switch)].name);
        }
        if let FabricShape::Torus(torus) = self.fabric() {
            let [x, y, z] = super::fabric::coordinates(torus.dimensions, switch);
            return format!("router ({x}, {y}, {z})");
        }
        let position = (first..vertex.get())
            .filter(|&other| self.kind(VertexId::new(other)) == kind)
            .count();
        match (self.laid(), kind) {
            (Laid::Clos(clos), VertexKind::Leaf) if clos.leaves_per_block() > 1 => {
                let leaves = clos.leaves_per_block();
                let position = number(position);
                format!("block {} rail {} leaf", position / leaves, position % leaves)
            }
            (_, VertexKind::Border) => match self.fabric() {
                FabricShape::Clos(shape) if position < shape.sites.len() => {
                    format!("border of {}", shape.sites[position].name)
                }
                _ => format!("border {position}"),
            },
            (_, _) => format!("{} {position}", kind.name()),
        }
    }
}
