//! The only place that joins the stages: plan, lowering, engine, report.
//!
//! One replication is single-threaded and deterministic; replications differ in their seed alone and run
//! beside each other. Their order in the results is their number, whoever finishes first.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use orrery_engine::{Error as EngineError, Options, Outcome, Progress, RecordPolicy, RunControl};
use orrery_report::{Activity, Report, RunFacts};
use orrery_scenario::Plan;
use orrery_taskgraph::{Driver, Pulled, Sink};
use orrery_timeline::{Timeline, Totals};
use orrery_units::{Flops, ProgramId, Seed};
use orrery_workload::lower::{Folding, NetworkMap, TrainingDriver};

use crate::ahead::Ahead;
use crate::facts;
use crate::network;
use crate::power;
use crate::why::{self, Found};

pub use crate::loading::{fixes, load, load_any, load_searchable, metric_table};

/// Spans kept for eyes; more are counted as dropped.
pub const SPAN_BUDGET: usize = 400_000;
/// Tasks a program may have live: what a rank has in flight over all its lanes, with room.
pub const LOOKAHEAD: u32 = 128;
/// Most readings of what links carried; there are half as many at least, in any but the shortest run.
const LINK_SAMPLES: u32 = 128;
/// Programs from which on it is worth a thread to make their tasks.
const MANY_PROGRAMS: usize = 256;

/// A replication that is ready to run.
#[expect(missing_debug_implementations, reason = "a driver need not be printable")]
pub struct Prepared<'p> {
    /// Hands over the tasks.
    pub driver: Box<dyn Driver + 'p>,
    /// Programs whose spans are kept.
    pub recorded: Vec<ProgramId>,
    /// Tasks a program may have live.
    pub lookahead: u32,
    /// What became of the links of the cluster, where they are shared.
    pub network: Option<NetworkMap>,
}

/// Simulates `plan` and reports on it; expectations are evaluated by [`checks`](crate::checks).
///
/// # Errors
/// When the tasks deadlock: a bug in the lowering.
pub fn simulate(plan: &Plan, watch: &Watch) -> Result<Simulation, EngineError> {
    run(plan, watch, None)
}

/// [`simulate`], with the critical path and the phases of the last step of the first replication.
///
/// # Errors
/// When the tasks deadlock: a bug in the lowering.
pub fn simulate_explained(plan: &Plan, watch: &Watch) -> Result<Simulation, EngineError> {
    let found = Found::default();
    let mut simulation = run(plan, watch, Some(&found))?;
    simulation.report.why = found.get().cloned();
    Ok(simulation)
}

fn run(plan: &Plan, watch: &Watch, found: Option<&Found>) -> Result<Simulation, EngineError> {
    match power::capped(plan, busiest)? {
        Some(capped) => run_at(&capped, watch, found),
        None => run_at(plan, watch, found),
    }
}

/// How the busiest device of `plan` spends the last step of its first replication.
fn busiest(plan: &Plan) -> Result<Activity, EngineError> {
    let folding = Folding::of(plan);
    let mut driver = TrainingDriver::new(plan, plan.run.seed, folding);
    let facts = facts::of_plan(plan, &driver);
    let options = Options {
        lookahead: LOOKAHEAD,
        event_limit: plan.run.event_limit,
        link_samples: 0,
        record: RecordPolicy::default(),
    };
    let outcome = orrery_engine::run(&mut driver, &options, &RunControl::default())?;
    let (Some(step), Some(power)) = (outcome.totals.steps.last(), facts.power) else {
        return Ok(Activity::default());
    };
    let activities = facts.ranks.iter().map(|rank| power.activity(step, rank));
    let draws = |activity: &Activity| power.mean(*activity).0;
    Ok(activities
        .max_by(|a, b| draws(a).total_cmp(&draws(b)))
        .unwrap_or_default())
}

fn run_at(plan: &Plan, watch: &Watch, found: Option<&Found>) -> Result<Simulation, EngineError> {
    let folding = Folding::of(plan);
    let facts = facts::of_plan(plan, &TrainingDriver::new(plan, plan.run.seed, folding));
    let settings = Settings {
        replications: plan.run.replications,
        event_limit: plan.run.event_limit,
        timeline: plan.run.timeline,
        steps: plan.training.steps,
    };
    simulate_with(
        settings,
        facts,
        |replication, scope| prepare(plan, folding, replication, found, scope),
        watch,
    )
}

