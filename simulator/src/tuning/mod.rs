//! What stacks make of devices over whole steps, fitted on measured ones.
//!
//! Kernels and collectives stay as they were measured alone; fitted is what only whole steps tell, each parameter shared
//! by all rows of a device, an architecture or a stack (see [`Term`]). The closed form
//! ([`Parts`]) stands for the event simulation while parameters are sought: a step of it takes microseconds.

mod anchor;
mod folds;
mod measurements;
mod recipe;
mod scale;

use std::collections::{BTreeMap, BTreeSet};

use orrery_profile::fit::{Prior, least_squares, rounded};
use orrery_profile::{Term, Tuning, TuningParameter, TuningSet};
use orrery_scenario::{Plan, tuning_scopes};
use orrery_units::HALF_WIDTH_80;
use orrery_workload::estimate::Parts;

pub use anchor::anchored;
pub use folds::{LeaveOut, held_out};
pub use measurements::{COUNTS, Worth, worth};
pub use recipe::fitted;
pub use scale::{LargestRun, SMALL, scale_up};

/// The scatter that is expected of a measured step: releases of one configuration differ by 1.4 % (dense) to 6 %
/// (experts) on average, and the noise of a table is of that size.
const SCATTER: f64 = 0.03;

/// Steps of one model, device and stack share what they are wrong by: `n` of them scatter as if each had `n^POWER` times
/// the scatter of one, so that a much measured configuration outweighs others less. Nought would take them for independent,
/// one half for one and the same.
const GROUP_POWER: f64 = 0.125;

/// Stacks that no step was measured of: a device keeps its rates under them as under others (assumption).
const SHARING: [&str; 1] = ["llama3"];

/// How much less is known of a base than of the factors on it.
const FACTOR: f64 = 0.6;

/// A measured step, ready to be fitted to.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its parts, by kernels and collectives alone.
    pub parts: Parts,
    /// Measured seconds.
    pub measured: f64,
    /// Its stack.
    pub stack: String,
    /// Its model, source, device and so on, by the names of their columns.
    pub facts: BTreeMap<&'static str, String>,
    /// The scopes of every term, in their order.
    scopes: Vec<Vec<String>>,
}

/// The parameters of some steps.
#[derive(Debug)]
struct Space {
    names: Vec<(Term, String)>,
    priors: Vec<Prior>,
    /// For each step and term, the parameters whose product it is.
    members: Vec<Vec<Vec<usize>>>,
}

impl Step {
    /// The step of `plan` that took `measured` seconds.
    #[must_use]
    pub fn new(plan: &Plan, measured: f64, facts: BTreeMap<&'static str, String>) -> Self {
        let routing = plan.model.has_experts().then_some(&plan.routing);
        let scopes = Term::ALL.map(|term| tuning_scopes(term, &plan.cluster, &plan.training, routing));
        Self {
            parts: Parts::of(plan),
            measured,
            stack: plan.training.stack.name.clone(),
            facts,
            scopes: scopes.to_vec(),
        }
    }

    /// What `set` comes to for it.
    #[must_use]
    pub fn tuning(&self, set: &TuningSet) -> Tuning {
        set.resolve(&self.stack, self.has_experts(), |term| {
            self.scopes[term as usize].clone()
        })
    }

    /// `ln(predicted / measured)` by the closed form under `tuning`.
    #[must_use]
    pub fn residual(&self, tuning: &Tuning) -> f64 {
        (self.parts.step(tuning).step / self.measured).ln()
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    /// Whether its model has experts.
    #[must_use]
    pub fn has_experts(&self) -> bool {
        self.parts.sorts.iter().any(|rank| rank.routed > 0)
    }

    /// Whether `term` has anything to act on.
    fn has(&self, term: Term) -> bool {
        let any = |of: fn(&orrery_workload::estimate::Pass) -> bool| {
            self.parts
                .sorts
                .iter()
                .any(|rank| of(&rank.forward) || of(&rank.backward))
        };
        fn positive(time: orrery_units::SimDuration) -> bool {
            time > orrery_units::SimDuration::ZERO
        }
        match term {
            Term::Experts => any(|pass| pass.kernel.spent[1] > orrery_units::SimDuration::ZERO),
            Term::Unaligned => any(|pass| positive(pass.kernel.unaligned)),
            Term::SmallKernels => self.parts.sorts.iter().any(|rank| rank.routed > 0),
            Term::ExpertLaunches => any(|pass| pass.expert_launches > 0),
            Term::Tensor => any(|pass| pass.tensor > orrery_units::SimDuration::ZERO),
            Term::Exchange | Term::ExposedExchange => {
                any(|pass| pass.exchange > orrery_units::SimDuration::ZERO)
            }
            Term::Shards | Term::ShardUnits => any(|pass| pass.shards > orrery_units::SimDuration::ZERO),
            Term::Data => self
                .parts
                .sorts
                .iter()
                .any(|rank| positive(rank.reduce) || positive(rank.gather)),
            Term::Products
            | Term::Attention
            | Term::Passes
            | Term::Gap
            | Term::Launch
            | Term::LayerKernels
            | Term::Waits
            | Term::Microbatch
            | Term::Ungraphed
            | Term::Update
            | Term::Step
            | Term::Recompute => true,
        }
    }
}

/// The models whose steps each parameter bears on.
type Rests<'s> = BTreeMap<(usize, &'s str), BTreeSet<&'s str>>;

