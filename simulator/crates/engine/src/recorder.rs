//! Spans and counters of the chosen programs and steps.

use orrery_taskgraph::Resources;
use orrery_timeline::{Span, Timeline, TimelineBuilder};
use orrery_units::{IndexVec, LaneId, ProgramId, SimTime};

use crate::RecordPolicy;
use crate::fetch::send_for;
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
        let mut lanes_of = IndexVec::filled(Vec::new(), resources.programs.len());
        for (id, lane) in resources.lanes.iter_enumerated() {
            lanes_of[lane.program].push(id);
        }
        for &program in &policy.programs {
            recorder.add_lanes(program, &lanes_of[program], resources);
        }
        recorder
    }

    /// Records `program` from now on.
    pub(crate) fn add_program(&mut self, program: ProgramId, resources: &Resources) {
        let lanes = resources.lanes.iter_enumerated();
        let own = lanes.filter(|(_, lane)| lane.program == program);
        let own: Vec<LaneId> = own.map(|(id, _)| id).collect();
        self.add_lanes(program, &own, resources);
    }

    /// Records `program`, which has these lanes.
    fn add_lanes(&mut self, program: ProgramId, lanes: &[LaneId], resources: &Resources) {
        if self.memory[program].is_some() {
            return;
        }
        let name = &resources.programs[program];
        for &id in lanes {
            self.lanes[id] = self.builder.add_lane(name, resources.lanes[id].name);
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

    /// Whether spans of `program` in `step` are kept, and there is room for one.
    #[inline]
    pub(crate) fn has_room(&self, program: ProgramId, step: u16) -> bool {
        !self.builder.is_full() && self.wants(program, step)
    }

    /// Adds the span of a completed task; gives its number, or [`NONE`] beyond the budget.
    #[inline]
    pub(crate) fn complete(&mut self, lane: LaneId, slot: &Slot, now: SimTime) -> u32 {
        if self.builder.is_full() {
            self.builder.drop_span();
            return NONE;
        }
        self.add(lane, slot, now)
    }

    fn add(&mut self, lane: LaneId, slot: &Slot, now: SimTime) -> u32 {
        let Slot { record, mark } = slot;
        let (flops, bytes) = amounts(&record.work);
        let span = Span {
            lane: self.lanes[lane],
            kind: mark.kind,
            start: mark.start,
            duration: now - mark.start,
            step: record.step,
            tag: (mark.tag.major, mark.tag.minor),
            released_by: Some(mark.released_by).filter(|&span| span != NONE),
            flops,
            bytes,
            evidence: record.evidence,
        };
        self.builder.add(span).unwrap_or(NONE)
    }

    /// Sends for what was last noted of what `program` holds.
    #[inline]
    pub(crate) fn send_for_memory(&self, program: ProgramId) {
        if let Some(last) = self.memory[program].and_then(|counter| self.builder.last_of(counter)) {
            send_for(last);
        }
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
