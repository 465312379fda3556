//! Which links of the cluster each rank's transfers load, and with how many bytes per byte of theirs.
//!
//! A ring leaves a node through each of the NICs of its ranks in turn, as NCCL's channels do: of `g` ranks on a
//! node, each puts `1 / g` of its traffic on the network and `(g - 1) / g` on the scale-up links. An expert
//! exchange spreads over all peers as its dispatcher does under an even load; what a hot rank moves more goes the
//! same ways. Links that every path loads alike become one: they carry the same bytes at every instant.

use std::collections::BTreeMap;

use orrery_scenario::cluster::{
    Faults, HashVersion, Health, LinkKind, Policy, Route, Router, Spreading, Topology,
};
use orrery_scenario::plan::Contention;
use orrery_taskgraph::{CapacityChange, PathUse, Resources};
use orrery_units::{BytesPerSec, DeviceId, LinkId, PathId, Seed, SimTime};

use crate::cost::ExchangePorts;

/// Bytes on links per byte of a transfer.
type Loads = BTreeMap<LinkId, f64>;

/// Paths of transfers over the links of a cluster, as they are laid.
#[derive(Debug)]
pub struct Wires<'a> {
    topology: &'a Topology,
    health: &'a Health,
    faults: &'a Faults,
    router: Router<'a>,
    route: Route,
    /// Told apart where hashing decides: the connections of one group keep to their paths.
    group: u64,
    paths: Vec<Loads>,
}

/// Number of a path among those laid; [`Wires::install`] makes it one of the resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Laid(usize);

impl<'a> Wires<'a> {
    /// Nothing laid yet on `topology`, which is in `health` for good; `seed` decides where hashing does.
    #[must_use]
    pub fn new(topology: &'a Topology, health: &'a Health, contention: &'a Contention, seed: Seed) -> Self {
        let spreading = contention
            .queue_pairs
            .map_or(Spreading::Adaptive, |queue_pairs| Spreading::Ecmp {
                seed,
                version: HashVersion::default(),
                queue_pairs,
            });
        let policy = Policy {
            spreading,
            cross_rail: contention.cross_rail,
        };
        Self {
            topology,
            health,
            faults: &contention.faults,
            router: Router::new(topology, health, policy),
            route: Route::default(),
            group: 0,
            paths: Vec::new(),
        }
    }

    /// A ring over `ranks`, each of which never moves more than `peak`: one path for each.
    ///
    /// A port carries no more than it can of a collective that was measured alone (a tree or the switches of the
    /// nodes may spare it some): weights of ports are at most capacity over `peak`.
    ///
    /// # Panics
    /// When two of the devices do not reach each other; those of a plan do.
    pub fn ring(&mut self, ranks: &[u32], peak: BytesPerSec) -> Vec<Laid> {
        self.group += 1;
        let nodes = self.by_domain(ranks);
        let mut loads = vec![Loads::new(); ranks.len()];
        for (at, node) in nodes.iter().enumerate() {
            let (count, across) = (share(node.len()), nodes.len() > 1);
            let inside = if across { (count - 1.0) / count } else { 1.0 };
            let next_node = &nodes[(at + 1) % nodes.len()];
            for (place, &member) in node.iter().enumerate() {
                let own = &mut loads[member];
                if node.len() > 1 {
                    let next = node[(place + 1) % node.len()];
                    self.send(ranks[member], ranks[next], inside, own);
                }
                if across {
                    let peer = next_node[place % next_node.len()];
                    self.send(ranks[member], ranks[peer], 1.0 / count, own);
                }
            }
        }
        for own in &mut loads {
            for (&link, weight) in own.iter_mut() {
                if is_port(self.topology.wire(link).kind) {
                    *weight = weight.min(self.topology.wire(link).capacity.get() / peak.get());
                }
            }
        }
        self.keep(loads)
    }

    /// An exchange among `ranks` that puts `ports` on the ports of each: one path for each.
    ///
    /// # Panics
    /// When two of the devices do not reach each other; those of a plan do.
    pub fn exchange(&mut self, ranks: &[u32], ports: &[ExchangePorts]) -> Vec<Laid> {
        self.group += 1;
        let nodes = self.by_domain(ranks);
        let mut loads = vec![Loads::new(); ranks.len()];
        let moved: Vec<f64> = ports
            .iter()
            .map(|ports| ports.moved().as_f64().max(1.0))
            .collect();
        for (at, node) in nodes.iter().enumerate() {
            for (place, &member) in node.iter().enumerate() {
                let out = &ports[member];
                for (other, peers) in nodes.iter().enumerate() {
                    if other != at {
                        let peer = peers[place % peers.len()];
                        let bytes = out.network_out.as_f64() / share(nodes.len() - 1);
                        self.pass((member, peer), ranks, bytes, &moved, &mut loads);
                    }
                }
                for &peer in node.iter().filter(|&&peer| peer != member) {
                    let bytes = out.node_out.as_f64() / share(node.len() - 1);
                    self.pass((member, peer), ranks, bytes, &moved, &mut loads);
                }
            }
        }
        self.keep(loads)
    }

