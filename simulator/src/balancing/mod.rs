//! Balancing scenarios: plan in, report out.
//!
//! Layers take times by the closed form of `orrery-balance`; [`layer_by_engine`] runs any of them through the engine,
//! and a test holds the two together. Replications differ in their seed alone and run beside each other.

mod engine;
mod fits;
mod machine;
mod measures;
mod process;
mod sweep;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use orrery_balance::lab::{Outcome, Question, Stop, Track};
use orrery_balance::placement::Shape;
use orrery_experts::gate::Trained;
use orrery_experts::load::LoadProcess;
use orrery_report::{
    Assumption, BalancingReport, Identity, LoadFrame, Metrics, Origin, PolicyReport, RebalanceReport,
    StepTerms,
};
use orrery_scenario::plan::{BalancingPlan, ExpertGroup, ExpertShape};
use orrery_units::{Bytes, Evidence};

pub use engine::{EngineLayer, layer_by_engine};
pub use orrery_balance::placement::Tables;
pub use orrery_scenario::catalog::{ExpertLaw, ExpertLaws, expert_laws};

use crate::facts;
use crate::pipeline::{in_parallel, seed_of};

/// What came out.
#[derive(Debug, Default)]
pub struct Balanced {
    /// The report; its checks are not evaluated yet.
    pub report: BalancingReport,
    /// The final placement of every policy, first replication, as SGLang and vLLM read it.
    pub placements: Vec<(String, Tables)>,
}

/// How far a run is, and the way to stop it.
#[derive(Debug, Default)]
pub struct Watch {
    cancelled: AtomicBool,
    done: AtomicU64,
    steps: u64,
}

impl Watch {
    /// The watch of a run of `plan` that has not begun.
    #[must_use]
    pub fn new(plan: &BalancingPlan) -> Self {
        let points = plan.sweeps.iter().flat_map(|sweep| &sweep.points);
        let groups = plan.group.iter().chain(points.map(|point| &point.group));
        Self {
            steps: groups.map(|group| group.load.steps).sum::<u64>() * u64::from(plan.run.replications),
            ..Self::default()
        }
    }

    /// Asks the run to stop soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Steps of all replications that are done, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.steps)
    }

    /// Counts steps, unless somebody asked to stop.
    fn count(&self, steps: u64) -> Result<(), Stop> {
        self.done.fetch_add(steps, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) {
            Err(Stop)
        } else {
            Ok(())
        }
    }

    /// Why the run is a part of one.
    fn stopped(&self) -> String {
        let (done, all) = self.progress();
        format!("somebody asked to stop at {done} of {all} steps of all replications")
    }
}

/// Runs `plan` until it ends or `watch` is asked to stop it; the report then says so.
#[must_use]
pub fn run(plan: &BalancingPlan, watch: &Watch) -> Balanced {
    let mut balanced = Balanced {
        report: BalancingReport {
            identity: identity(plan),
            replications: 1,
            assumptions: assumptions(plan),
            ..BalancingReport::default()
        },
        placements: Vec::new(),
    };
    let mut samples = measures::of_plans(plan);
    if let Some(group) = &plan.group {
        let outcomes = in_parallel(plan.run.replications, |replication| {
            replicate(plan, group, replication, watch)
        });
        let (outcomes, routers): (Vec<Outcome>, Vec<_>) = outcomes.into_iter().filter_map(Result::ok).unzip();
        for routers in routers.iter().flatten() {
            measures::of_routers(routers, &mut samples);
        }
        if outcomes.len() < plan.run.replications as usize {
            balanced.report.partial = Some(watch.stopped());
        }
        measures::of_outcomes(group, &outcomes, &mut samples);
        if let Some(first) = outcomes.first() {
            describe(group, first, outcomes.len(), &mut balanced);
        }
    }
    balanced.report.sweeps = sweep::run(plan, &mut samples, watch);
    if balanced.report.sweeps.len() < plan.sweeps.len() {
        balanced.report.partial = Some(watch.stopped());
    }
    balanced.report.recorded = measures::recorded(plan);
    balanced.report.metrics = Metrics::of_replications(&samples);
    balanced
}

