//! What the engine keeps of a task, by how often it is asked for.
//!
//! A run goes from rank to rank, so that nearly everything it asks for is far from the processor. What is needed at
//! every turn of a task's life therefore lies on one pair of cache lines, which a processor reads together; what few
//! tasks have, or what is asked for once, lies in rings of its own.

use orrery_taskgraph::{After, Meeting, MemoryChanges, Tag, Task, Work};
use orrery_units::{Evidence, GroupId, KindId, SimDuration, SimTime};

use crate::lane::NONE;

/// Tasks to wait for that a [`Slot`] holds; further ones are in the [`Extra`].
pub(crate) const AWAITED: usize = 3;

/// What a driver said of a task that its start and its end ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) work: Work,
    /// Whom it meets, of group [`NONE`] if nobody.
    meeting: Meeting,
    pub(crate) multiplicity: u32,
    pub(crate) step: u16,
    pub(crate) evidence: Evidence,
    flags: u8,
}

/// What is known of a task besides what its driver said.
///
/// Kept until its place in the ring is needed, so that who waited for it can be told why it was late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// When the host issued it; before that, how long the host needs to, from the beginning on.
    pub(crate) issue: SimTime,
    /// When its lane was free and the last task that it waits for had completed.
    pub(crate) released: SimTime,
    /// When it stood ready: released and issued.
    pub(crate) ready: SimTime,
    /// When it started: ready, and everybody it meets had arrived.
    pub(crate) start: SimTime,
    /// The task whose end released it (lane or dependency), or [`NONE`].
    pub(crate) releaser: u32,
    /// The task after it on its lane, or [`NONE`].
    pub(crate) next_in_lane: u32,
    /// Its own span in the timeline, or [`NONE`].
    pub(crate) span: u32,
    /// The span that released it, or [`NONE`].
    pub(crate) released_by: u32,
    /// The first tasks that it waits for besides its lane; [`NONE`] after the last.
    pub(crate) after: [u32; AWAITED],
    /// Its kind, which its successors ask for after it has completed.
    pub(crate) kind: KindId,
    /// What its driver calls it.
    pub(crate) tag: Tag,
}

/// A task in the ring of its program.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    pub(crate) record: Record,
    pub(crate) mark: Mark,
}

/// What not all tasks have: [`Record::holds`] and [`Record::waits_for_more`] tell which do.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Extra {
    pub(crate) memory: MemoryChanges,
    /// Tasks that it waits for beyond the first [`AWAITED`], which hardly any has.
    pub(crate) after: Option<Box<After>>,
}

const _: () = assert!(size_of::<Slot>() == 128, "a task is two neighbouring cache lines");
const _: () = assert!(
    size_of::<Extra>() == 64,
    "what not all tasks have is a cache line"
);

/// A meeting of nobody.
const NOBODY: Meeting = Meeting {
    group: GroupId::new(NONE),
    number: 0,
};

const SPINS: u8 = 1;
const NOTIFIES: u8 = 2;
const HOLDS: u8 = 4;
const WAITS_FOR_MORE: u8 = 8;
const DRAINS_HOST: u8 = 16;

impl Record {
    /// Whom it meets before it starts.
    #[inline]
    pub(crate) fn meeting(&self) -> Option<Meeting> {
        Some(self.meeting).filter(|meeting| meeting.group.get() != NONE)
    }

    /// Whether a flow holds its units while it waits at its meeting.
    #[inline]
    pub(crate) const fn spins(&self) -> bool {
        self.flags & SPINS != 0
    }

    /// Whether the driver wants to hear of its completion.
    #[inline]
    pub(crate) const fn notifies(&self) -> bool {
        self.flags & NOTIFIES != 0
    }

    /// Whether its [`Extra`] has changes of memory.
    #[inline]
    pub(crate) const fn holds(&self) -> bool {
        self.flags & HOLDS != 0
    }

    /// Whether its [`Extra`] has tasks to wait for.
    #[inline]
    pub(crate) const fn waits_for_more(&self) -> bool {
        self.flags & WAITS_FOR_MORE != 0
    }

    /// Whether the host waits for its completion before it issues anything further.
    #[inline]
    pub(crate) const fn drains_host(&self) -> bool {
        self.flags & DRAINS_HOST != 0
    }
}

impl Slot {
    /// The place of a task that is yet to come.
    pub(crate) const EMPTY: Self = Self {
        record: Record {
            work: Work::Delay(SimDuration::ZERO),
            meeting: NOBODY,
            multiplicity: 1,
            step: 0,
            evidence: Evidence::Analytic,
            flags: 0,
        },
        mark: Mark {
            issue: SimTime::ZERO,
            released: SimTime::ZERO,
            ready: SimTime::ZERO,
            start: SimTime::ZERO,
            releaser: NONE,
            next_in_lane: NONE,
            span: NONE,
            released_by: NONE,
            after: [NONE; AWAITED],
            kind: KindId::new(0),
            tag: Tag { major: 0, minor: 0 },
        },
    };

    /// Makes this the place of `task`, of which nothing is known yet.
    ///
    /// Word by word in its place: a copy made aside would be read before it had been written.
    #[inline]
    pub(crate) fn fill(&mut self, task: &Task) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let record = &mut self.record;
        record.work = task.work;
        record.meeting = task.meeting.unwrap_or(NOBODY);
        record.multiplicity = task.multiplicity;
        record.step = task.step;
        record.evidence = task.evidence;
        record.flags = flag(task.spins, SPINS)
            | flag(task.notify, NOTIFIES)
            | flag(!task.memory.is_empty(), HOLDS)
            | flag(task.after.len() > AWAITED, WAITS_FOR_MORE)
            | flag(task.drains_host, DRAINS_HOST);
        let mark = &mut self.mark;
        mark.issue = SimTime::ZERO + task.launch;
        mark.released = SimTime::ZERO;
        mark.ready = SimTime::ZERO;
        mark.start = SimTime::ZERO;
        mark.releaser = NONE;
        mark.next_in_lane = NONE;
        mark.span = NONE;
        mark.released_by = NONE;
        let awaited = |place: usize| task.after.get(place).copied().unwrap_or(NONE);
        mark.after = std::array::from_fn(awaited);
        mark.kind = task.kind;
        mark.tag = task.tag;
    }
}
