//! Operations of a run, as they were recorded.

use orrery_timeline::{KindTable, Span, Timeline, TimelineBuilder};
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
    /// The step that it belongs to, an index into [`Recording::steps`].
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
    /// When its first operation began, on any rank.
    pub start: SimTime,
    /// When its last one ended.
    pub end: SimTime,
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
    /// two recorders differ by microseconds.
    #[must_use]
    pub fn timeline(&self, budget: usize) -> Timeline {
        let mut builder = TimelineBuilder::new(self.kinds.clone(), budget);
        for lane in self.lanes.iter() {
            builder.add_lane(&self.programs[lane.program].name, &lane.name);
        }
        let offsets = self.offsets();
        let mut order: Vec<u32> = (0..u32::try_from(self.operations.len()).unwrap_or(u32::MAX)).collect();
        let begin = |at: &u32| {
            let operation = &self.operations[*at as usize];
            (operation.step, operation.start, *at)
        };
        order.sort_unstable_by_key(begin);
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

    /// How much later than recorded each step is shown.
    fn offsets(&self) -> Vec<SimDuration> {
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
