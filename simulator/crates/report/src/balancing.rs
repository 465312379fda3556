//! What a balancing scenario came to: figures of every policy, series over steps, heat maps.

use std::collections::BTreeMap;

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
    /// Names of the stretches of steps, each with its first step.
    pub phases: Vec<(String, u64)>,
    /// Policies, in the order of the scenario; the first is what others are compared with.
    pub policies: Vec<PolicyReport>,
    /// Loads of experts by layer over the mean of the layer, in the first steps and in the last.
    pub experts: [Vec<Vec<f64>>; 2],
    /// Sweeps over settings of policies.
    pub sweeps: Vec<SweepReport>,
    /// Plans on recordings, each with its imbalance by layer.
    pub recorded: Vec<(String, Vec<f64>)>,
    /// Figures.
    pub metrics: Metrics,
    /// Expectations, evaluated.
    pub checks: Vec<Check>,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
    /// Why the run ended early, if it did.
    pub partial: Option<String>,
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
    /// Plans: step, replicas moved, bytes, seconds of standing still.
    pub rebalances: Vec<RebalanceReport>,
    /// Loads of devices by layer over the mean of the layer, in the first steps and in the last.
    pub devices: [Vec<Vec<f64>>; 2],
    /// Bytes of a step's dispatch from each device to each other, in the end.
    pub pairs: Vec<Vec<f64>>,
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