/// The replication of this number; its tasks are made by a thread of `scope` where they are many and no other
/// replication wants the processor.
fn prepare<'scope, 'p: 'scope>(
    plan: &'p Plan,
    folding: Folding,
    replication: u32,
    found: Option<&Found>,
    scope: &'scope Scope<'scope, 'p>,
) -> Prepared<'scope> {
    let mut driver = TrainingDriver::new(plan, seed_of(plan.run.seed, replication), folding);
    let network = driver.take_network();
    let recorded = one_per_pipeline_rank(&driver);
    let stages: Vec<u32> = driver.ranks().map(|(_, stage)| stage).collect();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let beside = plan.run.replications == 1 && stages.len() >= MANY_PROGRAMS && cores > 1;
    let found = found.filter(|_| replication == 0);
    Prepared {
        network,
        recorded,
        driver: match (found, beside) {
            (Some(found), true) => {
                let driver = Ahead::new(scope, driver);
                Box::new(why::watched(plan, &stages, driver, found))
            }
            (Some(found), false) => Box::new(why::watched(plan, &stages, driver, found)),
            (None, true) => Box::new(Ahead::new(scope, driver)),
            (None, false) => Box::new(driver),
        },
        lookahead: LOOKAHEAD,
    }
}

/// Tasks of all replications of `plan`, for a progress bar: the ranks of a stage emit equally many, so one of
/// each is pulled and nothing is simulated.
#[must_use]
pub fn expected_tasks(plan: &Plan) -> u64 {
    expected_tasks_while(plan, || true).unwrap_or_default()
}

/// [`expected_tasks`], unless nobody `wants` the count any more: then `None`, soon.
pub fn expected_tasks_while(plan: &Plan, wants: impl Fn() -> bool) -> Option<u64> {
    let folding = Folding::of(plan);
    let mut driver = TrainingDriver::new(plan, plan.run.seed, folding);
    let programs = one_per_pipeline_rank(&driver);
    let mut tasks = Vec::new();
    let mut pulled = 0;
    for &program in &programs {
        let mut next = 0;
        while driver.pull(program, &mut Sink::new(next, &mut tasks)) == Pulled::Tasks {
            if !wants() {
                return None;
            }
            let new = u32::try_from(tasks.len()).expect("an instalment is small");
            next += new;
            pulled += u64::from(new);
            tasks.clear();
        }
    }
    let all = driver.resources().programs.len() / programs.len().max(1);
    Some(pulled * all as u64 * u64::from(plan.run.replications))
}

/// The seed of a replication: the scenario's own for the first, neighbours of it for the others. Keys mix
/// the seed before use, so that neighbours share nothing.
#[must_use]
pub const fn seed_of(seed: Seed, replication: u32) -> Seed {
    Seed::new(seed.get().wrapping_add(replication as u64))
}

/// The first program of every pipeline rank.
fn one_per_pipeline_rank(driver: &TrainingDriver<'_>) -> Vec<ProgramId> {
    let mut seen = Vec::new();
    driver
        .ranks()
        .zip(driver.resources().programs.ids())
        .filter(|((_, pipeline_rank), _)| {
            let new = !seen.contains(pipeline_rank);
            seen.push(*pipeline_rank);
            new
        })
        .map(|(_, program)| program)
        .collect()
}

/// What to run and how often.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Replications with derived seeds.
    pub replications: u32,
    /// Most events one replication may take.
    pub event_limit: Option<u64>,
    /// Whether a timeline is kept, of the first replication and its last step.
    pub timeline: bool,
    /// Steps that a replication simulates.
    pub steps: u32,
}

/// Why results are partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody asked.
    Cancelled,
    /// The event limit.
    EventLimit,
}

/// What came out.
#[derive(Debug)]
pub struct Simulation {
    /// The report; its checks are not evaluated yet.
    pub report: Report,
    /// Spans of the first replication, if they were kept.
    pub timeline: Option<Timeline>,
    /// Why the results are partial, if they are.
    pub stopped: Option<Stopped>,
}

/// A handle on every replication of a run, for whoever watches it.
#[derive(Clone, Debug)]
pub struct Watch {
    controls: Vec<RunControl>,
}

