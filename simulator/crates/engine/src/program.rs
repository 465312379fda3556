//! Programs: rings of their latest tasks, and the host that issues them.

use orrery_taskgraph::{Task, Work};
use orrery_units::{KindId, LaneId, SimDuration, SimTime};

use crate::lane::NONE;

/// Instant at which something ends that has not ended.
const UNKNOWN: u64 = u64::MAX;

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

/// Whether a program is to be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// There may be more tasks.
    Open,
    /// Not before it is woken.
    Idle,
    /// Never again.
    Ended,
}

/// One program.
#[derive(Debug)]
pub(crate) struct Program {
    /// Tasks by number, masked.
    tasks: Vec<Task>,
    /// Marks by number, masked; as long as `tasks`.
    marks: Vec<Mark>,
    /// Picosecond of completion by number, masked; at least as long as `marks` and as the run-ahead.
    ends: Vec<u64>,
    /// Number of the next task.
    pub(crate) next: u32,
    /// All tasks below this number have completed.
    prefix: u32,
    /// Marks below this number were lost when the rings grew.
    kept: u32,
    /// Tasks emitted and not completed.
    pub(crate) live: u32,
    pub(crate) supply: Supply,
    /// Whether it stands in the list of programs to be pulled.
    pub(crate) asked: bool,
    /// Step of the last task emitted.
    pub(crate) step: u16,
    host: Host,
}

/// The issuing side of a program: a recurrence, not a lane.
#[derive(Debug)]
struct Host {
    /// Number of the next task to issue.
    next: u32,
    /// When the last task was issued.
    last: SimTime,
    /// The task whose completion is to be waited for before the next issue, or [`NONE`].
    drains: u32,
    /// The task whose completion holds the next issue back, or [`NONE`].
    blocked_on: u32,
}

const MARK: Mark = Mark {
    issue: SimTime::ZERO,
    released: SimTime::ZERO,
    ready: SimTime::ZERO,
    start: SimTime::ZERO,
    alone: SimDuration::ZERO,
    releaser: NONE,
    next_in_lane: NONE,
    span: NONE,
    released_by: NONE,
    kind: KindId::new(0),
};

fn blank() -> Task {
    Task::new(LaneId::new(0), KindId::new(0), Work::Delay(SimDuration::ZERO))
}

impl Program {
    pub(crate) fn new(lookahead: u32, run_ahead: u32) -> Self {
        // Twice the lookahead, so that a completed task is still known when somebody asks why it was late.
        let ring = (2 * lookahead as usize).next_power_of_two();
        let ends = (run_ahead as usize + 1).next_power_of_two().max(ring);
        Self {
            tasks: vec![blank(); ring],
            marks: vec![MARK; ring],
            ends: vec![UNKNOWN; ends],
            next: 0,
            prefix: 0,
            kept: 0,
            live: 0,
            supply: Supply::Open,
            asked: false,
            step: 0,
            host: Host {
                next: 0,
                last: SimTime::ZERO,
                drains: NONE,
                blocked_on: NONE,
            },
        }
    }

    #[inline]
    pub(crate) fn task(&self, sequence: u32) -> &Task {
        &self.tasks[sequence as usize & (self.tasks.len() - 1)]
    }

    #[inline]
    pub(crate) fn mark(&self, sequence: u32) -> &Mark {
        &self.marks[sequence as usize & (self.marks.len() - 1)]
    }

    #[inline]
    pub(crate) fn mark_mut(&mut self, sequence: u32) -> &mut Mark {
        let mask = self.marks.len() - 1;
        &mut self.marks[sequence as usize & mask]
    }

    /// Whether the mark of `sequence` is still in the ring.
    #[inline]
    pub(crate) fn remembers(&self, sequence: u32) -> bool {
        sequence >= self.kept && (self.next - sequence) as usize <= self.marks.len()
    }

    /// When `sequence` completed, if it did and is not forgotten; forgotten tasks count as long completed.
    #[inline]
    pub(crate) fn end(&self, sequence: u32) -> Option<SimTime> {
        if (self.next - sequence) as usize > self.ends.len() {
            return Some(SimTime::ZERO);
        }
        let end = self.ends[sequence as usize & (self.ends.len() - 1)];
        (end != UNKNOWN).then(|| SimTime::from_picos(end))
    }

    /// Whether `sequence` has completed.
    #[inline]
    pub(crate) fn is_complete(&self, sequence: u32) -> bool {
        sequence < self.prefix || self.end(sequence).is_some()
    }

    /// Tasks from the first that has not completed to the last emitted.
    pub(crate) const fn window(&self) -> u32 {
        self.next - self.prefix
    }

