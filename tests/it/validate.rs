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

/// Parameters are shared by all sizes, operations and numbers of nodes of a platform. The bars: 12 % below 1 MiB and 6 %
/// from there.
#[test]
fn the_public_sweeps_are_met() {
    let answer = answer(&["--nccl", "tests/truth/nccl"]);
    let small = mean(&answer, "platforms with several sweeps <1MiB");
    let large = mean(&answer, "platforms with several sweeps >=1MiB");
    assert!(small < 0.08, "{small}");
    assert!(large < 0.06, "{large}");
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
    let none = orrery(&root, &["validate", "--truth", "tests/truth/models.csv"]);
    assert_eq!(none.code, 3, "{}", none.err);
    let unknown = orrery(&root, &["validate", "--truth", sweep, "--metric", "beauty"]);
    assert_eq!(unknown.code, 2, "{}", unknown.err);
    let absent = orrery(&root, &["validate", "--truth", "no/such/folder.csv"]);
    assert_eq!(absent.code, 3, "{}", absent.err);
    let bare = orrery(Path::new("."), &["validate"]);
    assert_eq!(bare.code, 2, "{}", bare.err);
}

/// Sweeps left out of their platforms: with three of their own sizes as anchors, bar 6 % from 1 MiB on; with none, 15 %
/// and 10 % for their peaks.
#[test]
fn sweeps_left_out_are_met() {
    let group = "platforms with several sweeps >=1MiB";
    let anchored = answer(&["--nccl", "tests/truth/nccl", "--anchor-points", "3"]);
    assert!(mean(&anchored, group) < 0.06, "{}", mean(&anchored, group));
    let alone = answer(&["--nccl", "tests/truth/nccl", "--leave-one-out"]);
    assert!(mean(&alone, group) < 0.10, "{}", mean(&alone, group));
    let peak = mean(&alone, "platforms with several sweeps peak");
    assert!(peak < 0.10, "{peak}");
    // Four fifths of what was left out lies in its interval, which rests on what else was left out.
    for answer in [&anchored, &alone] {
        let inside = answer["groups"][group]["interval_coverage"]
            .as_f64()
            .unwrap_or(0.0);
        assert!((0.7..=0.9).contains(&inside), "{inside}");
    }
    let labels: Vec<&str> = alone["rows"]
        .as_array()
        .expect("rows are listed")
        .iter()
        .filter_map(|row| row["evidence"].as_str())
        .collect();
    assert!(
        !labels.contains(&"interpolated"),
        "what was left out was not seen"
    );
}

/// The published tables of exchanges, each cell of one mode and EP predicted by the law of the others. Bar 10 %.
#[test]
fn whole_cells_of_exchanges_are_held_out() {
    for table in ["tests/truth/deepep.csv", "tests/truth/moe_alltoall.csv.gz"] {
        let answer = answer(&["--truth", table]);
        let error = answer["summary"]["mape"].as_f64().unwrap_or(1.0);
        assert!(error < 0.10, "{table}: {error}");
        for mode in ["low latency", "normal"] {
            let error = mean(&answer, &format!("all exchanges {mode}"));
            assert!(error < 0.11, "{table}, {mode}: {error}");
        }
        // Four fifths lie in the interval, which rests on what else was held out.
        let inside = answer["summary"]["interval_coverage"].as_f64().unwrap_or(0.0);
        assert!((0.7..=0.9).contains(&inside), "{table}: {inside}");
    }
}

/// Normal kernels on a cluster where a dispatch over 8 nodes has half the rate of a combine, a third of that of the NICs: a
/// cell of 64 ranks is not foreseen by those of 8 and 16. What is reached, far above the bar of 10 %.
#[test]
fn cells_of_normal_kernels_over_many_nodes_are_not_met() {
    let answer = answer(&["--truth", "tests/truth/aic_deepep_normal_multinode.csv"]);
    let error = answer["summary"]["mape"].as_f64().unwrap_or(1.0);
    assert!(error < 0.30, "{error}");
}

#[test]
fn bad_bounds_and_empty_folders_name_the_fix() {
    let root = crate::tidy::root();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().to_string_lossy().into_owned();
    let empty = orrery(&root, &["validate", "--truth", &path]);
    assert_eq!(empty.code, 3, "{}", empty.err);
    assert!(empty.err.contains("help"), "{}", empty.err);
    let bound = orrery(&root, &["validate", "--truth", &path, "--fail-over", "mape=nan"]);
    assert_eq!(bound.code, 2, "{}", bound.err);
}

