//! Tables of measured training steps: every row that names enough of itself is simulated.
//!
//! A row becomes a scenario ([`scenario`]) that says what the row says; what it leaves open is the preset of its
//! stack, whose nearest stands in for those that have none. Nothing is fitted to a row, a model or a source.

mod case;
mod cells;
mod judge;
mod own;
mod ranking;
mod releases;
mod row;
mod scenario;
mod site;
mod skill;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_profile::TuningSet;
use orrery_scenario::{Plan, catalog};
use orrery_units::{Evidence, HALF_WIDTH_80};
use orrery_workload::estimate::Parts;
use orrery_workload::lower::model_flops;

use super::table::Table;
use super::{Compared, Row};
use crate::facts;
use crate::pipeline::{self, Watch};
use crate::tuning::{self, LeaveOut, Step};
pub use case::StepCase;
pub(super) use cells::{foot, headline, json as cells_json};
pub(super) use judge::{Judgement, sets};
pub use own::{OWN_COLUMNS, OwnStep};
pub(super) use own::{step_of_run, steps_of as own_steps, traffic};
use row::{Measured, StepRow};

/// What a table of training steps has.
const COLUMNS: [&str; 6] = ["id", "tp", "pp", "gbs", "seq", "step_time_s"];

/// What rows are grouped by, beside tier, kind of model and the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The device.
    Gpu,
    /// Dense or with experts.
    Arch,
    /// Where it was read.
    Source,
    /// The model.
    Model,
    /// The number format.
    Precision,
    /// How many devices.
    Scale,
    /// Even by force, or as it came.
    Routing,
    /// The software.
    Stack,
}

impl By {
    /// Every way of grouping.
    pub const ALL: [Self; 8] = [
        Self::Gpu,
        Self::Arch,
        Self::Source,
        Self::Model,
        Self::Precision,
        Self::Scale,
        Self::Routing,
        Self::Stack,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Arch => "arch",
            Self::Source => "source",
            Self::Model => "model",
            Self::Precision => "precision",
            Self::Scale => "scale",
            Self::Routing => "routing",
            Self::Stack => "stack",
        }
    }

    fn of(self, row: StepRow<'_>) -> String {
        match self {
            Self::Scale => row.scale().to_owned(),
            Self::Routing => row.routing().to_owned(),
            other => row.text(other.name()).to_owned(),
        }
    }
}

/// Whether `table` is one of training steps.
pub(super) fn is_one(table: &Table) -> bool {
    table.has(&COLUMNS)
}

/// How steps are predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the event simulation.
    #[default]
    Simulated,
    /// By the closed form.
    Estimated,
    /// By the closed form with parameters fitted on the other rows of tier A; only those are compared. A table that has none
    /// is fitted and compared as it is.
    HeldOut(LeaveOut),
}

/// Every row of `table`, predicted over all cores, and what the compared ones are judged by; `progress` is told how
/// many are done, and says whether to go on.
pub(super) fn rows(
    table: &Table,
    name: &str,
    (by, mode): (Option<By>, Mode),
    progress: &(dyn Fn(usize) -> bool + Sync),
) -> (Vec<Row>, Vec<StepCase>) {
    let prepared: Vec<Result<MeasuredStep, String>> = table.rows.iter().map(measured_step).collect();
    let answers = match mode {
        Mode::Simulated => simulated(&prepared, progress),
        Mode::Estimated => prepared
            .iter()
            .map(|step| Some(estimated(step.as_ref().ok()?)))
            .collect(),
        Mode::HeldOut(leave_out) => held_out(table, &prepared, leave_out),
    };
    let (mut rows, mut cases) = (Vec::new(), Vec::new());
    for ((cells, prepared), answer) in table.rows.iter().zip(prepared).zip(answers) {
        let row = StepRow(cells);
        let result = prepared.and_then(|step| match answer {
            Some(Ok(answer)) => {
                let compared = answer.beside(step.measured);
                cases.push(StepCase::new(row, &step.plan, compared));
                Ok(compared)
            }
            Some(Err(why)) => Err(why),
            None => Err("tier B: only tier A is held out".to_owned()),
        });
        rows.push(Row {
            id: format!("{name}/{}", row.text("id")),
            facts: facts_of(row),
            groups: groups(row, by),
            result,
        });
    }
    (rows, cases)
}

