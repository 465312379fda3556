//! Fits what stacks make of devices over whole steps: the set that ships.
//!
//! `cargo run --release -p orrery --example fit_steps [ROOT]` is `orrery fit --data` on `ROOT/tests/truth/training.csv.gz` and
//! one in four of vTrain's steps of one node, written to `ROOT/scenarios/tuning/training.json`, with every parameter and
//! what it rests on. A figure that a shipped scenario is checked against is not among the rows.

use std::process::ExitCode;

/// The rows of shipped scenarios.
const SHIPPED: &str = "korth-004,llama3-001,misc-010,folding-005";

fn main() -> ExitCode {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = std::env::args().nth(1).unwrap_or_else(|| default.to_owned());
    let steps = format!("{root}/tests/truth/training.csv.gz");
    // Or its 1,050 small steps would outweigh all others.
    let one_node = format!("{root}/tests/truth/training_vtrain_single_node.csv.gz");
    let out = format!("{root}/scenarios/tuning/training.json");
    let arguments = [
        "orrery",
        "fit",
        "--data",
        &steps,
        &one_node,
        "--without",
        SHIPPED,
        "--output",
        &out,
    ];
    ExitCode::from(orrery::cli::run(arguments).code())
}
