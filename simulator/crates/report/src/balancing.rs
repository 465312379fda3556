//! What a balancing scenario came to: figures of every policy, series over steps, heat maps.

use std::collections::BTreeMap;
use std::ops::Range;

use orrery_timeline::Statistic;

use crate::{Assumption, Check, Identity, Metrics};

/// Everything that is said about a balancing run.
#[derive(Clone, Debug, Default)]
pub struct BalancingReport {
    /// What the run was; its layout is that of the experts.
    pub identity: Identity,
    /// Lines on where times come from and what was not simulated.
    pub notes: Vec<String>,
    /// Replications that the figures rest on.
    pub replications: usize,
    /// Steps of each.
    pub steps: u64,
    /// Layers of experts of the model; zero without a load.
    pub layers: u32,
    /// Names of the stretches of steps, each with its first step.
    pub phases: Vec<(String, u64)>,
    /// Policies, in the order of the scenario; the first is what others are compared with.
    pub policies: Vec<PolicyReport>,
    /// Loads in stretches of steps, in order: the first is that of the beginning, the last that of the end.
    pub frames: Vec<LoadFrame>,
    /// Sweeps over settings of policies.
    pub sweeps: Vec<SweepReport>,
    /// Plans on recordings, each with its imbalance by layer.
    pub recorded: Vec<(String, Vec<f64>)>,
    /// Figures.
    pub metrics: Metrics,
    /// Expectations, evaluated.
    pub checks: Vec<Check>,
    /// Shares of the time of all policies that rest on each kind of evidence, best first; none where nothing took time.
    pub provenance: Option<[f64; 4]>,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
    /// Why the run ended early, if it did.
    pub partial: Option<String>,
    /// What the loads are, in words: recorded, or drawn.
    pub loads: String,
    /// The law that fits each recorded load best, and how well.
    pub load_fits: Vec<LoadFit>,
    /// By how much the law of experts' times misses the layers that it was fitted to, as a share, in the median; none
    /// where it was fitted to nothing.
    pub law_error: Option<f64>,
    /// Memory of a device in bytes; zero where nobody knows.
    pub device_memory: f64,
}

/// The law that fits a recorded load best, and how well. The run plays the recording, not the law.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadFit {
    /// The phase that plays the recording.
    pub phase: String,
    /// The law with its parameters, the medians over layers.
    pub law: String,
    /// Layers that it was fitted to.
    pub layers: usize,
    /// R² of the sorted shares of experts in the median layer, and in the worst.
    pub r_squared: [f64; 2],
    /// R² of their logarithms in the median layer: how well experts fit that are rarely chosen.
    pub log_r_squared: f64,
}

/// Where the time of a mean step goes under a policy, in seconds: terms that add up to it, and how much of the experts' is
/// waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepTerms {
    /// Dispatch, by its busiest port.
    pub dispatch: f64,
    /// Experts of the slowest device.
    pub experts: f64,
    /// Of these: what a device waits for the slowest, in the mean of devices.
    pub waiting: f64,
    /// Combine, by its busiest port.
    pub combine: f64,
    /// What replicas take besides: shadows on their way, gradients that are summed.
    pub upkeep: f64,
    /// Standing still for plans and replicas.
    pub stall: f64,
}

impl StepTerms {
    /// Names of the terms, each with the term.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("dispatch", self.dispatch),
            ("experts", self.experts),
            ("waiting", self.waiting),
            ("combine", self.combine),
            ("upkeep", self.upkeep),
            ("stall", self.stall),
        ]
    }
}

/// One policy, in the first replication.
#[derive(Clone, Debug, Default)]
pub struct PolicyReport {
    /// Its name.
    pub id: String,
    /// Balancer, dispatch, window and interval in words.
    pub about: String,
    /// Largest over mean rows of a device; one entry a step.
    pub imbalance: Vec<f32>,
    /// Seconds of a layer; one entry a step.
    pub layer_time: Vec<f32>,
    /// Where the time of its mean step goes.
    pub terms: StepTerms,
    /// Plans: step, replicas moved, bytes, seconds of standing still.
    pub rebalances: Vec<RebalanceReport>,
    /// Slots of a layer beyond one for each expert.
    pub redundant: usize,
    /// Bytes that these hold of every device, all layers together.
    pub redundant_bytes: f64,
    /// Bytes of a step's dispatch from each device to each other, in the end.
    pub pairs: Vec<Vec<f64>>,
}

/// Loads in a stretch of steps, by layer and over the mean of the layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadFrame {
    /// The steps.
    pub steps: Range<u64>,
    /// Of experts.
    pub experts: Vec<Vec<f64>>,
    /// Of devices, under each policy.
    pub devices: Vec<Vec<Vec<f64>>>,
}

