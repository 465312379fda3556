//! What the engine keeps of a task, by how often it is asked for.
//!
//! A run goes from rank to rank, so that nearly everything it asks for is far from the processor. What is needed at
//! every turn of a task's life therefore lies on two neighbouring cache lines, what is needed once behind them.

use orrery_taskgraph::{After, Meeting, MemoryChange, Tag, Task, Work};
use orrery_units::{Evidence, KindId, LaneId, SimDuration, SimTime};
use smallvec::SmallVec;

use crate::lane::NONE;

/// What a driver said of a task that its start and its end ask for.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Record {
    pub(crate) work: Work,
    pub(crate) meeting: Option<Meeting>,
    pub(crate) multiplicity: u32,
    pub(crate) step: u16,
    pub(crate) evidence: Evidence,
    pub(crate) spins: bool,
    pub(crate) notify: bool,
    /// Whether its [`Detail`] has changes of memory.
    pub(crate) holds: bool,
}

/// What is known of a task besides what its driver said.
///
/// Kept until its place in the ring is needed, so that who waited for it can be told why it was late.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Mark {
    /// When the host issued it.
    pub(crate) issue: SimTime,
    /// When its lane was free and the last task that it waits for had completed.
    pub(crate) released: SimTime,
    /// When it stood ready: released and issued.
    pub(crate) ready: SimTime,
    /// When it started: ready, and everybody it meets had arrived.
    pub(crate) start: SimTime,
    /// Time it would have taken alone.
    pub(crate) alone: SimDuration,
    /// The task whose end released it (lane or dependency), or [`NONE`].
    pub(crate) releaser: u32,
    /// The task after it on its lane, or [`NONE`].
    pub(crate) next_in_lane: u32,
    /// Its own span in the timeline, or [`NONE`].
    pub(crate) span: u32,
    /// The span that released it, or [`NONE`].
    pub(crate) released_by: u32,
    /// Its kind, which its successors ask for after it has completed.
    pub(crate) kind: KindId,
}

/// A task in the ring of its program.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    pub(crate) record: Record,
    pub(crate) mark: Mark,
    pub(crate) detail: Detail,
}

/// What a driver said of a task that is asked for once or seldom.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) after: After,
    pub(crate) launch: SimDuration,
    pub(crate) drains_host: bool,
    pub(crate) tag: Tag,
    pub(crate) memory: SmallVec<[MemoryChange; 2]>,
}

const _: () = assert!(
    size_of::<Record>() == 64 && size_of::<Mark>() == 64,
    "a record and a mark are a cache line each"
);

impl Slot {
    /// The place of a task that is yet to come.
    pub(crate) fn empty() -> Self {
        let nothing = Work::Delay(SimDuration::ZERO);
        Self::of(Task::new(LaneId::new(0), KindId::new(0), nothing))
    }

    /// The place of `task`, of which nothing is known yet.
    #[inline]
    pub(crate) fn of(task: Task) -> Self {
        Self {
            record: Record {
                work: task.work,
                meeting: task.meeting,
                multiplicity: task.multiplicity,
                step: task.step,
                evidence: task.evidence,
                spins: task.spins,
                notify: task.notify,
                holds: !task.memory.is_empty(),
            },
            mark: Mark {
                issue: SimTime::ZERO,
                released: SimTime::ZERO,
                ready: SimTime::ZERO,
                start: SimTime::ZERO,
                alone: SimDuration::ZERO,
                releaser: NONE,
                next_in_lane: NONE,
                span: NONE,
                released_by: NONE,
                kind: task.kind,
            },
            detail: Detail {
                after: task.after,
                launch: task.launch,
                drains_host: task.drains_host,
                tag: task.tag,
                memory: task.memory,
            },
        }
    }
}
