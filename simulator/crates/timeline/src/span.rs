//! Spans and counters of chosen lanes, as columns.

use orrery_units::{Bytes, Evidence, Flops, IndexVec, KindId, LaneId, SimDuration, SimTime};

use crate::KindTable;

/// The position of a span in a [`Timeline`].
pub type SpanId = u32;

/// The layer of what belongs to none, such as the head of a model.
pub const NO_LAYER: u32 = u32::MAX;

/// A lane that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneInfo {
    /// Who it belongs to, such as `rank 17`.
    pub program: String,
    /// What it is, such as `compute`.
    pub name: String,
}

/// One span, as read from the columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The lane, an index into [`Timeline::lanes`].
    pub lane: LaneId,
    /// What it was.
    pub kind: KindId,
    /// When it began.
    pub start: SimTime,
    /// How long it ran.
    pub duration: SimDuration,
    /// The step it belongs to.
    pub step: u16,
    /// The domain's label: (major, minor), a layer and a microbatch in training. The major part may be [`NO_LAYER`].
    pub tag: (u32, u32),
    /// The span whose end released it, if that one was recorded too.
    pub released_by: Option<SpanId>,
    /// Operations done.
    pub flops: Flops,
    /// Bytes moved.
    pub bytes: Bytes,
    /// What its duration rests on.
    pub evidence: Evidence,
}

/// A step function of time, such as memory held.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// What it counts, such as `memory`.
    pub name: String,
    /// Whose, such as `rank 17`.
    pub program: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// (instant, value from then on), in order.
    pub points: Vec<(SimTime, f64)>,
}

/// Spans of chosen lanes, in order of their end; columns, so that a viewer can take a million.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Lanes that were recorded, numbered from 0 here whatever their number in the run.
    pub lanes: IndexVec<LaneId, LaneInfo>,
    /// Kinds.
    pub kinds: KindTable,
    /// Counters.
    pub counters: Vec<Counter>,
    /// Spans that did not fit the budget.
    pub dropped: u64,
    pub(crate) lane: Vec<LaneId>,
    pub(crate) kind: Vec<KindId>,
    pub(crate) start: Vec<SimTime>,
    pub(crate) duration: Vec<SimDuration>,
    pub(crate) step: Vec<u16>,
    pub(crate) tag: Vec<(u32, u32)>,
    pub(crate) released_by: Vec<Option<SpanId>>,
    pub(crate) flops: Vec<Flops>,
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) evidence: Vec<Evidence>,
}

impl Timeline {
    /// The number of spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// Span number `id`.
    ///
    /// # Panics
    /// When there is no such span.
    #[must_use]
    pub fn span(&self, id: SpanId) -> Span {
        let at = id as usize;
        Span {
            lane: self.lane[at],
            kind: self.kind[at],
            start: self.start[at],
            duration: self.duration[at],
            step: self.step[at],
            tag: self.tag[at],
            released_by: self.released_by[at],
            flops: self.flops[at],
            bytes: self.bytes[at],
            evidence: self.evidence[at],
        }
    }

    /// All spans in order.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        (0..self.len())
            .map(|at| self.span(SpanId::try_from(at).expect("a timeline has fewer than 2^32 spans")))
    }
}
