//! Programs: rings of their latest tasks, and the host that issues them.

use orrery_taskgraph::{After, MemoryChange, Task};
use orrery_units::{SimDuration, SimTime};
use smallvec::SmallVec;

use crate::fetch::{TASKS_AHEAD, send_for};
use crate::lane::NONE;
use crate::record::{AWAITED, Extra, Mark, Record, Slot};

/// How far ahead of what the host asks for ends are sent for: two cache lines.
const ENDS_AHEAD: u32 = 16;

/// Instant at which something ends that has not ended.
const UNKNOWN: u64 = u64::MAX;

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

/// A lane whose head waits for a task, or for the host.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    lane: u32,
    /// The task, or [`NONE`] for the host.
    on: u32,
}

/// One program.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Program {
    /// Tasks by number, masked, and what is known of each.
    slots: Box<[Slot]>,
    /// What only some of them have; as long as `slots`.
    extras: Box<[Extra]>,
    /// Picosecond of completion by number, masked; at least as long as `slots` and as the run-ahead.
    ends: Box<[u64]>,
    /// Lanes that a completion may let go on, by number.
    waiting: SmallVec<[Waiting; 4]>,
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

impl Program {
    pub(crate) fn new(lookahead: u32, run_ahead: u32) -> Self {
        // Twice the lookahead, so that a completed task is still known when somebody asks why it was late.
        let ring = (2 * lookahead as usize).next_power_of_two();
        let ends = (run_ahead as usize + 1).next_power_of_two().max(ring);
        Self {
            slots: vec![Slot::EMPTY; ring].into(),
            extras: vec![Extra::default(); ring].into(),
            ends: vec![UNKNOWN; ends].into(),
            waiting: SmallVec::new(),
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
    pub(crate) fn slot(&self, sequence: u32) -> &Slot {
        &self.slots[sequence as usize & (self.slots.len() - 1)]
    }

    #[inline]
    pub(crate) fn record(&self, sequence: u32) -> &Record {
        &self.slot(sequence).record
    }

    #[inline]
    pub(crate) fn mark(&self, sequence: u32) -> &Mark {
        &self.slot(sequence).mark
    }

    #[inline]
    pub(crate) fn mark_mut(&mut self, sequence: u32) -> &mut Mark {
        let mask = self.slots.len() - 1;
        &mut self.slots[sequence as usize & mask].mark
    }

    #[inline]
    fn extra(&self, sequence: u32) -> &Extra {
        &self.extras[sequence as usize & (self.slots.len() - 1)]
    }

    /// The task of number `place` among those that `sequence` waits for, besides its lane.
    #[inline]
    pub(crate) fn awaited(&self, sequence: u32, place: usize) -> Option<u32> {
        let slot = self.slot(sequence);
        match slot.mark.after.get(place) {
            Some(&awaited) => Some(awaited).filter(|&awaited| awaited != NONE),
            None if slot.record.waits_for_more() => {
                let after = self.extra(sequence).after.as_ref();
                after.and_then(|after| after.get(place - AWAITED).copied())
            }
            None => None,
        }
    }

    /// Changes of memory at the start and the end of `sequence`.
    #[inline]
    pub(crate) fn memory(&self, sequence: u32) -> &[MemoryChange] {
        if self.record(sequence).holds() {
            &self.extra(sequence).memory
        } else {
            &[]
        }
    }

    /// Whether the mark of `sequence` is still in the ring.
    #[inline]
    pub(crate) fn remembers(&self, sequence: u32) -> bool {
        sequence >= self.kept && (self.next - sequence) as usize <= self.slots.len()
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
    #[inline]
    pub(crate) fn emit(&mut self, task: &mut Task) -> u32 {
        let sequence = self.next;
        assert!(sequence < NONE, "a program has fewer than 2^32 tasks");
        assert!(task.step >= self.step, "the step never decreases along a program");
        if (sequence - self.prefix) as usize >= self.slots.len() {
            self.grow();
        }
        self.step = task.step;
        self.send_for_task(sequence + TASKS_AHEAD);
        let at = sequence as usize & (self.slots.len() - 1);
        self.slots[at].fill(task);
        if !task.memory.is_empty() || task.after.len() > AWAITED {
            let after = task.after.get(AWAITED..).filter(|after| !after.is_empty());
            self.extras[at] = Extra {
                after: after.map(|after| Box::new(After::from(after))),
                memory: std::mem::take(&mut task.memory),
            };
        }
        let at = sequence as usize & (self.ends.len() - 1);
        self.ends[at] = UNKNOWN;
        self.next += 1;
        self.live += 1;
        sequence
    }

    /// Doubles the rings: one old task holds many younger ones in.
    fn grow(&mut self) {
        let old = self.slots.len();
        let mut slots = vec![Slot::EMPTY; 2 * old];
        let mut extras = vec![Extra::default(); 2 * old];
        self.kept = self.prefix;
        for sequence in self.prefix..self.next {
            let (from, to) = (sequence as usize & (old - 1), sequence as usize & (2 * old - 1));
            slots[to] = self.slots[from];
            extras[to] = std::mem::take(&mut self.extras[from]);
        }
        if self.ends.len() < 2 * old {
            // What the old ring had forgotten completed long ago.
            let mut ends = vec![0; 2 * old];
            let known = u32::try_from(self.ends.len()).expect("a ring holds fewer than 2^32 tasks");
            for sequence in self.next.saturating_sub(known)..self.next {
                ends[sequence as usize & (2 * old - 1)] =
                    self.ends[sequence as usize & (self.ends.len() - 1)];
            }
            self.ends = ends.into();
        }
        self.slots = slots.into();
        self.extras = extras.into();
    }

    /// Notes that the head of `lane` waits for the task `on`, or for the host if that is [`NONE`].
    pub(crate) fn wait(&mut self, lane: u32, on: u32) {
        let place = self.waiting.partition_point(|waiting| waiting.lane < lane);
        self.waiting.insert(place, Waiting { lane, on });
    }

    /// The first lane from `lane` on that the end of `sequence` lets go on, and that of the host's wait if `host`.
    pub(crate) fn let_go(&mut self, lane: u32, sequence: u32, host: bool) -> Option<u32> {
        let goes_on = |waiting: &Waiting| {
            waiting.lane >= lane && (waiting.on == sequence || (host && waiting.on == NONE))
        };
        self.waiting
            .iter()
            .find(|waiting| goes_on(waiting))
            .map(|waiting| waiting.lane)
    }

    /// Sends for every cache line of it.
    #[inline]
    pub(crate) fn send_for(&self) {
        send_for(&self.slots);
        send_for(&self.ends);
        send_for(&self.waiting);
        send_for(&self.next);
        send_for(&self.host);
    }

    /// Sends for what is known of `sequence`.
    #[inline]
    pub(crate) fn send_for_task(&self, sequence: u32) {
        let slot = self.slot(sequence);
        send_for(&slot.record);
        send_for(&slot.mark.tag);
    }

    /// Sends for where the end of `sequence` is noted.
    #[inline]
    pub(crate) fn send_for_end(&self, sequence: u32) {
        send_for(&self.ends[sequence as usize & (self.ends.len() - 1)]);
    }

    /// Sends for what `sequence` holds, if it holds anything.
    #[inline]
    pub(crate) fn send_for_memory(&self, sequence: u32) {
        if self.record(sequence).holds() {
            send_for(self.extra(sequence));
        }
    }

    /// Lanes whose heads wait for `sequence`.
    #[inline]
    pub(crate) fn waiting_for(&self, sequence: u32) -> impl Iterator<Item = u32> {
        let waiting = self.waiting.iter().filter(move |waiting| waiting.on == sequence);
        waiting.map(|waiting| waiting.lane)
    }

    /// The task that the head of `lane` waits for, if it waits for any.
    pub(crate) fn awaited_by(&self, lane: u32) -> Option<u32> {
        let own = self.waiting.iter().find(|waiting| waiting.lane == lane);
        own.map(|waiting| waiting.on).filter(|&on| on != NONE)
    }

    /// Notes that `lane` waits no longer.
    pub(crate) fn stop_waiting(&mut self, lane: u32) {
        self.waiting.retain(|waiting| waiting.lane != lane);
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

    /// Issues what can be issued: `issue(n) = max(from + launch(n), end of n − run_ahead)`, where `from` is `issue(n − 1)`,
    /// and the end of `n − 1` where that one drains the host.
    ///
    /// Worked numbers: launches of 2 µs, run-ahead 2, tasks of 5 µs on one lane issue at 2, 4, 7, 12 µs.
    pub(crate) fn issue(&mut self, run_ahead: u32) {
        self.host.blocked_on = NONE;
        while self.host.next < self.next {
            let sequence = self.host.next;
            let Slot { record, mark } = self.slot(sequence);
            let drains_host = record.drains_host();
            if let Some(later) = (sequence + ENDS_AHEAD).checked_sub(run_ahead) {
                self.send_for_end(later);
            }
            let launch = mark.issue - SimTime::ZERO;
            let mut at = self.host.last;
            let drains = Some(self.host.drains).filter(|&s| s != NONE);
            for (awaited, takes) in [
                (drains, launch),
                (sequence.checked_sub(run_ahead), SimDuration::ZERO),
            ] {
                if let Some(awaited) = awaited {
                    let Some(end) = self.end(awaited) else {
                        self.host.blocked_on = awaited;
                        return;
                    };
                    at = at.max(end);
                }
                at += takes;
            }
            self.mark_mut(sequence).issue = at;
            self.host.last = at;
            self.host.drains = if drains_host { sequence } else { NONE };
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
    use orrery_taskgraph::Work;
    use orrery_units::{KindId, LaneId};

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
            program.emit(&mut task(u64::from(number)));
            program.complete(number, SimTime::from_picos(u64::from(number)));
        }
        let old = program.emit(&mut task(20));
        for number in 21..200u32 {
            program.emit(&mut task(u64::from(number)));
            program.complete(number, SimTime::from_picos(u64::from(number)));
        }
        assert_eq!((program.live, program.window()), (1, 180));
        assert_eq!(program.record(old).work, task(20).work);
        assert_eq!(program.end(old), None);
        assert!((0..200).all(|number| program.is_complete(number) == (number != old)));
        assert!((0..20).all(|number| program.end(number).is_some()));
        assert_eq!(program.end(150), Some(SimTime::from_picos(150)));
        assert!(!program.remembers(3) && program.remembers(old));
    }

    #[test]
    fn an_end_lets_go_who_waits_for_it_by_number_of_lane() {
        let mut program = Program::new(4, 3);
        for (lane, on) in [(7, 2), (3, NONE), (5, 2), (4, 1)] {
            program.wait(lane, on);
        }
        assert_eq!(program.let_go(0, 2, true), Some(3), "the host was waited for");
        assert_eq!(program.let_go(0, 2, false), Some(5));
        assert_eq!(program.let_go(6, 2, false), Some(7));
        program.stop_waiting(7);
        assert_eq!(program.let_go(6, 2, true), None);
        assert_eq!(program.let_go(0, 1, false), Some(4), "the others wait on");
    }
}