/// One replication.
fn replicate(
    plan: &BalancingPlan,
    group: &ExpertGroup,
    replication: u32,
    watch: &Watch,
) -> Result<(Outcome, Option<Trained>), Stop> {
    let seed = seed_of(plan.run.seed, replication);
    let routers = process::routers(group, seed, || watch.count(0))?;
    let drawn = process::of_load(group, seed);
    let process: &dyn LoadProcess = match (&routers, &drawn) {
        (Some(routers), _) => routers,
        (None, Some(drawn)) => &**drawn,
        (None, None) => unreachable!("a load is a process, or routers are trained for it"),
    };
    let machine = machine::of_group(group).machine;
    let question = Question {
        process,
        steps: group.load.steps,
        contenders: &group.contenders,
        machine: &machine,
        seed,
    };
    let mut told = 0;
    let outcome = question.run(|done| {
        let new = done - told;
        told = done;
        watch.count(new)
    })?;
    watch.count(group.load.steps - told)?;
    Ok((outcome, routers))
}

/// Puts the first replication into the words of the report.
fn describe(group: &ExpertGroup, outcome: &Outcome, replications: usize, balanced: &mut Balanced) {
    let report = &mut balanced.report;
    report.replications = replications;
    report.steps = outcome.steps;
    report.layers = group.experts.layers;
    let mut start = 0;
    for (name, steps) in group.load.kind.phases(group.load.steps) {
        report.phases.push((name, start));
        start += steps;
    }
    report.frames = frames(outcome);
    report.loads = fits::about(&group.load);
    report.load_fits = fits::of_load(&group.load);
    report.law_error = group.law.as_ref().map(|law| law.median_error);
    report.device_memory = group.cluster.device.memory.as_f64();
    let described = machine::of_group(group);
    let slot = described.machine.slot_bytes();
    report.notes = described.about;
    report.notes.push(format!(
        "{} layer-steps a policy by the closed form (busiest port, slowest device); layers do not contend",
        outcome.steps * u64::from(group.experts.layers)
    ));
    let experts = group.experts.experts as usize;
    for (contender, track) in group.contenders.iter().zip(&outcome.tracks) {
        let rebalances = track.rebalances.iter().map(|plan| RebalanceReport {
            step: plan.step,
            moved: plan.moved,
            bytes: plan.bytes.as_f64(),
            stall: plan.stall.as_secs(),
            transfer: plan.transfer.as_secs(),
        });
        report.policies.push(PolicyReport {
            id: contender.id.clone(),
            about: about(contender),
            terms: terms(track, outcome.steps),
            imbalance: track.imbalance.clone(),
            layer_time: track.layer_time.clone(),
            rebalances: rebalances.collect(),
            pairs: track.pairs.clone(),
            redundant: contender.shape.slots.saturating_sub(experts),
            redundant_bytes: redundant_bytes(contender.shape, group.experts, slot),
        });
        balanced.placements.push((contender.id.clone(), track.tables()));
    }
    report.provenance = provenance(&report.policies, described.backing);
}

/// Bytes of a device that slots beyond one for each expert hold, all layers together, `slot` bytes each.
///
/// Worked: 32 such slots of a layer on 32 devices, 58 layers, 42 MiB a slot: 58 · 42 MiB. Ignores what replicas take
/// besides while they travel.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 slots")]
fn redundant_bytes(shape: Shape, experts: ExpertShape, slot: Bytes) -> f64 {
    let beyond = shape.slots.saturating_sub(experts.experts as usize) as f64;
    beyond / shape.devices.max(1) as f64 * f64::from(experts.layers) * slot.as_f64()
}

/// Where the time of a mean step goes.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
fn terms(track: &Track, steps: u64) -> StepTerms {
    let steps = steps.max(1) as f64;
    let stall: f64 = track.stall.iter().map(|&stall| f64::from(stall)).sum();
    StepTerms {
        dispatch: track.terms.dispatch / steps,
        experts: track.terms.experts / steps,
        waiting: track.terms.wait / steps,
        combine: track.terms.combine / steps,
        upkeep: track.terms.upkeep / steps,
        stall: stall / steps,
    }
}

