//! The loop, and what it keeps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use orrery_taskgraph::{Control, Driver, Pulled, Resources, Sink, Task};
use orrery_timeline::{Timeline, Totals};
use orrery_units::{Bytes, IndexVec, PathId, ProgramId, SimTime};

use crate::control::{Progress, RunControl};
use crate::device::Device;
use crate::error::Error;
use crate::fluid::LinkTotals;
use crate::lane::{Head, Lane, NONE};
use crate::meeting::Meetings;
use crate::memory::{CAUSES, Pools};
use crate::network::Network;
use crate::options::Options;
use crate::program::{Program, Supply};
use crate::queue::{Class, Queue};
use crate::recorder::Recorder;
use crate::series::LinkSeries;
use crate::tally::Tally;

/// Events between two looks at the caller's control.
const LOOK_EVERY: u64 = 4096;

/// What a run gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Counts of everything.
    pub totals: Totals,
    /// Spans of what was to be recorded.
    pub timeline: Timeline,
    /// What every link of the resources carried, in their order.
    pub links: Vec<LinkTotals>,
    /// The same over time, if it was asked for.
    pub series: LinkSeries,
    /// Bytes that flows over each path of the resources moved, in their order.
    pub paths: IndexVec<PathId, Bytes>,
}

/// Runs what `driver` hands over to its end.
///
/// # Errors
/// When the run is cancelled, reaches its event limit or deadlocks; see [`Error`].
///
/// # Panics
/// When the driver breaks the contract of its tasks: a lane of another program, a demand above the whole, a
/// party that attends a meeting twice, memory given back that was never taken.
pub fn run(driver: &mut dyn Driver, options: &Options, control: &RunControl) -> Result<Outcome, Error> {
    let mut run = Run::new(driver.resources().clone(), options);
    let stop = run.advance(driver, options, control);
    run.publish(control);
    control.end();
    let at = run.now;
    match stop {
        Stop::Finished if run.programs.iter().all(|program| program.live == 0) => Ok(run.outcome()),
        Stop::Finished => {
            let (blocked, more) = run.blocked();
            let full =
                |program: &&Program| program.live >= options.lookahead && program.supply == Supply::Open;
            let full_windows = run.programs.iter().filter(full).count();
            Err(Error::Deadlock {
                at,
                blocked,
                more,
                full_windows,
                partial: Box::new(run.outcome()),
            })
        }
        Stop::Cancelled => Err(Error::Cancelled {
            at,
            partial: Box::new(run.outcome()),
        }),
        Stop::Limit(limit) => Err(Error::EventLimit {
            limit,
            at,
            partial: Box::new(run.outcome()),
        }),
    }
}

enum Stop {
    Finished,
    Cancelled,
    Limit(u64),
}

/// What is about to start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// The head of this lane.
    Lane(u32),
    /// Everybody of an activity.
    Meeting {
        activity: u32,
        /// Whether what it asks for was sent for while others started before it.
        is_early: bool,
    },
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) resources: Resources,
    pub(crate) now: SimTime,
    events: u64,
    lookahead: u32,
    pub(crate) queue: Queue,
    pub(crate) programs: Vec<Program>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) devices: Vec<Device>,
    pub(crate) meetings: Meetings,
    pub(crate) network: Network,
    pub(crate) pools: Pools,
    pub(crate) tally: Tally,
    pub(crate) recorder: Recorder,
    /// Compute tasks and delays about to start.
    pub(crate) ready: VecDeque<Start>,
    /// Flows about to start, once no compute task is.
    pub(crate) ready_flows: VecDeque<Start>,
    /// Flows that occupy their devices and are about to take their slow-down, once all of this instant do.
    pub(crate) occupying: VecDeque<Start>,
    /// Programs with room for more tasks.
    pub(crate) asking: VecDeque<u32>,
    /// Completions that the driver wants to hear of.
    pub(crate) notices: VecDeque<(u32, u32)>,
    alarms: BinaryHeap<Reverse<SimTime>>,
    control: Control,
    pulled: Vec<Task>,
}

