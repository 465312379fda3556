//! What the solver is asked: who crosses which links, how much it has to move, and how fast at most.

use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, Factor};

/// Work that crosses links: one flow, or one collective as a single activity over all of its ports.
///
/// A collective loads every port in proportion to its own progress; its `crossings` hold the bytes put on
/// each port per byte of progress, best with 1 at its busiest port, so that a fair share means bytes per
/// second there.
#[derive(Clone, Copy, Debug)]
pub struct Activity<'a> {
    /// Handed back when the activity ends.
    pub owner: u32,
    /// What it has to move.
    pub work: Bytes,
    /// Its fastest rate; `None` when only the links limit it.
    pub bound: Option<BytesPerSec>,
    /// Its share against others on a full link: at 2 it gets twice the rate of one at 1.
    pub share: Factor,
    /// How many like activities it stands for: it loads its links so much more.
    pub multiplicity: u32,
    /// The links, each once, with positive weights; at least one when there is no bound.
    pub crossings: &'a [PathUse],
}

impl<'a> Activity<'a> {
    /// One flow of `work` over `crossings`, of share 1 and without a bound.
    #[must_use]
    pub const fn new(owner: u32, work: Bytes, crossings: &'a [PathUse]) -> Self {
        Self {
            owner,
            work,
            bound: None,
            share: Factor::ONE,
            multiplicity: 1,
            crossings,
        }
    }

    /// The same, never faster than `bound`.
    #[must_use]
    pub const fn bounded(mut self, bound: BytesPerSec) -> Self {
        self.bound = Some(bound);
        self
    }

    /// What it puts on a link of weight `weight` per byte per second of level (rate over share).
    pub(super) fn load(&self, weight: f64) -> f64 {
        weight * f64::from(self.multiplicity) * self.share.get()
    }

    /// Its bound as a level; infinite when there is none.
    pub(super) fn highest_level(&self) -> f64 {
        self.bound
            .map_or(f64::INFINITY, |bound| bound.get() / self.share.get())
    }

    /// Checks what the solver relies on.
    pub(super) fn assert_sound(&self) {
        assert!(self.multiplicity > 0, "an activity stands for one at least");
        assert!(
            self.bound.is_some() || !self.crossings.is_empty(),
            "something limits an activity"
        );
        let positive = |usage: &PathUse| usage.weight > 0.0 && usage.weight.is_finite();
        assert!(
            self.crossings.iter().all(positive),
            "the weight of a crossing is a positive number"
        );
    }
}