/// What each parameter would rest on.
fn rests<'s>(steps: &[&'s Step]) -> Rests<'s> {
    let mut rests = Rests::new();
    for step in steps {
        for term in Term::ALL.into_iter().filter(|&term| step.has(term)) {
            for scope in &step.scopes[term as usize] {
                let models = rests.entry((term as usize, scope.as_str())).or_default();
                models.insert(step.fact("model"));
            }
        }
    }
    rests
}

/// Models that a parameter must rest on: of one alone it would be that model's own factor.
const MODELS: usize = 2;

impl Space {
    fn of(steps: &[&Step]) -> Self {
        let rests = rests(steps);
        let mut space = Self {
            names: Vec::new(),
            priors: Vec::new(),
            members: Vec::new(),
        };
        let mut places: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for step in steps {
            let mut members = vec![Vec::new(); Term::ALL.len()];
            for term in Term::ALL.into_iter().filter(|&term| step.has(term)) {
                for (at, scope) in step.scopes[term as usize].iter().enumerate() {
                    if rests[&(term as usize, scope.as_str())].len() < MODELS {
                        continue;
                    }
                    let key = (term as usize, scope.clone());
                    let place = *places.entry(key).or_insert_with(|| {
                        space.names.push((term, scope.clone()));
                        let (centre, spread) = term.expected();
                        space.priors.push(if at == 0 {
                            Prior {
                                centre: centre.ln(),
                                spread,
                            }
                        } else {
                            Prior {
                                centre: 0.0,
                                spread: spread * FACTOR,
                            }
                        });
                        space.names.len() - 1
                    });
                    members[term as usize].push(place);
                }
            }
            space.members.push(members);
        }
        space
    }

    /// The tuning of the step at `at` where parameters have the logarithms `point`.
    fn tuning(&self, at: usize, point: &[f64]) -> Tuning {
        let mut tuning = Tuning::default();
        for term in Term::ALL {
            let members = &self.members[at][term as usize];
            if !members.is_empty() {
                let sum: f64 = members.iter().map(|&place| point[place]).sum();
                tuning = tuning.with(term, sum.exp());
            }
        }
        tuning
    }
}

/// The parameters that bring `steps` closest to their measurements.
#[must_use]
pub fn fit(steps: &[&Step]) -> TuningSet {
    let space = Space::of(steps);
    let scatters = scatters(steps);
    let residuals = |point: &[f64]| -> Vec<f64> {
        let residual = |(at, step): (usize, &&Step)| step.residual(&space.tuning(at, point)) / scatters[at];
        steps.iter().enumerate().map(residual).collect()
    };
    let point = least_squares(&space.priors, residuals);
    let parameters = space
        .names
        .iter()
        .zip(&point)
        .enumerate()
        .map(|(place, ((term, scope), log))| {
            let members = space.members.iter().zip(steps);
            let mine: Vec<&&Step> = members
                .filter(|(members, _)| members[*term as usize].contains(&place))
                .map(|(_, step)| step)
                .collect();
            let models: BTreeSet<&str> = mine.iter().map(|step| step.fact("model")).collect();
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            TuningParameter {
                term: *term,
                scope: scope.clone(),
                value: rounded(log.exp()),
                rows: count(mine.len()),
                models: count(models.len()),
            }
        });
    let shared = SHARING.iter().map(|&stack| stack.to_owned());
    let stacks: BTreeSet<String> = steps
        .iter()
        .map(|step| step.stack.clone())
        .chain(shared)
        .collect();
    let mut set = TuningSet {
        schema: TuningSet::SCHEMA.to_owned(),
        notes: Vec::new(),
        stacks: stacks.into_iter().collect(),
        spreads: Vec::new(),
        parameters: parameters.collect(),
    };
    set.parameters
        .sort_by(|a, b| (a.term as usize, &a.scope).cmp(&(b.term as usize, &b.scope)));
    set.spreads = spreads(steps, &set);
    set
}

/// The scatter that is expected of each step, by how many there are of its model, device and stack.
fn scatters(steps: &[&Step]) -> Vec<f64> {
    let group = |step: &Step| [step.fact("model"), step.fact("gpu"), &step.stack].join(" | ");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for step in steps {
        *counts.entry(group(step)).or_default() += 1;
    }
    let scatter = |step: &&Step| SCATTER * f64::from(counts[&group(step)]).powf(GROUP_POWER);
    steps.iter().map(scatter).collect()
}

/// The spreads of the residuals of each stack, without and with experts.
fn spreads(steps: &[&Step], set: &TuningSet) -> Vec<(String, f64)> {
    let kinds = set
        .stacks
        .iter()
        .flat_map(|stack| [(stack, false), (stack, true)]);
    let of = |(stack, has_experts): (&String, bool)| {
        let mine = steps
            .iter()
            .filter(|step| step.stack == *stack && step.has_experts() == has_experts);
        let errors: Vec<f64> = mine.map(|step| step.residual(&step.tuning(set))).collect();
        Some((TuningSet::spread_name(stack, has_experts), spread(&errors)?))
    };
    kinds.filter_map(of).collect()
}

/// What is within the width that holds four fifths of `errors`, over [`HALF_WIDTH_80`]: the spread of a normal law with that
/// interval. None of fewer than five.
#[must_use]
pub fn spread(errors: &[f64]) -> Option<f64> {
    let mut widths: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    widths.sort_by(f64::total_cmp);
    let last = widths.len().checked_sub(1).filter(|_| widths.len() >= 5)?;
    Some(rounded(
        widths[(widths.len() * 4).div_ceil(5).min(last)] / HALF_WIDTH_80,
    ))
}
