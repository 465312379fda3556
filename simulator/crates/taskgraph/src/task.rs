//! One task: what it does, what it waits for, whom it meets, what it holds.

use std::fmt;

use orrery_units::{Bytes, BytesPerSec, Evidence, Flops, GroupId, KindId, LaneId, PathId, SimDuration};
use smallvec::SmallVec;

/// The number of a task within its program, in order of emission, from 0.
pub type Sequence = u32;

/// Earlier tasks of the same program that must have completed before a task starts.
pub type After = SmallVec<[Sequence; 4]>;

/// The domain's own label of a task, such as (layer, microbatch); nobody below the domain reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag {
    /// First coordinate: a layer or a chunk.
    pub major: u32,
    /// Second coordinate: a microbatch or a request.
    pub minor: u32,
}

/// Share of a device that an activity needs to run at full speed; each share 0 to 1 (a compute task that
/// saturates the units has 1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Share of the execution units, in whole waves.
    pub units: f32,
    /// Share of the memory bandwidth.
    pub bandwidth: f32,
}

/// What a task does once it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Computes on the device of its lane; slower than `alone` while the device is contended.
    Compute {
        /// Time it takes when nothing else is on the device.
        alone: SimDuration,
        /// What it asks of the device while it runs at full speed.
        demand: Demand,
        /// Operations done.
        flops: Flops,
    },
    /// Moves `bytes` over a path after `latency`, never faster than `bound`, and occupies its device.
    ///
    /// Of a rendezvous, every party gives its own share: the activity takes as long as its slowest party.
    Flow {
        /// Time before the first byte moves.
        latency: SimDuration,
        /// What moves, for this party.
        bytes: Bytes,
        /// The fastest it can go: the rate when nothing else uses the path.
        bound: BytesPerSec,
        /// Weighted links that it loads; [`Resources::PRIVATE`](crate::Resources::PRIVATE) for none.
        path: PathId,
        /// What it takes from the device of its lane while it runs.
        occupancy: Demand,
    },
    /// Lets time pass on its lane.
    Delay(SimDuration),
}

/// A meeting of all parties of a group; meetings of one group are numbered from 0 without gaps, and every
/// party attends each of them once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Who must arrive.
    pub group: GroupId,
    /// Which meeting of this group.
    pub number: u32,
}

/// Memory that a task takes or gives back, in the pool of its program.
///
/// Cause, end and bytes in one number, so that what a layer gives back fits beside each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MemoryChange(i64);

/// Changes of memory of one task.
pub type MemoryChanges = SmallVec<[MemoryChange; 5]>;

const CAUSE_BITS: u32 = 4;
const END_BITS: u32 = 1;

impl MemoryChange {
    /// `bytes` taken (positive) or given back (negative) for `cause`, an index into the domain's table of causes (fewer than
    /// 16), at the end of the task if `at_end`, else at its start.
    ///
    /// # Panics
    /// When there are more causes, or as many as 256 PiB.
    #[must_use]
    #[inline]
    pub fn new(cause: u8, bytes: i64, at_end: bool) -> Self {
        assert!(cause < 1 << CAUSE_BITS, "fewer than 16 causes");
        let shifted = bytes << (CAUSE_BITS + END_BITS);
        assert!(
            shifted >> (CAUSE_BITS + END_BITS) == bytes,
            "a change of less than 256 PiB"
        );
        Self(shifted | (i64::from(at_end) << CAUSE_BITS) | i64::from(cause))
    }

    /// Its cause, an index into the domain's table of causes.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "masked to four bits")]
    pub const fn cause(self) -> u8 {
        (self.0 & ((1 << CAUSE_BITS) - 1)) as u8
    }

    /// Bytes taken (positive) or given back (negative).
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> i64 {
        self.0 >> (CAUSE_BITS + END_BITS)
    }

    /// Whether it happens at the start of the task or at its end.
    #[must_use]
    #[inline]
    pub const fn at_end(self) -> bool {
        self.0 & (1 << CAUSE_BITS) != 0
    }
}

impl fmt::Debug for MemoryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChange")
            .field("cause", &self.cause())
            .field("bytes", &self.bytes())
            .field("at_end", &self.at_end())
            .finish()
    }
}

/// One task of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Where it runs; lanes run their tasks in order of emission.
    pub lane: LaneId,
    /// What kind of task it is; totals are kept per kind.
    pub kind: KindId,
    /// The step it belongs to; totals are kept per step. Never decreases along a program.
    pub step: u16,
    /// The domain's label.
    pub tag: Tag,
    /// What it does.
    pub work: Work,
    /// Earlier tasks of this program that it waits for, besides its lane.
    pub after: After,
    /// Whom it meets before it starts.
    pub meeting: Option<Meeting>,
    /// Time the host needs to issue it.
    pub launch: SimDuration,
    /// Whether the host waits for its completion before it issues anything further (a synchronisation).
    pub drains_host: bool,
    /// Memory taken and given back.
    pub memory: MemoryChanges,
    /// How many like activities it stands for: Totals count it so often, links are loaded so much more.
    pub multiplicity: u32,
    /// What its duration rests on.
    pub evidence: Evidence,
    /// Whether a flow holds its units of the device from its arrival at a meeting on, as a kernel does that
    /// is launched and spins until its peers are there; its memory bandwidth it takes only once data moves.
    pub spins: bool,
    /// Whether the driver wants to hear of its completion.
    pub notify: bool,
}

impl Work {
    /// Time the work takes with the device and the path to itself.
    #[must_use]
    pub fn alone(&self) -> SimDuration {
        match *self {
            Self::Compute { alone, .. } => alone,
            Self::Flow {
                latency,
                bytes,
                bound,
                ..
            } => latency + bytes / bound,
            Self::Delay(span) => span,
        }
    }
}

impl Task {
    /// A task of `kind` on `lane` doing `work`, with nothing to wait for and no host cost.
    #[must_use]
    #[inline]
    pub fn new(lane: LaneId, kind: KindId, work: Work) -> Self {
        Self {
            lane,
            kind,
            step: 0,
            tag: Tag::default(),
            work,
            after: After::new(),
            meeting: None,
            launch: SimDuration::ZERO,
            drains_host: false,
            memory: MemoryChanges::new(),
            multiplicity: 1,
            evidence: Evidence::Analytic,
            spins: false,
            notify: false,
        }
    }

    /// The same task waiting for `sequence` as well.
    #[must_use]
    pub fn after(mut self, sequence: Sequence) -> Self {
        self.after.push(sequence);
        self
    }

    /// The same task meeting the parties of `group` for the `number`-th time.
    #[must_use]
    pub fn meeting(mut self, group: GroupId, number: u32) -> Self {
        self.meeting = Some(Meeting { group, number });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_memory_gives_back_what_it_was_made_of() {
        for cause in [0, 7, 15] {
            for bytes in [0, 1, -1, (1 << 58) - 1, -(1 << 58)] {
                for at_end in [false, true] {
                    let change = MemoryChange::new(cause, bytes, at_end);
                    assert_eq!(
                        (change.cause(), change.bytes(), change.at_end()),
                        (cause, bytes, at_end)
                    );
                }
            }
        }
        let refused =
            |cause, bytes| std::panic::catch_unwind(|| MemoryChange::new(cause, bytes, false)).is_err();
        assert!(refused(16, 1) && refused(0, 1 << 58) && refused(0, -(1 << 58) - 1));
    }
}
