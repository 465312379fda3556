//! Leaves, spines and cores: the fat tree, rail-optimised or not, at one site or several.

mod way;

use orrery_units::{BytesPerSec, SimDuration};

use super::{Cabling, Ports};
use crate::cluster::link::{LinkKind, VertexKind, Wire, at, number};
use crate::cluster::topology::BlueprintFault;

/// Which leaf a NIC plugs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// NIC `i` of every node of a block on leaf `i` of that block (rail-optimised).
    Rails,
    /// All NICs of a node on the one leaf of its block.
    Nodes,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What people call it.
    pub name: String,
    /// Nodes at it, following those of the site before.
    pub num_nodes: u32,
}

/// A cable between two sites.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideAreaLink {
    /// One site, by its position.
    pub from: u32,
    /// The other.
    pub to: u32,
    /// How much it carries, one way.
    pub capacity: BytesPerSec,
    /// Time that it adds to a message.
    pub latency: SimDuration,
}

/// A fat tree of two or three levels.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosShape {
    /// Which leaf a NIC plugs into.
    pub wiring: Wiring,
    /// Nodes whose NICs share their leaves.
    pub nodes_per_block: u32,
    /// Spines above a leaf; each has one link to it. One spine is one fat link per leaf: what packet spraying
    /// makes of them.
    pub num_spines: u32,
    /// Capacity into a full leaf over capacity out of it.
    pub oversubscription: f64,
    /// Blocks under the spines of one pod; absent when all blocks share their spines (two levels).
    pub blocks_per_pod: Option<u32>,
    /// Cores above a spine, at three levels.
    pub num_cores: u32,
    /// Capacity into a spine over capacity out of it, at three levels.
    pub pod_oversubscription: f64,
    /// Time that a link between switches adds.
    pub switch_latency: SimDuration,
    /// Sites; none means one.
    pub sites: Vec<Site>,
    /// Cables between sites.
    pub wide_area: Vec<WideAreaLink>,
}

/// A fat tree that is laid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clos {
    leaf_of_nic: Vec<u32>,
    leaves_per_block: u32,
    nodes_per_block: u32,
    leaves_per_pod: u32,
    num_spines: u32,
    num_cores: u32,
    sites: Vec<Grounds>,
    /// Next site on the way from one to another, `from * sites + to`.
    next_site: Vec<Option<u32>>,
}

/// Where the switches of a site are numbered from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grounds {
    first_node: u32,
    num_nodes: u32,
    first_leaf: u32,
    first_spine: u32,
    first_core: u32,
    border: u32,
}

impl ClosShape {
    /// Capacity from one half of `num_nodes` nodes to the other, one way, when the halves are whole pods (or
    /// whole blocks at two levels): the narrowest stage of the half.
    ///
    /// `nodes / 2 · node / (oversubscription · pod oversubscription)`. 64 nodes of 8 x 50 GB/s at 2:1 have
    /// 32 · 400 / 2 = 6.4 TB/s. Ignores a last block that is not full.
    #[must_use]
    pub fn bisection(&self, num_nodes: u32, node: BytesPerSec) -> BytesPerSec {
        let pods = if self.blocks_per_pod.is_some() {
            self.pod_oversubscription.max(1.0)
        } else {
            1.0
        };
        node.scaled(f64::from(num_nodes / 2) / (self.oversubscription.max(1.0) * pods))
    }

    pub(in crate::cluster::fabric) fn lay(
        &self,
        ports: &Ports<'_>,
        cabling: &mut Cabling,
    ) -> Result<Clos, BlueprintFault> {
        self.check(ports)?;
        let leaf_of_nic: Vec<u32> = ports
            .nics
            .iter()
            .map(|&(rail, _)| if self.wiring == Wiring::Rails { rail } else { 0 })
            .collect();
        let leaves_per_block = if self.wiring == Wiring::Rails {
            ports.num_rails
        } else {
            1
        };
        let mut clos = Clos {
            leaf_of_nic,
            leaves_per_block,
            nodes_per_block: self.nodes_per_block,
            leaves_per_pod: self
                .blocks_per_pod
                .map_or(u32::MAX, |blocks| blocks * leaves_per_block),
            num_spines: self.num_spines,
            num_cores: if self.blocks_per_pod.is_some() {
                self.num_cores
            } else {
                0
            },
            sites: Vec::new(),
            next_site: Vec::new(),
        };
        let whole = [Site {
            name: String::new(),
            num_nodes: ports.num_nodes,
        }];
        let mut first_node = 0;
        for site in if self.sites.is_empty() {
            &whole[..]
        } else {
            &self.sites
        } {
            clos.build_site(self, ports, (first_node, site.num_nodes), cabling);
            first_node += site.num_nodes;
        }
        self.join_sites(&mut clos, cabling);
        Ok(clos)
    }