    /// A message from one rank to another.
    ///
    /// # Panics
    /// When they do not reach each other; those of a plan do.
    pub fn message(&mut self, from: u32, to: u32) -> Laid {
        self.group += 1;
        let mut own = Loads::new();
        self.send(from, to, 1.0, &mut own);
        self.keep(vec![own])[0]
    }

    /// Puts what was laid into `resources`: links, how they change, and a path for each [`Laid`], in order.
    pub fn install(self, resources: &mut Resources) -> Vec<PathId> {
        let classes = self.classes();
        let mut class_of: BTreeMap<LinkId, LinkId> = BTreeMap::new();
        for links in &classes {
            let capacity = |link: &LinkId| {
                self.health
                    .capacity(self.topology, *link)
                    .map_or(0.0, BytesPerSec::get)
            };
            let narrowest = links
                .iter()
                .copied()
                .min_by(|a, b| capacity(a).total_cmp(&capacity(b)));
            let Some(narrowest) = narrowest else { continue };
            let name = self.topology.link_name(narrowest);
            let name = match links.len() {
                1 => name,
                more => format!("{name} (and {} that carry the same)", more - 1),
            };
            let id = resources.add_link(name, BytesPerSec::new(capacity(&narrowest)));
            class_of.extend(links.iter().map(|&link| (link, id)));
        }
        for change in self.faults.changes(self.topology) {
            if let Some(&link) = class_of.get(&change.link)
                && change.at > SimTime::ZERO
            {
                let capacity = self.topology.wire(change.link).capacity.get() * change.left.get();
                resources.changes.push(CapacityChange {
                    at: change.at,
                    link,
                    capacity: BytesPerSec::new(capacity),
                });
            }
        }
        let path = |loads: &Loads| {
            let mut uses: Vec<PathUse> = Vec::with_capacity(loads.len());
            for (link, &weight) in loads {
                let link = class_of[link];
                if !uses.iter().any(|known| known.link == link) {
                    uses.push(PathUse { link, weight });
                }
            }
            uses
        };
        self.paths
            .iter()
            .map(|loads| resources.add_path(path(loads)))
            .collect()
    }

    /// Links that every path loads alike and that never change, together; all others alone.
    fn classes(&self) -> Vec<Vec<LinkId>> {
        let changing: Vec<LinkId> = self
            .faults
            .changes(self.topology)
            .iter()
            .filter(|change| change.at > SimTime::ZERO)
            .map(|change| change.link)
            .collect();
        let mut columns: BTreeMap<LinkId, Vec<(usize, u64)>> = BTreeMap::new();
        for (path, loads) in self.paths.iter().enumerate() {
            for (&link, weight) in loads {
                columns.entry(link).or_default().push((path, weight.to_bits()));
            }
        }
        let mut alike: BTreeMap<Vec<(usize, u64)>, Vec<LinkId>> = BTreeMap::new();
        let mut alone = Vec::new();
        for (link, column) in columns {
            if changing.contains(&link) {
                alone.push(vec![link]);
            } else {
                alike.entry(column).or_default().push(link);
            }
        }
        let mut classes: Vec<Vec<LinkId>> = alike.into_values().chain(alone).collect();
        classes.sort_unstable_by_key(|links| links[0]);
        classes
    }

    fn keep(&mut self, loads: Vec<Loads>) -> Vec<Laid> {
        let first = self.paths.len();
        self.paths.extend(loads);
        (first..self.paths.len()).map(Laid).collect()
    }

    /// Members of `ranks`, by position, of each scale-up domain.
    fn by_domain(&self, ranks: &[u32]) -> Vec<Vec<usize>> {
        let mut domains: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
        for (member, &rank) in ranks.iter().enumerate() {
            let vertex = self.topology.device(DeviceId::new(rank));
            domains
                .entry(self.topology.domain_of(vertex))
                .or_default()
                .push(member);
        }
        domains.into_values().collect()
    }