/// Shares of the time of all policies that rest on each kind of evidence: that of experts and of exchanges is that of their
/// laws; what replicas take, on their way and to stand still for them, is bytes over the rates of ports.
fn provenance(policies: &[PolicyReport], backing: machine::Backing) -> Option<[f64; 4]> {
    let mut shares = [0.0; 4];
    for policy in policies {
        let terms = policy.terms;
        shares[backing.experts as usize] += terms.experts;
        shares[backing.exchanges as usize] += terms.dispatch + terms.combine;
        shares[Evidence::Analytic as usize] += terms.upkeep + terms.stall;
    }
    let all: f64 = shares.iter().sum();
    (all > 0.0).then(|| shares.map(|share| share / all))
}

/// Loads in stretches of steps.
fn frames(outcome: &Outcome) -> Vec<LoadFrame> {
    let frames = outcome.frames.iter().zip(&outcome.experts).enumerate();
    let devices = |at: usize| {
        outcome
            .tracks
            .iter()
            .map(move |track| track.devices[at].rows.clone())
    };
    frames
        .map(|(at, (steps, experts))| LoadFrame {
            steps: steps.clone(),
            experts: experts.rows.clone(),
            devices: devices(at).collect(),
        })
        .collect()
}

/// Where replicas lie, as SGLang and vLLM read it.
#[must_use]
pub fn placement_json(tables: &Tables) -> serde_json::Value {
    serde_json::json!({
        "physical_to_logical_map": tables.phy2log,
        "logical_to_physical_map": tables.log2phy,
        "logical_replica_count": tables.logcnt,
    })
}

/// A policy in words.
fn about(contender: &orrery_balance::lab::Contender) -> String {
    use orrery_balance::lab::Migration;
    use orrery_balance::placement::Dispatch;
    let control = contender.control;
    let at = Dispatch::ALL
        .iter()
        .position(|dispatch| *dispatch == contender.dispatch);
    let dispatch = Dispatch::NAMES[at.unwrap_or(0)];
    let name = format!("{}, {} slots", contender.algorithm.name(), contender.shape.slots);
    if control.interval == 0 {
        return format!("{name}, placed once; dispatch {dispatch}");
    }
    let how = match control.migration {
        Migration::Blocking => "steps stand still while replicas travel".to_owned(),
        Migration::Overlapped { share } => format!("replicas take {:.0} % of the links", share * 100.0),
    };
    format!(
        "{name} every {} steps on the last {}; {how}; dispatch {dispatch}",
        control.interval, control.window
    )
}

fn identity(plan: &BalancingPlan) -> Identity {
    let who = &plan.identity;
    let group = plan.group.as_ref();
    Identity {
        origin: Origin::Simulated,
        scenario: who.name.clone(),
        title: who.title.clone(),
        notes: who.notes.clone(),
        file: who.file.clone(),
        hash: who.hash.clone(),
        settings: facts::settings(&who.resolved),
        seed: plan.run.seed.get(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: group
            .map(|group| group.profile.name.clone())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "none".to_owned()),
        profile_sources: group.map_or_else(Vec::new, |group| facts::profile_sources(&group.profile)),
        model: group.map_or_else(String::new, |group| {
            let experts = group.experts;
            format!(
                "{}, {} layers of {} experts, top {}",
                group.model, experts.layers, experts.experts, experts.top_k
            )
        }),
        cluster: group.map_or_else(String::new, |group| {
            let cluster = &group.cluster;
            format!(
                "{} nodes x {} {}",
                cluster.num_nodes, cluster.node.num_devices, cluster.device.name
            )
        }),
        layout: group.map_or_else(String::new, |group| {
            let shape = group.shape;
            format!("EP{}, {} slots a layer", shape.devices, shape.slots)
        }),
    }
}

fn assumptions(plan: &BalancingPlan) -> Vec<Assumption> {
    let assumption = |assumption: &orrery_scenario::plan::Assumption| Assumption {
        key: assumption.key.clone(),
        value: assumption.value.clone(),
        reason: assumption.reason.clone(),
    };
    plan.assumptions.iter().map(assumption).collect()
}