    /// The same fabric with the spines of each leaf as one, and the cores of each spine as one: what adaptive
    /// routing and packet spraying make of them while no cable is lost. Stages keep their capacity; routes are
    /// short, where equal splitting over 32 spines of 32 cores has 2,000 links.
    #[must_use]
    pub fn sprayed(&self) -> Self {
        Self {
            num_spines: 1,
            num_cores: self.num_cores.min(1),
            ..self.clone()
        }
    }

    fn check(&self, ports: &Ports<'_>) -> Result<(), BlueprintFault> {
        let fault = |message: String, help: &str| Err(BlueprintFault::new(message, help));
        if self.nodes_per_block == 0 || self.num_spines == 0 || self.blocks_per_pod == Some(0) {
            return fault(
                "a fat tree has no nodes, spines or blocks somewhere".to_owned(),
                "make each count at least 1",
            );
        }
        if self.blocks_per_pod.is_some() && self.num_cores == 0 {
            return fault(
                "three levels need cores".to_owned(),
                "set at least one core above each spine",
            );
        }
        if !(self.oversubscription >= 1.0 && self.pod_oversubscription >= 1.0) {
            return fault(
                format!(
                    "oversubscription {} is below 1",
                    self.oversubscription.min(self.pod_oversubscription)
                ),
                "1 is non-blocking; 2 halves the capacity out of a switch",
            );
        }
        let at_sites: u32 = self.sites.iter().map(|site| site.num_nodes).sum();
        if !self.sites.is_empty() && at_sites != ports.num_nodes {
            return fault(
                format!("the sites hold {at_sites} nodes, the cluster {}", ports.num_nodes),
                "let the nodes of the sites add up to those of the cluster",
            );
        }
        let known = number(self.sites.len());
        match self
            .wide_area
            .iter()
            .find(|link| link.from.max(link.to) >= known || link.from == link.to)
        {
            Some(link) => fault(
                format!(
                    "a wide-area link joins sites {} and {} of {known}",
                    link.from, link.to
                ),
                "sites are numbered from 0, and a link joins two of them",
            ),
            None => Ok(()),
        }
    }

    fn join_sites(&self, clos: &mut Clos, cabling: &mut Cabling) {
        for link in &self.wide_area {
            let (from, to) = (clos.sites[at(link.from)].border, clos.sites[at(link.to)].border);
            cabling.cable(
                from,
                to,
                Wire::new(LinkKind::WideArea, link.capacity, link.latency),
            );
        }
        let count = number(clos.sites.len());
        clos.next_site = (0..count)
            .flat_map(|from| (0..count).map(move |to| (from, to)))
            .map(|(from, to)| next_site(&self.wide_area, count, from, to))
            .collect();
    }

    /// What the borders of a site carry together.
    fn wide_area_rate(&self, site: u32) -> Option<BytesPerSec> {
        let touches = self
            .wide_area
            .iter()
            .filter(|link| link.from == site || link.to == site);
        let sum: f64 = touches.map(|link| link.capacity.get()).sum();
        (sum > 0.0).then(|| BytesPerSec::new(sum))
    }
}

/// The next site on a way of fewest wide-area links from `from` to `to`.
fn next_site(links: &[WideAreaLink], count: u32, from: u32, to: u32) -> Option<u32> {
    let mut distance = vec![None; at(count)];
    distance[at(to)] = Some(0u32);
    for _ in 0..count {
        for link in links {
            for (one, other) in [(link.from, link.to), (link.to, link.from)] {
                let nearer = distance[at(other)].map(|hops| hops + 1);
                if nearer.is_some() && distance[at(one)].is_none_or(|known| nearer < Some(known)) {
                    distance[at(one)] = nearer;
                }
            }
        }
    }
    let here = distance[at(from)]?;
    let neighbours = links.iter().filter_map(|link| match link {
        link if link.from == from => Some(link.to),
        link if link.to == from => Some(link.from),
        _ => None,
    });
    let mut nearer: Vec<u32> = neighbours
        .filter(|&site| distance[at(site)].is_some_and(|hops| hops + 1 == here))
        .collect();
    nearer.sort_unstable();
    nearer.first().copied()
}