    fn find(&mut self, from: u32, to: u32) {
        let (from, to) = (DeviceId::new(from), DeviceId::new(to));
        self.router
            .route(from, to, self.group, &mut self.route)
            .expect("a plan's devices reach each other");
    }

    /// Loads the way from one rank to another on the sender.
    fn send(&mut self, from: u32, to: u32, weight: f64, own: &mut Loads) {
        self.find(from, to);
        for hop in &self.route.hops {
            *own.entry(hop.link).or_default() += hop.share * weight;
        }
    }

    /// Loads the way of `bytes` from one member to another: on the sender, but at the ports of the receiver on
    /// him, for what he receives is what makes him hot.
    fn pass(
        &mut self,
        (sender, receiver): (usize, usize),
        ranks: &[u32],
        bytes: f64,
        moved: &[f64],
        loads: &mut [Loads],
    ) {
        if bytes <= 0.0 {
            return;
        }
        self.find(ranks[sender], ranks[receiver]);
        let device = |member: usize| self.topology.device(DeviceId::new(ranks[member]));
        let home = self.topology.domain_of(device(receiver));
        let inside = home == self.topology.domain_of(device(sender));
        let last = self.route.hops.len() - 1;
        for (place, hop) in self.route.hops.iter().enumerate() {
            let (_, end) = self.topology.ends(hop.link);
            let arrives = if inside {
                place == last && last > 0
            } else {
                self.topology.domain_of(end) == home
            };
            let member = if arrives { receiver } else { sender };
            *loads[member].entry(hop.link).or_default() += hop.share * bytes / moved[member];
        }
    }
}

impl Laid {
    /// Its path, once [`Wires::install`] has given them.
    ///
    /// # Panics
    /// When `paths` are of other wires.
    #[must_use]
    pub fn path(self, paths: &[PathId]) -> PathId {
        paths[self.0]
    }
}

/// Whether a link is one device's or one NIC's own.
const fn is_port(kind: LinkKind) -> bool {
    matches!(
        kind,
        LinkKind::ScaleUp | LinkKind::ChipToChip | LinkKind::Pcie | LinkKind::HostBridge | LinkKind::Nic
    )
}

