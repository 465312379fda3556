//! What joins the domains: switches and the cables between them, and how traffic picks its way.
//!
//! A fabric sees ports, numbered through all domains, and switches, numbered after them. Each shape lays its
//! cables once and then knows, without a table, which links lead from one port to another.

mod clos;
mod dragonfly;
mod torus;
mod tree;

use super::choose::Chooser;
use super::link::{Edges, VertexKind, Wire};
use super::topology::BlueprintFault;

pub(super) use clos::Clos;
pub use clos::{ClosShape, Site, WideAreaLink, Wiring};
pub use dragonfly::DragonflyShape;
pub use torus::TorusShape;
pub(super) use torus::coordinates;
pub use tree::{SwitchTree, TreeSwitch};

/// How the domains are joined.
#[derive(Clone, Debug, PartialEq)]
pub enum FabricShape {
    /// Not at all: one domain.
    None,
    /// Leaves, spines and perhaps cores, at one site or several.
    Clos(ClosShape),
    /// A torus of two or three dimensions.
    Torus(TorusShape),
    /// Groups of routers.
    Dragonfly(DragonflyShape),
    /// A tree of switches, as batch systems describe it.
    Tree(SwitchTree),
}

/// What the fabric plugs into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports<'a> {
    /// Nodes.
    pub(super) num_nodes: u32,
    /// Rail and wire of the NICs of each node.
    pub(super) nics: &'a [(u32, Wire)],
    /// Rails.
    pub(super) num_rails: u32,
}

/// Cables over ports and switches; what a shape lays.
#[derive(Debug)]
pub(super) struct Cabling {
    pub(super) num_ports: u32,
    pub(super) switches: Vec<VertexKind>,
    pub(super) cables: Vec<(u32, u32, Wire)>,
}

/// A fabric that is laid.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Laid {
    None,
    Clos(Clos),
    Torus(torus::Torus),
    Dragonfly(dragonfly::Dragonfly),
    Tree(tree::Tree),
}

/// One step of a route inside the fabric: an edge and the share of the traffic that takes it.
pub(super) type Step = (u32, f64);

/// What a path through the fabric asks while it is picked.
pub(super) struct Way<'a> {
    pub(super) edges: &'a Edges,
    /// Whether an edge carries anything.
    pub(super) alive: &'a dyn Fn(u32) -> bool,
    pub(super) chooser: Chooser,
}

impl Cabling {
    pub(super) fn new(num_ports: u32) -> Self {
        Self {
            num_ports,
            switches: Vec::new(),
            cables: Vec::new(),
        }
    }

    /// Adds `count` switches and returns the first.
    pub(super) fn switches(&mut self, kind: VertexKind, count: u32) -> u32 {
        let first = self.num_ports + super::link::number(self.switches.len());
        self.switches.extend((0..count).map(|_| kind));
        first
    }

    pub(super) fn cable(&mut self, one: u32, other: u32, wire: Wire) {
        self.cables.push((one, other, wire));
    }
}

impl FabricShape {
    /// Lays the cables.
    pub(super) fn lay(&self, ports: &Ports<'_>, cabling: &mut Cabling) -> Result<Laid, BlueprintFault> {
        match self {
            Self::None => Ok(Laid::None),
            Self::Clos(shape) => shape.lay(ports, cabling).map(Laid::Clos),
            Self::Torus(shape) => shape.lay(ports, cabling).map(Laid::Torus),
            Self::Dragonfly(shape) => shape.lay(ports, cabling).map(Laid::Dragonfly),
            Self::Tree(shape) => shape.lay(ports, cabling).map(Laid::Tree),
        }
    }
}

impl Laid {
    /// Steps from port `from` to port `to` onto `steps`; false when the rule of the shape finds no live way.
    pub(super) fn route(&self, way: &Way<'_>, from: u32, to: u32, steps: &mut Vec<Step>) -> bool {
        match self {
            Self::None => false,
            Self::Clos(clos) => clos.route(way, from, to, steps),
            Self::Torus(torus) => torus.route(way, from, to, steps),
            Self::Dragonfly(dragonfly) => dragonfly.route(way, from, to, steps),
            Self::Tree(tree) => tree.route(way, from, to, steps),
        }
    }
}

impl Way<'_> {
    /// The edge from `from` to `to`, if it is there and carries.
    pub(super) fn step(&self, from: u32, to: u32) -> Option<u32> {
        let edge = self.edges.find(from, to)?;
        (self.alive)(edge).then_some(edge)
    }

    /// Steps of the whole traffic along `vertices`; false, with nothing added, when a link is down.
    pub(super) fn walk(&self, vertices: &[u32], share: f64, steps: &mut Vec<Step>) -> bool {
        let before = steps.len();
        for pair in vertices.windows(2) {
            let Some(edge) = self.step(pair[0], pair[1]) else {
                steps.truncate(before);
                return false;
            };
            steps.push((edge, share));
        }
        true
    }
}
