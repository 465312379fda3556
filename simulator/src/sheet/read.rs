//! What a sheet takes out of a stored run.

use orrery_report::{quantity, render};
use orrery_timeline::find_metric;
use orrery_units::{Bytes, Evidence, significant, with_si_prefix};
use serde_json::Value;

use super::{Expected, Figure, Part, Stage};
use crate::compare;

/// Figures of every sheet, as far as a run has them: what they are called, and their metrics.
const FIGURES: [(&str, &str); 11] = [
    ("step", "train.step_time.mean"),
    ("step, p95", "train.step_time.p95"),
    ("tokens/s", "train.tokens_per_s.mean"),
    ("tokens/s/GPU", "train.tokens_per_gpu_s.mean"),
    ("MFU", "train.mfu.mean"),
    ("pipeline bubble", "train.bubble_ratio.mean"),
    ("exposed communication", "train.exposed_comm_ratio.mean"),
    ("peak memory, worst rank", "mem.hbm_peak.max"),
    ("cost per million tokens", "cost.per_mtok.mean"),
    ("cost per day", "cost.per_day.mean"),
    ("power per node", "power.node.mean"),
];

/// The figures that a decision rests on, as far as `run` has them; `capacity` is the memory of a device in bytes.
pub(super) fn figures(run: &Value, capacity: f64) -> Vec<Figure> {
    let mut figures = device_figures(run);
    figures.extend(FIGURES.iter().filter_map(|(label, key)| figure(run, label, key)));
    figures.extend(headroom(run, capacity));
    figures.extend(days(run));
    figures
}

fn figure(run: &Value, label: &str, key: &str) -> Option<Figure> {
    let value = run["metrics"][key].as_f64()?;
    let metric = find_metric(key.rsplit_once('.')?.0)?;
    let interval = run["intervals"][key].as_array();
    let interval = interval.and_then(|ends| Some((ends.first()?.as_f64()?, ends.get(1)?.as_f64()?)));
    let currency = compare::currency(run);
    let show = |value| render::figure(key, value, currency).unwrap_or_default();
    Some(Figure {
        label: label.to_owned(),
        shown: show(value),
        interval: interval.map_or_else(String::new, |(low, high)| {
            format!("{} … {}", show(low), show(high))
        }),
        value: Some((value, interval)),
        unit: match metric.unit {
            "currency" => currency.to_owned(),
            unit => unit.to_owned(),
        },
    })
}

fn plain(label: &str, shown: String, value: f64, unit: &str) -> Figure {
    Figure {
        label: label.to_owned(),
        shown,
        interval: String::new(),
        value: Some((value, None)),
        unit: unit.to_owned(),
    }
}

/// Devices and the most that they draw together.
fn device_figures(run: &Value) -> Vec<Figure> {
    let device = &run["device"];
    let Some(count) = device["count"].as_f64().filter(|count| *count > 0.0) else {
        return Vec::new();
    };
    let name = device["name"].as_str().unwrap_or_default();
    let mut figures = vec![plain("GPUs", format!("{count} x {name}"), count, "")];
    if let Some(watts) = device["power_limit_w"].as_f64() {
        let all = watts * count;
        figures.push(plain(
            "power limit of all GPUs",
            with_si_prefix(all, "W"),
            all,
            "W",
        ));
    }
    figures
}

fn headroom(run: &Value, capacity: f64) -> Option<Figure> {
    let peak = run["metrics"]["mem.hbm_peak.max"]
        .as_f64()
        .filter(|_| capacity > 0.0)?;
    let room = capacity - peak;
    let shown = if room < 0.0 {
        format!("{} too much", Bytes::from_f64(-room))
    } else {
        let share = significant(room / capacity * 100.0, 3);
        format!("{} ({share} %)", Bytes::from_f64(room))
    };
    Some(plain("memory headroom", shown, room, "B"))
}

