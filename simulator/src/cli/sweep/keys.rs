//! A sweep over keys of a scenario: what each point takes, or why there is none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_report::Verdict;
use orrery_scenario::Plan;
use orrery_units::{Bytes, Seed, significant};
use serde_json::{Value, json};

use super::Job;
use crate::checks;
use crate::cli::output::print_values;
use crate::cli::{Console, Failure, Format};
use crate::exit::Exit;
use crate::pipeline::in_parallel;
use crate::sweep::points::{self, Point, Range, Settings};
use crate::sweep::{Confirmed, Confirming};

/// A point and what became of it.
struct Answer {
    point: Point,
    confirmed: Option<(Confirmed, f64)>,
}

/// Grid or hypercube: every point is estimated, the best are simulated as the scenario has them.
pub(super) fn points(job: &Job<'_>, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let args = job.args;
    let settings = all(args)?;
    let (at, of) = args.shard.unwrap_or((0, 1));
    let settings: Vec<Settings> = settings.into_iter().skip(at).step_by(of).collect();
    let (done, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let count = u32::try_from(settings.len())
        .map_err(|_more| Failure::invalid("a sweep has fewer than 2^32 points"))?;
    let stop = || stopped.store(true, Ordering::Relaxed);
    let estimated = job.watched("estimating", settings.len(), &done, stop, console, || {
        in_parallel(count, |number| {
            let wanted = settings[number as usize].clone();
            let point = if stopped.load(Ordering::Relaxed) {
                Point {
                    settings: wanted,
                    plan: Err(vec!["stopped".to_owned()]),
                    estimate: None,
                }
            } else {
                points::point(&args.scenario, job.text, job.common, wanted)
            };
            done.fetch_add(1, Ordering::Relaxed);
            point
        })
    });
    let answers = confirmed(job, estimated, console)?;
    let values: Vec<Value> = answers
        .iter()
        .map(|answer| value(answer, &args.objective))
        .collect();
    let text = || text(&answers, &args.objective);
    write!(console.out, "{}", print_values(&values, args.format.format, text))?;
    job.write(&values, &json!(values), console)?;
    Ok(job.exit(answers.iter().any(|answer| answer.point.plan.is_ok())))
}

/// Every point that is asked for.
fn all(args: &super::SweepArgs) -> anyhow::Result<Vec<Settings>> {
    if let Some(count) = args.latin {
        let seed = args.seed.unwrap_or(1);
        return Ok(points::latin(&args.range, count, Seed::new(seed)));
    }
    if !args.range.is_empty() {
        return Err(Failure::invalid("a range needs `--latin N`"));
    }
    let axes: Vec<(String, Vec<String>)> = args
        .grid
        .iter()
        .map(|(key, values)| {
            (
                key.clone(),
                values.split(',').map(|value| value.trim().to_owned()).collect(),
            )
        })
        .collect();
    Ok(points::grid(&axes))
}

/// The points with the best estimates simulated; the others keep their estimates.
fn confirmed(job: &Job<'_>, points: Vec<Point>, console: &Console<'_>) -> anyhow::Result<Vec<Answer>> {
    let args = job.args;
    let mut order: Vec<usize> = (0..points.len()).filter(|&at| points[at].plan.is_ok()).collect();
    let step = |at: usize| points[at].estimate.map_or(f64::INFINITY, |(step, _)| step);
    order.sort_by(|&a, &b| step(a).total_cmp(&step(b)).then(a.cmp(&b)));
    order.truncate(if args.estimate_only { 0 } else { args.top });
    let confirming = Confirming::default();
    let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
    let stop = || confirming.cancel();
    let results = job.watched("simulating", order.len(), &confirming.done, stop, console, || {
        in_parallel(count, |number| {
            let Ok(plan) = &points[order[number as usize]].plan else {
                return Ok(None);
            };
            let metrics = confirming.metrics(plan)?;
            Ok::<_, String>(metrics.and_then(|metrics| {
                let objective = metrics.get(&args.objective);
                Some((Confirmed::of(&metrics)?, objective.unwrap_or(f64::NAN)))
            }))
        })
    });
    let mut answers: Vec<Answer> = points
        .into_iter()
        .map(|point| Answer {
            point,
            confirmed: None,
        })
        .collect();
    for (&at, result) in order.iter().zip(results) {
        answers[at].confirmed = result.map_err(anyhow::Error::msg)?;
    }
    if answers
        .iter()
        .any(|answer| answer.confirmed.is_some_and(|(_, objective)| objective.is_nan()))
    {
        return Err(Failure::invalid(format!(
            "no run has the metric `{}`\n  = help: `orrery metrics` lists them",
            args.objective
        )));
    }
    Ok(answers)
}

fn value(answer: &Answer, objective: &str) -> Value {
    let mut value = json!({});
    for (key, setting) in &answer.point.settings {
        value[key] = Value::from(setting.as_str());
    }
    let memory = answer.point.plan.as_ref().map(|plan| plan.cluster.device.memory);
    let (step, peak) = answer.point.estimate.unzip();
    value["feasible"] = Value::from(answer.point.plan.is_ok());
    value["fits"] = json!(memory.ok().zip(peak).map(|(memory, peak)| peak <= memory));
    value["estimate_step_s"] = json!(step);
    value["estimate_peak_bytes"] = json!(peak.map(Bytes::get));
    value["step_s"] = json!(answer.confirmed.map(|(known, _)| known.step));
    value["peak_bytes"] = json!(answer.confirmed.map(|(known, _)| known.peak));
    value["mfu"] = json!(answer.confirmed.map(|(known, _)| known.mfu));
    value["tokens_per_gpu_s"] = json!(answer.confirmed.map(|(known, _)| known.tokens));
    if objective != "train.step_time.mean" {
        value[objective] = json!(answer.confirmed.map(|(_, objective)| objective));
    }
    let why = answer.point.plan.as_ref().err().map(|faults| faults.join("; "));
    value["why"] = json!(why);
    value
}

fn text(answers: &[Answer], objective: &str) -> String {
    let mut out = String::new();
    for answer in answers {
        let settings: Vec<String> = answer
            .point
            .settings
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        let what = match (&answer.point.plan, answer.point.estimate, answer.confirmed) {
            (Err(faults), ..) => faults.join("; "),
            (Ok(plan), Some((step, peak)), confirmed) => judged(plan, step, peak, confirmed, objective),
            (Ok(_), None, _) => "no estimate".to_owned(),
        };
        out.push_str(&format!("{}: {what}\n", settings.join(", ")));
    }
    let possible = answers.iter().filter(|answer| answer.point.plan.is_ok()).count();
    out.push_str(&format!(
        "{} points, {possible} of them possible\n",
        answers.len()
    ));
    out
}

fn judged(
    plan: &Plan,
    step: f64,
    peak: Bytes,
    confirmed: Option<(Confirmed, f64)>,
    objective: &str,
) -> String {
    let too_large = if peak > plan.cluster.device.memory {
        ", does not fit"
    } else {
        ""
    };
    let simulated = confirmed.map_or_else(String::new, |(known, value)| {
        let other = if objective == "train.step_time.mean" {
            String::new()
        } else {
            format!(", {objective} {}", significant(value, 4))
        };
        format!(
            ", simulated {} s, MFU {} %, {} tokens/s/GPU{other}",
            significant(known.step, 4),
            significant(known.mfu * 100.0, 3),
            significant(known.tokens, 4)
        )
    });
    format!(
        "estimate {} s, {peak}{too_large}{simulated}",
        significant(step, 4)
    )
}

/// The name of the check of a bisection.
const CHECK: &str = "orrery-sweep-until";

/// The end of the part of `range` in which `until` holds.
pub(super) fn bisect(
    job: &Job<'_>,
    range: &Range,
    until: &str,
    console: &mut Console<'_>,
) -> anyhow::Result<Exit> {
    let confirming = Confirming::default();
    let mut probes: Vec<(f64, bool)> = Vec::new();
    let found = points::bisect(range, |value| {
        let (holds, why) = probe(job, &confirming, (range, value), until, console)?;
        let end = value <= range.low || value >= range.high;
        let verdict = match holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None if end => "no run",
            None => return Ok(None),
        };
        probes.extend(holds.map(|holds| (value, holds)));
        let value = range.text(value);
        writeln!(console.err, "{} = {value}: {verdict} ({why})", range.key)?;
        Ok::<_, anyhow::Error>(holds)
    })?;
    match job.args.format.format {
        Format::Human | Format::Github => {
            let line = match found {
                Some(end) => format!(
                    "{} = {}: the end of the values at which {until}",
                    range.key,
                    range.text(end)
                ),
                None => format!(
                    "{until} holds neither at {} = {} nor at {}",
                    range.key,
                    range.text(range.low),
                    range.text(range.high)
                ),
            };
            writeln!(console.out, "{line}")?;
        }
        Format::Json | Format::Jsonl | Format::Csv => {
            let probes: Vec<Value> = probes
                .iter()
                .map(|&(value, holds)| json!({"value": value, "holds": holds}))
                .collect();
            let answer = json!({"key": range.key, "until": until, "end": found, "probes": probes});
            writeln!(console.out, "{answer}")?;
        }
    }
    Ok(job.exit(found.is_some()))
}

