//! Routes from device to device, found when asked for, into the caller's buffer.

use std::fmt;

use orrery_units::{BytesPerSec, DeviceId, Key, LinkId, SimDuration};

use super::choose::{Chooser, Spreading};
use super::fabric::{FabricShape, Step, Way, Wiring};
use super::fault::Health;
use super::search::{Search, Through};
use super::topology::Topology;

/// How a message gets to a device that sits on another rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossRail {
    /// Over scale-up links to the device of its own node on the destination's rail, and out there (NCCL's PXN).
    Pxn,
    /// Out at its own NIC; the spines change the rail.
    Spine,
}

/// How routes are picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How traffic spreads over equal paths.
    pub spreading: Spreading,
    /// How it changes rail. Felt on rail-wired fat trees only.
    pub cross_rail: CrossRail,
}

/// A link of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hop {
    /// The link.
    pub link: LinkId,
    /// Bytes on the link per byte of the message: 1 on a single path.
    pub share: f64,
}

/// A route: the links in order, those of equal next hops side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// The links.
    pub hops: Vec<Hop>,
}

/// Two devices between which nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The name of the one.
    pub from: String,
    /// The name of the other.
    pub to: String,
    /// Why.
    pub reason: String,
    /// What would help.
    pub help: String,
}

/// Finds routes on one topology in one state of health.
#[derive(Debug)]
pub struct Router<'a> {
    topology: &'a Topology,
    health: &'a Health,
    policy: Policy,
    key: Option<Key>,
    changes_rail: bool,
    steps: Vec<Step>,
    search: Search,
}

impl Policy {
    /// Equal splitting and PXN: no draw decides.
    pub const ADAPTIVE: Self = Self {
        spreading: Spreading::Adaptive,
        cross_rail: CrossRail::Pxn,
    };
}

impl Route {
    /// Time that the links add: `Σ share · latency`, the mean over paths where there are several.
    #[must_use]
    pub fn latency(&self, topology: &Topology) -> SimDuration {
        let on = |hop: &Hop| hop.share * topology.wire(hop.link).latency.as_secs();
        SimDuration::from_secs(self.hops.iter().map(on).sum())
    }

    /// The fastest that one message alone goes: the least of `capacity / share`. Absent for an empty route, or
    /// when a link of it is down.
    #[must_use]
    pub fn bandwidth(&self, topology: &Topology, health: &Health) -> Option<BytesPerSec> {
        let most = |hop: &Hop| Some(health.capacity(topology, hop.link)?.get() / hop.share);
        let rates: Option<Vec<f64>> = self.hops.iter().map(most).collect();
        rates?.into_iter().reduce(f64::min).map(BytesPerSec::new)
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            reason,
            help,
        } = self;
        write!(
            f,
            "unreachable: no route from {from} to {to}: {reason}\n  = help: {help}"
        )
    }
}

impl std::error::Error for Unreachable {}

impl<'a> Router<'a> {
    /// A router.
    #[must_use]
    pub fn new(topology: &'a Topology, health: &'a Health, policy: Policy) -> Self {
        let is_rail_wired =
            matches!(topology.fabric(), FabricShape::Clos(shape) if shape.wiring == Wiring::Rails);
        Self {
            topology,
            health,
            policy,
            key: policy.spreading.key(),
            changes_rail: is_rail_wired && policy.cross_rail == CrossRail::Pxn,
            steps: Vec::new(),
            search: Search::default(),
        }
    }

