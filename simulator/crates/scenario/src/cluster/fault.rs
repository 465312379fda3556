//! What is wrong with links, as data, and what it leaves of each link at an instant.

use orrery_units::{BytesPerSec, DeviceId, LinkId, Ratio, SimDuration, SimTime};

use super::link::VertexId;
use super::topology::Topology;

/// What a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One direction of a cable.
    Link(LinkId),
    /// A cable, both ways, named by either direction.
    Cable(LinkId),
    /// A NIC: its cable into the fabric, both ways.
    Nic {
        /// The node.
        node: u32,
        /// The NIC, counted in the node.
        nic: u32,
    },
    /// A vertex with every cable at it, such as a switch.
    Vertex(VertexId),
}

/// A span of time, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from: SimTime,
    /// When it ends.
    pub until: SimTime,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What it befalls.
    pub place: Place,
    /// Share of the capacity that is left; 0 is down.
    pub left: Ratio,
    /// When, in order; none means always.
    pub windows: Vec<Window>,
}

/// The faults of a run. Where several befall a link, it keeps the product of their shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// The faults.
    pub faults: Vec<Fault>,
}

/// What is left of links at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Links that are not whole, in order.
    hurt: Vec<(LinkId, f64)>,
    num_lost: usize,
}

/// A change of the capacity of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapacityChange {
    /// When.
    pub at: SimTime,
    /// Which link.
    pub link: LinkId,
    /// Share of its capacity from then on.
    pub left: Ratio,
}

impl Fault {
    /// Something that carries nothing.
    #[must_use]
    pub const fn lost(place: Place) -> Self {
        Self::degraded(place, Ratio::ZERO)
    }

    /// Something that carries the share `left`.
    #[must_use]
    pub const fn degraded(place: Place, left: Ratio) -> Self {
        Self {
            place,
            left,
            windows: Vec::new(),
        }
    }

    /// A NIC that is slow.
    #[must_use]
    pub const fn slow_nic(node: u32, nic: u32, left: Ratio) -> Self {
        Self::degraded(Place::Nic { node, nic }, left)
    }

    /// Something that is down in `windows`.
    #[must_use]
    pub const fn flapping(place: Place, windows: Vec<Window>) -> Self {
        Self {
            place,
            left: Ratio::ZERO,
            windows,
        }
    }
}

impl Window {
    /// `count` windows of length `down`, `period` apart, from `first` on.
    #[must_use]
    pub fn periodic(first: SimTime, down: SimDuration, period: SimDuration, count: u32) -> Vec<Self> {
        let mut windows = Vec::new();
        let mut from = first;
        for _ in 0..count {
            windows.push(Self {
                from,
                until: from + down,
            });
            from += period;
        }
        windows
    }
}

impl Faults {
    /// What is left for good: faults that come and go are left out, since routes are laid once.
    #[must_use]
    pub fn lasting(&self, topology: &Topology) -> Health {
        let lasting = self.faults.iter().filter(|fault| fault.windows.is_empty());
        let faults = lasting.cloned().collect();
        Self { faults }.health(topology, SimTime::ZERO)
    }

    /// What is left at instant `at`.
    #[must_use]
    pub fn health(&self, topology: &Topology, at: SimTime) -> Health {
        let mut hurt: Vec<(LinkId, f64)> = Vec::new();
        for fault in &self.faults {
            let now = |window: &Window| window.from <= at && at < window.until;
            if fault.windows.is_empty() || fault.windows.iter().any(now) {
                let links = fault.place.links(topology);
                hurt.extend(links.into_iter().map(|link| (link, fault.left.get())));
            }
        }
        hurt.sort_by_key(|&(link, _)| link);
        let mut merged: Vec<(LinkId, f64)> = Vec::with_capacity(hurt.len());
        for (link, left) in hurt {
            match merged.last_mut().filter(|last| last.0 == link) {
                Some(last) => last.1 *= left,
                None => merged.push((link, left)),
            }
        }
        let num_lost = merged.iter().filter(|hurt| hurt.1 <= 0.0).count();
        Health {
            hurt: merged,
            num_lost,
        }
    }

    /// Every change of a capacity over time, in order of time and link: what is not whole at the beginning, and
    /// each begin and end of a window.
    #[must_use]
    pub fn changes(&self, topology: &Topology) -> Vec<CapacityChange> {
        let windows = self.faults.iter().flat_map(|fault| &fault.windows);
        let mut instants: Vec<SimTime> = windows.flat_map(|window| [window.from, window.until]).collect();
        instants.push(SimTime::ZERO);
        instants.sort_unstable();
        instants.dedup();
        let mut changes = Vec::new();
        let mut before = Health::default();
        for at in instants {
            let now = self.health(topology, at);
            let mut links: Vec<LinkId> = before.hurt.iter().chain(&now.hurt).map(|hurt| hurt.0).collect();
            links.sort_unstable();
            links.dedup();
            for link in links {
                let left = now.left(link);
                if left != before.left(link) {
                    changes.push(CapacityChange { at, link, left });
                }
            }
            before = now;
        }
        changes
    }
}

impl Health {
    /// Share of its capacity that a link has.
    #[must_use]
    pub fn left(&self, link: LinkId) -> Ratio {
        if self.hurt.is_empty() {
            return Ratio::ONE;
        }
        let found = self.hurt.binary_search_by_key(&link, |&(hurt, _)| hurt);
        found.map_or(Ratio::ONE, |position| Ratio::clamped(self.hurt[position].1))
    }

    /// Whether a link carries anything.
    #[must_use]
    pub fn is_alive(&self, link: LinkId) -> bool {
        self.num_lost == 0 || self.left(link).get() > 0.0
    }

    /// What a link carries; absent when it is down.
    #[must_use]
    pub fn capacity(&self, topology: &Topology, link: LinkId) -> Option<BytesPerSec> {
        let left = self.left(link).get();
        (left > 0.0).then(|| topology.wire(link).capacity.scaled(left))
    }

    /// Links that are down.
    #[must_use]
    pub const fn num_lost(&self) -> usize {
        self.num_lost
    }

    /// A lost link to blame: at a NIC or device of either end if there is one, else the first.
    pub(super) fn lost_near(&self, topology: &Topology, from: DeviceId, to: DeviceId) -> Option<LinkId> {
        let domains = [from, to].map(|device| Some(topology.place(device).0));
        let near = |link: LinkId| {
            let (one, other) = topology.ends(link);
            [one, other]
                .iter()
                .any(|&vertex| domains.contains(&topology.domain_of(vertex)))
        };
        let mut lost = self.hurt.iter().filter(|hurt| hurt.1 <= 0.0).map(|hurt| hurt.0);
        lost.clone().find(|&link| near(link)).or_else(|| lost.next())
    }
}

impl Place {
    fn links(self, topology: &Topology) -> Vec<LinkId> {
        let both = |link: LinkId| [Some(link), topology.reverse(link)].into_iter().flatten();
        match self {
            Self::Link(link) => vec![link],
            Self::Cable(link) => both(link).collect(),
            Self::Nic { node, nic } => {
                let vertex = topology.nic(node, nic);
                let out = topology.out(vertex);
                out.filter(|&link| topology.wire(link).kind == super::link::LinkKind::Nic)
                    .flat_map(both)
                    .collect()
            }
            Self::Vertex(vertex) => topology.out(vertex).flat_map(both).collect(),
        }
    }
}
