//! A link: its equation `capacity = fixed + weight · level`, and whether that is off.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use orrery_units::SimTime;

/// Levels closer than this share are the same: what repeated float sums may lose.
pub(super) const SAME: f64 = 1e-12;
/// The noise of a sum of loads, as a share of the capacity.
const NOISE: f64 = 1e-15;
/// Sums are formed anew after so many changes.
const DRIFT: u32 = 1 << 14;

/// Links to look at again, lowest level first.
pub(super) type Worklist = BinaryHeap<Reverse<(u64, u32)>>;

/// A link, as repair and filling see it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) capacity: f64,
    /// Load of the members that something else holds back.
    pub(super) fixed: f64,
    /// Load per level of the members held back here.
    pub(super) weight: f64,
    /// Level of the members held back here; infinite when there are none.
    pub(super) level: f64,
    /// No member held back elsewhere has a higher level.
    pub(super) fastest: f64,
    changes: u32,
    /// Members that cross another tight link too.
    pub(super) num_coupled: u32,
    /// Whether it waits in the worklist.
    pub(super) queued: bool,
}

/// What repair seldom looks at, apart so that links fill fewer cache lines.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// What every member held back here has moved, per share, since the link last held nobody.
    pub(super) moved: f64,
    pub(super) since: SimTime,
    /// No member has a lower bound.
    pub(super) least_bound: f64,
    /// Whether its entry in the completion queue is out of date.
    pub(super) stale: bool,
}

impl Clock {
    pub(super) const NEW: Self = Self {
        moved: 0.0,
        since: SimTime::ZERO,
        least_bound: f64::INFINITY,
        stale: false,
    };
}

impl Link {
    /// An idle link.
    pub(super) const fn new(capacity: f64) -> Self {
        Self {
            capacity,
            fixed: 0.0,
            weight: 0.0,
            level: f64::INFINITY,
            fastest: 0.0,
            changes: 0,
            num_coupled: 0,
            queued: false,
        }
    }

    /// Whether `capacity = fixed + weight · level` is off, or an overload holds nobody back.
    #[inline]
    pub(super) fn is_off(&self) -> bool {
        if self.capacity <= 0.0 && self.level.is_finite() {
            self.level > 0.0 || self.fastest > 0.0
        } else if self.level.is_finite() {
            let held = self.weight * self.level;
            let gap = (self.capacity - self.fixed - held).abs();
            gap > SAME * held && gap > NOISE * self.capacity
        } else {
            self.fixed > self.capacity * (1.0 + SAME)
        }
    }

    /// The level at which its equation holds.
    #[inline]
    pub(super) fn own_level(&self) -> f64 {
        if self.capacity <= 0.0 {
            return 0.0;
        }
        ((self.capacity - self.fixed) / self.weight).max(0.0)
    }

    /// Another `delta` of load from a member that now has `level`.
    #[inline]
    pub(super) fn shift(&mut self, delta: f64, level: f64) {
        self.fixed += delta;
        self.fastest = self.fastest.max(level);
        self.changes += 1;
    }

    /// Whether its sums are to be formed anew; they count as fresh from here on.
    pub(super) const fn take_drift(&mut self) -> bool {
        let drifted = self.changes >= DRIFT;
        if drifted {
            self.changes = 0;
        }
        drifted
    }
}

/// Puts a link in the worklist if it is off and not there yet.
#[inline]
pub(super) fn post(link: &mut Link, worklist: &mut Worklist, id: u32, level: f64) {
    if !link.queued && (link.is_off() || link.changes >= DRIFT) {
        link.queued = true;
        let rank = if link.level.is_finite() {
            link.level
        } else {
            level.max(0.0)
        };
        worklist.push(Reverse((rank.to_bits(), id)));
    }
}