    /// The topology it routes on.
    #[must_use]
    pub const fn topology(&self) -> &'a Topology {
        self.topology
    }

    /// The route of flow `flow` from `from` to `to` into `route`, whose old content is dropped; empty when both
    /// are one device. `flow` tells apart the flows of a pair where hashing decides.
    ///
    /// Rules of the shape come first; where a lost link leaves them no way, any shortest live way is taken.
    ///
    /// # Errors
    /// When no live way is left, naming both ends.
    pub fn route(
        &mut self,
        from: DeviceId,
        to: DeviceId,
        flow: u64,
        route: &mut Route,
    ) -> Result<(), Unreachable> {
        route.hops.clear();
        if from == to {
            return Ok(());
        }
        let found = if self.topology.place(from).0 == self.topology.place(to).0 {
            self.inside(from, to, route)
        } else {
            self.across(from, to, flow, route)
        };
        if found {
            return Ok(());
        }
        route.hops.clear();
        let turn = self
            .key
            .map_or(0.0, |key| key.with(flow).with(u64::from(from.get())).uniform());
        if self.search.path(
            self.topology,
            self.health,
            (from, to),
            Through::Anything,
            turn,
            route,
        ) {
            return Ok(());
        }
        Err(self.unreachable(from, to))
    }

    /// Inside a domain: the stored path.
    fn inside(&self, from: DeviceId, to: DeviceId, route: &mut Route) -> bool {
        let ((domain, from), (_, to)) = (self.topology.place(from), self.topology.place(to));
        let path = self.topology.domain().between(from, to);
        !path.is_empty() && self.push(domain, path, route)
    }

    fn across(&mut self, from: DeviceId, to: DeviceId, flow: u64, route: &mut Route) -> bool {
        let topology = self.topology;
        let ((source_domain, mut sender), (target_domain, receiver)) =
            (topology.place(from), topology.place(to));
        let (Some(mut out), Some(into)) = (topology.port_of(from), topology.port_of(to)) else {
            return false;
        };
        let rail = topology.rail_of(into);
        if self.changes_rail && topology.rail_of(out) != rail {
            let peer = topology.domain().rail_peer(sender, rail);
            if let Some((peer, nic)) = peer.and_then(|peer| Some((peer, topology.domain().own_nic(peer)?))) {
                if !self.push(source_domain, topology.domain().between(sender, peer), route) {
                    return false;
                }
                sender = peer;
                out = source_domain * super::link::number(topology.domain().nics().len()) + nic;
            }
        }
        self.push(source_domain, topology.domain().before_nic(sender), route)
            && self.fabric(out, into, flow, route)
            && self.push(target_domain, topology.domain().after_nic(receiver), route)
    }

    /// Through the fabric, once for each queue pair.
    fn fabric(&mut self, out: u32, into: u32, flow: u64, route: &mut Route) -> bool {
        let (health, first) = (self.health, self.topology.first_fabric_link());
        let alive = |edge: u32| health.is_alive(LinkId::new(first + edge));
        let queue_pairs = self.policy.spreading.num_queue_pairs();
        let pair = self
            .key
            .map(|key| key.with(out.into()).with(into.into()).with(flow));
        self.steps.clear();
        for queue_pair in 0..queue_pairs {
            let chooser = pair.map_or(Chooser::Even, |key| Chooser::Hashed(key.with(queue_pair.into())));
            let way = Way {
                edges: self.topology.fabric_edges(),
                alive: &alive,
                chooser,
            };
            if !self.topology.laid().route(&way, out, into, &mut self.steps) {
                return false;
            }
        }
        let share = 1.0 / f64::from(queue_pairs);
        for &(edge, part) in &self.steps {
            let link = LinkId::new(first + edge);
            // Queue pairs may meet on a link: it then has the sum of their shares.
            let met = if queue_pairs == 1 {
                None
            } else {
                route.hops.iter_mut().find(|hop| hop.link == link)
            };
            match met {
                Some(hop) => hop.share += part * share,
                None => route.hops.push(Hop {
                    link,
                    share: part * share,
                }),
            }
        }
        true
    }

    /// Adds a stored path of a domain; false when a link of it is down.
    fn push(&self, domain: u32, path: &[u32], route: &mut Route) -> bool {
        let base = domain * self.topology.domain_links();
        for &edge in path {
            let link = LinkId::new(base + edge);
            if !self.health.is_alive(link) {
                return false;
            }
            route.hops.push(Hop { link, share: 1.0 });
        }
        true
    }

    fn unreachable(&self, from: DeviceId, to: DeviceId) -> Unreachable {
        let topology = self.topology;
        let without = [from, to]
            .into_iter()
            .find(|&device| topology.nic_of(device).is_none());
        let is_across = topology.place(from).0 != topology.place(to).0;
        let (reason, help) = match without {
            Some(device) if is_across => (
                format!("{} has no NIC", topology.device_name(device)),
                "give its node a NIC (`cluster.node.nics.count`), or place the job inside one domain"
                    .to_owned(),
            ),
            _ => match self.health.lost_near(topology, from, to) {
                Some(link) => (
                    format!(
                        "{} link(s) are down, `{}` among them",
                        self.health.num_lost(),
                        topology.link_name(link)
                    ),
                    format!(
                        "bring `{}` back, or place the job on other nodes",
                        topology.link_name(link)
                    ),
                ),
                None => (
                    "no cable joins them".to_owned(),
                    "join their switches or sites in the fabric, or place the job on one side".to_owned(),
                ),
            },
        };
        Unreachable {
            from: topology.device_name(from),
            to: topology.device_name(to),
            reason,
            help,
        }
    }
}
