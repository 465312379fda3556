//! Tables of measured training steps: every row that names enough of itself is simulated.
//!
//! A row becomes a scenario ([`scenario`]) that says what the row says; what it leaves open is the preset of its
//! stack, whose nearest stands in for those that have none. Nothing is fitted to a row, a model or a source.

mod cells;
mod row;
mod scenario;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use orrery_scenario::Plan;
use orrery_workload::lower::model_flops;

use super::table::Table;
use super::{Compared, Row};
use crate::pipeline::{self, Watch};
use crate::tuning::Step;
pub(super) use cells::foot;
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

/// Every row of `table`, simulated over all cores; `progress` is told how many are done.
pub(super) fn rows(table: &Table, name: &str, by: Option<By>, progress: &(dyn Fn(usize) + Sync)) -> Vec<Row> {
    let done = AtomicUsize::new(0);
    let count = u32::try_from(table.rows.len()).expect("a table has fewer than 2^32 rows");
    pipeline::in_parallel(count, |at| {
        let row = StepRow(&table.rows[at as usize]);
        let answer = Row {
            id: format!("{name}/{}", row.text("id")),
            facts: vec![
                ("model", row.text("model").to_owned()),
                ("gpu", row.text("gpu").to_owned()),
                ("gpus", row.text("gpus").to_owned()),
                ("tier", row.text("tier").to_owned()),
                ("macro", macro_cell(row)),
            ],
            groups: groups(row, by),
            result: compare(row.0),
        };
        progress(done.fetch_add(1, Ordering::Relaxed));
        answer
    })
}

/// Rows that count once together in the macro average.
fn macro_cell(row: StepRow<'_>) -> String {
    [By::Source, By::Model, By::Gpu].map(|by| by.of(row)).join(" | ")
}

fn groups(row: StepRow<'_>, by: Option<By>) -> Vec<String> {
    let kind = if row.is_moe() { "MoE" } else { "dense" };
    let mut groups = vec![
        format!("tier {}", row.text("tier")),
        format!("tier {} {kind}", row.text("tier")),
        cells::name(kind, row.scale(), row.routing()),
    ];
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
            let flops = if is_causal { flops.causal } else { flops.full_attention };
            flops.get() / (tflops * 1e12 * f64::from(plan.layout.world()))
        }
    };
    Ok(MeasuredStep { plan, measured })
}

/// The step of `row` with its facts, where it can be predicted.
pub(super) fn step(row: &BTreeMap<String, String>) -> Option<Step> {
    let MeasuredStep { plan, measured } = measured_step(row).ok()?;
    let columns = ["id", "tier", "model", "arch", "gpu", "gpus", "stack", "source", "precision"];
    let mut facts: BTreeMap<&'static str, String> = columns
        .into_iter()
        .map(|column| (column, StepRow(row).text(column).to_owned()))
        .collect();
    facts.insert("generation", plan.cluster.device.architecture.clone());
    Some(Step::new(&plan, measured, facts))
}

fn compare(row: &BTreeMap<String, String>) -> Result<Compared, String> {
    let MeasuredStep { plan, measured } = measured_step(row)?;
    let simulation = pipeline::simulate(&plan, &Watch::new(1)).map_err(|fault| fault.to_string())?;
    let metrics = &simulation.report.metrics;
    let key = "train.step_time.mean";
    let predicted = metrics.get(key).ok_or("a step that was measured")?;
    let (low, high) = metrics.interval(key).unwrap_or((predicted, predicted));
    Ok(Compared {
        measured,
        predicted,
        low,
        high,
        evidence: "analytic",
    })
}