fn share(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use orrery_scenario::cluster::{
        Blueprint, ClosShape, CrossRail, FabricShape, NodeShape, ScaleUp, Wiring,
    };
    use orrery_units::{Bytes, SimDuration};

    use super::*;

    /// Four nodes of two devices, NVLink of 100 GB/s, NICs of 10 GB/s, two nodes to a block, two spines.
    fn contention(oversubscription: f64) -> Contention {
        let node = NodeShape {
            num_devices: 2,
            scale_up: ScaleUp::Switch {
                port: BytesPerSec::new(100e9),
                nodes: 1,
            },
            scale_up_latency: SimDuration::from_nanos(600),
            num_nics: 2,
            nic: BytesPerSec::new(10e9),
            nic_latency: SimDuration::from_nanos(2700),
            pcie: BytesPerSec::new(60e9),
            devices_per_switch: 2,
            num_sockets: 1,
        };
        Contention {
            blueprint: Blueprint {
                domain: node.domain(),
                num_nodes: 4,
                fabric: FabricShape::Clos(ClosShape {
                    wiring: Wiring::Rails,
                    nodes_per_block: 2,
                    num_spines: 2,
                    oversubscription,
                    blocks_per_pod: None,
                    num_cores: 1,
                    pod_oversubscription: 1.0,
                    switch_latency: SimDuration::from_nanos(300),
                    sites: Vec::new(),
                    wide_area: Vec::new(),
                }),
                assumptions: Vec::new(),
            },
            queue_pairs: None,
            cross_rail: CrossRail::Pxn,
            faults: Faults::default(),
        }
    }

    /// What `lay` puts on the links of `contention`, by name: weights summed over all paths, and the links.
    fn laid(
        contention: &Contention,
        lay: impl Fn(&mut Wires<'_>) -> Vec<Laid>,
    ) -> (BTreeMap<String, f64>, Resources) {
        let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
        let health = contention.faults.lasting(&topology);
        let mut wires = Wires::new(&topology, &health, contention, Seed::new(1));
        let count = lay(&mut wires).len();
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (&link, weight) in wires.paths.iter().flatten() {
            *sums.entry(topology.link_name(link)).or_default() += weight;
        }
        let mut resources = Resources::new();
        assert_eq!(wires.install(&mut resources).len(), count, "a path for each");
        (sums, resources)
    }

    /// The name of a link without how many others carry the same.
    fn own_name(link: &orrery_taskgraph::Link) -> &str {
        link.name.split(" (").next().unwrap_or_default()
    }

    /// By hand: each of two ranks on a node puts half of its ring on NVLink and half on its NIC; of the two
    /// nodes of a block one has its next node in the other, so that half a ring leaves, over two spines.
    #[test]
    fn a_ring_leaves_a_node_by_every_nic_in_turn() {
        let everybody: Vec<u32> = (0..8).collect();
        let (sums, _) = laid(&contention(1.0), |wires| {
            wires.ring(&everybody, BytesPerSec::new(10e9))
        });
        assert!((sums["node 0 device 0 -> node 0 scale-up switch"] - 0.5).abs() < 1e-12);
        assert!((sums["node 0 NIC 0 -> block 0 rail 0 leaf"] - 0.5).abs() < 1e-12);
        let up = [0, 1].map(|spine| sums[&format!("block 0 rail 0 leaf -> spine {spine}")]);
        assert!(up.iter().all(|weight| (weight - 0.25).abs() < 1e-12), "{sums:?}");
    }

    /// A collective that was measured at 12 GB/s a rank, half of it over a NIC of 10 GB/s, fits; at 40 GB/s the
    /// weight is cut so that it fits still. A shared uplink is not spared.
    #[test]
    fn what_was_measured_alone_fits_its_ports() {
        let everybody: Vec<u32> = (0..8).collect();
        for peak in [12e9, 40e9] {
            let (sums, resources) = laid(&contention(8.0), |wires| {
                wires.ring(&everybody, BytesPerSec::new(peak))
            });
            for link in resources
                .links
                .iter()
                .filter(|link| link.name.starts_with("node"))
            {
                let load = sums[own_name(link)] * peak;
                assert!(
                    load <= link.capacity.get() * (1.0 + 1e-12),
                    "{} at {load}",
                    link.name
                );
            }
            let uplink = resources
                .links
                .iter()
                .find(|link| link.name.starts_with("block 0 rail 0 leaf -> spine"));
            let uplink = uplink.expect("it is loaded");
            let load = sums[own_name(uplink)] * peak;
            assert!(peak < 20e9 || load > uplink.capacity.get(), "{load}");
        }
    }

    /// What ports are asked for is what they get: bytes on NICs and NVLinks add up to those of the exchange.
    #[test]
    fn an_exchange_puts_its_bytes_on_its_ports() {
        let ranks: Vec<u32> = (0..8).collect();
        let ports = vec![
            ExchangePorts {
                network_out: Bytes::new(600),
                network_in: Bytes::new(600),
                node_out: Bytes::new(400),
                node_in: Bytes::new(400),
            };
            8
        ];
        let (sums, _) = laid(&contention(1.0), |wires| wires.exchange(&ranks, &ports));
        for name in [
            "node 2 NIC 1 -> block 1 rail 1 leaf",
            "block 1 rail 1 leaf -> node 2 NIC 1",
        ] {
            assert!((sums[name] - 0.6).abs() < 1e-12, "{name}: {sums:?}");
        }
        assert!(
            (sums["node 3 device 1 -> node 3 scale-up switch"] - 0.4).abs() < 1e-12,
            "{sums:?}"
        );
    }

    #[test]
    fn links_that_carry_the_same_become_one_and_changing_ones_stay_alone() {
        let mut contention = contention(1.0);
        let all = |wires: &mut Wires<'_>| vec![wires.message(0, 4)];
        let (_, merged) = laid(&contention, all);
        // Up the PCIe and the NIC together; both spines together; down again with the way up.
        assert_eq!(merged.links.len(), 2, "{:?}", merged.links);
        let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
        let nic = topology.vertex_named("node 0 NIC 0").expect("it is there");
        let cable = topology.out(nic).last().expect("it has a cable");
        contention.faults.faults.push(orrery_scenario::cluster::Fault {
            place: orrery_scenario::cluster::Place::Link(cable),
            left: orrery_units::Ratio::clamped(0.5),
            windows: vec![orrery_scenario::cluster::Window {
                from: SimTime::from_picos(5),
                until: SimTime::from_picos(9),
            }],
        });
        let (_, apart) = laid(&contention, all);
        assert_eq!(
            (apart.links.len(), apart.changes.len()),
            (3, 2),
            "{:?}",
            apart.links
        );
    }
}