    /// Takes in the next task and returns its number.
    pub(crate) fn emit(&mut self, task: Task) -> u32 {
        let sequence = self.next;
        assert!(sequence < NONE, "a program has fewer than 2^32 tasks");
        assert!(task.step >= self.step, "the step never decreases along a program");
        if (sequence - self.prefix) as usize >= self.tasks.len() {
            self.grow();
        }
        self.step = task.step;
        *self.mark_mut(sequence) = Mark {
            kind: task.kind,
            ..MARK
        };
        let at = sequence as usize & (self.tasks.len() - 1);
        self.tasks[at] = task;
        let at = sequence as usize & (self.ends.len() - 1);
        self.ends[at] = UNKNOWN;
        self.next += 1;
        self.live += 1;
        sequence
    }

    /// Doubles the rings: one old task holds many younger ones in.
    fn grow(&mut self) {
        let old = self.tasks.len();
        let mut tasks = vec![blank(); 2 * old];
        let mut marks = vec![MARK; 2 * old];
        self.kept = self.prefix;
        for sequence in self.prefix..self.next {
            let (from, to) = (sequence as usize & (old - 1), sequence as usize & (2 * old - 1));
            tasks[to] = std::mem::replace(&mut self.tasks[from], blank());
            marks[to] = self.marks[from];
        }
        if self.ends.len() < 2 * old {
            // What the old ring had forgotten completed long ago.
            let mut ends = vec![0; 2 * old];
            let known = u32::try_from(self.ends.len()).expect("a ring holds fewer than 2^32 tasks");
            for sequence in self.next.saturating_sub(known)..self.next {
                ends[sequence as usize & (2 * old - 1)] =
                    self.ends[sequence as usize & (self.ends.len() - 1)];
            }
            self.ends = ends;
        }
        self.tasks = tasks;
        self.marks = marks;
    }

    /// Notes that `sequence` completed at `now`; says whether the host waited for it.
    pub(crate) fn complete(&mut self, sequence: u32, now: SimTime) -> bool {
        let mask = self.ends.len() - 1;
        self.ends[sequence as usize & mask] = now.as_picos();
        self.live -= 1;
        while self.prefix < self.next && self.ends[self.prefix as usize & mask] != UNKNOWN {
            self.prefix += 1;
        }
        self.host.blocked_on == sequence
    }

    /// Issues what can be issued: `issue(n) = max(issue(n − 1) + launch(n), end of n − run_ahead, end of
    /// n − 1 if that one drains the host)`.
    ///
    /// Worked numbers: launches of 2 µs, run-ahead 2, tasks of 5 µs on one lane issue at 2, 4, 7, 12 µs.
    pub(crate) fn issue(&mut self, run_ahead: u32) {
        self.host.blocked_on = NONE;
        while self.host.next < self.next {
            let sequence = self.host.next;
            let mut at = self.host.last + self.task(sequence).launch;
            for awaited in [
                sequence.checked_sub(run_ahead),
                Some(self.host.drains).filter(|&s| s != NONE),
            ] {
                let Some(awaited) = awaited else { continue };
                let Some(end) = self.end(awaited) else {
                    self.host.blocked_on = awaited;
                    return;
                };
                at = at.max(end);
            }
            let drains = self.task(sequence).drains_host;
            self.mark_mut(sequence).issue = at;
            self.host.last = at;
            self.host.drains = if drains { sequence } else { NONE };
            self.host.next += 1;
        }
    }

    /// When the host issued `sequence`, if it has got so far.
    #[inline]
    pub(crate) fn issued(&self, sequence: u32) -> Option<SimTime> {
        (sequence < self.host.next).then(|| self.mark(sequence).issue)
    }

    /// The task that the host waits for, if it waits.
    pub(crate) fn host_awaits(&self) -> Option<u32> {
        Some(self.host.blocked_on).filter(|&sequence| sequence != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claim: when an old task holds many younger ones in, the rings grow and nothing known of any is lost.
    #[test]
    fn rings_grow_around_an_old_task() {
        let mut program = Program::new(4, 3);
        let task = |number: u64| {
            Task::new(
                LaneId::new(0),
                KindId::new(0),
                Work::Delay(SimDuration::from_picos(number)),
            )
        };
        for number in 0..20u32 {
            program.emit(task(u64::from(number)));
            program.complete(number, SimTime::from_picos(u64::from(number)));
        }
        let old = program.emit(task(20));
        for number in 21..200u32 {
            program.emit(task(u64::from(number)));
            program.complete(number, SimTime::from_picos(u64::from(number)));
        }
        assert_eq!((program.live, program.window()), (1, 180));
        assert_eq!(program.task(old).work, task(20).work);
        assert_eq!(program.end(old), None);
        assert!((0..200).all(|number| program.is_complete(number) == (number != old)));
        assert!((0..20).all(|number| program.end(number).is_some()));
        assert_eq!(program.end(150), Some(SimTime::from_picos(150)));
        assert!(!program.remembers(3) && program.remembers(old));
    }
}