impl Watch {
    /// A watch over `replications`.
    #[must_use]
    pub fn new(replications: u32) -> Self {
        Self {
            controls: (0..replications).map(|_| RunControl::default()).collect(),
        }
    }

    /// A watch over each `replications` of these, for runs that are watched as one.
    #[must_use]
    pub fn split(&self, replications: u32) -> Vec<Self> {
        let parts = self.controls.chunks(replications.max(1) as usize);
        parts
            .map(|controls| Self {
                controls: controls.to_vec(),
            })
            .collect()
    }

    /// Asks every replication to stop soon.
    pub fn cancel(&self) {
        for control in &self.controls {
            control.cancel();
        }
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.controls.iter().any(RunControl::is_cancelled)
    }

    /// Whether no replication goes on: what they give is put together.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.controls.iter().all(RunControl::is_over)
    }

    /// The last progress that each replication published.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.controls.iter().map(RunControl::progress).collect()
    }
}

/// Runs what `prepare` makes for each replication, with a scope for the threads of that, and reports on it with
/// `facts`.
///
/// # Errors
/// When the tasks deadlock: a bug in the lowering, with everything that was blocked.
///
/// # Panics
/// When the watch is for another number of replications.
pub fn simulate_with<'p>(
    settings: Settings,
    mut facts: RunFacts,
    prepare: impl for<'scope> Fn(u32, &'scope Scope<'scope, 'p>) -> Prepared<'scope> + Sync,
    watch: &Watch,
) -> Result<Simulation, EngineError> {
    assert!(
        watch.controls.len() == settings.replications as usize,
        "a watch watches every replication"
    );
    let results = in_parallel(settings.replications, |replication| {
        thread::scope(|scope| {
            let mut prepared = prepare(replication, scope);
            let options = options(settings, &prepared, &facts, replication);
            let control = &watch.controls[replication as usize];
            let result = orrery_engine::run(prepared.driver.as_mut(), &options, control);
            (prepared.network, result)
        })
    });
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut stopped = None;
    let mut reason = None;
    for (map, result) in results {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(fault @ EngineError::Deadlock { .. }) => return Err(fault),
            Err(fault) => {
                stopped = Some(match fault {
                    EngineError::Cancelled { .. } => Stopped::Cancelled,
                    EngineError::EventLimit { .. } | EngineError::Deadlock { .. } => Stopped::EventLimit,
                });
                reason.get_or_insert(fault.to_string());
                without_unfinished_step(fault.into_partial())
            }
        };
        if let Some(map) = map {
            let network = network::of_outcome(&map, &outcome, facts.device.count);
            facts.networks.push(network);
        }
        outcomes.push(outcome);
    }
    let totals: Vec<&Totals> = outcomes.iter().map(|outcome| &outcome.totals).collect();
    if let Some(flops) = executed_flops(&totals, facts.warmup_steps) {
        facts.work.hardware_flops = flops;
    }
    let mut report = Report::new(&totals, facts);
    report.partial = reason;
    let timeline = outcomes.into_iter().next().map(|outcome| outcome.timeline);
    Ok(Simulation {
        report,
        timeline: timeline.filter(|timeline| !timeline.is_empty()),
        stopped,
    })
}

/// Operations that the devices did in a mean measured step, recompute included: what was simulated, counted.
fn executed_flops(runs: &[&Totals], warmup_steps: usize) -> Option<Flops> {
    let steps: Vec<_> = runs
        .iter()
        .flat_map(|totals| totals.steps.iter().skip(warmup_steps))
        .collect();
    let flops = steps
        .iter()
        .flat_map(|step| step.lanes.iter())
        .flat_map(|lane| lane.iter().map(|(_, cell)| cell.flops))
        .sum::<Flops>();
    let count = u32::try_from(steps.len()).ok().filter(|&count| count > 0)?;
    Some(flops * (1.0 / f64::from(count)))
}

/// The step that was under way when a run stopped is incomplete, and no sample.
fn without_unfinished_step(mut outcome: Outcome) -> Outcome {
    outcome.totals.steps.pop();
    outcome
}

