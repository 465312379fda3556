//! What every test of this crate needs: metrics, and loading without files.

use orrery_scenario::{Diagnostic, LoadContext, MemorySource, MetricEntry, MetricTable, Plan, load};
use orrery_units::Dimension;

/// The metrics that expectations in tests may name.
pub(crate) fn metrics() -> MetricTable {
    let entry = |name: &str, dimension, labels: &[&str]| MetricEntry {
        name: name.to_owned(),
        dimension,
        labels: labels
            .iter()
            .map(|&label| {
                (
                    label.to_owned(),
                    vec!["all_to_all".to_owned(), "pipeline".to_owned()],
                )
            })
            .collect(),
        statistics: ["mean", "p50", "p90", "p95", "p99", "min", "max", "sum", "last"]
            .map(str::to_owned)
            .to_vec(),
    };
    MetricTable(vec![
        entry("mem.hbm_peak", Dimension::Data, &[]),
        entry("moe.imbalance", Dimension::Number, &[]),
        entry("train.bubble_ratio", Dimension::Number, &[]),
        entry("train.exposed_comm_ratio", Dimension::Number, &["op"]),
        entry("train.mfu", Dimension::Number, &[]),
        entry("train.step_time", Dimension::Time, &[]),
        entry("train.tflops_per_gpu", Dimension::FlopRate, &[]),
        entry("train.tflops_per_gpu_full_attention", Dimension::FlopRate, &[]),
        entry("train.tokens_per_gpu_s", Dimension::Rate, &[]),
    ])
}

/// Loads `text` with `files` beside it and `overrides` laid over it.
pub(crate) fn load_with(
    text: &str,
    files: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Plan, Vec<Diagnostic>> {
    let owned = |&(a, b): &(&str, &str)| (a.to_owned(), b.to_owned());
    let source = MemorySource(files.iter().map(owned).collect());
    let overrides: Vec<_> = overrides.iter().map(owned).collect();
    let context = LoadContext {
        source: &source,
        metrics: &metrics(),
        overrides: &overrides,
    };
    load("test.scenario.toml", text, &context)
}
