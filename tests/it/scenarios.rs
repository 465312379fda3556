//! Every scenario that ships loads; the small ones run and keep what they expect.

use std::path::{Path, PathBuf};

use orrery::checks;
use orrery::pipeline;
use orrery::report::Metrics;
use orrery::scenario::{Loaded, Plan, render};

use crate::support::simulate;

fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![crate::tidy::root().join("scenarios")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".scenario.toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn load(path: &Path, settings: &[(&str, &str)]) -> Plan {
    let text = std::fs::read_to_string(path).expect("a scenario can be read");
    let settings: Vec<(String, String)> = settings
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    pipeline::load(&path.to_string_lossy(), &text, &settings)
        .unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

fn training(name: &str) -> PathBuf {
    crate::tidy::root()
        .join("scenarios/training")
        .join(format!("{name}.scenario.toml"))
}

#[test]
fn every_scenario_loads_and_expects_something() {
    let scenarios = shipped();
    assert!(scenarios.len() >= 4, "{scenarios:?}");
    for path in scenarios {
        let text = std::fs::read_to_string(&path).expect("a scenario can be read");
        let loaded = pipeline::load_any(&path.to_string_lossy(), &text, &[])
            .unwrap_or_else(|faults| panic!("{}", render(&faults)));
        let (name, expectations) = match &loaded {
            Loaded::Training(plan) => (&plan.identity.name, &plan.expectations),
            Loaded::Balancing(plan) => (&plan.identity.name, &plan.expectations),
        };
        let file = path.file_name().unwrap().to_string_lossy();
        assert_eq!(format!("{name}.scenario.toml"), file);
        assert!(!expectations.is_empty(), "{file} expects nothing");
        let unexplained = expectations
            .iter()
            .filter(|expectation| expectation.why.is_empty())
            .count();
        assert_eq!(
            unexplained, 0,
            "{file}: every expectation says where its figure is from"
        );
    }
}

/// Runs the scenario as it ships and holds its expectations of level `error`.
fn holds(name: &str) {
    let plan = load(&training(name), &[]);
    let done = simulate(&plan);
    let failed: Vec<String> = checks::evaluate(&plan, &done.report.metrics, None)
        .iter()
        .filter(|check| check.fails_run())
        .map(|check| {
            format!(
                "{}:{}: {}: {} {}",
                check.file,
                check.line,
                check.id,
                check.text,
                check.outcome()
            )
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn llama3_405b_keeps_its_expectations() {
    holds("llama3-405b-8192-h100");
}

#[test]
fn gpt3_175b_keeps_its_expectations() {
    holds("gpt3-175b-a100");
}

#[test]
fn mixtral_8x22b_keeps_its_expectations() {
    holds("mixtral-8x22b-h100");
}

/// Both steps of 15,360 sequences on all 2,048 ranks, none folded: twenty million tasks.
#[test]
fn deepseek_v3_keeps_its_expectations() {
    holds("deepseek-v3-2048-h800");
}

fn metric(metrics: &Metrics, key: &str) -> f64 {
    metrics.get(key).unwrap_or_else(|| panic!("no {key}"))
}

/// DeepSeek-V3 on all of its ranks with the shortest step that DualPipe allows: what must hold whatever the
/// calibration. Shares of the step add up, and loads differ.
#[test]
fn a_short_step_of_deepseek_v3_keeps_its_invariants() {
    let settings = [
        ("training.global_batch", "4096"),
        ("training.steps", "1"),
        ("training.warmup_steps", "0"),
    ];
    let plan = load(&training("deepseek-v3-2048-h800"), &settings);
    assert_eq!((plan.layout.world(), plan.training.num_microbatches), (2048, 32));
    let done = simulate(&plan);
    let metrics = &done.report.metrics;
    let shares: f64 = [
        "compute",
        "optimizer",
        "bubble",
        "exposed_comm",
        "imbalance_wait",
        "host_wait",
        "idle",
    ]
    .iter()
    .map(|name| metric(metrics, &format!("train.{name}_ratio.mean")))
    .sum();
    assert!(
        (shares - 1.0).abs() < 1e-6,
        "the shares of a step add up: {shares}"
    );
    assert!(
        metric(metrics, "moe.imbalance.mean") > 1.0,
        "natural routing is not even"
    );
    assert!(
        metric(metrics, "train.imbalance_wait_ratio.mean") > 0.0,
        "ranks wait for each other"
    );
    assert!(metric(metrics, "train.mfu.mean") < 1.0);
    assert_eq!(done.stopped, None);
}
