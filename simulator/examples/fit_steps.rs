//! Fits what stacks make of devices over whole steps, from measured steps.
//!
//! `cargo run --release -p orrery --example fit_steps [ROOT]`: reads tier A of `ROOT/tests/truth/training.csv.gz`, writes
//! `ROOT/scenarios/tuning/training.json`, and prints errors before, after and held out.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use orrery::tuning::{LeaveOut, Step, fit, held_out, spread};
use orrery::validate::training_steps;
use orrery_profile::TuningSet;

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| default.to_owned()));
    let steps: Vec<Step> = training_steps(&root.join("tests/truth/training.csv.gz"))?
        .into_iter()
        .filter(|step| step.facts["tier"] == "A")
        .collect();
    let mut set = fit(&steps.iter().collect::<Vec<_>>());
    set.notes = vec![
        "Fitted on tier A of tests/truth/training.csv.gz by the example fit_steps, through the closed form; kernels and \
         collectives are those of the profiles."
            .to_owned(),
    ];
    let mut out = std::io::stdout().lock();
    for parameter in &set.parameters {
        let (term, scope, value) = (parameter.term, &parameter.scope, parameter.value);
        writeln!(
            out,
            "{term:?} `{scope}` {value} ({} rows, {} models)",
            parameter.rows, parameter.models
        )?;
    }
    let predicted: Vec<f64> = steps
        .iter()
        .map(|step| step.parts.step(&step.tuning(&set)).step)
        .collect();
    print(&mut out, "fitted", &steps, &predicted)?;
    let unseen = held_out(&steps, LeaveOut::Folds(5));
    print(&mut out, "held out", &steps, &unseen)?;
    for has_experts in [false, true] {
        let mine = steps
            .iter()
            .zip(&unseen)
            .filter(|(step, _)| step.has_experts() == has_experts);
        let errors: Vec<f64> = mine
            .map(|(step, seconds)| (seconds / step.measured).ln())
            .collect();
        let spread = spread(&errors).ok_or("no steps")?;
        set.spreads
            .push((TuningSet::spread_name(TuningSet::UNSEEN, has_experts), spread));
    }
    fs::write(root.join("scenarios/tuning/training.json"), set.to_json())?;
    Ok(())
}

fn print(
    out: &mut impl std::io::Write,
    name: &str,
    steps: &[Step],
    predicted: &[f64],
) -> std::io::Result<()> {
    for kind in ["", "dense", "moe"] {
        let rows = steps
            .iter()
            .zip(predicted)
            .filter(|(step, _)| kind.is_empty() || step.facts["arch"] == kind);
        let mut errors: Vec<f64> = rows
            .map(|(step, seconds)| seconds / step.measured - 1.0)
            .collect();
        errors.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let count = f64::from(u32::try_from(errors.len()).unwrap_or(1));
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / count;
        let bias = errors.iter().sum::<f64>() / count;
        let share = |share: usize| errors[errors.len() * share / 100].abs();
        writeln!(
            out,
            "{name} {kind}: {count} rows, MAPE {:.1} %, median {:.1} %, p90 {:.1} %, bias {:+.1} %",
            mean * 100.0,
            share(50) * 100.0,
            share(90) * 100.0,
            bias * 100.0
        )?;
    }
    if std::env::var_os("ROWS").is_some() {
        for (step, seconds) in steps.iter().zip(predicted) {
            writeln!(
                out,
                "ROW {name} {} {} {}",
                step.facts["id"], step.measured, seconds
            )?;
        }
    }
    Ok(())
}