/// Whether `until` holds at a value of a range, and what it is there; or none, and why there is no run.
fn probe(
    job: &Job<'_>,
    confirming: &Confirming,
    (range, value): (&Range, f64),
    until: &str,
    console: &Console<'_>,
) -> anyhow::Result<(Option<bool>, String)> {
    let mut common = job.common.to_vec();
    let quoted = serde_json::to_string(until)?;
    common.push((format!("expect.{CHECK}.check"), quoted));
    let settings = vec![(range.key.clone(), range.text(value))];
    let point = points::point(&job.args.scenario, job.text, &common, settings);
    let about_check = |fault: &String| fault.contains(CHECK);
    let plan = match point.plan {
        Err(faults) if faults.iter().any(about_check) => {
            return Err(Failure::invalid(format!("`--until`: {}", faults.join("; "))));
        }
        Err(faults) => return Ok((None, faults.join("; "))),
        Ok(plan) => plan,
    };
    let stop = || confirming.cancel();
    let metrics = job.watched("simulating", 1, &confirming.done, stop, console, || {
        confirming.metrics(&plan)
    });
    let Some(metrics) = metrics.map_err(anyhow::Error::msg)? else {
        return Err(Failure::invalid("stopped"));
    };
    let checks = checks::evaluate(&plan, &metrics, None);
    let check = checks.into_iter().find(|check| check.id == CHECK);
    let passed = check.as_ref().is_some_and(|check| check.verdict == Verdict::Pass);
    let value = check.and_then(|check| check.value);
    Ok((
        Some(passed),
        value.map_or_else(|| "no value".to_owned(), |value| significant(value, 5)),
    ))
}