fn options(settings: Settings, prepared: &Prepared<'_>, facts: &RunFacts, replication: u32) -> Options {
    let last = u16::try_from(settings.steps.saturating_sub(1)).unwrap_or(u16::MAX);
    let record = if settings.timeline && replication == 0 {
        RecordPolicy {
            programs: prepared.recorded.clone(),
            add_slowest: last > 0,
            steps: last..last.saturating_add(1),
            span_budget: SPAN_BUDGET,
            kinds: facts.kinds.clone(),
        }
    } else {
        RecordPolicy::nothing()
    };
    Options {
        lookahead: prepared.lookahead,
        event_limit: settings.event_limit,
        link_samples: if prepared.network.is_some() {
            LINK_SAMPLES
        } else {
            0
        },
        record,
    }
}

/// `work` of 0 to `count`, on as many threads as there are cores, results in the order of the numbers.
pub(crate) fn in_parallel<T: Send>(count: u32, work: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(u32, T)>> = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let run = || {
        loop {
            let number = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX);
            if number >= count {
                return;
            }
            let result = work(number);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..cores.min(count as usize) {
            scope.spawn(run);
        }
        run();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use orrery_report::{DeviceFacts, Identity, ModelError, Rank, StepWork};
    use orrery_taskgraph::{Resources, StaticDriver, Task, Work};
    use orrery_timeline::{KindTable, OpClass};
    use orrery_units::{Bytes, FlopsPerSec, LaneId, SimDuration};

    use super::*;

    /// Facts of one rank on one device.
    fn facts(kinds: &KindTable) -> RunFacts {
        RunFacts {
            identity: Identity::default(),
            work: StepWork {
                tokens: 1.0,
                samples: 1.0,
                model_flops: Flops::ZERO,
                model_flops_full_attention: Flops::ZERO,
                hardware_flops: Flops::ZERO,
                weighted_ideal: SimDuration::ZERO,
            },
            device: DeviceFacts {
                name: String::new(),
                count: 1,
                peak: FlopsPerSec::new(1e15),
                memory: Bytes::new(1),
                power_limit: orrery_units::Watts::default(),
            },
            kinds: kinds.clone(),
            shares: Vec::new(),
            causes: Vec::new(),
            stages: vec!["stage 0".to_owned()],
            ranks: vec![Rank {
                name: "rank 0".to_owned(),
                stage: 0,
                node: None,
                compute_lane: LaneId::new(0),
                stands_for: 1,
            }],
            warmup_steps: 0,
            expert_imbalance: Vec::new(),
            networks: Vec::new(),
            model_error: ModelError::default(),
            power: None,
            price: None,
            assumptions: Vec::new(),
        }
    }

    #[test]
    fn replications_are_samples_in_order_and_one_timeline_is_kept() {
        let mut kinds = KindTable::new();
        let kind = kinds.intern("work", OpClass::Compute);
        let settings = Settings {
            replications: 3,
            event_limit: None,
            timeline: true,
            steps: 1,
        };
        let watch = Watch::new(3);
        let done = simulate_with(
            settings,
            facts(&kinds),
            |replication, _| {
                let mut resources = Resources::new();
                let program = resources.add_program("rank 0");
                let device = resources.add_device();
                let lane = resources.add_lane(program, device, "compute");
                let mut driver = StaticDriver::new(resources);
                let span = SimDuration::from_millis(u64::from(replication) + 1);
                driver.push(Task::new(lane, kind, Work::Delay(span)));
                Prepared {
                    driver: Box::new(driver),
                    recorded: vec![program],
                    lookahead: LOOKAHEAD,
                    network: None,
                }
            },
            &watch,
        )
        .unwrap();
        let metrics = &done.report.metrics;
        assert_eq!(metrics.get("train.step_time.mean"), Some(0.002));
        assert_eq!(metrics.get("train.step_time.last"), Some(0.003));
        assert_eq!(metrics.get("mem.hbm_peak.max"), None, "nothing held memory");
        assert_eq!(done.timeline.map(|timeline| timeline.len()), Some(1));
        assert_eq!(done.stopped, None);
        assert!(watch.is_over() && !Watch::new(1).is_over());
        watch.cancel();
        assert_eq!(watch.progress().len(), 3);
    }

    #[test]
    fn results_come_in_the_order_of_their_numbers() {
        assert_eq!(
            in_parallel(17, |number| number * 2),
            (0..17).map(|n| n * 2).collect::<Vec<_>>()
        );
        assert!(
            in_parallel(0, |number| number).is_empty(),
            "nothing to do is done"
        );
    }
}
