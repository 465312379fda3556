//! What is computed again in backward, chosen by what fits: the cheapest set of modules under a budget of memory.
//!
//! Sets are priced by the closed form and weighed by the peak of the fullest pipeline rank; one set serves all ranks, as
//! frameworks are told one. Every module alone is priced and weighed as well, for the report.

use orrery_scenario::plan::{Assumption, Recompute, RecomputeModule};
use orrery_scenario::{Plan, Relayout, recompute_text};
use orrery_units::{Bytes, significant};
use orrery_workload::estimate::{Parts, memory_peaks};

/// A set, with what it costs and what it leaves.
#[derive(Clone, Debug)]
struct Weighed {
    recompute: Recompute,
    /// Seconds of a step; found only where the peak fits or somebody asks.
    step: f64,
    peak: Bytes,
}

/// `plan` with what is recomputed chosen, where that is left to its memory budget.
#[must_use]
pub fn adapted(plan: Plan) -> Plan {
    let Some(budget) = plan.training.memory_budget else {
        return plan;
    };
    let relayout = Relayout::new(plan.clone());
    let weigh = |recompute: &Recompute| {
        let plan = with(&plan, &relayout, recompute);
        Weighed {
            recompute: recompute.clone(),
            step: Parts::of(&plan).step(&plan.tuning).step,
            peak: peak(&plan),
        }
    };
    let none = weigh(&Recompute::None);
    let modules: Vec<Weighed> = RecomputeModule::ALL
        .into_iter()
        .map(|module| weigh(&Recompute::Selective(vec![module])))
        .collect();
    let fits = |recompute: &Recompute| peak(&with(&plan, &relayout, recompute)) <= budget;
    let sets = sets(&none, &modules).into_iter().filter(fits);
    let cheapest = sets
        .map(|set| weigh(&set))
        .min_by(|a, b| a.step.total_cmp(&b.step).then(b.peak.cmp(&a.peak)));
    let chosen = cheapest.unwrap_or_else(|| weigh(&Recompute::Full));
    let mut adapted = with(&plan, &relayout, &chosen.recompute);
    note(&mut adapted, budget, &none, &modules, &chosen);
    adapted
}

/// Nothing, every set of modules that each save something, and whole layers.
fn sets(none: &Weighed, modules: &[Weighed]) -> Vec<Recompute> {
    let useful: Vec<RecomputeModule> = RecomputeModule::ALL
        .into_iter()
        .zip(modules)
        .filter(|(_, alone)| alone.peak < none.peak)
        .map(|(module, _)| module)
        .collect();
    let mut sets = vec![Recompute::None];
    for bits in 1_u32..1 << useful.len() {
        let chosen = |&(at, _): &(usize, &RecomputeModule)| bits & (1 << at) != 0;
        let set: Vec<RecomputeModule> = useful
            .iter()
            .enumerate()
            .filter(chosen)
            .map(|(_, &module)| module)
            .collect();
        // A network that is computed again includes its activation function.
        if !(set.contains(&RecomputeModule::Mlp) && set.contains(&RecomputeModule::Activation)) {
            sets.push(Recompute::Selective(set));
        }
    }
    sets.push(Recompute::Full);
    sets
}

fn with(plan: &Plan, relayout: &Relayout, recompute: &Recompute) -> Plan {
    let mut changed = plan.clone();
    changed.training.recompute = recompute.clone();
    changed.tuning = relayout.tuning(recompute);
    changed
}

fn peak(plan: &Plan) -> Bytes {
    memory_peaks(plan).into_iter().max().unwrap_or(Bytes::ZERO)
}

/// Names the choice and what each module alone would do.
fn note(plan: &mut Plan, budget: Bytes, none: &Weighed, modules: &[Weighed], chosen: &Weighed) {
    let seconds = |step: f64| significant((step - none.step).max(0.0), 3);
    let gib = |bytes: Bytes| significant(bytes.as_gib(), 3);
    let verdict = if chosen.peak <= budget {
        "the cheapest that fits"
    } else {
        "even whole layers do not fit"
    };
    plan.assumptions.retain(|known| known.key != "training.recompute");
    plan.assumptions.push(Assumption {
        key: "training.recompute".to_owned(),
        value: recompute_text(&chosen.recompute),
        reason: format!(
            "adaptive, {verdict} {} GiB: adds {} s to a step of {} s; the fullest device holds {} GiB instead of {}",
            gib(budget),
            seconds(chosen.step),
            significant(none.step, 4),
            gib(chosen.peak),
            gib(none.peak),
        ),
    });
    for (module, alone) in RecomputeModule::ALL.into_iter().zip(modules) {
        let saved = none.peak.get().saturating_sub(alone.peak.get());
        plan.assumptions.push(Assumption {
            key: format!("training.recompute.{}", module.name()),
            value: format!("{} s, {} GiB", seconds(alone.step), gib(Bytes::new(saved))),
            reason: "computed again alone: what it adds to a step, and what it saves on the fullest device"
                .to_owned(),
        });
    }
    plan.assumptions.sort_by(|a, b| a.key.cmp(&b.key));
}
