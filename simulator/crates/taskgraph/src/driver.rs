//! Who hands tasks over, and when.

use orrery_units::{LaneId, ProgramId, SimTime};

use crate::{Resources, Sequence, Task};

/// What a pull brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// At least one task was put into the sink; ask again when room allows.
    Tasks,
    /// Nothing at present; ask again after this program was woken by [`Control::wake`].
    Idle,
    /// This program has ended.
    Ended,
}

/// Where a driver puts the tasks of the program that is being pulled.
#[derive(Debug)]
pub struct Sink<'a> {
    next: Sequence,
    tasks: &'a mut Vec<Task>,
}

/// What a driver may ask of the engine from a callback.
#[derive(Debug, Default)]
pub struct Control {
    /// Instants at which [`Driver::alarm`] is to be called.
    pub alarms: Vec<SimTime>,
    /// Idle programs to pull again.
    pub woken: Vec<ProgramId>,
}

/// Hands over tasks in instalments; serving and training are two drivers of one engine.
pub trait Driver {
    /// What the tasks of this run use.
    fn resources(&self) -> &Resources;

    /// Called once before anything is pulled.
    fn start(&mut self, control: &mut Control) {
        let _unused = control;
    }

    /// Puts the next tasks of `program` into `sink`: few at a time, but at least one unless idle or ended.
    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled;

    /// A task that asked for it (`notify`) has completed at `now`.
    fn completed(&mut self, now: SimTime, program: ProgramId, sequence: Sequence, control: &mut Control) {
        let _unused = (now, program, sequence, control);
    }

    /// An alarm that this driver set is due.
    fn alarm(&mut self, now: SimTime, control: &mut Control) {
        let _unused = (now, control);
    }
}

impl<'a> Sink<'a> {
    /// A sink whose first task gets number `next`; for engines and tests.
    pub fn new(next: Sequence, tasks: &'a mut Vec<Task>) -> Self {
        Self { next, tasks }
    }

    /// Emits `task` and returns its number in the program.
    ///
    /// # Panics
    /// When the task waits for itself or for a task not emitted yet: programs are acyclic by construction.
    #[inline]
    pub fn push(&mut self, task: Task) -> Sequence {
        let sequence = self.next;
        assert!(
            task.after.iter().all(|&s| s < sequence),
            "a task waits only for earlier tasks of its program"
        );
        self.tasks.push(task);
        self.next += 1;
        sequence
    }

    /// Emits `tasks`, which were made for the numbers from `first` on, and leaves the list empty.
    ///
    /// # Panics
    /// When the next task has another number than `first`.
    pub fn append(&mut self, first: Sequence, tasks: &mut Vec<Task>) {
        assert!(
            first == self.next,
            "tasks are emitted with the numbers that they were made for"
        );
        let count = Sequence::try_from(tasks.len()).expect("an instalment is small");
        if self.tasks.is_empty() {
            std::mem::swap(self.tasks, tasks);
        } else {
            self.tasks.append(tasks);
        }
        self.next += count;
    }

    /// The number that the next task will get.
    #[must_use]
    pub const fn next(&self) -> Sequence {
        self.next
    }
}

impl Control {
    /// Asks for [`Driver::alarm`] at `at`.
    pub fn alarm_at(&mut self, at: SimTime) {
        self.alarms.push(at);
    }

    /// Asks for `program` to be pulled again.
    pub fn wake(&mut self, program: ProgramId) {
        self.woken.push(program);
    }
}

/// A driver whose tasks are all known beforehand: each program is a list.
#[derive(Clone, Debug, Default)]
pub struct StaticDriver {
    resources: Resources,
    programs: Vec<std::collections::VecDeque<Task>>,
}

impl StaticDriver {
    /// A driver over `resources` with no tasks yet.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        let programs = resources
            .programs
            .iter()
            .map(|_| std::collections::VecDeque::new())
            .collect();
        Self { resources, programs }
    }

    /// Adds `task` to the program that owns its lane and returns its number there.
    ///
    /// # Panics
    /// When the lane is not of these resources.
    pub fn push(&mut self, task: Task) -> Sequence {
        let program = self.program_of(task.lane);
        let list = &mut self.programs[program.index()];
        let sequence = Sequence::try_from(list.len()).expect("a program has fewer than 2^32 tasks");
        list.push_back(task);
        sequence
    }

    fn program_of(&self, lane: LaneId) -> ProgramId {
        self.resources.lanes[lane].program
    }
}

impl Driver for StaticDriver {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        match self.programs[program.index()].pop_front() {
            Some(task) => {
                sink.push(task);
                Pulled::Tasks
            }
            None => Pulled::Ended,
        }
    }
}
