//! Bytes per link of a set of messages: what each link carries, which is busiest, who talks to whom.

use std::collections::BTreeMap;

use orrery_units::{Bytes, DeviceId, LinkId, SimDuration};

use super::fault::Health;
use super::link::at;
use super::route::{Route, Router, Unreachable};
use super::topology::Topology;

/// The devices of a job, in the order of its ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The name of the job.
    pub job: String,
    /// The device of each rank.
    pub devices: Vec<DeviceId>,
}

/// A link and what it carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkLoad {
    /// The link.
    pub link: LinkId,
    /// What it carries.
    pub bytes: Bytes,
    /// How long it takes for that alone; absent when it is down.
    pub time: Option<SimDuration>,
}

/// Bytes per link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkLoads {
    bytes: Vec<f64>,
    between_nodes: BTreeMap<(u32, u32), Bytes>,
    route: Route,
    flows: u64,
}

impl Placement {
    /// `count` devices from `first` on.
    #[must_use]
    pub fn packed(job: &str, first: u32, count: u32) -> Self {
        Self::strided(job, first, count, 1)
    }

    /// `count` devices from `first` on, `stride` apart.
    #[must_use]
    pub fn strided(job: &str, first: u32, count: u32, stride: u32) -> Self {
        Self {
            job: job.to_owned(),
            devices: (0..count)
                .map(|rank| DeviceId::new(first + rank * stride))
                .collect(),
        }
    }
}

impl LinkLoads {
    /// Nothing on any link.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        Self {
            bytes: vec![0.0; at(topology.num_links())],
            between_nodes: BTreeMap::new(),
            route: Route::default(),
            flows: 0,
        }
    }

    /// Adds a message; each is a flow of its own where hashing decides.
    ///
    /// # Errors
    /// When no way is left; nothing is added then.
    pub fn add(
        &mut self,
        router: &mut Router<'_>,
        from: DeviceId,
        to: DeviceId,
        bytes: Bytes,
    ) -> Result<(), Unreachable> {
        let mut route = std::mem::take(&mut self.route);
        let found = router.route(from, to, self.flows, &mut route);
        if found.is_ok() {
            self.flows += 1;
            for hop in &route.hops {
                self.bytes[hop.link.index()] += hop.share * bytes.as_f64();
            }
            let nodes = (router.topology().node_of(from), router.topology().node_of(to));
            *self.between_nodes.entry(nodes).or_insert(Bytes::ZERO) += bytes;
        }
        self.route = route;
        found
    }

    /// Adds the messages of a job, given between its ranks.
    ///
    /// # Errors
    /// The first pair of ranks between which no way is left; those before it stay added.
    ///
    /// # Panics
    /// When a rank is not one of the job's.
    pub fn add_job(
        &mut self,
        router: &mut Router<'_>,
        placement: &Placement,
        messages: impl IntoIterator<Item = (u32, u32, Bytes)>,
    ) -> Result<(), Unreachable> {
        messages.into_iter().try_for_each(|(from, to, bytes)| {
            let (from, to) = (placement.devices[at(from)], placement.devices[at(to)]);
            self.add(router, from, to, bytes)
        })
    }

    /// What a link carries, rounded up.
    #[must_use]
    pub fn bytes(&self, link: LinkId) -> Bytes {
        // Shares such as 1/3 leave dust that is no byte.
        Bytes::from_f64((self.bytes[link.index()] - 1e-3).max(0.0))
    }

    /// Links that carry anything, the longest busy first, of equals the lower number; at most `count`. A link that
    /// is down and still loaded comes before all.
    #[must_use]
    pub fn busiest(&self, topology: &Topology, health: &Health, count: usize) -> Vec<LinkLoad> {
        let mut loads: Vec<LinkLoad> = (0u32..)
            .zip(&self.bytes)
            .filter(|(_, bytes)| **bytes > 0.0)
            .map(|(link, &bytes)| {
                let link = LinkId::new(link);
                let time = health
                    .capacity(topology, link)
                    .map(|rate| SimDuration::from_secs(bytes / rate.get()));
                LinkLoad {
                    link,
                    bytes: self.bytes(link),
                    time,
                }
            })
            .collect();
        loads.sort_by_key(|load| {
            (
                std::cmp::Reverse(load.time.unwrap_or(SimDuration::MAX)),
                load.link,
            )
        });
        loads.truncate(count);
        loads
    }

    /// The least time in which the links can carry all: that of the busiest, which messages that start at once
    /// reach when nothing but links holds them back.
    ///
    /// `max over links of bytes / capacity`. 1 GB over one 50 GB/s NIC is 20 ms. Absent when a loaded link is
    /// down.
    #[must_use]
    pub fn bound(&self, topology: &Topology, health: &Health) -> Option<SimDuration> {
        let busiest = self.busiest(topology, health, 1);
        busiest.first().map_or(Some(SimDuration::ZERO), |load| load.time)
    }

    /// Bytes between nodes, `((from, to), bytes)`, in order; messages inside a node stand on the diagonal.
    pub fn between_nodes(&self) -> impl Iterator<Item = ((u32, u32), Bytes)> + '_ {
        self.between_nodes.iter().map(|(&nodes, &bytes)| (nodes, bytes))
    }

    /// Adds the loads of another job on the same topology.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.bytes.iter_mut().zip(&other.bytes) {
            *mine += theirs;
        }
        for (&nodes, &bytes) in &other.between_nodes {
            *self.between_nodes.entry(nodes).or_insert(Bytes::ZERO) += bytes;
        }
        self.flows += other.flows;
    }

    /// Links that both carry something on: where two jobs meet.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Vec<LinkId> {
        let both = self.bytes.iter().zip(&other.bytes);
        (0u32..)
            .zip(both)
            .filter(|(_, (mine, theirs))| **mine > 0.0 && **theirs > 0.0)
            .map(|(link, _)| LinkId::new(link))
            .collect()
    }
}
