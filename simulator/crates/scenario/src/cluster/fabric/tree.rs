//! A tree of switches, as a batch system describes it: one way from any node to any other.

use orrery_units::{BytesPerSec, SimDuration};

use super::{Cabling, Ports, Step, Way};
use crate::cluster::link::{LinkKind, VertexKind, Wire, at, number};
use crate::cluster::topology::BlueprintFault;

/// A switch of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSwitch {
    /// Its name.
    pub name: String,
    /// The switch above it, by position; absent at the root.
    pub parent: Option<u32>,
}

/// A tree of switches with nodes below.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchTree {
    /// The switches, in the order of the input.
    pub switches: Vec<TreeSwitch>,
    /// The names of the nodes, in their order.
    pub nodes: Vec<String>,
    /// The switch of each node.
    pub switch_of_node: Vec<u32>,
    /// Capacity into a switch from below over capacity out of it.
    pub oversubscription: f64,
    /// Time that a link between switches adds.
    pub switch_latency: SimDuration,
}

/// A tree that is laid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    parents: Vec<Option<u32>>,
    depths: Vec<u32>,
    switch_of_node: Vec<u32>,
    nics_per_node: u32,
    first_switch: u32,
}

impl SwitchTree {
    /// Steps from the root to each switch; `None` when the switches run in a circle.
    pub(crate) fn depths(&self) -> Option<Vec<u32>> {
        let depth = |switch: usize| {
            let mut above = self.switches[switch].parent;
            let mut depth = 0;
            while let Some(parent) = above {
                depth += 1;
                if at(depth) > self.switches.len() {
                    return None;
                }
                above = self.switches[at(parent)].parent;
            }
            Some(depth)
        };
        (0..self.switches.len()).map(depth).collect()
    }

    pub(super) fn lay(&self, ports: &Ports<'_>, cabling: &mut Cabling) -> Result<Tree, BlueprintFault> {
        if self.switch_of_node.len() != at(ports.num_nodes) {
            return Err(BlueprintFault::new(
                format!(
                    "the tree of switches names {} nodes, the cluster has {}",
                    self.nodes.len(),
                    ports.num_nodes
                ),
                "set `cluster.nodes` to the nodes of the tree",
            ));
        }
        let Some(depths) = self.depths() else {
            return Err(BlueprintFault::new(
                "the switches run in a circle".to_owned(),
                "give one switch no parent",
            ));
        };
        let has_below: Vec<bool> = (0u32..)
            .zip(&self.switches)
            .map(|(number, _)| self.switches.iter().any(|switch| switch.parent == Some(number)))
            .collect();
        let first_switch = ports.num_nodes * number(ports.nics.len());
        for &inner in &has_below {
            cabling.switches(
                if inner {
                    VertexKind::Spine
                } else {
                    VertexKind::Leaf
                },
                1,
            );
        }
        let tree = Tree {
            parents: self.switches.iter().map(|switch| switch.parent).collect(),
            depths,
            switch_of_node: self.switch_of_node.clone(),
            nics_per_node: number(ports.nics.len()),
            first_switch,
        };
        for (node, &switch) in (0u32..).zip(&self.switch_of_node) {
            for (nic, &(_, wire)) in (0u32..).zip(ports.nics) {
                cabling.cable(node * tree.nics_per_node + nic, first_switch + switch, wire);
            }
        }
        self.lay_uplinks(&tree, ports, cabling);
        Ok(tree)
    }

    /// A switch has as much up as its nodes, at any depth, put in, over the oversubscription of each level.
    fn lay_uplinks(&self, tree: &Tree, ports: &Ports<'_>, cabling: &mut Cabling) {
        let node: f64 = ports.nics.iter().map(|(_, wire)| wire.capacity.get()).sum();
        let mut into = vec![0.0; self.switches.len()];
        for &switch in &self.switch_of_node {
            into[at(switch)] += node;
        }
        let mut order: Vec<u32> = (0..number(self.switches.len())).collect();
        order.sort_by_key(|&switch| std::cmp::Reverse(tree.depths[at(switch)]));
        for switch in order {
            let up = into[at(switch)] / self.oversubscription;
            if let Some(parent) = tree.parents[at(switch)].filter(|_| up > 0.0) {
                into[at(parent)] += up;
                let wire = Wire::new(LinkKind::Tree, BytesPerSec::new(up), self.switch_latency);
                cabling.cable(tree.first_switch + switch, tree.first_switch + parent, wire);
            }
        }
    }
}

impl Tree {
    pub(super) fn route(&self, way: &Way<'_>, from: u32, to: u32, steps: &mut Vec<Step>) -> bool {
        let switch = |port: u32| self.switch_of_node[at(port / self.nics_per_node)];
        let meeting = self.meeting(switch(from), switch(to));
        let Some(meeting) = meeting else { return false };
        let mut here = switch(from);
        if !way.walk(&[from, self.first_switch + here], 1.0, steps) {
            return false;
        }
        while here != meeting {
            let Some(above) = self.parents[at(here)] else {
                return false;
            };
            if !way.walk(&[self.first_switch + here, self.first_switch + above], 1.0, steps) {
                return false;
            }
            here = above;
        }
        self.descend(way, meeting, switch(to), steps)
            && way.walk(&[self.first_switch + switch(to), to], 1.0, steps)
    }

    /// Steps down from `from` to `to`, which stands below it.
    fn descend(&self, way: &Way<'_>, from: u32, to: u32, steps: &mut Vec<Step>) -> bool {
        let before = steps.len();
        let mut here = to;
        while here != from {
            let Some(above) = self.parents[at(here)] else {
                return false;
            };
            let Some(edge) = way.step(self.first_switch + above, self.first_switch + here) else {
                return false;
            };
            steps.push((edge, 1.0));
            here = above;
        }
        steps[before..].reverse();
        true
    }

    /// The lowest switch above both, or one of them.
    fn meeting(&self, mut one: u32, mut other: u32) -> Option<u32> {
        while one != other {
            if self.depths[at(one)] >= self.depths[at(other)] {
                one = self.parents[at(one)]?;
            } else {
                other = self.parents[at(other)]?;
            }
        }
        Some(one)
    }
}
