//! What the compute of each kind of task consists of.

use orrery_report::WorkShares;
use orrery_scenario::Plan;
use orrery_scenario::plan::Recompute;
use orrery_taskgraph::{Driver as _, Pulled, Sink};
use orrery_units::SimDuration;
use orrery_workload::lower::{Folding, TrainingDriver};

/// Microbatches per pipeline rank that are looked at: enough for every schedule to be itself.
const MICROBATCHES_PER_STAGE: u64 = 4;

/// Shares of compute by kind of task: by kind of work, and what recompute adds.
///
/// A step of one rank of every stage is lowered, not simulated. Recompute is what the same step takes less when
/// nothing is computed again: it stands in no task of its own, for kernels that run again run in backward tasks.
pub(crate) fn work_shares(plan: &Plan) -> Vec<WorkShares> {
    let spent = spent(plan);
    let without = (plan.training.recompute != Recompute::None).then(|| {
        let mut plan = plan.clone();
        plan.training.recompute = Recompute::None;
        self::spent(&plan)
    });
    let of_kind = |(at, spent): (usize, &[SimDuration; 4])| {
        let total: SimDuration = spent.iter().copied().sum();
        if total.is_zero() {
            return WorkShares::default();
        }
        let first: &[SimDuration; 4] = without.as_ref().map_or(spent, |without| &without[at]);
        // Work that is done once; a kernel that is only there to run again has none.
        let once: SimDuration = first.iter().copied().sum();
        let basis = if once.is_zero() {
            (spent, total)
        } else {
            (first, once)
        };
        WorkShares {
            spent: basis.0.map(|part| part.as_secs() / basis.1.as_secs()),
            recomputed: total.saturating_sub(once).as_secs() / total.as_secs(),
        }
    };
    spent.iter().enumerate().map(of_kind).collect()
}

/// Time of a step's kernels on one rank of every stage, by kind of task and kind of work.
fn spent(plan: &Plan) -> Vec<[SimDuration; 4]> {
    let mut plan = plan.clone();
    let few = MICROBATCHES_PER_STAGE * u64::from(plan.layout.pp);
    plan.training.num_microbatches = plan.training.num_microbatches.min(few);
    plan.training.steps = 1;
    // Nothing moves here, so that no link need be laid.
    plan.cluster.fabric.contention = None;
    let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::Replicas);
    let programs: Vec<_> = driver.resources().programs.ids().collect();
    let mut tasks = Vec::new();
    for program in programs {
        let mut next = 0;
        while driver.pull(program, &mut Sink::new(next, &mut tasks)) == Pulled::Tasks {
            next += u32::try_from(tasks.len()).expect("an instalment is small");
            tasks.clear();
        }
    }
    driver.spent().to_vec()
}