impl Run {
    fn new(resources: Resources, options: &Options) -> Self {
        assert!(options.lookahead > 0, "a program needs room for a task");
        assert!(
            resources.run_ahead > 0,
            "the host is ahead of a task by one at least"
        );
        assert!(resources.causes.len() <= CAUSES, "at most 16 memory causes");
        let (num_programs, num_lanes) = (resources.programs.len(), resources.lanes.len());
        let tally = Tally::new(&resources);
        let lanes: Vec<Lane> = resources
            .lanes
            .iter()
            .zip(tally.classes())
            .map(|(lane, &class)| Lane::new(lane.program.get(), lane.device.get(), class))
            .collect();
        let count = u32::try_from(num_lanes).expect("fewer than 2^24 lanes");
        Self {
            now: SimTime::ZERO,
            events: 0,
            lookahead: options.lookahead,
            // The owners after the lanes are the alarm clock and the shared links.
            queue: Queue::new(count + 2),
            programs: (0..num_programs)
                .map(|_| Program::new(options.lookahead, resources.run_ahead))
                .collect(),
            devices: (0..resources.num_devices).map(|_| Device::new()).collect(),
            meetings: Meetings::new(&resources.groups),
            network: Network::new(&resources, options.link_samples),
            pools: Pools::new(num_programs),
            tally,
            recorder: Recorder::new(&options.record, &resources),
            ready: VecDeque::new(),
            ready_flows: VecDeque::new(),
            occupying: VecDeque::new(),
            asking: VecDeque::new(),
            notices: VecDeque::new(),
            alarms: BinaryHeap::new(),
            control: Control::default(),
            pulled: Vec::new(),
            lanes,
            resources,
        }
    }

    /// Until nothing is left to happen: ends of this instant, then starts, then shared links, then time.
    fn advance(&mut self, driver: &mut dyn Driver, options: &Options, control: &RunControl) -> Stop {
        driver.start(&mut self.control);
        for program in self.resources.programs.ids() {
            self.ask(program.get());
        }
        self.attend(driver);
        loop {
            match self.queue.next_time() {
                Some(time) if time <= self.now => {
                    if let Some(stop) = self.look(options, control) {
                        return stop;
                    }
                    self.handle(driver);
                    self.attend(driver);
                }
                next => {
                    if let Some(start) = self.ready.pop_front() {
                        self.start(start);
                    } else if let Some(start) = self.ready_flows.pop_front() {
                        self.look_ahead_of_starts();
                        self.start(start);
                    } else if let Some(start) = self.occupying.pop_front() {
                        self.move_flows(start);
                    } else if self.network.is_dirty() {
                        if let Some(time) = self.network.next_event() {
                            let owner = self.owner_after_lanes(1);
                            self.queue.set(owner, time, Class::Links);
                        }
                    } else if let Some(time) = next {
                        if let Some(stop) = self.look(options, control) {
                            return stop;
                        }
                        self.network.sample_until(time);
                        self.now = time;
                    } else {
                        return Stop::Finished;
                    }
                }
            }
        }
    }

    /// Looks at the limit, and now and then at the caller's control.
    fn look(&self, options: &Options, control: &RunControl) -> Option<Stop> {
        if let Some(limit) = options.event_limit
            && self.events >= limit
        {
            return Some(Stop::Limit(limit));
        }
        if self.events.is_multiple_of(LOOK_EVERY) {
            self.publish(control);
            if control.is_cancelled() {
                return Some(Stop::Cancelled);
            }
        }
        None
    }

    fn publish(&self, control: &RunControl) {
        control.publish(Progress {
            now: self.now,
            step: self.tally.latest_step(),
            tasks_done: self.tally.tasks,
            events: self.events,
        });
    }

    /// Handles the next event.
    fn handle(&mut self, driver: &mut dyn Driver) {
        let Some(event) = self.queue.pop() else { return };
        self.events += 1;
        self.look_ahead();
        match event.class {
            Class::Links => self.end_flows(),
            Class::End => self.end(event.owner),
            Class::Join => self.join(event.owner),
            Class::Issue => self.consider(event.owner),
            Class::Alarm => {
                self.alarms.pop();
                driver.alarm(self.now, &mut self.control);
                self.set_alarm();
            }
        }
    }

