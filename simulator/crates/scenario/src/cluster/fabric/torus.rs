//! A torus of two or three dimensions, one router per node, crossed one dimension after the other.

use orrery_units::{BytesPerSec, SimDuration};

use super::{Cabling, Ports, Step, Way};
use crate::cluster::link::{LinkKind, VertexKind, Wire, number};
use crate::cluster::topology::BlueprintFault;

/// A torus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TorusShape {
    /// Nodes along each dimension; 1 leaves a dimension out. Node `x + X · (y + Y · z)` stands at (x, y, z).
    pub dimensions: [u32; 3],
    /// One link to a neighbour, one way.
    pub link: BytesPerSec,
    /// Latency of such a link.
    pub latency: SimDuration,
}

/// A torus that is laid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Torus {
    dimensions: [u32; 3],
    nics_per_node: u32,
    first_router: u32,
}

impl TorusShape {
    /// Links on the shortest way from node `from` to node `to`: per dimension, the shorter way round.
    ///
    /// `Σ min(d, n − d)`; in a 4 x 4 x 4 torus from (0, 0, 0) to (3, 2, 1): 1 + 2 + 1 = 4.
    #[must_use]
    pub fn distance(&self, from: u32, to: u32) -> u32 {
        let (from, to) = (
            coordinates(self.dimensions, from),
            coordinates(self.dimensions, to),
        );
        let along = |axis: usize| {
            let apart = from[axis].abs_diff(to[axis]);
            apart.min(self.dimensions[axis] - apart)
        };
        (0..3).map(along).sum()
    }

    pub(super) fn lay(&self, ports: &Ports<'_>, cabling: &mut Cabling) -> Result<Torus, BlueprintFault> {
        let held = self
            .dimensions
            .iter()
            .try_fold(1u32, |held, &side| held.checked_mul(side));
        if held != Some(ports.num_nodes) {
            let [x, y, z] = self.dimensions;
            return Err(BlueprintFault::new(
                format!(
                    "a torus of {x} x {y} x {z} does not hold {} nodes",
                    ports.num_nodes
                ),
                "let the product of the dimensions be the number of nodes",
            ));
        }
        let torus = Torus {
            dimensions: self.dimensions,
            nics_per_node: number(ports.nics.len()),
            first_router: cabling.switches(VertexKind::Router, ports.num_nodes),
        };
        let wire = Wire::new(LinkKind::Torus, self.link, self.latency);
        for node in 0..ports.num_nodes {
            let router = torus.first_router + node;
            for (nic, &(_, port)) in (0u32..).zip(ports.nics) {
                cabling.cable(node * torus.nics_per_node + nic, router, port);
            }
            let here = coordinates(self.dimensions, node);
            for (axis, &side) in self.dimensions.iter().enumerate() {
                // Each node lays the cable to its next neighbour; a ring of two has one cable, not two.
                if side > 2 || (side == 2 && here[axis] == 0) {
                    let next = torus.step(here, axis, true);
                    cabling.cable(router, torus.router(next), wire);
                }
            }
        }
        Ok(torus)
    }
}

impl Torus {
    pub(super) fn route(&self, way: &Way<'_>, from: u32, to: u32, steps: &mut Vec<Step>) -> bool {
        let node = |port: u32| coordinates(self.dimensions, port / self.nics_per_node);
        let (mut here, there) = (node(from), node(to));
        if !way.walk(&[from, self.router(here)], 1.0, steps) {
            return false;
        }
        for axis in 0..3 {
            while here[axis] != there[axis] {
                let side = self.dimensions[axis];
                let ahead = (there[axis] + side - here[axis]) % side;
                // Half-way round, both ways are as long; the positive one is taken.
                let next = self.step(here, axis, ahead * 2 <= side);
                if !way.walk(&[self.router(here), self.router(next)], 1.0, steps) {
                    return false;
                }
                here = next;
            }
        }
        way.walk(&[self.router(here), to], 1.0, steps)
    }

    fn step(&self, mut from: [u32; 3], axis: usize, is_forward: bool) -> [u32; 3] {
        let side = self.dimensions[axis];
        from[axis] = (from[axis] + if is_forward { 1 } else { side - 1 }) % side;
        from
    }

    fn router(&self, [x, y, z]: [u32; 3]) -> u32 {
        self.first_router + x + self.dimensions[0] * (y + self.dimensions[1] * z)
    }
}

/// Where node `node` stands.
pub(crate) fn coordinates([x, y, _]: [u32; 3], node: u32) -> [u32; 3] {
    [node % x, node / x % y, node / (x * y)]
}
