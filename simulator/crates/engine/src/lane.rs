//! Lanes: a queue of tasks each, of which the head may run.

use orrery_units::{SimDuration, SimTime};

use crate::contention::{Share, SlowDown};

/// "No such thing" in a table of `u32`; a program has fewer tasks.
pub(crate) const NONE: u32 = u32::MAX;

/// What the head of a lane is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// There is none.
    Absent,
    /// Waits for an earlier task of its program, which that knows.
    AwaitsTask,
    /// Waits for the host, which itself waits for a task.
    AwaitsHost,
    /// Waits for its issue, which is in the event queue.
    AwaitsIssue,
    /// Has arrived at its meeting.
    Arrived,
    /// Is about to start, or runs.
    Runs,
}

/// One lane, on one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Lane {
    pub(crate) program: u32,
    pub(crate) device: u32,
    /// First task not completed.
    pub(crate) head: u32,
    /// Last task emitted.
    pub(crate) tail: u32,
    /// Task completed last.
    pub(crate) last: u32,
    pub(crate) state: Head,
    /// Lanes of one class see the same kinds of tasks.
    pub(crate) class: u8,
    /// The activity of several parties in which the head takes part, if any.
    pub(crate) activity: u32,
    /// What the running head asks of the device.
    pub(crate) share: Share,
    /// Whether the head holds units while it waits at its meeting.
    pub(crate) spinning: bool,
    /// The slow-down that the running flow took at its start.
    pub(crate) slow: SlowDown,
    /// When the lane became free.
    pub(crate) free_since: SimTime,
    /// Compute left of the running head, as time at full speed, at `since`.
    pub(crate) remaining: SimDuration,
    /// When `remaining` was last brought up to date.
    pub(crate) since: SimTime,
}

const _: () = assert!(size_of::<Lane>() == 64, "a lane is a cache line");

impl Lane {
    pub(crate) const fn new(program: u32, device: u32, class: u8) -> Self {
        Self {
            program,
            device,
            head: NONE,
            tail: NONE,
            last: NONE,
            state: Head::Absent,
            class,
            activity: NONE,
            share: Share::NOTHING,
            spinning: false,
            slow: SlowDown::NONE,
            free_since: SimTime::ZERO,
            remaining: SimDuration::ZERO,
            since: SimTime::ZERO,
        }
    }
}