/// What is to be left out must be in every table: in-sample errors of steps are none of devices left out, and those of
/// kernels without their shape none of folds.
#[test]
fn an_option_that_a_table_has_nothing_for_is_refused() {
    let root = crate::tidy::root();
    let (steps, kernels) = ("tests/truth/training.csv.gz", "tests/truth/aic_mla_h100.csv.gz");
    let refused = |arguments: &[&str], fix: &str| {
        let ran = orrery(&root, &[&["validate"], arguments].concat());
        assert_eq!(ran.code, 3, "{arguments:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains(fix), "{arguments:?}: {}", ran.err);
    };
    refused(
        &["--truth", steps, "--leave-out", "device"],
        "`--leave-out generation`",
    );
    refused(&["--truth", kernels, "--folds", "5"], "`--leave-out device`");
    refused(
        &["--truth", steps, kernels, "--leave-out", "model"],
        "aic_mla_h100.csv.gz",
    );
    let sweep = "tests/truth/nccl/h100_dgx_1n8g_all_reduce.csv";
    refused(&["--truth", sweep, "--folds", "5"], "a call of its own");
    refused(
        &["--truth", steps, "--metric", "memory", "--folds", "5"],
        "drop `--folds`",
    );
    refused(
        &["--truth", "no/such.csv", "--folds", "5"],
        "no row could be read",
    );
}

/// Dense steps of NeMo on H100 in BF16, as they were measured: the calibrated device and stack, none of whose rows but
/// a few had a part in the calibration. Rows that lack a field say which.
#[test]
fn measured_steps_are_simulated_row_by_row() {
    let table = crate::support::unpacked("training.csv.gz");
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let head = lines.next().expect("it has a head");
    let is_ours =
        |line: &&str| line.contains(",H100,") && line.contains(",BF16,none,") && line.contains(",nemo,");
    let rows: Vec<&str> = lines.clone().filter(is_ours).step_by(4).collect();
    assert!(rows.len() >= 8, "{} rows", rows.len());
    let other = lines
        .find(|line| line.contains(",selective(SAVE_DOT_ONLY),"))
        .expect("there is one");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("steps.csv");
    let text = [&[head][..], &rows, &[other]].concat().join("\n");
    std::fs::write(&file, text).expect("it can be written");
    let answer = answer(&["--truth", &file.to_string_lossy(), "--by", "gpu"]);
    let mean = answer["groups"]["gpu H100"]["mape"].as_f64().unwrap_or(1.0);
    assert!(mean < 0.08, "{mean}");
    let skipped = answer["rows"].as_array().into_iter().flatten();
    let reasons: Vec<&str> = skipped.filter_map(|row| row["skipped"].as_str()).collect();
    assert_eq!(
        reasons,
        ["recompute of SAVE_DOT_ONLY"],
        "what nobody here knows how to do"
    );
}

/// What the fit of steps reaches is held: tier A by the closed form, and held out of the fit by model, device and stack.
/// Bars of the first are 5 % and 9 % with experts, of the second 7 % and 13 %, of vTrain's runs of several nodes 8 % and of
/// those of one node 5.5 %.
#[test]
fn fitted_steps_keep_their_accuracy() {
    let truth = "tests/truth/training.csv.gz";
    let fitted = answer(&["--truth", truth, "--estimate", "--by", "source"]);
    let tier = |answer: &serde_json::Value, group: &str, figure: &str| {
        answer["groups"][group][figure].as_f64().unwrap_or(f64::NAN)
    };
    assert!(
        tier(&fitted, "tier A", "coverage") > 0.95,
        "rows of tier A are predicted"
    );
    let keep = |answer: &serde_json::Value, group: &str, mape: f64| {
        let reached = tier(answer, group, "mape");
        assert!(reached < mape, "{group}: {reached}");
    };
    keep(&fitted, "tier A", 0.05);
    keep(&fitted, "tier A MoE", 0.09);
    keep(&fitted, "tier B", 0.10);
    keep(&fitted, "source vTrain ground truth multi-node", 0.08);
    let inside = tier(&fitted, "tier A", "interval_coverage");
    assert!((0.75..=0.85).contains(&inside), "{inside}");
    let held_out = answer(&["--truth", truth, "--folds", "5"]);
    keep(&held_out, "tier A", 0.07);
    keep(&held_out, "tier A MoE", 0.13);
    let one_node = [
        "--truth",
        "tests/truth/training_vtrain_single_node.csv.gz",
        "--by",
        "arch",
    ];
    keep(&answer(&one_node), "arch dense", 0.055);
    let estimated = [&one_node[..], &["--estimate"]].concat();
    keep(&answer(&estimated), "arch dense", 0.055);
}
