//! The slow twin: schedules small cases the obvious way, as the oracle of the engine and of its contention
//! rule.
//!
//! Every instant at which anything changes, all rates are found anew from all that runs. It knows lanes,
//! dependencies, meetings and devices; it refuses shared links, and leaves the host and memory out.
//!
//! [`Rule::Local`] is the engine's own rule: a collective takes its slow-down once, at its start.
//! [`Rule::Coupled`] is what that rule stands for: a collective is re-rated too, whenever any device that it
//! occupies changes. How far the two are apart is measured by the test `contention` of this crate.

use orrery_taskgraph::{Driver, Pulled, Sink, Task, Work};
use orrery_units::{DeviceId, IndexVec, ProgramId};

/// Which contention rule holds for flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Their slow-down is fixed when they start.
    Local,
    /// Their slow-down follows their devices.
    Coupled,
}

/// When a task started and ended, in picoseconds (not rounded: this twin computes in floats).
pub type Interval = (f64, f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Runs,
    /// Its own work is done; flows of its meeting are not.
    Lingers,
    Done,
}

#[derive(Debug)]
struct Job {
    task: Task,
    program: usize,
    device: DeviceId,
    after: Vec<usize>,
    state: State,
    latency: f64,
    work: f64,
    slow: f64,
    interval: Interval,
}

/// Work left below this many picoseconds is none: what float subtraction may leave over.
const NOTHING: f64 = 1e-3;

/// Schedules all that `driver` hands over, up to where programs end or idle, under `rule`.
///
/// # Panics
/// When tasks wait for each other, or flow over shared links.
#[must_use]
pub fn schedule(driver: &mut dyn Driver, rule: Rule) -> IndexVec<ProgramId, Vec<Interval>> {
    let mut twin = Twin::new(driver, rule);
    while twin.jobs.iter().any(|job| job.state != State::Done) {
        twin.start_ready();
        twin.pass();
    }
    let mut intervals = IndexVec::filled(Vec::new(), twin.num_programs);
    for job in &twin.jobs {
        let program = ProgramId::new(u32::try_from(job.program).expect("few programs"));
        intervals[program].push(job.interval);
    }
    intervals
}

struct Twin {
    jobs: Vec<Job>,
    parties: Vec<u32>,
    num_programs: usize,
    rule: Rule,
    now: f64,
}

impl Twin {
    fn new(driver: &mut dyn Driver, rule: Rule) -> Self {
        let resources = driver.resources().clone();
        let mut jobs: Vec<Job> = Vec::new();
        for program in resources.programs.ids() {
            let mut tasks = Vec::new();
            let first = jobs.len();
            let mut next = 0;
            while driver.pull(program, &mut Sink::new(next, &mut tasks)) == Pulled::Tasks {
                for task in tasks.drain(..) {
                    next += 1;
                    let after = task.after.iter().map(|&before| first + before as usize).collect();
                    jobs.push(Job {
                        device: resources.lanes[task.lane].device,
                        task,
                        program: program.index(),
                        after,
                        state: State::Waits,
                        latency: 0.0,
                        work: 0.0,
                        slow: 1.0,
                        interval: (0.0, 0.0),
                    });
                }
            }
        }
        Self {
            jobs,
            parties: resources.groups.iter().copied().collect(),
            num_programs: resources.programs.len(),
            rule,
            now: 0.0,
        }
    }

    /// Starts all that can start: compute tasks and delays first, then flows, which take their slow-down once
    /// all of this instant have started.
    fn start_ready(&mut self) {
        let mut started: Vec<Vec<usize>> = Vec::new();
        loop {
            let ready: Vec<usize> = (0..self.jobs.len()).filter(|&at| self.is_ready(at)).collect();
            let mut starts: Vec<Vec<usize>> = Vec::new();
            for &at in &ready {
                let Some(meeting) = self.jobs[at].task.meeting else {
                    starts.push(vec![at]);
                    continue;
                };
                let met = |&&other: &&usize| self.jobs[other].task.meeting == Some(meeting);
                let all: Vec<usize> = ready.iter().filter(met).copied().collect();
                if all.len() == self.parties[meeting.group.index()] as usize && all[0] == at {
                    starts.push(all);
                }
            }
            starts.sort_by_key(|jobs| is_flow(&self.jobs[jobs[0]].task));
            let Some(first) = starts.first() else { break };
            self.start(first);
            started.push(first.clone());
        }
        for jobs in started {
            let slow = self.slow_of(&jobs);
            for at in jobs {
                self.jobs[at].slow = slow;
            }
        }
    }

    /// Whether a job is the head of its lane and has nothing left to wait for but its meeting.
    fn is_ready(&self, at: usize) -> bool {
        let job = &self.jobs[at];
        let before = |other: &&Job| other.task.lane == job.task.lane && other.state != State::Done;
        job.state == State::Waits
            && self.jobs[..at].iter().find(before).is_none()
            && job
                .after
                .iter()
                .all(|&before| self.jobs[before].state == State::Done)
    }

