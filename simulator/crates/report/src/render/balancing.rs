//! The terminal's look and `result/1` of a balancing run.

use orrery_units::{Bytes, significant, with_si_prefix};
use serde_json::{Map, Value, json};

use super::text::{check_line, line, put, right, table};
use super::{balancing_verdict, json as looks};
use crate::{BalancingReport, LoadFit, PolicyReport, StepTerms, SweepReport, SweepValue, Worth};

/// Most points of a series in a file; more are averaged.
const MOST_POINTS: usize = 500;

/// The report for a terminal, without colours.
#[must_use]
pub fn balancing_text(report: &BalancingReport) -> String {
    let mut out = String::new();
    let who = &report.identity;
    let title = if who.title.is_empty() {
        &who.scenario
    } else {
        &who.title
    };
    line(&mut out, title);
    let facts = [&who.model, &who.cluster, &who.layout];
    let facts: Vec<&str> = facts
        .into_iter()
        .map(String::as_str)
        .filter(|fact| !fact.is_empty())
        .collect();
    line(&mut out, &facts.join(" · "));
    for note in &report.notes {
        line(&mut out, note);
    }
    if let Some(reason) = &report.partial {
        line(&mut out, &format!("partial result: {reason}"));
    }
    out.push('\n');
    line(&mut out, &balancing_verdict(report));
    out.push('\n');
    policies(&mut out, report);
    for sweep in &report.sweeps {
        sweep_table(&mut out, sweep);
    }
    recorded(&mut out, report);
    for check in &report.checks {
        line(&mut out, &check_line(check));
    }
    out
}

fn policies(out: &mut String, report: &BalancingReport) {
    if report.policies.is_empty() {
        return;
    }
    let mut table = table(&[
        "policy",
        "imbalance",
        "layer",
        "p99",
        "waiting",
        "stood still",
        "moved",
        "all time",
        "saved",
    ]);
    for (policy, (_, total, saved)) in report.policies.iter().zip(report.totals()) {
        let value = |metric: &str, statistic: &str| {
            let key = format!("{metric}{{policy='{}'}}.{statistic}", policy.id);
            report.metrics.get(&key).unwrap_or(0.0)
        };
        table.add_row([
            policy.id.clone(),
            significant(value("moe.imbalance", "mean"), 4),
            with_si_prefix(value("moe.layer_time", "mean"), "s"),
            with_si_prefix(value("moe.layer_time", "p99"), "s"),
            with_si_prefix(value("moe.combine_wait", "mean"), "s"),
            with_si_prefix(value("eplb.stall_time", "mean"), "s"),
            Bytes::from_f64(value("eplb.migrated_bytes", "mean")).to_string(),
            with_si_prefix(total, "s"),
            with_si_prefix(saved, "s"),
        ]);
    }
    right(&mut table, &[1, 2, 3, 4, 5, 6, 7, 8]);
    put(out, &table);
    for words in report.worth().iter().map(Worth::sentence).chain(report.grounds()) {
        line(out, &words);
    }
    out.push('\n');
    line(out, &replications(report));
    for policy in &report.policies {
        line(out, &format!("{}: {}", policy.id, policy.about));
    }
    out.push('\n');
    terms(out, report);
}

/// What figures rest on, in words.
pub(super) fn replications(report: &BalancingReport) -> String {
    match report.replications {
        1 => "One replication: no interval. `[run] replications` makes more of them.".to_owned(),
        many => {
            format!("Means of {many} replications; their 80 % intervals are in run.json and report.html.")
        }
    }
}

/// Why a policy takes the time that it takes: the terms of its mean step.
fn terms(out: &mut String, report: &BalancingReport) {
    let columns: Vec<&str> = ["of a step"]
        .into_iter()
        .chain(StepTerms::default().named().map(|(name, _)| name))
        .collect();
    let mut table = table(&columns);
    for policy in &report.policies {
        let terms = policy.terms.named();
        let cells = terms.map(|(_, seconds)| with_si_prefix(seconds, "s"));
        table.add_row([policy.id.clone()].into_iter().chain(cells));
    }
    right(&mut table, &[1, 2, 3, 4, 5, 6]);
    put(out, &table);
    line(
        out,
        "Waiting for the slowest device is part of its experts' time; the other terms add up to the step.",
    );
    out.push('\n');
}

/// What each value of a sweep buys and costs.
fn sweep_table(out: &mut String, sweep: &SweepReport) {
    line(out, &sweep_title(sweep));
    let mut table = table(&[
        &sweep.key,
        "imbalance",
        "gain a step",
        "cost a step",
        "left",
        "moved a step",
    ]);
    for point in &sweep.points {
        table.add_row([
            point.value.to_string(),
            significant(point.imbalance, 4),
            with_si_prefix(point.gain, "s"),
            with_si_prefix(point.cost, "s"),
            with_si_prefix(point.gain - point.cost, "s"),
            Bytes::from_f64(point.bytes).to_string(),
        ]);
    }
    right(&mut table, &[0, 1, 2, 3, 4, 5]);
    put(out, &table);
    out.push('\n');
}

