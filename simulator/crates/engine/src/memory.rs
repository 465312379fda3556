//! Memory held by programs: now, and at its peak.

use orrery_taskgraph::MemoryChange;
use orrery_timeline::{MemoryPeak, MemoryTotals};
use orrery_units::{Bytes, IndexVec, ProgramId, SimTime};

/// Most causes that memory is kept apart by.
pub(crate) const CAUSES: usize = 16;

/// Memory of one program; what every change asks for comes first, on two cache lines.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Pool {
    total: i64,
    peak: i64,
    peak_at: SimTime,
    peak_step: u16,
    held: [i64; CAUSES],
    peak_held: [i64; CAUSES],
}

impl Pool {
    /// Applies `change` at `now` in `step` and returns what is held then.
    ///
    /// # Panics
    /// When a cause gives back more than it took: a bug in the driver.
    pub(crate) fn apply(&mut self, change: MemoryChange, now: SimTime, step: u16) -> i64 {
        let held = &mut self.held[usize::from(change.cause)];
        *held += change.bytes;
        assert!(
            *held >= 0,
            "memory cause {} gave back {} bytes more than it took",
            change.cause,
            -*held
        );
        self.total += change.bytes;
        if self.total > self.peak {
            self.peak = self.total;
            self.peak_at = now;
            self.peak_step = step;
            self.peak_held = self.held;
        }
        self.total
    }

    /// What is held now.
    pub(crate) const fn held(&self) -> i64 {
        self.total
    }

    fn totals(&self, causes: usize) -> MemoryTotals {
        let bytes = |held: i64| Bytes::new(u64::try_from(held).expect("holdings are never negative"));
        MemoryTotals {
            held: self.held[..causes].to_vec(),
            peak: MemoryPeak {
                bytes: bytes(self.peak),
                at: self.peak_at,
                step: self.peak_step,
                by_cause: self.peak_held[..causes].iter().map(|&held| bytes(held)).collect(),
            },
        }
    }
}

/// What is reported of `pools`.
pub(crate) fn totals(pools: &[Pool], causes: usize) -> IndexVec<ProgramId, MemoryTotals> {
    pools.iter().map(|pool| pool.totals(causes)).collect()
}
