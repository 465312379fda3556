//! Operations of a run, as they were recorded.

use orrery_timeline::{KindTable, Span, Timeline, TimelineBuilder, bounds_of_steps};
use orrery_units::{Bytes, Evidence, Flops, IndexVec, KindId, LaneId, ProgramId, SimDuration, SimTime};

/// A meeting that several operations belong to: a collective, or a message and its receipt.
pub type MeetingId = u32;

/// Who emitted operations: a rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// What people call it, such as `rank 17`.
    pub name: String,
    /// Its pipeline stage, if it is known.
    pub stage: Option<u32>,
    /// Its data-parallel rank, if it is known.
    pub replica: Option<u32>,
}

/// What ran one operation after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedLane {
    /// Whose it is.
    pub program: ProgramId,
    /// What it is, such as `stream 7` or `thread 59811`.
    pub name: String,
    /// Whether it is a lane of the host rather than of a device.
    pub is_host: bool,
}

/// The step of operations that belong to none, such as those before the first one.
pub const NO_STEP: u16 = u16::MAX;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation {
    /// Where it ran.
    pub lane: LaneId,
    /// What it was.
    pub kind: KindId,
    /// When it began.
    pub start: SimTime,
    /// How long it took, waiting for others included.
    pub duration: SimDuration,
    /// The step that it belongs to, an index into [`Recording::steps`], or [`NO_STEP`].
    pub step: u16,
    /// Labels of the trainer: (chunk, microbatch).
    pub tag: (u32, u32),
    /// The meeting that it belongs to.
    pub meeting: Option<MeetingId>,
    /// Bytes that it moved, where the recording says so.
    pub bytes: Bytes,
}

/// A step of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedStep {
    /// Its number in the trainer's count.
    pub number: u64,
    /// When the step before it ended; of the first one, and of each where steps are apart, when its first operation began
    /// on any rank.
    pub start: SimTime,
    /// When its last operation ended.
    pub end: SimTime,
}

/// Which operations do the same work, so that one may be held against the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alike {
    /// All of one kind: the recorder names what an operation is for, such as a forward pass.
    #[default]
    Kind,
    /// The n-th of one kind of each rank in each step: the recorder names what ran, such as a kernel, which serves layers
    /// of many sizes.
    Place,
}

/// What was recorded of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Ranks.
    pub programs: IndexVec<ProgramId, Program>,
    /// Lanes.
    pub lanes: IndexVec<LaneId, RecordedLane>,
    /// Kinds of operations.
    pub kinds: KindTable,
    /// Operations, those of a lane in order of their start.
    pub operations: Vec<Operation>,
    /// Pairs (operation, another one of its rank that it waits for), beside the one before it in its lane.
    pub after: Vec<(u32, u32)>,
    /// Steps in order.
    pub steps: Vec<RecordedStep>,
    /// Whether every step begins at zero anew, rather than after the one before it.
    pub steps_apart: bool,
    /// Which operations do the same work.
    pub alike: Alike,
}

impl Operation {
    /// When it ended.
    #[must_use]
    pub fn end(&self) -> SimTime {
        self.start + self.duration
    }
}

impl Recording {
    /// The rank that ran `operation`.
    #[must_use]
    pub fn program_of(&self, operation: &Operation) -> ProgramId {
        self.lanes[operation.lane].program
    }

    /// Start and end of each step if operations ran from `start(n)` to `end(n)`; see [`bounds_of_steps`].
    #[must_use]
    pub fn step_spans(
        &self,
        start: impl Fn(usize) -> SimTime,
        end: impl Fn(usize) -> SimTime,
    ) -> Vec<(SimTime, SimTime)> {
        let mut own: Vec<Option<(SimTime, SimTime)>> = vec![None; self.steps.len()];
        for (at, operation) in self.operations.iter().enumerate() {
            if let Some(span) = own.get_mut(usize::from(operation.step)) {
                let (first, last) = span.get_or_insert((start(at), end(at)));
                *first = (*first).min(start(at));
                *last = (*last).max(end(at));
            }
        }
        bounds_of_steps(own, self.steps_apart)
    }

    /// Sets the bounds of steps to those of their operations.
    pub(crate) fn bound_steps(&mut self) {
        let spans = self.step_spans(|at| self.operations[at].start, |at| self.operations[at].end());
        for (step, (start, end)) in self.steps.iter_mut().zip(spans) {
            (step.start, step.end) = (start, end);
        }
    }

    /// How operations of a lane follow each other: by their start, of each step by itself where steps are apart.
    #[must_use]
    pub fn lane_order(&self, operation: u32) -> (u16, SimTime, u32) {
        let of = &self.operations[operation as usize];
        let step = if self.steps_apart { of.step } else { 0 };
        (step, of.start, operation)
    }

    /// How many operations belong to each meeting.
    #[must_use]
    pub fn parties(&self) -> Vec<u32> {
        let mut parties = Vec::new();
        for meeting in self.operations.iter().filter_map(|operation| operation.meeting) {
            let at = meeting as usize;
            if parties.len() <= at {
                parties.resize(at + 1, 0);
            }
            parties[at] += 1;
        }
        parties
    }

    /// The recording for eyes, at most `budget` spans of it; steps that begin at zero anew follow each other.
    ///
    /// An operation that begins before the one ahead of it in its lane has ended is shown from that end on: the clocks of
    /// two recorders differ by microseconds. What belongs to no step is not shown.
    #[must_use]
    pub fn timeline(&self, budget: usize) -> Timeline {
        let mut builder = TimelineBuilder::new(self.kinds.clone(), budget);
        for lane in self.lanes.iter() {
            builder.add_lane(&self.programs[lane.program].name, &lane.name);
        }
        let offsets = self.offsets();
        let mut order: Vec<u32> = (0..u32::try_from(self.operations.len()).unwrap_or(u32::MAX)).collect();
        order.retain(|&at| self.operations[at as usize].step != NO_STEP);
        order.sort_unstable_by_key(|&at| self.lane_order(at));
        let mut ends = IndexVec::<LaneId, SimTime>::filled(SimTime::ZERO, self.lanes.len());
        for at in order {
            let operation = &self.operations[at as usize];
            let offset = offsets
                .get(usize::from(operation.step))
                .copied()
                .unwrap_or_default();
            let start = (operation.start + offset).max(ends[operation.lane]);
            let end = (operation.end() + offset).max(start);
            ends[operation.lane] = end;
            builder.add(Span {
                lane: operation.lane,
                kind: operation.kind,
                start,
                duration: end - start,
                step: operation.step,
                tag: operation.tag,
                released_by: None,
                flops: Flops::default(),
                bytes: operation.bytes,
                evidence: Evidence::Measured,
            });
        }
        builder.finish()
    }

    /// How much later than recorded each step is shown and counted: steps that begin at zero anew follow each other.
    #[must_use]
    pub fn offsets(&self) -> Vec<SimDuration> {
        if !self.steps_apart {
            return vec![SimDuration::ZERO; self.steps.len()];
        }
        let mut at = SimDuration::ZERO;
        self.steps
            .iter()
            .map(|step| {
                let mine = at;
                at += step.end - SimTime::ZERO;
                mine
            })
            .collect()
    }
}
