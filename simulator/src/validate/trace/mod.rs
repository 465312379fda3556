//! The public training trace of DeepSeek-V3: the phases of an overlapped pair and the share of its exchanges that is
//! hidden, beside those of the same pair simulated.
//!
//! Kernels and exchanges come as they were measured alone; that they are slower together, that peers wait for each other
//! and what of an exchange shows is the simulation's.

mod read;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use orrery_scenario::Plan;

use super::table::Table;
use super::{Compared, Outcome, Row};
use crate::pipeline;
use crate::why::pairs::{Pairs, overlapped_pairs, range};

/// The group of phases that compute, of those that exchange, and of the share that is hidden.
const GROUPS: [&str; 3] = ["trace compute", "trace exchange", "trace hidden share"];
/// Name of the whole pair.
const PAIR: &str = "pair";
/// Name of the share of dispatch and combine that is hidden.
const HIDDEN: &str = "hidden share";

/// The scenario of the pair.
///
/// # Panics
/// Never: a test loads the embedded scenario.
#[must_use]
pub fn trace_plan() -> Plan {
    let text = include_str!("pair.scenario.toml");
    pipeline::load("pair.scenario.toml", text, &[]).expect("the embedded scenario is valid; a test loads it")
}

/// The rows of a table of the trace; none when it is another.
pub(super) fn of(table: &Table, name: &str) -> Option<Vec<Row>> {
    let measured = read::phases(table).or_else(|| read::hidden(table))?;
    let pairs = overlapped_pairs(&trace_plan());
    Some(
        measured
            .into_iter()
            .map(|(phase, measured)| row(name, &phase, measured, &pairs))
            .collect(),
    )
}

fn row(name: &str, phase: &str, measured: f64, pairs: &Pairs) -> Row {
    let shares = phase == HIDDEN;
    let range = match phase {
        HIDDEN => Some([pairs.hidden; 3]),
        PAIR => range(&pairs.durations),
        _ => pairs.phases.get(phase).and_then(|all| range(all)),
    };
    let exchange = phase.starts_with("dispatch") || phase.starts_with("combine");
    let group = GROUPS[if shares { 2 } else { usize::from(exchange) }];
    let metric = if shares { "share" } else { "time_s" };
    let result = range.map(|[low, predicted, high]| Compared {
        measured,
        predicted,
        low,
        high,
        evidence: "interpolated",
    });
    Row {
        id: format!("{name} {phase}"),
        facts: vec![("phase", phase.to_owned()), ("metric", metric.to_owned())],
        groups: vec![group.to_owned()],
        result: result.ok_or_else(|| format!("a phase `{phase}` of the simulated pair")),
    }
}

/// A line per phase: measured, predicted and the error.
pub(super) fn foot(outcome: &Outcome) -> String {
    let mut text = String::new();
    let phases = outcome.rows.iter().filter_map(|row| {
        let ours = row.groups.iter().any(|group| GROUPS.contains(&group.as_str()));
        let phase = row.facts.iter().find(|(fact, _)| *fact == "phase");
        Some((phase.filter(|_| ours)?, row.result.as_ref().ok()?))
    });
    for ((_, phase), compared) in phases {
        if text.is_empty() {
            text.push_str("\nphase of the pair     measured  predicted    error\n");
        }
        let show = |value: f64| match phase.as_str() {
            HIDDEN => format!("{:.1} %", value * 100.0),
            _ => format!("{:.2} ms", value * 1e3),
        };
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "{phase:<18} {:>11} {:>10} {:>+7.1}%",
            show(compared.measured),
            show(compared.predicted),
            compared.error() * 100.0
        );
    }
    text
}
