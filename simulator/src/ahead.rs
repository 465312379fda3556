//! Lowering beside the run: a second thread makes tasks before the engine asks for them.
//!
//! The engine stays on one thread and gets the same tasks of each program in the same order, whatever the threads
//! do: a driver that hears nothing of its run hands over the same whenever it is asked. Of every program one
//! instalment is made ahead. Programs are asked for many at a time, so that the threads seldom wake each other.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use orrery_taskgraph::{Driver, Pulled, Resources, Sequence, Sink, Task};
use orrery_units::{IndexVec, ProgramId};

/// Programs that are asked for together.
const TOGETHER: usize = 128;

/// A program of which the next instalment is wanted, and an empty list to put it in.
#[derive(Debug)]
struct Ask {
    program: ProgramId,
    tasks: Vec<Task>,
}

/// An instalment of a program.
#[derive(Debug)]
struct Instalment {
    program: ProgramId,
    /// The number of its first task.
    first: Sequence,
    tasks: Vec<Task>,
    pulled: Pulled,
}

/// A driver whose tasks another thread makes.
#[derive(Debug)]
pub struct Ahead {
    resources: Resources,
    /// What the engine has not asked for yet, by program.
    made: IndexVec<ProgramId, Option<Instalment>>,
    /// What is to be asked for.
    wanted: Vec<Ask>,
    asks: Sender<Vec<Ask>>,
    instalments: Receiver<Vec<Instalment>>,
}

impl Ahead {
    /// Lets a thread of `scope` make the tasks of `driver`, until this is dropped.
    ///
    /// `driver` must be one that hears nothing of its run: it sets no alarm, wants to hear of no completion and is
    /// never idle.
    pub fn new<'scope, D: Driver + Send + 'scope>(scope: &'scope Scope<'scope, '_>, driver: D) -> Self {
        let resources = driver.resources().clone();
        let (asks, asked) = channel();
        let (give, instalments) = channel();
        scope.spawn(move || make(driver, &asked, &give));
        let mut ahead = Self {
            made: resources.programs.iter().map(|_| None).collect(),
            wanted: Vec::with_capacity(TOGETHER),
            asks,
            instalments,
            resources,
        };
        for program in ahead.resources.programs.ids() {
            ahead.want(program, Vec::new());
        }
        ahead
    }

    /// Asks for the next instalment of `program`, with others.
    fn want(&mut self, program: ProgramId, tasks: Vec<Task>) {
        self.wanted.push(Ask { program, tasks });
        if self.wanted.len() == TOGETHER {
            self.ask();
        }
    }

    fn ask(&mut self) {
        let asks = std::mem::replace(&mut self.wanted, Vec::with_capacity(TOGETHER));
        self.asks
            .send(asks)
            .expect("the thread that makes tasks waits for what is asked");
    }

    /// The next instalment of `program`, once it is made.
    fn take(&mut self, program: ProgramId) -> Instalment {
        loop {
            if let Some(instalment) = self.made[program].take() {
                return instalment;
            }
            if !self.wanted.is_empty() {
                self.ask();
            }
            let made = self
                .instalments
                .recv()
                .expect("the thread that makes tasks answers");
            for instalment in made {
                let program = instalment.program;
                self.made[program] = Some(instalment);
            }
        }
    }
}

impl Driver for Ahead {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let mut instalment = self.take(program);
        sink.append(instalment.first, &mut instalment.tasks);
        if instalment.pulled == Pulled::Tasks {
            self.want(program, instalment.tasks);
        }
        instalment.pulled
    }
}

/// Makes what is asked for, until nobody can ask any more.
fn make(mut driver: impl Driver, asked: &Receiver<Vec<Ask>>, give: &Sender<Vec<Instalment>>) {
    let mut next = IndexVec::filled(0, driver.resources().programs.len());
    let mut instalment = |Ask { program, mut tasks }| {
        let first: Sequence = next[program];
        let mut sink = Sink::new(first, &mut tasks);
        let pulled = driver.pull(program, &mut sink);
        assert!(
            pulled != Pulled::Idle,
            "a driver that hears of nothing is never idle"
        );
        next[program] = sink.next();
        Instalment {
            program,
            first,
            tasks,
            pulled,
        }
    };
    while let Ok(asks) = asked.recv() {
        let made = asks.into_iter().map(&mut instalment).collect();
        if give.send(made).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_engine::{Options, RecordPolicy, RunControl, run};
    use orrery_workload::lower::{Folding, TrainingDriver};

    use super::*;
    use crate::files::read_scenario;
    use crate::pipeline::load;

    /// Claim: with tasks made by another thread a run gives what it gives without, to the last bit.
    #[test]
    fn a_run_with_tasks_made_ahead_is_the_same() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../scenarios/training/deepseek-v3-2048-h800.scenario.toml"
        );
        let settings = [
            ("cluster.nodes", "128"),
            ("training.global_batch", "2048"),
            ("training.steps", "1"),
            ("training.warmup_steps", "0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let plan = load(path, &read_scenario(path).unwrap(), &settings).unwrap();
        let driver = || TrainingDriver::new(&plan, plan.run.seed, Folding::None);
        let options = Options {
            lookahead: 128,
            record: RecordPolicy::of(
                driver().resources().programs.ids().collect(),
                driver().kinds().table.clone(),
                10_000,
            ),
            ..Options::default()
        };
        let control = RunControl::default();
        let alone = run(&mut driver(), &options, &control).unwrap();
        let beside = std::thread::scope(|scope| {
            let mut ahead = Ahead::new(scope, driver());
            run(&mut ahead, &options, &control).unwrap()
        });
        assert!(alone.totals.tasks > 1_000_000 && !alone.timeline.is_empty());
        assert!(alone == beside, "threads change nothing");
    }

    /// Claim: a run that is stopped early lets the thread end.
    #[test]
    fn a_run_that_stops_early_ends() {
        let mut resources = Resources::new();
        let program = resources.add_program("rank 0");
        let device = resources.add_device();
        let lane = resources.add_lane(program, device, "compute");
        let mut driver = orrery_taskgraph::StaticDriver::new(resources);
        let work = orrery_taskgraph::Work::Delay(orrery_units::SimDuration::from_millis(1));
        for _ in 0..1000 {
            driver.push(Task::new(lane, orrery_units::KindId::new(0), work));
        }
        let options = Options {
            event_limit: Some(10),
            ..Options::default()
        };
        let stopped = std::thread::scope(|scope| {
            let mut ahead = Ahead::new(scope, driver);
            run(&mut ahead, &options, &RunControl::default())
        });
        assert!(stopped.is_err(), "ten events are too few");
    }
}
