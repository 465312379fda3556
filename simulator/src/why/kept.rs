//! What a witness keeps of one program: when its latest tasks ended, by what name they are known, and what those
//! wait for that are under way.

use std::collections::VecDeque;

use orrery_taskgraph::{After, Sequence, Task};
use orrery_units::KindId;

/// "No such thing" in a table of `u32`.
pub(super) const NONE: u32 = u32::MAX;
/// When something ends that has not ended.
const UNKNOWN: u64 = u64::MAX;
/// Completed tasks of a program that are remembered at least; what is older counts as long completed.
const REMEMBERED: u32 = 1024;

/// What is needed of a task that is under way.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) lane: u32,
    pub(super) kind: KindId,
    pub(super) step: u16,
    /// The pull of its step that brought it, from 0.
    pub(super) pull: u32,
    /// The meeting that it attends, or [`NONE`].
    pub(super) group: u32,
    pub(super) number: u32,
    /// Time it takes alone, in picoseconds.
    pub(super) alone: u64,
    /// Whether its driver wants to hear of its completion.
    pub(super) notify: bool,
    launch: u64,
    drains: bool,
    /// The task before it on its lane, or [`NONE`].
    before: Sequence,
    after: After,
    issue: u64,
}

impl Meta {
    pub(super) fn of(task: &Task, before: Sequence, pull: u32) -> Self {
        Self {
            lane: task.lane.get(),
            kind: task.kind,
            step: task.step,
            pull,
            group: task.meeting.map_or(NONE, |meeting| meeting.group.get()),
            number: task.meeting.map_or(0, |meeting| meeting.number),
            alone: task.work.alone().as_picos(),
            notify: task.notify,
            launch: task.launch.as_picos(),
            drains: task.drains_host,
            before,
            after: task.after.clone(),
            issue: 0,
        }
    }
}

/// When something ended, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) at: u64,
    pub(super) name: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    end: u64,
    name: u32,
    meta: u32,
}

/// One program.
#[derive(Debug)]
pub(super) struct Kept {
    /// Number of the task in the first slot.
    base: Sequence,
    slots: VecDeque<Slot>,
    metas: Vec<Meta>,
    free: Vec<u32>,
    remembered: usize,
    run_ahead: u32,
    /// Number of the next task that the host issues, when the last was, and what it waits for first.
    host: (Sequence, u64, Sequence),
    /// Step of the last pull, and pulls of that step.
    pulls: (u16, u32),
}

impl Kept {
    pub(super) fn new(run_ahead: u32) -> Self {
        Self {
            base: 0,
            slots: VecDeque::new(),
            metas: Vec::new(),
            free: Vec::new(),
            remembered: run_ahead.max(REMEMBERED) as usize,
            run_ahead,
            host: (0, 0, NONE),
            pulls: (0, 0),
        }
    }

    /// The number of the next task.
    pub(super) fn next(&self) -> Sequence {
        self.base + u32::try_from(self.slots.len()).expect("a program has fewer than 2^32 tasks")
    }

    /// Counts a pull whose first task belongs to `step`; its number in the step.
    pub(super) fn begin_pull(&mut self, step: Option<u16>) -> u32 {
        let Some(step) = step else { return self.pulls.1 };
        if step != self.pulls.0 {
            self.pulls = (step, 0);
        }
        self.pulls.1 += 1;
        self.pulls.1 - 1
    }

    pub(super) fn push(&mut self, meta: Meta) {
        let at = if let Some(at) = self.free.pop() {
            self.metas[at as usize] = meta;
            at
        } else {
            self.metas.push(meta);
            u32::try_from(self.metas.len() - 1).expect("few tasks are under way")
        };
        self.slots.push_back(Slot {
            end: UNKNOWN,
            name: NONE,
            meta: at,
        });
    }

    fn slot(&self, sequence: Sequence) -> Option<&Slot> {
        self.slots.get(sequence.checked_sub(self.base)? as usize)
    }

    /// The task, which has not completed.
    pub(super) fn meta(&self, sequence: Sequence) -> &Meta {
        let slot = self.slot(sequence).expect("tasks under way are remembered");
        &self.metas[slot.meta as usize]
    }

    fn end(&self, sequence: Sequence) -> Known {
        match self.slot(sequence) {
            None => Known { at: 0, name: NONE },
            Some(slot) => {
                assert!(slot.end != UNKNOWN, "what a task waits for ends before it begins");
                Known {
                    at: slot.end,
                    name: slot.name,
                }
            }
        }
    }

    /// The last to end of what a task waits for: its lane, then what it names, the later of equals.
    pub(super) fn release(&self, sequence: Sequence) -> Known {
        let meta = self.meta(sequence);
        let mut release = match meta.before {
            NONE => Known { at: 0, name: NONE },
            before => self.end(before),
        };
        for &awaited in &meta.after {
            let known = self.end(awaited);
            if known.at >= release.at {
                release = known;
            }
        }
        release
    }

    /// When the host issued a task that has begun: as the engine's host does, one after the other, at most so many
    /// ahead of the last completed, and not before one that drains the host has completed.
    pub(super) fn issued(&mut self, sequence: Sequence) -> u64 {
        while self.host.0 <= sequence {
            let (number, last, drains) = self.host;
            let mut at = last;
            if drains != NONE {
                at = at.max(self.end(drains).at);
            }
            at += self.meta(number).launch;
            if let Some(awaited) = number.checked_sub(self.run_ahead) {
                at = at.max(self.end(awaited).at);
            }
            let slot = (number - self.base) as usize;
            let meta = &mut self.metas[self.slots[slot].meta as usize];
            meta.issue = at;
            let drains = if meta.drains { number } else { NONE };
            self.host = (number + 1, at, drains);
        }
        self.meta(sequence).issue
    }

    /// Notes the end of a task, by what name it is known from now on, and forgets old ones.
    pub(super) fn complete(
        &mut self,
        sequence: Sequence,
        end: u64,
        name: u32,
        mut forgotten: impl FnMut(u32),
    ) {
        let slot = &mut self.slots[(sequence - self.base) as usize];
        slot.end = end;
        slot.name = name;
        self.free.push(slot.meta);
        while self.slots.len() > self.remembered && self.slots.front().is_some_and(|slot| slot.end != UNKNOWN)
        {
            let slot = self.slots.pop_front().expect("looked at above");
            self.base += 1;
            if slot.name != NONE {
                forgotten(slot.name);
            }
        }
    }
}
