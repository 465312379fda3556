//! Spans and counters of the chosen programs and steps.

use orrery_taskgraph::Resources;
use orrery_timeline::{Span, Timeline, TimelineBuilder};
use orrery_units::{IndexVec, LaneId, ProgramId, SimTime};

use crate::RecordPolicy;
use crate::lane::NONE;
use crate::record::Slot;
use crate::tally::amounts;

/// The recorder for eyes.
#[derive(Debug)]
pub(crate) struct Recorder {
    builder: TimelineBuilder,
    steps: std::ops::Range<u16>,
    /// Whether the slowest program is still to be chosen.
    choosing: bool,
    /// Counter of each program's memory; `None` when the program is not recorded.
    memory: IndexVec<ProgramId, Option<usize>>,
    /// The number of each lane in the timeline.
    lanes: IndexVec<LaneId, LaneId>,
}

impl Recorder {
    pub(crate) fn new(policy: &RecordPolicy, resources: &Resources) -> Self {
        let mut recorder = Self {
            builder: TimelineBuilder::new(policy.kinds.clone(), policy.span_budget),
            steps: policy.steps.clone(),
            choosing: policy.add_slowest,
            memory: IndexVec::filled(None, resources.programs.len()),
            lanes: IndexVec::filled(LaneId::default(), resources.lanes.len()),
        };
        for &program in &policy.programs {
            recorder.add_program(program, resources);
        }
        recorder
    }

    /// Records `program` from now on.
    pub(crate) fn add_program(&mut self, program: ProgramId, resources: &Resources) {
        if self.memory[program].is_some() {
            return;
        }
        let name = &resources.programs[program];
        for (id, lane) in resources.lanes.iter_enumerated() {
            if lane.program == program {
                self.lanes[id] = self.builder.add_lane(name, lane.name);
            }
        }
        self.memory[program] = Some(self.builder.add_counter(name, "memory", "B"));
    }

    /// The first recorded step, once, when a task of `step` is the first to reach it and the slowest
    /// program is to be added.
    #[inline]
    pub(crate) fn chooses_at(&mut self, step: u16) -> Option<u16> {
        if !self.choosing || step < self.steps.start {
            return None;
        }
        self.choosing = false;
        Some(self.steps.start)
    }

    /// Whether spans of `program` in `step` are kept.
    #[inline]
    pub(crate) fn wants(&self, program: ProgramId, step: u16) -> bool {
        self.steps.contains(&step) && self.memory[program].is_some()
    }

    /// Adds the span of a completed task; gives its number, or [`NONE`] beyond the budget.
    pub(crate) fn complete(&mut self, lane: LaneId, slot: &Slot, now: SimTime) -> u32 {
        let Slot { record, mark, detail } = slot;
        let (flops, bytes) = amounts(&record.work);
        let span = Span {
            lane: self.lanes[lane],
            kind: mark.kind,
            start: mark.start,
            duration: now - mark.start,
            step: record.step,
            tag: (detail.tag.major, detail.tag.minor),
            released_by: Some(mark.released_by).filter(|&span| span != NONE),
            flops,
            bytes,
            evidence: record.evidence,
        };
        self.builder.add(span).unwrap_or(NONE)
    }

    /// Notes what `program` holds from `now` on.
    pub(crate) fn memory(&mut self, program: ProgramId, now: SimTime, held: i64) {
        if let Some(counter) = self.memory[program] {
            #[expect(clippy::cast_precision_loss, reason = "exact below 9 PB")]
            self.builder.count(counter, now, held as f64);
        }
    }

    pub(crate) fn finish(self) -> Timeline {
        self.builder.finish()
    }
}
