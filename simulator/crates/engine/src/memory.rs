//! Memory held by programs: now, and at its peak.
//!
//! Nothing in a run waits for memory, and the next change is nearly always one of another program, whose pool is far away:
//! changes are written down in order and applied later, many at a time, when a processor can fetch several pools at once.

use orrery_taskgraph::MemoryChange;
use orrery_timeline::{MemoryPeak, MemoryTotals};
use orrery_units::{Bytes, IndexVec, ProgramId, SimTime};

use crate::fetch::{send_for, take_each};
use crate::recorder::Recorder;

/// Most causes that memory is kept apart by.
pub(crate) const CAUSES: usize = 16;

/// Changes that are written down before they are applied: as many as stay near the processor.
const WRITTEN: usize = 1024;

/// Memory of all programs.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: Vec<Pool>,
    /// Changes that are not applied yet, in order.
    written: Vec<Written>,
}

/// A change that is to be applied.
#[derive(Clone, Copy, Debug)]
struct Written {
    at: SimTime,
    change: MemoryChange,
    program: u32,
    step: u16,
    /// Whether what is held then is recorded.
    is_recorded: bool,
}

impl Pools {
    pub(crate) fn new(programs: usize) -> Self {
        Self {
            pools: vec![Pool::default(); programs],
            written: Vec::with_capacity(WRITTEN),
        }
    }

    /// Writes down a change of what `program` holds; says whether it is time to apply what was written.
    #[inline]
    pub(crate) fn write(
        &mut self,
        (program, step): (u32, u16),
        change: MemoryChange,
        at: SimTime,
        is_recorded: bool,
    ) -> bool {
        self.written.push(Written {
            at,
            change,
            program,
            step,
            is_recorded,
        });
        self.written.len() >= WRITTEN
    }

    /// Applies what was written.
    ///
    /// # Panics
    /// When a program gives back more of a cause than it took: a bug in the driver.
    pub(crate) fn apply(&mut self, recorder: &mut Recorder) {
        take_each(
            &self.written,
            &mut (&mut self.pools, recorder),
            |(pools, recorder), written| {
                pools[written.program as usize].send_for(written.change);
                if written.is_recorded {
                    recorder.send_for_memory(ProgramId::new(written.program));
                }
            },
            |(pools, recorder), written| {
                let held = pools[written.program as usize].apply(written.change, written.at, written.step);
                if written.is_recorded {
                    recorder.memory(ProgramId::new(written.program), written.at, held);
                }
            },
        );
        self.written.clear();
    }

    /// What is reported of `causes` causes.
    pub(crate) fn totals(&self, causes: usize) -> IndexVec<ProgramId, MemoryTotals> {
        self.pools.iter().map(|pool| pool.totals(causes)).collect()
    }
}

/// Memory of one program; what every change asks for comes first, on two cache lines.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
struct Pool {
    total: i64,
    peak: i64,
    peak_at: SimTime,
    peak_step: u16,
    held: [i64; CAUSES],
    peak_held: [i64; CAUSES],
}

impl Pool {
    /// Sends for what `change` will ask for.
    #[inline]
    fn send_for(&self, change: MemoryChange) {
        send_for(&self.total);
        send_for(&self.held[usize::from(change.cause())]);
    }

    /// Applies `change` at `now` in `step` and returns what is held then.
    ///
    /// # Panics
    /// When a cause gives back more than it took: a bug in the driver.
    fn apply(&mut self, change: MemoryChange, now: SimTime, step: u16) -> i64 {
        let held = &mut self.held[usize::from(change.cause())];
        *held += change.bytes();
        assert!(
            *held >= 0,
            "memory cause {} gave back {} bytes more than it took",
            change.cause(),
            -*held
        );
        self.total += change.bytes();
        if self.total > self.peak {
            self.peak = self.total;
            self.peak_at = now;
            self.peak_step = step;
            self.peak_held = self.held;
        }
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
