//! Totals: per lane, kind and step; complete whatever the span budget.
//!
//! Idle time of a lane is charged to the kind of task that released it, split at the instant at which that
//! task had all its parties: before it somebody was waited for, after it data moved. That split is what
//! separates a pipeline bubble from an exposed transfer, and imbalance from bandwidth.

use orrery_units::{Bytes, Evidence, Flops, IndexVec, KindId, LaneId, ProgramId, SimDuration, SimTime};

use crate::MemoryTotals;

/// What one kind of task did on one lane in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Tasks (multiplicity counted).
    pub count: u64,
    /// Time the lane was busy with them, contention included.
    pub busy: SimDuration,
    /// Time they would have taken alone.
    pub alone: SimDuration,
    /// Operations done.
    pub flops: Flops,
    /// Bytes moved.
    pub bytes: Bytes,
    /// Time they stood ready on this lane and waited for the other parties of their rendezvous.
    pub waited: SimDuration,
    /// Idle time of the lanes **released by** tasks of this kind, up to the instant at which the releasing
    /// task had all its parties. Recorded on the lane that was idle, under the kind that released it.
    pub idle_waiting: SimDuration,
    /// The rest of that idle time: the releasing task was running.
    pub idle_running: SimDuration,
}

/// What one lane did in one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneTotals {
    // Two columns: a search reads nothing but kinds.
    kinds: Vec<KindId>,
    cells: Vec<Cell>,
    /// Idle time at the start or that the host caused by issuing late.
    pub idle_host: SimDuration,
}

/// What one program did in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProgramTotals {
    /// When its last task of the step completed.
    pub end: SimTime,
    /// Waits of other parties that this program caused by arriving last.
    pub caused_wait: SimDuration,
    /// Tasks completed.
    pub tasks: u64,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTotals {
    /// When the last task of the step before completed; zero for the first.
    pub start: SimTime,
    /// When the last task of this step completed.
    pub end: SimTime,
    /// Per lane.
    pub lanes: IndexVec<LaneId, LaneTotals>,
    /// Per program.
    pub programs: IndexVec<ProgramId, ProgramTotals>,
    /// Busy time by evidence, in the order of [`Evidence::ALL`].
    pub evidence: [SimDuration; 4],
}

/// Everything that is counted of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Per step.
    pub steps: Vec<StepTotals>,
    /// Memory per program, over the whole run.
    pub memory: IndexVec<ProgramId, MemoryTotals>,
    /// Tasks completed over the whole run.
    pub tasks: u64,
    /// Events the engine handled.
    pub events: u64,
}

impl LaneTotals {
    /// The cell of `kind`, made if there is none.
    pub fn cell_mut(&mut self, kind: KindId) -> &mut Cell {
        // A lane sees a handful of kinds, mostly in the same order: a scan beats any map.
        let at = self.kinds.iter().position(|&k| k == kind).unwrap_or_else(|| {
            self.kinds.push(kind);
            self.cells.push(Cell::default());
            self.cells.len() - 1
        });
        &mut self.cells[at]
    }

    /// The cell of `kind`, if the lane ever saw it.
    #[must_use]
    pub fn cell(&self, kind: KindId) -> Option<&Cell> {
        self.kinds
            .iter()
            .position(|&k| k == kind)
            .map(|at| &self.cells[at])
    }

    /// All cells, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (KindId, &Cell)> {
        self.kinds.iter().copied().zip(&self.cells)
    }

    /// Time the lane was busy.
    #[must_use]
    pub fn busy(&self) -> SimDuration {
        self.cells.iter().map(|cell| cell.busy).sum()
    }
}

impl StepTotals {
    /// Totals of a step that begins at `start`, for `num_lanes` lanes and `num_programs` programs.
    #[must_use]
    pub fn new(start: SimTime, num_lanes: usize, num_programs: usize) -> Self {
        Self {
            start,
            end: start,
            lanes: IndexVec::filled(LaneTotals::default(), num_lanes),
            programs: IndexVec::filled(ProgramTotals::default(), num_programs),
            evidence: [SimDuration::ZERO; 4],
        }
    }

    /// How long the step took: from the end of the step before to its own end.
    #[must_use]
    pub fn duration(&self) -> SimDuration {
        self.end.saturating_since(self.start)
    }

    /// Busy time that rests on `evidence`.
    #[must_use]
    pub fn backed_by(&self, evidence: Evidence) -> SimDuration {
        self.evidence[evidence as usize]
    }
}