/// What a policy came to in a stretch of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Largest over mean rows of a device, in the mean of the steps.
    pub imbalance: f64,
    /// The same in one step of twenty, or more.
    pub imbalance_p95: f64,
    /// Seconds of a layer, in the mean.
    pub layer_time: f64,
    /// Plans that moved anything.
    pub plans: usize,
    /// Replicas that travelled, and their bytes.
    pub moved: (usize, f64),
    /// Seconds that every device stood still.
    pub stall: f64,
}

impl PolicyReport {
    /// What it came to in `steps`; none where there are no such steps.
    #[must_use]
    pub fn stretch(&self, steps: Range<u64>) -> Option<Stretch> {
        let part = |series: &[f32]| -> Option<Vec<f64>> {
            let end = usize::try_from(steps.end).unwrap_or(usize::MAX).min(series.len());
            let part = series.get(usize::try_from(steps.start).ok()?..end)?;
            (!part.is_empty()).then(|| part.iter().map(|&value| f64::from(value)).collect())
        };
        let imbalance = part(&self.imbalance)?;
        let layer_time = part(&self.layer_time)?;
        let plans = || self.rebalances.iter().filter(|plan| steps.contains(&plan.step));
        Some(Stretch {
            imbalance: Statistic::Mean.of(&imbalance)?,
            imbalance_p95: Statistic::P95.of(&imbalance)?,
            layer_time: Statistic::Mean.of(&layer_time)?,
            plans: plans().count(),
            moved: (
                plans().map(|plan| plan.moved).sum(),
                plans().map(|plan| plan.bytes).sum(),
            ),
            stall: plans().map(|plan| plan.stall).sum(),
        })
    }
}

/// A policy beside the first one, a setting of it moved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepReport {
    /// The policy.
    pub policy: String,
    /// The policy that it is compared with.
    pub base: String,
    /// What is moved.
    pub key: String,
    /// What came of each value.
    pub points: Vec<SweepValue>,
}

/// What came of a value of a sweep, in the mean of replications.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SweepValue {
    /// The value.
    pub value: u64,
    /// Seconds of a step that layers of experts take less.
    pub gain: f64,
    /// Seconds of a step that everybody stands still.
    pub cost: f64,
    /// Bytes of replicas that travel for a step.
    pub bytes: f64,
    /// Largest over mean rows of a device.
    pub imbalance: f64,
}

/// A plan that was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RebalanceReport {
    /// The step before which it was made.
    pub step: u64,
    /// Replicas that travelled.
    pub moved: usize,
    /// Their bytes.
    pub bytes: f64,
    /// Seconds of standing still.
    pub stall: f64,
    /// Seconds that replicas were under way.
    pub transfer: f64,
}

impl BalancingReport {
    /// The same report with its expectations evaluated.
    #[must_use]
    pub fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.checks = checks;
        self
    }

    /// Whether any expectation fails the run.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.checks.iter().any(Check::fails_run)
    }

    /// Seconds of all steps of each policy, and the seconds that it saves beside the first.
    #[must_use]
    pub fn totals(&self) -> Vec<(&str, f64, f64)> {
        let total = |policy: &PolicyReport| {
            let key = format!("moe.total_time{{policy='{}'}}", policy.id);
            self.metrics.mean(&key)
        };
        let first = self.policies.first().map_or(0.0, total);
        self.policies
            .iter()
            .map(|policy| (policy.id.as_str(), total(policy), first - total(policy)))
            .collect()
    }
}

/// Samples of metrics by key, one list per replication.
pub type Samples = BTreeMap<String, Vec<Vec<f64>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_counts_its_own_steps_and_plans() {
        let plan = |step, moved| RebalanceReport {
            step,
            moved,
            bytes: 8.0,
            stall: 0.5,
            transfer: 1.0,
        };
        let policy = PolicyReport {
            imbalance: vec![1.0, 2.0, 4.0, 6.0],
            layer_time: vec![0.5, 0.5, 1.5, 9.0],
            rebalances: vec![plan(0, 1), plan(2, 3), plan(3, 5)],
            ..PolicyReport::default()
        };
        let middle = policy.stretch(1..3).expect("there are such steps");
        assert!((middle.imbalance - 3.0).abs() < 1e-12 && (middle.layer_time - 1.0).abs() < 1e-12);
        assert_eq!((middle.plans, middle.moved.0), (1, 3), "the one before step 2");
        let all = policy.stretch(0..100).expect("as many as there are");
        assert_eq!((all.plans, all.moved.0), (3, 9));
        assert!((all.moved.1 - 24.0).abs() < 1e-12 && (all.stall - 1.5).abs() < 1e-12);
        assert_eq!(policy.stretch(4..9), None);
        assert_eq!(policy.stretch(2..2), None);
    }
}