fn facts_of(row: StepRow<'_>) -> Vec<(&'static str, String)> {
    vec![
        ("metric", "step_time_s".to_owned()),
        ("model", row.text("model").to_owned()),
        ("gpu", row.text("gpu").to_owned()),
        ("gpus", row.text("gpus").to_owned()),
        ("tier", row.text("tier").to_owned()),
        ("macro", macro_cell(row)),
    ]
}

/// The steps of the rows of `table` that say all that their prediction needs.
pub(super) fn complete(table: &Table) -> Vec<Step> {
    let steps = table.rows.iter().filter_map(step);
    steps.filter(|step| step.facts["assumed"].is_empty()).collect()
}

/// A predicted step.
#[derive(Clone, Debug)]
struct Answer {
    seconds: f64,
    low: f64,
    high: f64,
    evidence: &'static str,
}

impl Answer {
    fn beside(&self, measured: f64) -> Compared {
        Compared {
            measured,
            predicted: self.seconds,
            low: self.low,
            high: self.high,
            evidence: self.evidence,
        }
    }
}

/// Every different plan simulated once: releases of a stack repeat configurations.
fn simulated(
    prepared: &[Result<MeasuredStep, String>],
    progress: &(dyn Fn(usize) -> bool + Sync),
) -> Vec<Option<Result<Answer, String>>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut different: Vec<&MeasuredStep> = Vec::new();
    for step in prepared.iter().flatten() {
        places.entry(&step.plan.identity.hash).or_insert_with(|| {
            different.push(step);
            different.len() - 1
        });
    }
    let done = AtomicUsize::new(prepared.len() - different.len());
    let is_stopped = AtomicBool::new(false);
    let count = u32::try_from(different.len()).expect("a table has fewer than 2^32 rows");
    let answers = pipeline::in_parallel(count, |at| {
        if is_stopped.load(Ordering::Relaxed) {
            return Err("it was stopped".to_owned());
        }
        let answer = simulate(different[at as usize]);
        if !progress(done.fetch_add(1, Ordering::Relaxed)) {
            is_stopped.store(true, Ordering::Relaxed);
        }
        answer
    });
    let of = |step: &Result<MeasuredStep, String>| {
        let step = step.as_ref().ok()?;
        Some(answers[places[step.plan.identity.hash.as_str()]].clone())
    };
    prepared.iter().map(of).collect()
}

fn simulate(step: &MeasuredStep) -> Result<Answer, String> {
    let simulation = pipeline::simulate(&step.plan, &Watch::new(1)).map_err(|fault| fault.to_string())?;
    let metrics = &simulation.report.metrics;
    let key = "train.step_time.mean";
    let seconds = metrics.get(key).ok_or("a step that was measured")?;
    let (low, high) = metrics.interval(key).unwrap_or((seconds, seconds));
    // What most of the simulated time rests on.
    let share = |evidence: &Evidence| simulation.report.backed_by(*evidence).unwrap_or(0.0);
    let most = Evidence::ALL
        .into_iter()
        .max_by(|a, b| share(a).total_cmp(&share(b)));
    let evidence = most.unwrap_or_default().name();
    Ok(Answer {
        seconds,
        low,
        high,
        evidence,
    })
}

/// The closed form, with the interval of the event simulation.
fn estimated(step: &MeasuredStep) -> Result<Answer, String> {
    let seconds = Parts::of(&step.plan).step(&step.plan.tuning).step;
    let half = facts::model_error(&step.plan).time;
    Ok(answer(seconds, half))
}

fn answer(seconds: f64, half: f64) -> Answer {
    Answer {
        seconds,
        low: seconds * (1.0 - half),
        high: seconds * (1.0 + half),
        evidence: "closed form",
    }
}