    fn start(&mut self, jobs: &[usize]) {
        for &at in jobs {
            let job = &mut self.jobs[at];
            job.state = State::Runs;
            job.interval.0 = self.now;
            (job.latency, job.work) = match job.task.work {
                Work::Compute { alone, .. } | Work::Delay(alone) => (0.0, alone.as_secs() * 1e12),
                Work::Flow {
                    latency,
                    bytes,
                    bound,
                    path,
                    ..
                } => {
                    assert!(path.get() == 0, "the twin knows no shared links");
                    (latency.as_secs() * 1e12, (bytes / bound).as_secs() * 1e12)
                }
            };
        }
    }

    /// The slow-down of a device from all that runs on it: `max(1, Σ units, Σ bandwidth)`.
    fn slow_on(&self, device: DeviceId) -> f64 {
        let (mut units, mut bandwidth) = (0.0, 0.0);
        for (at, job) in self.jobs.iter().enumerate() {
            let demand = demand_of(&job.task);
            if job.device != device {
                continue;
            }
            if matches!(job.state, State::Runs | State::Lingers) {
                units += f64::from(demand.0);
                bandwidth += f64::from(demand.1);
            } else if job.task.spins && job.task.meeting.is_some() && is_flow(&job.task) && self.is_ready(at)
            {
                // Launched, and spinning until its peers are there.
                units += f64::from(demand.0);
            }
        }
        f64::max(units, bandwidth).max(1.0)
    }

    /// The slow-down of the flows among `jobs`: the worst of the devices that they occupy.
    fn slow_of(&self, jobs: &[usize]) -> f64 {
        let occupying = jobs.iter().map(|&at| &self.jobs[at]).filter(|job| {
            let demand = demand_of(&job.task);
            is_flow(&job.task) && (demand.0 > 0.0 || demand.1 > 0.0)
        });
        occupying.map(|job| self.slow_on(job.device)).fold(1.0, f64::max)
    }

    /// The slow-down at which a job works now.
    fn current(&self, at: usize) -> f64 {
        let job = &self.jobs[at];
        match (job.task.work, self.rule) {
            (Work::Delay(_), _) => 1.0,
            (Work::Compute { .. }, _) => self.slow_on(job.device),
            (Work::Flow { .. }, Rule::Local) => job.slow,
            (Work::Flow { .. }, Rule::Coupled) => self.slow_of(&self.together(at)),
        }
    }

    /// All flows that end together with a flow.
    fn together(&self, at: usize) -> Vec<usize> {
        let Some(meeting) = self.jobs[at].task.meeting else {
            return vec![at];
        };
        let met = |&other: &usize| {
            let job = &self.jobs[other];
            job.task.meeting == Some(meeting) && is_flow(&job.task)
        };
        (0..self.jobs.len()).filter(met).collect()
    }

    /// Lets time pass until the next latency or work is over.
    fn pass(&mut self) {
        let running: Vec<(usize, f64)> = (0..self.jobs.len())
            .filter(|&at| self.jobs[at].state == State::Runs)
            .map(|at| (at, self.current(at)))
            .collect();
        let left = |&(at, slow): &(usize, f64)| {
            let job = &self.jobs[at];
            if job.latency > 0.0 {
                job.latency
            } else {
                job.work * slow
            }
        };
        let step = running.iter().map(left).fold(f64::INFINITY, f64::min);
        assert!(step.is_finite(), "tasks wait for each other");
        self.now += step;
        for &(at, slow) in &running {
            let job = &mut self.jobs[at];
            if job.latency > NOTHING {
                job.latency -= step;
            } else {
                job.work -= step / slow;
            }
            if job.latency <= NOTHING {
                job.latency = 0.0;
                if job.work <= NOTHING {
                    job.state = State::Lingers;
                }
            }
        }
        self.finish();
    }

    /// Ends what is done; flows of a meeting end when the last of them is.
    fn finish(&mut self) {
        for at in 0..self.jobs.len() {
            if self.jobs[at].state != State::Lingers {
                continue;
            }
            let together = if is_flow(&self.jobs[at].task) {
                self.together(at)
            } else {
                vec![at]
            };
            if together
                .iter()
                .all(|&other| self.jobs[other].state == State::Lingers)
            {
                for other in together {
                    self.jobs[other].state = State::Done;
                    self.jobs[other].interval.1 = self.now;
                }
            }
        }
    }
}

fn is_flow(task: &Task) -> bool {
    matches!(task.work, Work::Flow { .. })
}

/// Shares of units and bandwidth.
fn demand_of(task: &Task) -> (f32, f32) {
    match task.work {
        Work::Compute { demand, .. } => (demand.units, demand.bandwidth),
        Work::Flow { occupancy, .. } => (occupancy.units, occupancy.bandwidth),
        Work::Delay(_) => (0.0, 0.0),
    }
}