impl Clos {
    fn build_site(
        &mut self,
        shape: &ClosShape,
        ports: &Ports<'_>,
        (first_node, num_nodes): (u32, u32),
        cabling: &mut Cabling,
    ) {
        let site = number(self.sites.len());
        let leaves = num_nodes.div_ceil(self.nodes_per_block) * self.leaves_per_block;
        let pods = leaves.div_ceil(self.leaves_per_pod);
        let border_rate = shape.wide_area_rate(site);
        let has_spines = leaves > 1 || border_rate.is_some();
        let grounds = Grounds {
            first_node,
            num_nodes,
            first_leaf: cabling.switches(VertexKind::Leaf, leaves),
            first_spine: cabling.switches(
                VertexKind::Spine,
                if has_spines { pods * self.num_spines } else { 0 },
            ),
            first_core: cabling.switches(
                VertexKind::Core,
                if has_spines {
                    self.num_spines * self.num_cores
                } else {
                    0
                },
            ),
            border: cabling.switches(VertexKind::Border, u32::from(border_rate.is_some())),
        };
        self.sites.push(grounds);
        let nics_per_node = number(ports.nics.len());
        for node in first_node..first_node + num_nodes {
            for (nic, &(_, wire)) in (0..nics_per_node).zip(ports.nics) {
                let port = node * nics_per_node + nic;
                cabling.cable(port, self.under(port, site).leaf, wire);
            }
        }
        if has_spines {
            self.build_spines(shape, ports, (site, leaves, pods), cabling);
        }
        if let Some(rate) = border_rate {
            let wire = Wire::new(LinkKind::Border, rate, shape.switch_latency);
            let (first, count) = if self.num_cores > 0 {
                (grounds.first_core, self.num_spines * self.num_cores)
            } else {
                (grounds.first_spine, self.num_spines)
            };
            for top in first..first + count {
                cabling.cable(top, grounds.border, wire);
            }
        }
    }

    fn build_spines(
        &self,
        shape: &ClosShape,
        ports: &Ports<'_>,
        (site, leaves, pods): (u32, u32, u32),
        cabling: &mut Cabling,
    ) {
        let grounds = self.sites[at(site)];
        let uplink = |leaf: u32| self.uplink(shape, ports, leaf % self.leaves_per_block);
        for leaf in 0..leaves {
            let first = grounds.first_spine + leaf / self.leaves_per_pod * self.num_spines;
            let wire = uplink(leaf);
            for spine in first..first + self.num_spines {
                cabling.cable(grounds.first_leaf + leaf, spine, wire);
            }
        }
        if self.num_cores == 0 {
            return;
        }
        // A spine is built for a full pod: its uplinks do not shrink with a pod that is not full.
        let down: f64 = (0..self.leaves_per_pod)
            .map(|leaf| uplink(leaf).capacity.get())
            .sum();
        let up = down / (shape.pod_oversubscription * f64::from(self.num_cores));
        let wire = Wire::new(LinkKind::SpineCore, BytesPerSec::new(up), shape.switch_latency);
        for spine in 0..pods * self.num_spines {
            let first = grounds.first_core + spine % self.num_spines * self.num_cores;
            for core in first..first + self.num_cores {
                cabling.cable(grounds.first_spine + spine, core, wire);
            }
        }
    }

    /// The link from leaf `leaf` of a full block to one spine.
    fn uplink(&self, shape: &ClosShape, ports: &Ports<'_>, leaf: u32) -> Wire {
        let mine = self
            .leaf_of_nic
            .iter()
            .zip(ports.nics)
            .filter(|(on, _)| **on == leaf);
        let down: f64 = mine.map(|(_, (_, wire))| wire.capacity.get()).sum();
        // A rail on which no NIC is keeps a nominal wire: the rate of any port.
        let down = if down > 0.0 {
            down
        } else {
            ports.nics[0].1.capacity.get()
        };
        let full = down * f64::from(self.nodes_per_block);
        let up = full / (shape.oversubscription * f64::from(self.num_spines));
        Wire::new(LinkKind::LeafSpine, BytesPerSec::new(up), shape.switch_latency)
    }
}
