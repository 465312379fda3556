//! Which links of the cluster each rank's transfers load, and with how many bytes per byte of theirs.
//!
//! A ring leaves a node through each of the NICs of its ranks in turn, as NCCL's channels do: of `g` ranks on a
//! node, each puts `1 / g` of its traffic on the network and `(g - 1) / g` on the scale-up links. An expert
//! exchange spreads over all peers as its dispatcher does under an even load; what a hot rank moves more goes the
//! same ways. Links that every path loads alike become one: they carry the same bytes at every instant.

mod install;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use orrery_scenario::cluster::{
    Faults, HashVersion, Health, LinkKind, Policy, Route, Router, Spreading, Topology,
};
use orrery_scenario::plan::Contention;
use orrery_units::{BytesPerSec, DeviceId, LinkId, Seed, SimDuration};

use crate::cost::ExchangePorts;

pub use install::{Cable, Wired};

/// Bytes on links per byte of a transfer.
type Loads = BTreeMap<LinkId, f64>;

/// Bytes from one device to another per byte of a transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Who sends.
    pub from: DeviceId,
    /// Who receives.
    pub to: DeviceId,
    /// Bytes between them per byte of the transfer.
    pub weight: f64,
}

/// One path as it is laid.
#[derive(Debug, Default)]
struct Way {
    loads: Loads,
    pairs: Vec<Pair>,
    /// Time on wide-area links, which no measurement of a cluster holds.
    detour: SimDuration,
}

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
    paths: Vec<Way>,
}

/// Number of a path among those laid; [`Wired::path`] tells what it became.
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

    /// A ring over `ranks`, each of which never moves more than `peak`: one path for each. Data goes round it
    /// `rounds` times (2 in an all-reduce, else 1), and over every wide-area link of it as often.
    ///
    /// A port carries no more than it can of a collective that was measured alone (a tree or the switches of the
    /// nodes may spare it some): weights of ports are at most capacity over `peak`.
    ///
    /// # Panics
    /// When two of the devices do not reach each other; those of a plan do.
    pub fn ring(&mut self, ranks: &[u32], peak: BytesPerSec, rounds: u32) -> Vec<Laid> {
        self.group += 1;
        let nodes = self.by_domain(ranks);
        let mut ways = ways(ranks.len());
        for (at, node) in nodes.iter().enumerate() {
            let (count, across) = (share(node.len()), nodes.len() > 1);
            let inside = if across { (count - 1.0) / count } else { 1.0 };
            let next_node = &nodes[(at + 1) % nodes.len()];
            for (place, &member) in node.iter().enumerate() {
                let own = &mut ways[member];
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
        let far: SimDuration = nodes.iter().map(|node| ways[node[0]].detour).sum();
        for own in &mut ways {
            own.detour = far * u64::from(rounds);
            for (&link, weight) in &mut own.loads {
                if is_port(self.topology.wire(link).kind) {
                    *weight = weight.min(self.topology.wire(link).capacity.get() / peak.get());
                }
            }
        }
        self.keep(ways)
    }

    /// An exchange among `ranks` that puts `ports` on the ports of each: one path for each.
    ///
    /// # Panics
    /// When two of the devices do not reach each other; those of a plan do.
    pub fn exchange(&mut self, ranks: &[u32], ports: &[ExchangePorts]) -> Vec<Laid> {
        self.group += 1;
        let nodes = self.by_domain(ranks);
        let mut ways = ways(ranks.len());
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
                        self.pass((member, peer), ranks, bytes, &moved, &mut ways);
                    }
                }
                for &peer in node.iter().filter(|&&peer| peer != member) {
                    let bytes = out.node_out.as_f64() / share(node.len() - 1);
                    self.pass((member, peer), ranks, bytes, &moved, &mut ways);
                }
            }
        }
        self.keep(ways)
    }

    /// A message from one rank to another.
    ///
    /// # Panics
    /// When they do not reach each other; those of a plan do.
    pub fn message(&mut self, from: u32, to: u32) -> Laid {
        self.group += 1;
        let mut own = Way::default();
        self.send(from, to, 1.0, &mut own);
        self.keep(vec![own])[0]
    }

    fn keep(&mut self, ways: Vec<Way>) -> Vec<Laid> {
        let first = self.paths.len();
        self.paths.extend(ways);
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

    /// Time that the route found last spends between sites; the mean where it takes several ways.
    fn detour(&self) -> SimDuration {
        let hops = self.route.hops.iter();
        let far = hops.map(|hop| (self.topology.wire(hop.link), hop.share));
        far.filter(|(wire, _)| wire.kind == LinkKind::WideArea)
            .map(|(wire, share)| wire.latency.scaled(share))
            .sum()
    }

    /// Loads the way from one rank to another on the sender.
    fn send(&mut self, from: u32, to: u32, weight: f64, own: &mut Way) {
        own.pairs.push(Pair {
            from: DeviceId::new(from),
            to: DeviceId::new(to),
            weight,
        });
        self.find(from, to);
        own.detour = own.detour.max(self.detour());
        for hop in &self.route.hops {
            *own.loads.entry(hop.link).or_default() += hop.share * weight;
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
        ways: &mut [Way],
    ) {
        if bytes <= 0.0 {
            return;
        }
        for member in [sender, receiver] {
            // Who sends and who receives each answer for half of it: what either moves more shows.
            ways[member].pairs.push(Pair {
                from: DeviceId::new(ranks[sender]),
                to: DeviceId::new(ranks[receiver]),
                weight: 0.5 * bytes / moved[member],
            });
        }
        self.find(ranks[sender], ranks[receiver]);
        let detour = self.detour();
        for member in [sender, receiver] {
            ways[member].detour = ways[member].detour.max(detour);
        }
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
            *ways[member].loads.entry(hop.link).or_default() += hop.share * bytes / moved[member];
        }
    }
}

fn ways(count: usize) -> Vec<Way> {
    std::iter::repeat_with(Way::default).take(count).collect()
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
