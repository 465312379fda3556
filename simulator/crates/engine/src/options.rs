//! What a caller may choose about a run.

use std::ops::Range;

use orrery_timeline::KindTable;
use orrery_units::ProgramId;

/// Choices of a run; none changes what is counted, only how much is kept and when a run stops.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tasks of a program that are live (emitted, not completed) before it is no longer pulled.
    ///
    /// It must cover the tasks that a program has in flight at once: a task that is not pulled cannot start.
    pub lookahead: u32,
    /// Events after which the run is given up, if any.
    pub event_limit: Option<u64>,
    /// Most readings of what links carried that are kept, evenly over the run; none for no [`LinkSeries`].
    ///
    /// [`LinkSeries`]: crate::LinkSeries
    pub link_samples: u32,
    /// What is kept for eyes.
    pub record: RecordPolicy,
}

/// Which programs and steps are recorded span by span; totals are complete whatever stands here.
#[derive(Clone, Debug)]
pub struct RecordPolicy {
    /// Programs to record.
    pub programs: Vec<ProgramId>,
    /// Whether to record also the program that, over the steps before the first recorded one, made others
    /// wait longest (the lowest id of equals).
    pub add_slowest: bool,
    /// Steps to record.
    pub steps: Range<u16>,
    /// Most spans to keep; the rest is counted as dropped.
    pub span_budget: usize,
    /// Names and classes of the kinds.
    pub kinds: KindTable,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookahead: 64,
            event_limit: None,
            link_samples: 0,
            record: RecordPolicy::nothing(),
        }
    }
}

impl RecordPolicy {
    /// Records no span at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            programs: Vec::new(),
            add_slowest: false,
            steps: 0..0,
            span_budget: 0,
            kinds: KindTable::new(),
        }
    }

    /// Records every step of `programs`, up to `span_budget` spans.
    #[must_use]
    pub fn of(programs: Vec<ProgramId>, kinds: KindTable, span_budget: usize) -> Self {
        Self {
            programs,
            add_slowest: false,
            steps: 0..u16::MAX,
            span_budget,
            kinds,
        }
    }
}

impl Default for RecordPolicy {
    fn default() -> Self {
        Self::nothing()
    }
}
