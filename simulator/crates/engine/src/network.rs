//! The links that flows share, as the loop sees them: flows join, and the next end is one event.
//!
//! Flows on private paths never come here; their end is known when they start.

use orrery_taskgraph::{PathUse, Resources};
use orrery_units::{BytesPerSec, SimTime};

use crate::fluid::{Activity, Fluid, LinkTotals};

/// The flows under way over shared links.
#[derive(Debug)]
pub(crate) struct Network {
    fluid: Fluid,
    /// Whether flows came or went since the next end was last found.
    dirty: bool,
    /// Lanes whose flows have ended; kept to be used again.
    ended: Vec<u32>,
}

impl Network {
    pub(crate) fn new(resources: &Resources) -> Self {
        let capacities: Vec<BytesPerSec> = resources.links.iter().map(|link| link.capacity).collect();
        Self {
            fluid: Fluid::new(&capacities),
            dirty: false,
            ended: Vec::new(),
        }
    }

    /// Whether the next end may have moved.
    #[inline]
    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Adds a flow from `now` on; `activity` is owned by its lane.
    pub(crate) fn join(&mut self, activity: &Activity<'_>, now: SimTime) {
        self.fluid.start(activity, now);
        self.dirty = true;
    }

    /// When the next flow ends, as of all that came and went so far.
    pub(crate) fn next_end(&mut self) -> Option<SimTime> {
        self.dirty = false;
        self.fluid.next_completion()
    }

    /// The lanes whose flows end at `now`, in the order in which these joined; [`Network::give_back`] the list.
    pub(crate) fn take_ended(&mut self, now: SimTime) -> Vec<u32> {
        let mut ended = std::mem::take(&mut self.ended);
        self.fluid.advance(now, &mut ended);
        self.dirty = true;
        ended
    }

    /// Takes the list back.
    pub(crate) fn give_back(&mut self, mut ended: Vec<u32>) {
        ended.clear();
        self.ended = ended;
    }

    /// What every link carried until `now`.
    pub(crate) fn link_totals(&self, now: SimTime) -> Vec<LinkTotals> {
        self.fluid.link_totals(now)
    }
}

/// Whether a flow over `crossings` shares nothing with anybody.
#[inline]
pub(crate) const fn is_private(crossings: &[PathUse]) -> bool {
    crossings.is_empty()
}
