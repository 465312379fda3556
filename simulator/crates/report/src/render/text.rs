//! The terminal's look: a verdict, tables, and one line per check.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use orrery_units::{Evidence, SimDuration, significant};

use super::headline::{headlines, percent};
use super::why;
use crate::{Check, Level, Report, Verdict};

/// Cells of the longest bar.
const BAR_WIDTH: f64 = 32.0;

/// The report for a terminal, without colours; the same text wherever it goes.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    figures(&mut out, report);
    why::waterfall(&mut out, &report.waterfall);
    why::why(&mut out, report);
    memory(&mut out, report);
    ranks(&mut out, report);
    network(&mut out, report);
    backing(&mut out, report);
    checks(&mut out, report);
    out
}

pub(super) fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

pub(super) fn put(out: &mut String, table: &Table) {
    line(out, &table.trim_fmt());
    out.push('\n');
}

pub(super) fn right(table: &mut Table, columns: &[usize]) {
    for &at in columns {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn head(out: &mut String, report: &Report) {
    let who = &report.facts.identity;
    let title = if who.title.is_empty() {
        &who.scenario
    } else {
        &who.title
    };
    line(out, title);
    for text in [&who.model, &who.cluster, &who.layout] {
        if !text.is_empty() {
            line(out, &format!("  {text}"));
        }
    }
    line(out, &format!("  {}", source(report)));
    line(out, &format!("  {}", extent(report)));
    out.push('\n');
    if let Some(reason) = &report.partial {
        line(out, &format!("PARTIAL RESULT: {reason}."));
    }
    line(out, &report.verdict);
    out.push('\n');
}

/// What the run is of, and which program read or simulated it.
fn source(report: &Report) -> String {
    let who = &report.facts.identity;
    if who.is_recorded() {
        return format!("recording {}, read by orrery {}", who.scenario, who.version);
    }
    let hash: String = who.hash.chars().take(12).collect();
    format!(
        "scenario {} ({hash}), seed {}, profile {}, orrery {}",
        who.scenario, who.seed, who.profile, who.version
    )
}

/// How many steps its figures rest on.
fn extent(report: &Report) -> String {
    let count = |number: usize, noun: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {noun}{plural}")
    };
    let steps = count(report.steps, "step");
    if report.facts.identity.is_recorded() {
        return format!("{steps} recorded");
    }
    format!(
        "{steps} measured in {}",
        count(report.replications, "replication")
    )
}

fn figures(out: &mut String, report: &Report) {
    let mut table = table(&["figure", "value", "80 % interval"]);
    for headline in headlines(report) {
        table.add_row([headline.label, &headline.value, &headline.interval]);
    }
    right(&mut table, &[1, 2]);
    put(out, &table);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of the bar's width"
)]
pub(super) fn bar(share: f64) -> String {
    "█".repeat((share * BAR_WIDTH).round().clamp(0.0, BAR_WIDTH) as usize)
}

fn memory(out: &mut String, report: &Report) {
    let Some(peak) = report.memory.peak() else {
        return;
    };
    let fits = if report.memory.fits() {
        "fits"
    } else {
        "DOES NOT FIT"
    };
    line(
        out,
        &format!(
            "memory {fits}: peak {} of {} on {} ({}), step {} at {}",
            peak.bytes,
            report.memory.capacity,
            peak.rank,
            peak.stage,
            peak.step,
            SimDuration::from_picos(peak.at.as_picos()),
        ),
    );
    let causes: Vec<String> = report
        .memory
        .ranked(peak)
        .into_iter()
        .map(|(cause, bytes)| format!("{cause} {bytes}"))
        .collect();
    line(out, &format!("  {}", causes.join(", ")));
}

fn ranks(out: &mut String, report: &Report) {
    match (report.ranks.waited_for(), report.ranks.worst()) {
        (Some(waited), _) => line(out, &waited.sentence()),
        (None, Some(worst)) => {
            let time = SimDuration::from_secs(worst.compute);
            line(
                out,
                &format!(
                    "busiest rank: {} ({}), {time} of compute a step",
                    worst.name, worst.stage
                ),
            );
        }
        (None, None) => {}
    }
    let all = report.ranks.caused_wait();
    let blamed: Vec<String> = report
        .ranks
        .blamed(3)
        .iter()
        .map(|rank| {
            format!(
                "{} ({}) {}",
                rank.name,
                rank.stage,
                percent(rank.caused_wait / all)
            )
        })
        .collect();
    if !blamed.is_empty() {
        line(out, &format!("waiting was caused most by: {}", blamed.join(", ")));
    }
}

/// Kinds of links, where links are shared: mean utilization, that of the busiest, the highest in an interval.
fn network(out: &mut String, report: &Report) {
    let Some(network) = report.network() else {
        return;
    };
    out.push('\n');
    let mut table = table(&[
        "links",
        "number",
        "carried",
        "mean",
        "most",
        "peak",
        "which carries most",
    ]);
    for kind in network.kinds() {
        let first = network.links().iter().find(|link| link.kind == kind.kind);
        table.add_row([
            kind.title.to_owned(),
            kind.count.to_string(),
            kind.bytes.to_string(),
            percent(kind.mean),
            percent(kind.most),
            percent(kind.peak),
            first.map(|link| link.name.clone()).unwrap_or_default(),
        ]);
    }
    right(&mut table, &[1, 2, 3, 4, 5]);
    put(out, &table);
}

/// Shares of time by the evidence that it rests on, in words.
pub(crate) fn rests_on(shares: [f64; 4]) -> String {
    let share = |(evidence, share): (Evidence, f64)| format!("{} {}", percent(share), evidence.name());
    Evidence::ALL
        .into_iter()
        .zip(shares)
        .map(share)
        .collect::<Vec<_>>()
        .join(", ")
}

fn backing(out: &mut String, report: &Report) {
    if let Some(shares) = report.provenance {
        let origin = report.facts.identity.origin.name();
        line(out, &format!("{origin} time rests on: {}", rests_on(shares)));
    }
    if report.facts.identity.is_recorded() {
        return;
    }
    let tasks = report.metrics.get("sim.tasks.sum").unwrap_or(0.0);
    line(
        out,
        &format!(
            "assumptions filled in: {}; tasks simulated: {}",
            report.facts.assumptions.len(),
            significant(tasks, 4)
        ),
    );
}

fn checks(out: &mut String, report: &Report) {
    if report.checks.is_empty() {
        return;
    }
    out.push('\n');
    for check in &report.checks {
        line(out, &check_line(check));
    }
}

/// One line for one check, with its value and where it stands.
#[must_use]
pub fn check_line(check: &Check) -> String {
    let mark = match (check.verdict, check.level) {
        (Verdict::Pass, _) => '✓',
        (Verdict::Skipped, _) => '-',
        (Verdict::Fail | Verdict::NoData | Verdict::NoBaseline, Level::Error) => '✗',
        (Verdict::Fail | Verdict::NoData | Verdict::NoBaseline, Level::Warn | Level::Info) => '!',
    };
    format!(
        "{mark} {}  {}   {}   {}:{}",
        check.id,
        check.text,
        check.outcome(),
        check.file,
        check.line
    )
}
