//! Why the step takes as long as it does, as text and as JSON: waterfall, critical path, phases.

use orrery_units::SimDuration;
use serde_json::{Value, json};

use super::headline::percent;
use super::text::{bar, line, put, right, table};
use crate::{Cause, CriticalPath, Hold, Phase, RankPhases, Report, RunFacts, Waterfall, Why};

/// Kinds of the critical path that are shown, and ranks of it that are named.
const SHOWN: usize = 12;
/// Ranks of the critical path that are listed in files.
const LISTED: usize = 20;

/// The waterfall of the mean step.
pub(super) fn waterfall(out: &mut String, waterfall: &Waterfall) {
    let mut table = table(&["where the mean step goes", "time", "share", ""]);
    let step = waterfall.step().as_secs().max(f64::MIN_POSITIVE);
    let widest = waterfall
        .bars()
        .map(|(_, time)| time.as_secs())
        .fold(f64::MIN_POSITIVE, f64::max);
    for (cause, time) in waterfall.bars() {
        let seconds = time.as_secs();
        table.add_row([
            cause.title().to_owned(),
            time.to_string(),
            percent(seconds / step),
            bar(seconds / widest),
        ]);
    }
    right(&mut table, &[1, 2]);
    put(out, &table);
}

/// Critical path and phases, where they are known.
pub(super) fn why(out: &mut String, report: &Report) {
    let Some(why) = &report.why else { return };
    path(out, &why.critical_path, &report.facts);
    if !why.phases.is_empty() {
        phases(out, &why.phases);
    }
}

fn path(out: &mut String, path: &CriticalPath, facts: &RunFacts) {
    let step = path.length().as_secs().max(f64::MIN_POSITIVE);
    let mut table = table(&[
        "critical path of the last step",
        "pieces",
        "time",
        "share",
        "of it slowed by overlap",
    ]);
    let kinds = path.by_kind(facts);
    for kind in kinds.iter().take(SHOWN) {
        table.add_row([
            kind.name.clone(),
            kind.pieces.to_string(),
            kind.time.to_string(),
            percent(kind.time.as_secs() / step),
            if kind.slowed.is_zero() {
                String::new()
            } else {
                kind.slowed.to_string()
            },
        ]);
    }
    if let Some(rest) = kinds.get(SHOWN..).filter(|rest| !rest.is_empty()) {
        let time: SimDuration = rest.iter().map(|kind| kind.time).sum();
        table.add_row([
            format!("{} kinds more", rest.len()),
            rest.iter().map(|kind| kind.pieces).sum::<usize>().to_string(),
            time.to_string(),
            percent(time.as_secs() / step),
            String::new(),
        ]);
    }
    right(&mut table, &[1, 2, 3, 4]);
    put(out, &table);
    let ranks = path.by_rank();
    let named: Vec<String> = ranks
        .iter()
        .take(3)
        .map(|&(rank, time)| format!("{} {}", name(facts, rank), percent(time.as_secs() / step)))
        .collect();
    line(
        out,
        &format!(
            "it passes over {} ranks, {} times from one to another; most on {}\n",
            ranks.len(),
            path.hops(),
            named.join(", ")
        ),
    );
}

fn name(facts: &RunFacts, rank: u32) -> String {
    facts.ranks.get(rank as usize).map_or_else(String::new, |rank| {
        format!("{} ({})", rank.name, facts.stages[rank.stage])
    })
}

/// Phases in the mean of all ranks, and on the pipeline ranks where each is shortest and longest.
fn phases(out: &mut String, ranks: &[RankPhases]) {
    let mut table = table(&[
        "phase of the last step",
        "mean of ranks",
        "by stage, least",
        "most",
    ]);
    let stages = by_stage(ranks);
    let mean = RankPhases::mean(ranks);
    for (at, phase) in Phase::ALL.into_iter().enumerate() {
        let of_stages = || stages.iter().map(|stage| stage[at]);
        let most = of_stages().fold(0.0, f64::max);
        if most > 0.0 {
            let show = |seconds| SimDuration::from_secs(seconds).to_string();
            let least = of_stages().fold(f64::INFINITY, f64::min);
            table.add_row([phase.title().to_owned(), show(mean[at]), show(least), show(most)]);
        }
    }
    right(&mut table, &[1, 2, 3]);
    put(out, &table);
}

/// Mean seconds of every pipeline rank by phase, in the order of [`Phase::ALL`].
fn by_stage(ranks: &[RankPhases]) -> Vec<[f64; 6]> {
    let count = ranks.iter().map(|rank| rank.stage + 1).max().unwrap_or(0);
    (0..count)
        .map(|stage| RankPhases::mean(ranks.iter().filter(|rank| rank.stage == stage)))
        .collect()
}

/// The waterfall as an object: the step and its bars, in whole picoseconds.
#[must_use]
pub fn waterfall_json(waterfall: &Waterfall) -> Value {
    let bars = Cause::ALL
        .into_iter()
        .map(|cause| (cause.name().to_owned(), json!(waterfall.time(cause).as_picos())));
    json!({"step_ps": waterfall.step().as_picos(), "causes_ps": Value::Object(bars.collect())})
}

/// Critical path and phases as an object.
#[must_use]
pub fn why_json(why: &Why, facts: &RunFacts) -> Value {
    let path = &why.critical_path;
    let kinds = path.by_kind(facts);
    let kinds = kinds.iter().map(|kind| {
        json!({
            "kind": kind.name, "class": kind.class.name(), "pieces": kind.pieces,
            "ps": kind.time.as_picos(), "slowed_ps": kind.slowed.as_picos(),
        })
    });
    let ranks = path.by_rank();
    let ranks = ranks.iter().take(LISTED).map(|&(rank, time)| {
        let rank = &facts.ranks[rank as usize];
        json!({"rank": rank.name, "stage": facts.stages[rank.stage], "ps": time.as_picos()})
    });
    let unknown = path.pieces().iter().filter(|piece| piece.hold == Hold::Unknown);
    let strokes = path.strokes(facts);
    let strokes = strokes.iter().map(|stroke| {
        let stage = facts.ranks[stroke.rank as usize].stage;
        json!([
            stroke.start.as_picos(),
            stroke.length.as_picos(),
            stage,
            stroke.class.name()
        ])
    });
    let stages = by_stage(&why.phases);
    let stages = stages.iter().map(seconds);
    let phases = json!({
        "mean_s": seconds(&RankPhases::mean(&why.phases)),
        "by_stage_s": stages.collect::<Value>(),
    });
    json!({
        "critical_path": {
            "step_ps": path.length().as_picos(),
            "pieces": path.pieces().len(),
            "hops": path.hops(),
            "unknown_ps": unknown.map(|piece| piece.length.as_picos()).sum::<u64>(),
            "by_kind": kinds.collect::<Value>(),
            "by_rank": ranks.collect::<Value>(),
            // Start, length (picoseconds), stage, class: consecutive activities of a rank and a class as one.
            "strokes": strokes.collect::<Value>(),
        },
        // Of a recording the schedule is not known.
        "phases": if why.phases.is_empty() { Value::Null } else { phases },
    })
}

fn seconds(of: &[f64; 6]) -> Value {
    let pairs = Phase::ALL.into_iter().zip(of);
    Value::Object(
        pairs
            .map(|(phase, seconds)| (phase.name().to_owned(), json!(seconds)))
            .collect(),
    )
}
