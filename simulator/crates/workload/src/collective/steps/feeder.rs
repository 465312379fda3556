//! What the drivers of this module share: programs whose next messages are known only when others have come.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use orrery_taskgraph::{Control, Demand, Driver, Pulled, Resources, Sequence, Sink, Task, Work};
use orrery_units::{Bytes, BytesPerSec, KindId, LaneId, PathId, ProgramId, SimDuration, SimTime};

/// A message that may be sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<T> {
    /// Who sends it, and on which of his lanes; the lane is free again once the bytes are out.
    pub(super) lane: LaneId,
    pub(super) path: PathId,
    pub(super) bytes: Bytes,
    /// Time from then until it has come.
    pub(super) latency: SimDuration,
    /// The fastest it can go.
    pub(super) bound: BytesPerSec,
    /// What the algorithm knows it by.
    pub(super) name: T,
}

/// Decides which messages follow when one has come.
pub(super) trait Algorithm {
    /// What it knows a message by.
    type Name: Copy;

    /// The messages that wait for nothing.
    fn begin(&mut self, ready: &mut Vec<Message<Self::Name>>);

    /// The messages that waited for `name`, which has come at `now`.
    fn arrived(&mut self, name: Self::Name, now: SimTime, ready: &mut Vec<Message<Self::Name>>);
}

/// A collective in detail: its driver, and when it was over.
pub trait Detailed: Driver {
    /// When the last message came, once it has run: messages fly on for their latency after their last task.
    fn end(&self) -> SimTime;
}

/// Feeds the messages of `A` to an engine.
#[derive(Debug)]
pub(super) struct Feeder<A: Algorithm> {
    resources: Resources,
    pub(super) algorithm: A,
    /// By program, what may be sent.
    ready: Vec<VecDeque<Message<A::Name>>>,
    /// By program, the names and latencies of what was sent, by sequence.
    sent: Vec<Vec<(A::Name, SimDuration)>>,
    /// What is out and has not come: when it comes, and which it is.
    flying: BinaryHeap<Reverse<(SimTime, u64)>>,
    names: Vec<A::Name>,
    /// Messages that were made ready and have not come.
    pending: u64,
    scratch: Vec<Message<A::Name>>,
    end: SimTime,
}

impl<A: Algorithm> Feeder<A> {
    pub(super) fn new(resources: Resources, mut algorithm: A) -> Self {
        let mut scratch = Vec::new();
        algorithm.begin(&mut scratch);
        let programs = resources.programs.len();
        let mut feeder = Self {
            resources,
            algorithm,
            ready: (0..programs).map(|_| VecDeque::new()).collect(),
            sent: (0..programs).map(|_| Vec::new()).collect(),
            flying: BinaryHeap::new(),
            names: Vec::new(),
            pending: 0,
            scratch,
            end: SimTime::ZERO,
        };
        feeder.hand_on(None);
        feeder
    }

    fn arrive(&mut self, name: A::Name, now: SimTime, control: &mut Control) {
        self.pending -= 1;
        self.end = now;
        let mut ready = std::mem::take(&mut self.scratch);
        self.algorithm.arrived(name, now, &mut ready);
        self.scratch = ready;
        self.hand_on(Some(control));
    }

    /// Moves what has become ready to its programs, and wakes these.
    fn hand_on(&mut self, mut control: Option<&mut Control>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        for message in scratch.drain(..) {
            let program = self.resources.lanes[message.lane].program;
            self.ready[program.index()].push_back(message);
            self.pending += 1;
            if let Some(control) = control.as_deref_mut() {
                control.wake(program);
            }
        }
        self.scratch = scratch;
    }
}

impl<A: Algorithm> Detailed for Feeder<A> {
    fn end(&self) -> SimTime {
        self.end
    }
}

impl<A: Algorithm> Driver for Feeder<A> {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let Some(message) = self.ready[program.index()].pop_front() else {
            // Nothing under way can bring anything more once nothing is under way.
            return if self.pending == 0 {
                Pulled::Ended
            } else {
                Pulled::Idle
            };
        };
        let work = Work::Flow {
            latency: SimDuration::ZERO,
            bytes: message.bytes,
            bound: message.bound,
            path: message.path,
            occupancy: Demand::default(),
        };
        let mut task = Task::new(message.lane, KindId::new(0), work);
        task.notify = true;
        sink.push(task);
        self.sent[program.index()].push((message.name, message.latency));
        Pulled::Tasks
    }

    fn completed(&mut self, now: SimTime, program: ProgramId, sequence: Sequence, control: &mut Control) {
        let (name, latency) = self.sent[program.index()][sequence as usize];
        if latency == SimDuration::ZERO {
            self.arrive(name, now, control);
            return;
        }
        let number = self.names.len() as u64;
        self.names.push(name);
        self.flying.push(Reverse((now + latency, number)));
        control.alarm_at(now + latency);
    }

    fn alarm(&mut self, now: SimTime, control: &mut Control) {
        while let Some(&Reverse((at, number))) = self.flying.peek()
            && at <= now
        {
            self.flying.pop();
            let name = self.names[usize::try_from(number).expect("a position")];
            self.arrive(name, now, control);
        }
    }
}