/// What a sweep moves, in words.
#[must_use]
pub fn sweep_title(sweep: &SweepReport) -> String {
    let what = match sweep.key.as_str() {
        "interval" => "steps between plans",
        "redundant" => "slots beyond one per expert",
        _ => "devices that share the experts",
    };
    format!("{} beside {}, by {what}", sweep.policy, sweep.base)
}

fn recorded(out: &mut String, report: &BalancingReport) {
    if report.recorded.is_empty() {
        return;
    }
    let mut table = table(&[
        "busiest device over mean under plan",
        "median layer",
        "mean",
        "worst layer",
    ]);
    for (id, _) in &report.recorded {
        let value = |statistic: &str| {
            let key = format!("eplb.plan_imbalance{{plan='{id}'}}.{statistic}");
            significant(report.metrics.get(&key).unwrap_or(0.0), 4)
        };
        table.add_row([id.clone(), value("p50"), value("mean"), value("max")]);
    }
    right(&mut table, &[1, 2, 3]);
    put(out, &table);
}

/// The report as a `result/1` object.
#[must_use]
pub fn balancing_json(report: &BalancingReport) -> Value {
    let who = &report.identity;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("schema", json!("result/1"));
    put("kind", json!("balancing"));
    put("scenario", json!(who.scenario));
    put("title", json!(who.title));
    put("file", json!(who.file));
    put("hash", json!(who.hash));
    let settings = who.settings.iter();
    put(
        "settings",
        Value::Object(settings.map(|(key, value)| (key.clone(), json!(value))).collect()),
    );
    put("seed", json!(who.seed));
    put("version", json!(who.version));
    put("profile", json!(who.profile));
    put("profile_sources", json!(who.profile_sources));
    put("model", json!(who.model));
    put("cluster", json!(who.cluster));
    put("layout", json!(who.layout));
    put("notes", json!(report.notes));
    put("replications", json!(report.replications));
    put("steps", json!(report.steps));
    put("partial", json!(report.partial));
    put("verdict", json!(balancing_verdict(report)));
    put("worth", report.worth().iter().map(worth).collect());
    put("grounds", json!(report.grounds()));
    put("load_fits", report.load_fits.iter().map(load_fit).collect());
    put("law_error", json!(report.law_error));
    put("metrics", json!(report.metrics.values()));
    put("intervals", looks::intervals(&report.metrics));
    put("provenance", looks::provenance(report.provenance));
    put("checks", report.checks.iter().map(looks::check).collect());
    put(
        "phases",
        report
            .phases
            .iter()
            .map(|(name, start)| json!({"name": name, "start": start}))
            .collect(),
    );
    let ends = [report.frames.first(), report.frames.last()];
    for (key, frame) in ["experts_before", "experts_after"].into_iter().zip(ends) {
        put(
            key,
            json!(frame.map(|frame| rounded(&frame.experts)).unwrap_or_default()),
        );
    }
    let policies = report.policies.iter().enumerate();
    put(
        "policies",
        policies
            .map(|(at, one)| policy(one, ends.map(|frame| frame?.devices.get(at))))
            .collect(),
    );
    put("sweeps", report.sweeps.iter().map(sweep).collect());
    let recorded = report.recorded.iter();
    let plan = |(id, layers): &(String, Vec<f64>)| json!({"id": id, "imbalance_of_layers": layers});
    put("recorded", recorded.map(plan).collect());
    put("assumptions", looks::assumptions(&report.assumptions));
    Value::Object(object)
}

fn worth(worth: &Worth) -> Value {
    json!({
        "policy": worth.policy, "saved_s": worth.saved, "migration_s": worth.migration, "pays_from": worth.pays_from,
        "share_of_moe_layers": worth.share(), "redundant_slots": worth.redundant,
        "redundant_bytes_per_device": worth.held, "share_of_device_memory": worth.share_of_memory(),
        "sentence": worth.sentence(),
    })
}

fn load_fit(fit: &LoadFit) -> Value {
    let [median, worst] = fit.r_squared;
    json!({
        "phase": fit.phase, "law": fit.law, "layers": fit.layers, "r_squared": median, "r_squared_worst": worst,
        "log_r_squared": fit.log_r_squared,
    })
}

