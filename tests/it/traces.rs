//! Recorded runs through the command: opened, counted, compared with another run, replayed.

use std::path::Path;

use orrery::compare::Comparison;
use serde_json::Value;

use crate::command::{Ran, orrery};

fn truth(name: &str) -> String {
    let path = crate::tidy::root().join("tests/truth/traces").join(name);
    path.to_string_lossy().into_owned()
}

/// Imports a recording into a folder of its own and gives what is stored there.
fn imported(name: &str, folder: &Path) -> Value {
    let ran = orrery(folder, &["import", "trace", &truth(name), "-o", "recorded"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let out = folder.join("recorded");
    assert!(out.join("trace.json").is_file(), "spans for eyes");
    let text = std::fs::read_to_string(out.join("run.json")).expect("the run is written");
    serde_json::from_str(&text).expect("JSON")
}

fn replayed(name: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let path = truth(name);
    let arguments: Vec<&str> = ["replay", path.as_str()]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    orrery(folder.path(), &arguments)
}

#[test]
fn a_recording_is_a_run_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let dlrm = imported("kineto/param_dlrm_8rank", folder.path());
    let step = dlrm["metrics"]["train.step_time.mean"].as_f64().expect("a step");
    assert!(
        (step - 0.020_823).abs() < 1e-5,
        "from the first mark of any rank to the last: {step}"
    );
    assert!(
        dlrm["metrics"].get("train.mfu.mean").is_none(),
        "what was computed is not recorded"
    );
    let stages = imported("straggler/trace-ST.parquet", folder.path());
    assert!(
        stages["metrics"]["train.bubble_ratio.mean"].as_f64() > Some(0.05),
        "{}",
        stages["metrics"]
    );
    let difference = Comparison::of(&stages, &dlrm).expect("both know their step by cause");
    let bars: i64 = difference.bars().iter().map(|(_, picos)| picos).sum();
    assert_eq!(bars, difference.difference(), "bars sum to the difference");
}

#[test]
fn a_replay_names_the_straggler() {
    let ran = replayed("kineto/param_dlrm_8rank", &["--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(found[0]["straggler"], "rank 7");
    assert_eq!(found[0]["causes"][0]["cause"], "late start");
    let ran = replayed("kineto/param_dlrm_8rank", &[]);
    assert!(
        ran.out
            .contains("straggler: rank 7 came last to 5 of its meetings"),
        "{}",
        ran.out
    );
}

#[test]
fn what_is_not_whole_says_so() {
    let ran = replayed("kineto/hta_128rank_sampled", &[]);
    assert!(
        ran.err.contains("incomplete: 2 of 128 ranks are here") && ran.err.contains("sample"),
        "{}",
        ran.err
    );
    assert_eq!(replayed("../README.md", &[]).code, 3);
}
