//! A driver that passes tasks on, hears of every completion, and so knows what released what.
//!
//! The engine says when a task ended; when it began follows from what it waited for, by the engine's own rules:
//! its lane, the tasks it names, the host that issues it, and everybody whom it meets. So the links of a whole
//! step are known for every rank, whatever is recorded for eyes, and the engine need not keep them.

use std::collections::VecDeque;

use orrery_taskgraph::{Control, Driver, Pulled, Resources, Sequence, Sink, Task};
use orrery_units::{ProgramId, SimTime};

use super::kept::{Kept, Known, Meta, NONE};

/// One completed task, and what released it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed<'t> {
    pub(super) program: u32,
    pub(super) task: &'t Meta,
    /// When it stood ready: its lane free, what it waits for completed, and issued by the host.
    pub(super) ready: u64,
    /// When it began: ready, and everybody whom it meets had arrived.
    pub(super) start: u64,
    pub(super) end: u64,
    /// What released it, as its listener called it: of a meeting, what released the last to arrive.
    pub(super) released_by: u32,
    /// When whoever arrived last was released and ready, and who that was; without a meeting its own.
    pub(super) critical: Arrival,
}

/// Who arrives last at a meeting, when its lane was free, and when it stood there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    pub(super) program: u32,
    pub(super) released: u64,
    pub(super) ready: u64,
}

/// Who hears of completions, in order of time.
pub(super) trait Listener {
    /// A task has completed; gives a name by which those that it releases are told of it, or [`NONE`].
    fn completed(&mut self, completed: &Completed<'_>) -> u32;

    /// This name will be told once more than was known.
    fn keep(&mut self, name: u32);

    /// Nobody will be told of this name any more, or once less if it was kept.
    fn forgotten(&mut self, name: u32);

    /// Every program has ended and nothing is under way.
    fn finished(&mut self);
}

/// A meeting that not all parties have completed.
#[derive(Clone, Debug, Default)]
struct Open {
    parties: Vec<(u32, Sequence)>,
    /// Known from the first completion on.
    begun: Option<(u64, u32, Arrival)>,
    completed: u32,
}

#[derive(Clone, Debug, Default)]
struct Group {
    parties: u32,
    first: u32,
    open: VecDeque<Open>,
}

/// Passes the tasks of `inner` on and tells `listener` of their completions.
#[derive(Debug)]
pub(super) struct Witness<D, L> {
    inner: D,
    listener: L,
    programs: Vec<Kept>,
    groups: Vec<Group>,
    /// The last task emitted on each lane.
    last_on: Vec<Sequence>,
    ended: usize,
    live: u64,
    pulled: Vec<Task>,
}

impl<D: Driver, L: Listener> Witness<D, L> {
    pub(super) fn new(inner: D, listener: L) -> Self {
        let resources = inner.resources();
        let run_ahead = resources.run_ahead;
        Self {
            programs: resources.programs.iter().map(|_| Kept::new(run_ahead)).collect(),
            groups: resources
                .groups
                .iter()
                .map(|&parties| Group {
                    parties,
                    ..Group::default()
                })
                .collect(),
            last_on: vec![NONE; resources.lanes.len()],
            ended: 0,
            live: 0,
            pulled: Vec::new(),
            inner,
            listener,
        }
    }

    /// Takes in a task and returns it as the engine is to see it.
    fn take_in(&mut self, program: ProgramId, pull: u32, task: Task) -> Task {
        let kept = &mut self.programs[program.index()];
        let lane = &mut self.last_on[task.lane.index()];
        let sequence = kept.next();
        let before = std::mem::replace(lane, sequence);
        if let Some(meeting) = task.meeting {
            let group = &mut self.groups[meeting.group.index()];
            let place = (meeting.number - group.first) as usize;
            while group.open.len() <= place {
                group.open.push_back(Open::default());
            }
            group.open[place].parties.push((program.get(), sequence));
        }
        kept.push(Meta::of(&task, before, pull));
        self.live += 1;
        Task { notify: true, ..task }
    }