    fn set_alarm(&mut self) {
        if let Some(&Reverse(at)) = self.alarms.peek() {
            let owner = self.owner_after_lanes(0);
            self.queue.set(owner, at.max(self.now), Class::Alarm);
        }
    }

    fn owner_after_lanes(&self, place: u32) -> u32 {
        u32::try_from(self.lanes.len()).expect("fewer than 2^24 lanes") + place
    }

    /// Lets the driver hear of completions, takes in what it asks for, and pulls where there is room.
    #[inline]
    fn attend(&mut self, driver: &mut dyn Driver) {
        loop {
            if !self.control.alarms.is_empty() || !self.control.woken.is_empty() {
                self.obey();
            }
            if let Some((program, sequence)) = self.notices.pop_front() {
                driver.completed(self.now, ProgramId::new(program), sequence, &mut self.control);
            } else if let Some(program) = self.asking.pop_front() {
                self.programs[program as usize].asked = false;
                self.pull(driver, program);
            } else {
                return;
            }
        }
    }

    /// Does what the driver asked for in a callback.
    fn obey(&mut self) {
        let alarms = std::mem::take(&mut self.control.alarms);
        if !alarms.is_empty() {
            self.alarms.extend(alarms.into_iter().map(Reverse));
            self.set_alarm();
        }
        for program in std::mem::take(&mut self.control.woken) {
            let state = &mut self.programs[program.index()];
            if state.supply == Supply::Idle {
                state.supply = Supply::Open;
                self.ask(program.get());
            }
        }
    }

    /// Puts `program` into the list of programs to be pulled, once.
    #[inline]
    pub(crate) fn ask(&mut self, program: u32) {
        let state = &mut self.programs[program as usize];
        if !state.asked && state.supply == Supply::Open {
            state.asked = true;
            self.asking.push_back(program);
        }
    }

    /// Pulls `program` until its lookahead is full or it has nothing at present.
    fn pull(&mut self, driver: &mut dyn Driver, program: u32) {
        loop {
            let state = &mut self.programs[program as usize];
            if state.live >= self.lookahead || state.supply != Supply::Open {
                return;
            }
            let mut sink = Sink::new(state.next, &mut self.pulled);
            match driver.pull(ProgramId::new(program), &mut sink) {
                Pulled::Tasks => assert!(!self.pulled.is_empty(), "a pull that brought tasks brought some"),
                Pulled::Idle => state.supply = Supply::Idle,
                Pulled::Ended => state.supply = Supply::Ended,
            }
            self.take_in(program);
        }
    }

    /// Takes in what a pull brought.
    fn take_in(&mut self, program: u32) {
        let mut pulled = std::mem::take(&mut self.pulled);
        for task in &mut pulled {
            let lane_id = task.lane.get();
            let state = &mut self.programs[program as usize];
            let lane = &mut self.lanes[lane_id as usize];
            assert!(lane.program == program, "a program uses its own lanes only");
            let sequence = state.emit(task);
            state.issue(self.resources.run_ahead);
            if lane.tail == NONE {
                lane.head = sequence;
                lane.tail = sequence;
                self.consider(lane_id);
            } else {
                state.mark_mut(lane.tail).next_in_lane = sequence;
                lane.tail = sequence;
            }
        }
        pulled.clear();
        self.pulled = pulled;
    }

    fn outcome(mut self) -> Outcome {
        let paths = self.tally.take_paths();
        let (links, series) = self.network.finish(self.now);
        self.pools.apply(&mut self.recorder);
        let mut outcome = Outcome {
            totals: self.tally.finish(),
            timeline: self.recorder.finish(),
            links,
            series,
            paths,
        };
        outcome.totals.memory = self.pools.totals(self.resources.causes.len());
        outcome.totals.events = self.events;
        outcome
    }
}

impl Run {
    /// Whether `sequence` is the head of a lane of `program` and stands at the meeting it waits for.
    pub(crate) fn has_arrived(&self, program: ProgramId, sequence: u32) -> bool {
        let stands = |lane: &Lane| {
            lane.program == program.get() && lane.head == sequence && lane.state == Head::Arrived
        };
        self.lanes.iter().any(stands)
    }
}
