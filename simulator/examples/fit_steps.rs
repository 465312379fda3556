//! Fits what stacks make of devices over whole steps, from measured steps.
//!
//! `cargo run --release -p orrery --example fit_steps [ROOT]`: reads `ROOT/tests/truth/training.csv.gz` and
//! vTrain's steps of one node, writes `ROOT/scenarios/tuning/training.json`, and prints every parameter with
//! what it rests on, and the errors of fitted and of held-out steps. A figure that a shipped scenario is checked against is
//! not among the rows.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use orrery::tuning::{LeaveOut, Step, fit, held_out, spread};
use orrery::validate::training_steps;
use orrery_profile::TuningSet;

/// The rows of shipped scenarios.
const SHIPPED: [&str; 4] = ["korth-004", "llama3-001", "misc-010", "folding-005"];

/// One in so many of vTrain's 1,050 steps of one node is enough, or they would outweigh all others.
const EVERY: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| default.to_owned()));
    let truth = root.join("tests/truth");
    let all = training_steps(&truth.join("training.csv.gz"))?;
    let nodes: Vec<Step> = all
        .iter()
        .filter(|step| step.facts["source"].starts_with("vTrain"))
        .cloned()
        .collect();
    let one_node = training_steps(&truth.join("training_vtrain_single_node.csv.gz"))?;
    let others: Vec<Step> = all
        .iter()
        .filter(|step| step.facts["tier"] == "B" && !step.facts["source"].starts_with("vTrain"))
        .filter(|step| step.facts["assumed"].is_empty())
        .cloned()
        .collect();
    let steps: Vec<Step> = all.into_iter().filter(|step| step.facts["tier"] == "A").collect();
    let fitted: Vec<&Step> = steps
        .iter()
        .chain(&others)
        .filter(|step| !SHIPPED.contains(&step.facts["id"].as_str()))
        .chain(&nodes)
        .chain(one_node.iter().step_by(EVERY))
        .collect();
    let mut set = fit(&fitted);
    set.notes = vec![
        "Fitted by the example fit_steps, through the closed form, on tiers A and B of tests/truth/training.csv.gz and a \
         quarter of vTrain's steps of one node; kernels and collectives are those of the profiles."
            .to_owned(),
    ];
    let mut out = std::io::stdout().lock();
    for parameter in &set.parameters {
        let (term, scope, value) = (parameter.term, &parameter.scope, parameter.value);
        let (rows, models) = (parameter.rows, parameter.models);
        writeln!(out, "{term:?} `{scope}` {value} ({rows} rows, {models} models)")?;
    }
    let groups = [
        ("tier A", &steps),
        ("vTrain, several nodes", &nodes),
        ("vTrain, one node", &one_node),
    ];
    for (name, rows) in groups {
        let predicted: Vec<f64> = rows
            .iter()
            .map(|step| step.parts.step(&step.tuning(&set)).step)
            .collect();
        print(&mut out, name, rows, &predicted)?;
    }
    let unseen = held_out(&steps, LeaveOut::Folds(5));
    print(&mut out, "tier A held out", &steps, &unseen)?;
    for has_experts in [false, true] {
        let mine = steps
            .iter()
            .zip(&unseen)
            .filter(|(step, _)| step.has_experts() == has_experts);
        let errors: Vec<f64> = mine
            .map(|(step, seconds)| (seconds / step.measured).ln())
            .collect();
        let name = TuningSet::spread_name(TuningSet::UNSEEN, has_experts);
        set.spreads.push((name, spread(&errors).ok_or("too few steps")?));
    }
    fs::create_dir_all(root.join("scenarios/tuning"))?;
    fs::write(root.join("scenarios/tuning/training.json"), set.to_json())?;
    Ok(())
}

/// One line for all of `steps`, one for dense models and one for those with experts.
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
        if errors.is_empty() {
            continue;
        }
        errors.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let count = f64::from(u32::try_from(errors.len()).unwrap_or(u32::MAX));
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / count * 100.0;
        let bias = errors.iter().sum::<f64>() / count * 100.0;
        let share = |share: usize| errors[errors.len() * share / 100].abs() * 100.0;
        writeln!(
            out,
            "{name} {kind}: {count} rows, MAPE {mean:.1} %, median {:.1} %, p90 {:.1} %, bias {bias:+.1} %",
            share(50),
            share(90),
        )?;
    }
    Ok(())
}