/// Days for a trillion tokens at the mean rate.
fn days(run: &Value) -> Option<Figure> {
    let rate = run["metrics"]["train.tokens_per_s.mean"].as_f64()?;
    let days = 1e12 / rate / 86_400.0;
    let shown = format!("{} days", significant(days, 3));
    Some(plain("time for 1 T tokens", shown, days * 86_400.0, "s"))
}

pub(super) fn causes(run: &Value) -> Vec<Part> {
    let Ok(waterfall) = compare::waterfall(run) else {
        return Vec::new();
    };
    let step = waterfall.step().as_secs();
    let mut parts: Vec<Part> = waterfall
        .bars()
        .map(|(cause, time)| Part {
            label: cause.title().to_owned(),
            value: time.as_secs(),
            shown: time.to_string(),
            share: time.as_secs() / step,
        })
        .filter(|part| part.value > 0.0)
        .collect();
    parts.sort_by(|a, b| b.value.total_cmp(&a.value));
    parts
}

pub(super) fn memory(run: &Value) -> Vec<Stage> {
    let stages = run["memory"]["stages"].as_array().into_iter().flatten();
    stages
        .map(|stage| {
            let bytes = stage["bytes"].as_f64().unwrap_or(0.0);
            let causes = stage["by_cause"].as_object().into_iter().flatten();
            let mut parts: Vec<Part> = causes
                .filter_map(|(cause, value)| {
                    let value = value.as_f64().filter(|value| *value > 0.0)?;
                    Some(Part {
                        label: cause.clone(),
                        value,
                        shown: Bytes::from_f64(value).to_string(),
                        share: value / bytes,
                    })
                })
                .collect();
            parts.sort_by(|a, b| b.value.total_cmp(&a.value));
            let label = match &stage["stage"] {
                Value::String(name) => name.clone(),
                number => format!("stage {number}"),
            };
            Stage { label, parts, bytes }
        })
        .collect()
}

pub(super) fn expected(run: &Value) -> Vec<Expected> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = run["checks"].as_array().into_iter().flatten();
    checks
        .map(|check| Expected {
            id: text(&check["id"]),
            check: text(&check["check"]),
            pass: check["pass"].as_bool().unwrap_or(false),
            found: found(check),
            why: text(&check["why"]),
        })
        .collect()
}

/// What was found for `check`, in words.
fn found(check: &Value) -> String {
    match (check["value"].as_f64(), check["verdict"].as_str()) {
        (_, Some("skipped")) => "skipped: what it depends on did not hold".to_owned(),
        (_, Some("no_baseline")) => "no stored value to compare with".to_owned(),
        (Some(value), _) => quantity(value, check["unit"].as_str().unwrap_or_default()),
        (None, Some("no_data")) => "no samples".to_owned(),
        (None, _) => String::new(),
    }
}

pub(super) fn provenance(run: &Value) -> Vec<(String, f64)> {
    let share = |evidence: &Evidence| {
        Some((
            evidence.name().to_owned(),
            run["provenance"][evidence.name()].as_f64()?,
        ))
    };
    Evidence::ALL.iter().filter_map(share).collect()
}

pub(super) fn origin(run: &Value, recorded: bool) -> Vec<(&'static str, String)> {
    let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![(if recorded { "recording" } else { "scenario" }, text("scenario"))];
    if !recorded {
        lines.push(("hash", text("hash").chars().take(12).collect()));
        lines.push(("seed", run["seed"].to_string()));
        lines.push(("profile", text("profile")));
    }
    lines.push(("orrery", text("version")));
    let sources = run["profile_sources"].as_array().into_iter().flatten();
    lines.extend(sources.filter_map(|source| Some(("source", source.as_str()?.to_owned()))));
    lines.retain(|(_, words)| !words.is_empty());
    lines
}

pub(super) fn assumptions(run: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = run["assumptions"].as_array().into_iter().flatten();
    all.map(|one| ["key", "value", "reason"].map(|key| text(&one[key])))
        .collect()
}
