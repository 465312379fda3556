//! What a setting of a policy costs and buys, value by value.

use orrery_balance::lab::{Outcome, Track};
use orrery_report::{Samples, SweepReport, SweepValue};
use orrery_scenario::plan::{BalancingPlan, BalancingSweep, ExpertGroup, SweepPoint};

use super::{Watch, replicate};
use crate::pipeline::in_parallel;

/// Runs every point of every sweep, its figures into `samples`; none of a sweep that somebody stopped.
pub(super) fn run(plan: &BalancingPlan, samples: &mut Samples, watch: &Watch) -> Vec<SweepReport> {
    let one = |sweep: &BalancingSweep| {
        let points = sweep.points.iter().zip(sweep.names());
        let points: Option<Vec<SweepValue>> = points
            .map(|(point, name)| self::point(plan, (point, &name), samples, watch))
            .collect();
        Some(SweepReport {
            policy: sweep.policy.clone(),
            base: base(sweep).to_owned(),
            key: sweep.key.name().to_owned(),
            points: points?,
        })
    };
    plan.sweeps.iter().filter_map(one).collect()
}

/// Whom a sweep compares with.
fn base(sweep: &BalancingSweep) -> &str {
    let point = sweep.points.first();
    point.map_or("", |point| point.group.contenders[0].id.as_str())
}

/// Runs a point in every replication.
fn point(
    plan: &BalancingPlan,
    (point, name): (&SweepPoint, &str),
    samples: &mut Samples,
    watch: &Watch,
) -> Option<SweepValue> {
    let outcomes = in_parallel(plan.run.replications, |replication| {
        replicate(plan, &point.group, replication, watch)
    });
    let outcomes: Result<Vec<(Outcome, _)>, _> = outcomes.into_iter().collect();
    let values: Vec<SweepValue> = outcomes
        .ok()?
        .iter()
        .map(|(outcome, _)| value(&point.group, outcome, point.value))
        .collect();
    for (metric, of) in [
        ("eplb.sweep_cost", (|value| value.cost) as fn(&SweepValue) -> f64),
        ("eplb.sweep_gain", |value| value.gain),
    ] {
        let key = format!("{metric}{{point='{name}'}}");
        samples.insert(key, values.iter().map(|value| vec![of(value)]).collect());
    }
    #[expect(clippy::cast_precision_loss, reason = "there are few replications")]
    let mean = |of: fn(&SweepValue) -> f64| values.iter().map(of).sum::<f64>() / values.len() as f64;
    Some(SweepValue {
        value: point.value,
        gain: mean(|value| value.gain),
        cost: mean(|value| value.cost),
        bytes: mean(|value| value.bytes),
        imbalance: mean(|value| value.imbalance),
    })
}

/// What the policy that is moved comes to beside the first, in the mean of the steps.
#[expect(clippy::cast_precision_loss, reason = "there are few steps and layers")]
fn value(group: &ExpertGroup, outcome: &Outcome, value: u64) -> SweepValue {
    let (steps, layers) = (outcome.steps as f64, f64::from(group.experts.layers));
    let mean = |series: &[f32]| series.iter().map(|&value| f64::from(value)).sum::<f64>() / steps;
    let [first, moved] = [&outcome.tracks[0], &outcome.tracks[1]];
    let in_layers = |track: &Track| mean(&track.layer_time) * layers;
    let bytes: f64 = moved.rebalances.iter().map(|plan| plan.bytes.as_f64()).sum();
    SweepValue {
        value,
        gain: in_layers(first) - in_layers(moved),
        cost: mean(&moved.stall),
        bytes: bytes / steps,
        imbalance: mean(&moved.imbalance),
    }
}
