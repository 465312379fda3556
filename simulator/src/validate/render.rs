//! The comparison as JSON and as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json as object};

use super::steps::{self, Judgement};
use super::summary::mean;
use super::{ANCHOR, Outcome, Row, Summary, peaks, summary};

/// Groups of whose sweeps the peaks are compared too: peaks lie above 1 MiB.
const PEAKS: [&str; 2] = ["all sweeps", "platforms with several sweeps"];

/// The object of DESIGN: `rows`, `summary`, `macro`, `groups`.
#[must_use]
pub fn json(outcome: &Outcome) -> Value {
    let rows: Vec<Value> = outcome.rows.iter().map(row).collect();
    let groups: Map<String, Value> = groups(outcome)
        .into_iter()
        .map(|(name, summary)| (name, shares(&summary)))
        .collect();
    let mut all = object!({
        "rows": rows,
        "summary": shares(&summary(outcome.rows.iter())),
        "macro": macro_average(outcome),
        "groups": groups,
    });
    if let Some((headline, cells)) = steps::cells_json(outcome) {
        all["headline"] = headline;
        all["cells"] = cells;
    }
    if let Some(judgement) = Judgement::of(outcome, outcome.with_releases) {
        all["steps"] = judgement.json();
    }
    all
}

/// A line per summary: all rows, those that count once, and every group.
#[must_use]
pub fn summaries_csv(outcome: &Outcome) -> String {
    let mut text = "name,n,coverage,mape,median,p90,bias,interval_coverage\n".to_owned();
    let all = [("all rows".to_owned(), summary(outcome.rows.iter()))];
    for (name, summary) in all.into_iter().chain(groups(outcome)) {
        // Names of groups hold commas; writing to memory cannot fail.
        let _written = writeln!(
            text,
            "\"{name}\",{},{:.4},{:.4},{:.4},{:.4},{:.4},{:.4}",
            summary.n,
            summary.coverage,
            summary.mape,
            summary.median,
            summary.p90,
            summary.bias,
            summary.interval_coverage
        );
    }
    text
}

fn row(row: &Row) -> Value {
    let mut entry = Map::new();
    entry.insert("id".to_owned(), object!(row.id));
    for (name, value) in &row.facts {
        let value = value.parse::<f64>().map_or_else(|_| object!(value), whole);
        entry.insert((*name).to_owned(), value);
    }
    match &row.result {
        Ok(compared) => {
            // Rows that compare something else than time say so.
            let metric = row.facts.iter().find(|(name, _)| *name == "metric");
            let fields = object!({
                "metric": metric.map_or("time_s", |(_, value)| value.as_str()), "measured": compared.measured, "predicted": compared.predicted,
                "error": compared.error(), "low": compared.low, "high": compared.high,
                "evidence": compared.evidence,
            });
            if let Value::Object(fields) = fields {
                entry.extend(fields);
            }
        }
        Err(field) => {
            entry.insert("skipped".to_owned(), object!(field));
        }
    }
    Value::Object(entry)
}

/// Whole numbers without a point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only whole numbers below 2^53 are cast"
)]
fn whole(value: f64) -> Value {
    if value >= 0.0 && value.fract().abs() < f64::EPSILON && value < 9e15 {
        object!(value as u64)
    } else {
        object!(value)
    }
}

/// A summary by the names of its figures.
pub(super) fn shares(summary: &Summary) -> Value {
    object!({
        "n": summary.n, "coverage": summary.coverage, "mape": summary.mape, "median": summary.median,
        "p90": summary.p90, "bias": summary.bias, "interval_coverage": summary.interval_coverage,
    })
}

/// Every sweep, or cell, and size band counts once; of training steps each source, model and device.
fn macro_average(outcome: &Outcome) -> Value {
    let once = |name: &str| name.starts_with("sweep ") || name.starts_with("cell ");
    let all: Vec<Summary> = groups(outcome)
        .into_iter()
        .filter(|(name, summary)| once(name) && summary.n > 0)
        .map(|(_, summary)| summary)
        .chain(steps::sets(outcome).into_values())
        .collect();
    let average = |of: fn(&Summary) -> f64| mean(&all.iter().map(of).collect::<Vec<f64>>());
    object!({
        "n": all.len(), "coverage": average(|s| s.coverage), "mape": average(|s| s.mape),
        "median": average(|s| s.median), "p90": average(|s| s.p90), "bias": average(|s| s.bias),
        "interval_coverage": average(|s| s.interval_coverage),
    })
}

/// The groups that rows name, and the peaks of sweeps.
fn groups(outcome: &Outcome) -> BTreeMap<String, Summary> {
    let mut members: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &outcome.rows {
        for group in &row.groups {
            members.entry(group).or_default().push(row);
        }
    }
    let mut all: BTreeMap<String, Summary> = members
        .iter()
        .map(|(name, rows)| ((*name).to_owned(), summary(rows.iter().copied())))
        .collect();
    for name in PEAKS {
        if let Some(rows) = members.get(format!("{name} >=1MiB").as_str()) {
            all.insert(format!("{name} peak"), peaks(rows.iter().copied()));
        }
    }
    all
}

/// A table for people: groups with their errors, platforms with their sweeps, and why rows were skipped.
#[must_use]
pub fn human(outcome: &Outcome) -> String {
    let mut text = String::new();
    let width = 64;
    let mut line = |name: &str, summary: &Summary| {
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "{name:<width$} {:>5} {:>7.1}% {:>7.1}% {:>7.1}% {:>+7.1}% {:>6.0}%",
            summary.n,
            summary.mape * 100.0,
            summary.median * 100.0,
            summary.p90 * 100.0,
            summary.bias * 100.0,
            summary.interval_coverage * 100.0,
        );
    };
    for (name, summary) in groups(outcome) {
        if summary.n > 0 {
            line(&name, &summary);
        }
    }
    line("all rows", &summary(outcome.rows.iter()));
    let header = format!(
        "{:<width$} {:>5} {:>8} {:>8} {:>8} {:>8} {:>7}\n",
        "", "rows", "mean", "median", "p90", "bias", "in 80%"
    );
    let anchors = outcome
        .rows
        .iter()
        .filter(|row| row.result.as_ref().is_err_and(|reason| reason == ANCHOR))
        .count();
    let mut foot = String::new();
    if !outcome.platforms.is_empty() {
        let names: Vec<String> = outcome
            .platforms
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        foot.push_str(&format!("\nplatforms with their sweeps: {}\n", names.join(", ")));
    }
    foot.push_str(&steps::foot(outcome));
    if let Some(judgement) = Judgement::of(outcome, outcome.with_releases) {
        foot.push_str(&judgement.human());
    }
    foot.push_str(&super::trace::foot(outcome));
    if anchors > 0 {
        foot.push_str(&format!(
            "{anchors} rows anchored their sweep and are not compared\n"
        ));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &outcome.rows {
        if let Err(reason) = &row.result
            && reason != ANCHOR
        {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    for (reason, rows) in reasons {
        foot.push_str(&format!("{rows} rows skipped: {reason}\n"));
    }
    steps::headline(outcome) + &header + &text + &foot
}
