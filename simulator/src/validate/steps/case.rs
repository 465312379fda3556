//! A step that was compared, with what it is ranked and judged by.

use orrery_scenario::Plan;
use orrery_workload::lower::model_flops;

use super::super::Compared;
use super::row::StepRow;

/// What rivals share: one model, one amount of work, one machine and its software.
const CONTEST: [&str; 20] = [
    "source",
    "model",
    "layers",
    "hidden",
    "ffn",
    "heads",
    "kv_heads",
    "vocab",
    "experts",
    "topk",
    "moe_ffn",
    "gpu",
    "gpus",
    "gbs",
    "seq",
    "precision",
    "stack",
    "release",
    "routing",
    "tier",
];

/// A compared step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepCase {
    /// Whether the row says all that the prediction needs.
    pub is_complete: bool,
    /// Its tier.
    pub tier: String,
    /// Its model.
    pub model: String,
    /// Its stack and release; empty where no release was recorded.
    pub release: String,
    /// What it shares with other layouts of one model on one machine.
    pub contest: String,
    /// What tells its layout from others: the hash of its scenario.
    pub layout: String,
    /// Device, number format and kind of model.
    pub peers: String,
    /// Model FLOPs of a step on one device, attention counted causally.
    pub device_flops: f64,
    /// Prediction beside measurement.
    pub compared: Compared,
}

impl StepCase {
    /// The case of `row`, whose plan is `plan`.
    pub(super) fn new(row: StepRow<'_>, plan: &Plan, compared: Compared) -> Self {
        let kind = if row.is_moe() { "MoE" } else { "dense" };
        let device = &plan.cluster.device.name;
        let format = plan.training.formats.gemm.name();
        let release = match row.text("release") {
            "" => String::new(),
            release => format!("{} {release}", row.text("stack")),
        };
        Self {
            is_complete: row.assumed().is_empty(),
            tier: row.text("tier").to_owned(),
            model: row.text("model").to_owned(),
            release,
            contest: CONTEST.map(|column| row.text(column)).join(" | "),
            layout: plan.identity.hash.clone(),
            peers: format!("{device} {format} {kind}"),
            device_flops: model_flops(plan).causal.get() / f64::from(plan.layout.world()),
            compared,
        }
    }
}

#[cfg(test)]
pub(super) mod by_hand {
    use super::*;

    /// A complete case of tier A: measured and predicted seconds.
    pub(in super::super) fn case(contest: &str, layout: &str, measured: f64, predicted: f64) -> StepCase {
        StepCase {
            is_complete: true,
            tier: "A".to_owned(),
            model: contest.to_owned(),
            release: String::new(),
            contest: contest.to_owned(),
            layout: layout.to_owned(),
            peers: "one kind".to_owned(),
            device_flops: 1.0,
            compared: Compared {
                measured,
                predicted,
                low: predicted,
                high: predicted,
                evidence: "analytic",
            },
        }
    }
}