/// A policy, with its loads of devices in the first steps and in the last.
fn policy(policy: &PolicyReport, devices: [Option<&Vec<Vec<f64>>>; 2]) -> Value {
    let [before, after] = devices.map(|rows| rows.map(|rows| rounded(rows)).unwrap_or_default());
    let rebalances = policy.rebalances.iter().map(|plan| {
        json!({
            "step": plan.step, "moved": plan.moved, "bytes": plan.bytes, "stall": plan.stall,
            "transfer": plan.transfer,
        })
    });
    json!({
        "id": policy.id,
        "about": policy.about,
        "imbalance": thinned(&policy.imbalance),
        "layer_time": thinned(&policy.layer_time),
        "terms": policy.terms.named().map(|(name, seconds)| (name.to_owned(), json!(seconds))).into_iter().collect::<Map<_, _>>(),
        "rebalances": rebalances.collect::<Value>(),
        "devices_before": before,
        "devices_after": after,
        "pairs": policy.pairs.iter().map(|row| row.iter().map(|bytes| bytes.round()).collect::<Value>()).collect::<Value>(),
    })
}

fn sweep(sweep: &SweepReport) -> Value {
    let point = |point: &SweepValue| {
        json!({
            "value": point.value, "gain": point.gain, "cost": point.cost, "bytes": point.bytes,
            "imbalance": point.imbalance,
        })
    };
    json!({
        "policy": sweep.policy,
        "base": sweep.base,
        "key": sweep.key,
        "points": sweep.points.iter().map(point).collect::<Value>(),
    })
}

/// Three decimals of every cell: enough for a picture.
fn rounded(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let cell = |cell: &f64| (cell * 1e3).round() / 1e3;
    rows.iter().map(|row| row.iter().map(cell).collect()).collect()
}

/// Means of so many steps that there are 500 points at most.
pub(super) fn thinned(series: &[f32]) -> Vec<f64> {
    let each = series.len().div_ceil(MOST_POINTS).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a chunk has few steps")]
    let mean = |chunk: &[f32]| chunk.iter().map(|&value| f64::from(value)).sum::<f64>() / chunk.len() as f64;
    series.chunks(each).map(mean).collect()
}

/// Whether balancing pays, in a sentence; what each policy is worth is said with its table.
pub(super) fn verdict(report: &BalancingReport) -> String {
    let totals = report.totals();
    let Some(&(first, base, _)) = totals.first() else {
        return of_plans(report);
    };
    let (all, steps) = (with_si_prefix(base, "s"), report.steps);
    let best = report
        .worth()
        .into_iter()
        .max_by(|a, b| a.saved.total_cmp(&b.saved));
    match best {
        Some(best) if best.pays() => format!(
            "Balancing pays: {} saves {} of the {all} that MoE layers take in {steps} steps under {first}.",
            best.policy,
            best.saves()
        ),
        Some(_) => format!(
            "Balancing does not pay: nothing takes less than the {all} that MoE layers take in {steps} steps under {first}."
        ),
        None => format!("MoE layers take {all} of {steps} steps under {first}."),
    }
}

/// What plans on recordings leave, in a sentence.
fn of_plans(report: &BalancingReport) -> String {
    let left = |id: &str, statistic: &str| {
        let key = format!("eplb.plan_imbalance{{plan='{id}'}}.{statistic}");
        report.metrics.get(&key).unwrap_or(0.0)
    };
    let ids = || report.recorded.iter().map(|(id, _)| id.as_str());
    let by = |one: &&str, other: &&str| left(one, "p50").total_cmp(&left(other, "p50"));
    let (plans, checks) = (report.recorded.len(), report.checks.len());
    let (Some(least), Some(most)) = (ids().min_by(by), ids().max_by(by)) else {
        return format!("No policy and no plan; {checks} expectations.");
    };
    let told = |id: &str| {
        let [middle, worst] = ["p50", "max"].map(|statistic| significant(left(id, statistic), 4));
        format!("{middle} x the mean load in the median layer and {worst} x in the worst")
    };
    format!(
        "Of {plans} plans on recordings {least} is the most even, its busiest device at {}; {most} is the least even, at {}.",
        told(least),
        told(most)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, Samples};

    #[test]
    fn the_verdict_of_plans_names_the_most_and_the_least_even_one() {
        let plans = [("own", vec![1.0, 1.05, 1.5]), ("stale", vec![1.25, 1.625, 2.0])];
        let mut samples = Samples::new();
        for (id, layers) in &plans {
            samples.insert(
                format!("eplb.plan_imbalance{{plan='{id}'}}"),
                vec![layers.clone()],
            );
        }
        let report = BalancingReport {
            recorded: plans.map(|(id, layers)| (id.to_owned(), layers)).into(),
            metrics: Metrics::of_replications(&samples),
            ..BalancingReport::default()
        };
        assert_eq!(
            verdict(&report),
            "Of 2 plans on recordings own is the most even, its busiest device at 1.05 x the mean load in the median layer \
             and 1.5 x in the worst; stale is the least even, at 1.625 x the mean load in the median layer and 2 x in the \
             worst."
        );
    }
}
