//! A dragonfly: groups of routers joined all to all, and every pair of groups joined once; routed minimally.

use orrery_units::{BytesPerSec, SimDuration};

use super::{Cabling, Ports, Step, Way};
use crate::cluster::link::{LinkKind, VertexKind, Wire, number};
use crate::cluster::topology::BlueprintFault;

/// A dragonfly (Kim, Dally, Scott, Abts 2008), with one global link per pair of groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DragonflyShape {
    /// Groups.
    pub num_groups: u32,
    /// Routers in a group.
    pub routers_per_group: u32,
    /// Nodes on a router.
    pub nodes_per_router: u32,
    /// A link inside a group, one way.
    pub local: BytesPerSec,
    /// A link between two groups, one way.
    pub global: BytesPerSec,
    /// Latency of a link inside a group.
    pub local_latency: SimDuration,
    /// Latency of a link between groups.
    pub global_latency: SimDuration,
}

/// A dragonfly that is laid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dragonfly {
    shape: DragonflyShape,
    nics_per_node: u32,
    first_router: u32,
}

impl DragonflyShape {
    pub(super) fn lay(&self, ports: &Ports<'_>, cabling: &mut Cabling) -> Result<Dragonfly, BlueprintFault> {
        let counts = [self.num_groups, self.routers_per_group, self.nodes_per_router];
        let held = counts
            .iter()
            .try_fold(1u32, |held, &count| held.checked_mul(count));
        if held.is_none_or(|held| held < ports.num_nodes) || counts.contains(&0) {
            return Err(BlueprintFault::new(
                format!(
                    "a dragonfly of {} groups of {} routers with {} nodes each does not hold {} nodes",
                    self.num_groups, self.routers_per_group, self.nodes_per_router, ports.num_nodes
                ),
                "let groups x routers x nodes be at least the number of nodes",
            ));
        }
        let num_routers = self.num_groups * self.routers_per_group;
        let dragonfly = Dragonfly {
            shape: *self,
            nics_per_node: number(ports.nics.len()),
            first_router: cabling.switches(VertexKind::Router, num_routers),
        };
        for node in 0..ports.num_nodes {
            for (nic, &(_, wire)) in (0u32..).zip(ports.nics) {
                let router = dragonfly.first_router + node / self.nodes_per_router;
                cabling.cable(node * dragonfly.nics_per_node + nic, router, wire);
            }
        }
        let local = Wire::new(LinkKind::GroupLocal, self.local, self.local_latency);
        let global = Wire::new(LinkKind::GroupGlobal, self.global, self.global_latency);
        for group in 0..self.num_groups {
            for one in 0..self.routers_per_group {
                for other in one + 1..self.routers_per_group {
                    let router = |number| dragonfly.first_router + group * self.routers_per_group + number;
                    cabling.cable(router(one), router(other), local);
                }
            }
            for other in group + 1..self.num_groups {
                cabling.cable(dragonfly.gate(group, other), dragonfly.gate(other, group), global);
            }
        }
        Ok(dragonfly)
    }
}

impl Dragonfly {
    /// The router of `group` that holds the link to group `to`: the other groups in order after `group`, spread
    /// evenly over its routers.
    fn gate(&self, group: u32, to: u32) -> u32 {
        let groups = self.shape.num_groups;
        let order = (to + groups - group - 1) % groups;
        let per_router = (groups - 1).div_ceil(self.shape.routers_per_group).max(1);
        self.first_router + group * self.shape.routers_per_group + order / per_router
    }

    pub(super) fn route(&self, way: &Way<'_>, from: u32, to: u32, steps: &mut Vec<Step>) -> bool {
        let router = |port: u32| self.first_router + port / self.nics_per_node / self.shape.nodes_per_router;
        let group = |router: u32| (router - self.first_router) / self.shape.routers_per_group;
        let (first, last) = (router(from), router(to));
        let mut vertices = [from; 7];
        let mut len = 1;
        let mut visit = |vertex: u32| {
            if vertices[len - 1] != vertex {
                vertices[len] = vertex;
                len += 1;
            }
        };
        visit(first);
        if group(first) != group(last) {
            visit(self.gate(group(first), group(last)));
            visit(self.gate(group(last), group(first)));
        }
        visit(last);
        visit(to);
        way.walk(&vertices[..len], 1.0, steps)
    }
}
