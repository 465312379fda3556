//! Outcomes as samples of metrics.

use orrery_balance::lab::{Outcome, Phase};
use orrery_balance::placement::{LayerPlacement, Observed, Policy as _, Setting};
use orrery_experts::gate::{RouterStep, Trained};
use orrery_experts::load::LoadProcess as _;
use orrery_report::Samples;
use orrery_scenario::plan::{BalancingPlan, ExpertGroup, RecordedPlan};
use orrery_units::Seed;

/// Imbalance below which loads count as balanced again.
const RECOVERED: f64 = 1.2;
/// Steps that it is smoothed over.
const SMOOTH: usize = 100;

/// Published placements and plans on recordings.
pub(super) fn of_plans(plan: &BalancingPlan) -> Samples {
    let mut samples = Samples::new();
    for golden in &plan.goldens {
        let layers = golden
            .case
            .place(golden.algorithm)
            .expect("a validated question has an answer");
        let matches = layers
            .iter()
            .zip(&golden.phy2log)
            .map(|(layer, expected)| if layer.experts() == expected { 1.0 } else { 0.0 });
        samples.insert(
            format!("golden.matches{{id='{}'}}", golden.id),
            vec![matches.collect()],
        );
    }
    for (id, layers) in recorded(plan) {
        samples.insert(format!("eplb.plan_imbalance{{plan='{id}'}}"), vec![layers]);
    }
    samples
}

/// Plans on recordings: largest over mean tokens of a device, by layer.
pub(super) fn recorded(plan: &BalancingPlan) -> Vec<(String, Vec<f64>)> {
    let one = |recorded: &RecordedPlan| (recorded.id.clone(), imbalance(recorded));
    plan.recorded.iter().map(one).collect()
}

fn imbalance(plan: &RecordedPlan) -> Vec<f64> {
    let layers = plan.seen.iter().zip(&plan.scored).zip(0_u64..);
    let one = |((seen, scored), layer): ((&Vec<u64>, &Vec<u64>), u64)| {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let loads = |counts: &[u64]| -> Vec<f64> { counts.iter().map(|&count| count as f64).collect() };
        let setting = Setting {
            shape: plan.shape,
            now: None,
            key: Seed::new(0).at("placement", &[layer]),
        };
        let placement = plan.algorithm.place(Observed::of_mean(&loads(seen)), setting);
        placement.imbalance(&loads(scored))
    };
    layers.map(one).collect()
}

/// What a step of a router's training is measured by.
type Measure = fn(&RouterStep) -> f64;

/// Parts of a router's training that are told: its first and its last tenth.
const TENTH: usize = 10;

/// Adds what the routers of one replication did.
pub(super) fn of_routers(routers: &Trained, samples: &mut Samples) {
    let measures: [(&str, Measure); 6] = [
        ("gate.affinity_kept", |step| step.affinity_kept),
        ("gate.drop_rate", |step| step.drop_rate),
        ("gate.entropy", |step| step.entropy),
        ("gate.imbalance", |step| step.imbalance),
        ("gate.padding", |step| step.padding),
        ("gate.unserved", |step| step.unserved),
    ];
    let layers = 0..routers.layers();
    let steps: Vec<&[RouterStep]> = layers.map(|layer| routers.steps(layer)).collect();
    let tenth = (steps[0].len() / TENTH).max(1);
    let start = steps.iter().flat_map(|steps| &steps[..tenth]);
    let end = steps.iter().flat_map(|steps| &steps[steps.len() - tenth..]);
    for (at, steps) in [("start", start.collect::<Vec<_>>()), ("end", end.collect())] {
        for (name, measure) in measures {
            let values = steps.iter().map(|step| measure(step)).collect();
            samples
                .entry(format!("{name}{{at='{at}'}}"))
                .or_default()
                .push(values);
        }
    }
}

/// Adds what every policy came to in every replication.
pub(super) fn of_outcomes(group: &ExpertGroup, outcomes: &[Outcome], samples: &mut Samples) {
    let layers = group.experts.layers;
    let phases = phases(group);
    for (at, contender) in group.contenders.iter().enumerate() {
        for outcome in outcomes {
            let track = &outcome.tracks[at];
            let mut push = |name: &str, values: Vec<f64>| {
                let key = format!("{name}{{policy='{}'}}", contender.id);
                samples.entry(key).or_default().push(values);
            };
            push("moe.imbalance", wide(&track.imbalance));
            push("moe.layer_time", wide(&track.layer_time));
            push("moe.combine_wait", wide(&track.wait));
            let steps = track.layer_time.iter().zip(&track.stall);
            push(
                "moe.step_time",
                steps
                    .map(|(&time, &stall)| f64::from(time) * f64::from(layers) + f64::from(stall))
                    .collect(),
            );
            let total = track.seconds(layers as usize);
            let stall: f64 = track.stall.iter().map(|&stall| f64::from(stall)).sum();
            push("moe.total_time", vec![total]);
            push("eplb.stall_time", vec![stall]);
            push(
                "eplb.migration_ratio",
                vec![if total > 0.0 { stall / total } else { 0.0 }],
            );
            let bytes = track.rebalances.iter().map(|plan| plan.bytes.as_f64()).sum();
            push("eplb.migrated_bytes", vec![bytes]);
            let wasted: usize = track.placements.iter().map(LayerPlacement::num_wasted).sum();
            #[expect(clippy::cast_precision_loss, reason = "a model has few replicas")]
            push("eplb.wasted_replicas", vec![wasted as f64]);
            for phase in &phases {
                let key = format!(
                    "moe.recovery_steps{{phase='{}',policy='{}'}}",
                    phase.name, contender.id
                );
                #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
                let steps = track.recovery(phase, RECOVERED, SMOOTH) as f64;
                samples.entry(key).or_default().push(vec![steps]);
            }
        }
    }
}

fn wide(series: &[f32]) -> Vec<f64> {
    series.iter().map(|&value| f64::from(value)).collect()
}

fn phases(group: &ExpertGroup) -> Vec<Phase> {
    let mut start = 0;
    let phase = |(name, steps): (String, u64)| {
        let phase = Phase {
            name,
            start,
            end: start + steps,
        };
        start += steps;
        phase
    };
    group
        .load
        .kind
        .phases(group.load.steps)
        .into_iter()
        .map(phase)
        .collect()
}