    /// When a task of `program` stood ready, and what released it.
    fn arrival(&mut self, program: u32, sequence: Sequence) -> (u32, Arrival) {
        let kept = &mut self.programs[program as usize];
        let Known { at, name } = kept.release(sequence);
        let issued = kept.issued(sequence);
        let ready = at.max(issued);
        let arrival = Arrival {
            program,
            released: at,
            ready,
        };
        (name, arrival)
    }

    /// What the last to arrive at the meeting of `task` was released by, and when.
    fn meeting_of(&mut self, task: &Meta) -> (u64, u32, Arrival) {
        let group = &self.groups[task.group as usize];
        let place = (task.number - group.first) as usize;
        if let Some(begun) = group.open[place].begun {
            return begun;
        }
        let parties = group.open[place].parties.clone();
        let mut latest: Option<(u32, Arrival)> = None;
        for (program, sequence) in parties {
            let (name, arrival) = self.arrival(program, sequence);
            if latest.is_none_or(|(_, known)| arrival.ready > known.ready) {
                latest = Some((name, arrival));
            }
        }
        let (name, arrival) = latest.expect("who completed a meeting attended it");
        let begun = (arrival.ready, name, arrival);
        self.groups[task.group as usize].open[place].begun = Some(begun);
        if name != NONE {
            self.listener.keep(name);
        }
        begun
    }

    /// Notes that one party of a meeting has completed; the last one closes it.
    fn leave(&mut self, task: &Meta) {
        let group = &mut self.groups[task.group as usize];
        let place = (task.number - group.first) as usize;
        group.open[place].completed += 1;
        let all = group.parties;
        while group.open.front().is_some_and(|open| open.completed == all) {
            let closed = group.open.pop_front().and_then(|open| open.begun);
            group.first += 1;
            if let Some((_, name, _)) = closed.filter(|&(_, name, _)| name != NONE) {
                self.listener.forgotten(name);
            }
        }
    }

    fn finish_if_all_ended(&mut self) {
        if self.live == 0 && self.ended == self.programs.len() {
            self.listener.finished();
        }
    }
}

impl<D: Driver, L: Listener> Driver for Witness<D, L> {
    fn resources(&self) -> &Resources {
        self.inner.resources()
    }

    fn start(&mut self, control: &mut Control) {
        self.inner.start(control);
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let mut pulled = std::mem::take(&mut self.pulled);
        let result = self.inner.pull(program, &mut Sink::new(sink.next(), &mut pulled));
        let pull = self.programs[program.index()].begin_pull(pulled.first().map(|task| task.step));
        for task in pulled.drain(..) {
            sink.push(self.take_in(program, pull, task));
        }
        self.pulled = pulled;
        if result == Pulled::Ended {
            self.ended += 1;
            self.finish_if_all_ended();
        }
        result
    }

    fn completed(&mut self, now: SimTime, program: ProgramId, sequence: Sequence, control: &mut Control) {
        let at = program.get();
        let (own_name, own) = self.arrival(at, sequence);
        let task = self.programs[program.index()].meta(sequence).clone();
        let (start, released_by, critical) = if task.group == NONE {
            (own.ready, own_name, own)
        } else {
            self.meeting_of(&task)
        };
        let name = self.listener.completed(&Completed {
            program: at,
            task: &task,
            ready: own.ready,
            start,
            end: now.as_picos(),
            released_by,
            critical,
        });
        if task.group != NONE {
            self.leave(&task);
        }
        let listener = &mut self.listener;
        let kept = &mut self.programs[program.index()];
        kept.complete(sequence, now.as_picos(), name, |name| listener.forgotten(name));
        if task.notify {
            self.inner.completed(now, program, sequence, control);
        }
        self.live -= 1;
        self.finish_if_all_ended();
    }

    fn alarm(&mut self, now: SimTime, control: &mut Control) {
        self.inner.alarm(now, control);
    }
}