fn held_out(
    table: &Table,
    prepared: &[Result<MeasuredStep, String>],
    leave_out: LeaveOut,
) -> Vec<Option<Result<Answer, String>>> {
    let is_complete = |cells| StepRow(cells).text("tier") == "A";
    let has_complete = table.rows.iter().any(is_complete);
    let complete: Vec<(usize, Step)> = table
        .rows
        .iter()
        .zip(prepared)
        .enumerate()
        .filter(|(_, (cells, _))| is_complete(cells) || !has_complete)
        .filter_map(|(at, (cells, step))| Some((at, with_facts(cells, step.as_ref().ok()?))))
        .collect();
    let steps: Vec<Step> = complete.iter().map(|(_, step)| step.clone()).collect();
    let mut answers = vec![None; prepared.len()];
    for ((at, step), seconds) in complete.iter().zip(tuning::held_out(&steps, leave_out)) {
        let spread = catalog::tuning().spread(TuningSet::UNSEEN, step.has_experts());
        answers[*at] = Some(Ok(answer(seconds, HALF_WIDTH_80 * spread.unwrap_or(0.0))));
    }
    answers
}

/// Rows that count once together in the macro average.
fn macro_cell(row: StepRow<'_>) -> String {
    [By::Source, By::Model, By::Gpu].map(|by| by.of(row)).join(" | ")
}

fn groups(row: StepRow<'_>, by: Option<By>) -> Vec<String> {
    let kind = if row.is_moe() { "MoE" } else { "dense" };
    let assumed = row.assumed();
    let mut groups = if assumed.is_empty() {
        vec![
            format!("tier {}", row.text("tier")),
            format!("tier {} {kind}", row.text("tier")),
            cells::name(kind, row.scale(), row.routing()),
        ]
    } else {
        // What stands on an assumption says less of the simulator than of the assumption.
        vec![
            format!("tier {}, with fields assumed", row.text("tier")),
            format!("assumed: {}", assumed.join(", ")),
        ]
    };
    if let Some(by) = by {
        groups.push(format!("{} {}", by.name(), by.of(row)));
    }
    groups
}

/// A measured step that can be simulated.
#[derive(Debug)]
pub struct MeasuredStep {
    /// What ran.
    pub plan: Plan,
    /// Seconds of a step; of rows that give a rate only, by the model FLOPs of their convention.
    pub measured: f64,
}

/// The plan of `row` and what was measured of it, or the field for want of which there is none.
///
/// # Errors
/// With the name of the missing field, or why the row is left out.
pub fn measured_step(row: &BTreeMap<String, String>) -> Result<MeasuredStep, String> {
    let row = StepRow(row);
    if row.text("tier") == "C" {
        return Err("tier C: for relative use only".to_owned());
    }
    if row.text("model").starts_with("gpt-oss") && row.text("release") == "26.06.01" {
        return Err("gpt-oss of release 26.06.01: a documented regression".to_owned());
    }
    let measured = row.measured()?;
    let text = scenario::scenario(row)?;
    let plan = pipeline::load("row.scenario.toml", &text, &[]).map_err(|faults| {
        let first = faults.first();
        first.map_or_else(
            || "a scenario".to_owned(),
            |fault| format!("{}: {}", fault.code, fault.message),
        )
    })?;
    let measured = match measured {
        Measured::Seconds(seconds) => seconds,
        Measured::Rate { tflops, is_causal } => {
            let flops = model_flops(&plan);
            let flops = if is_causal {
                flops.causal
            } else {
                flops.full_attention
            };
            flops.get() / (tflops * 1e12 * f64::from(plan.layout.world()))
        }
    };
    Ok(MeasuredStep { plan, measured })
}

/// The step of `row` with its facts, where it can be predicted.
pub(super) fn step(row: &BTreeMap<String, String>) -> Option<Step> {
    Some(with_facts(row, &measured_step(row).ok()?))
}

fn with_facts(row: &BTreeMap<String, String>, step: &MeasuredStep) -> Step {
    let columns = [
        "id",
        "tier",
        "model",
        "arch",
        "gpu",
        "gpus",
        "stack",
        "source",
        "precision",
    ];
    let mut facts: BTreeMap<&'static str, String> = columns
        .into_iter()
        .map(|column| (column, StepRow(row).text(column).to_owned()))
        .collect();
    facts.insert("assumed", StepRow(row).assumed().join(" "));
    facts.insert("generation", step.plan.cluster.device.architecture.clone());
    Step::new(&step.plan, step.measured, facts)
}
