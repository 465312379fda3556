//! The command from arguments to exit code, on a scenario that runs in milliseconds.

use std::fs;
use std::path::Path;

use crate::exit::Exit;
use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Console, Failure, execute};

const SMALL: &str = r#"schema = "scenario/1"
[scenario]
name = "small"
title = "Llama 3 8B on one node"
kind = "training"
[model]
from = "catalog"
name = "llama3-8b"
[cluster]
nodes = 1
[cluster.node]
gpu = "H100-SXM5-80GB"
gpus = 8
[parallel]
tp = 2
pp = 2
[training]
seq_len = 4096
global_batch = 16
micro_batch = 1
steps = 3
warmup_steps = 1
[run]
seed = 3
"#;

const FAILING: &str = r#"
[expect.instant]
check = "train.step_time.mean <= 1 ms"
why = "nobody is that fast"
"#;

const REGRESSION: &str = r#"
[expect.no-regression]
check = "train.step_time.mean <= baseline * 1.005"
"#;

/// What a command did.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

/// Runs `arguments` with `{}` standing for `folder`.
fn orrery(folder: &Path, arguments: &[&str]) -> Ran {
    let folder = folder.to_str().unwrap();
    let arguments = arguments.iter().map(|argument| argument.replace("{}", folder));
    let cli = Cli::try_parse_from(std::iter::once("orrery".to_owned()).chain(arguments)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        terminal: false,
    };
    let exit = execute(cli, &mut console).unwrap_or_else(|fault| {
        let failure = fault.downcast_ref::<Failure>().unwrap();
        writeln!(console.err, "{}", failure.message).unwrap();
        failure.exit
    });
    Ran {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

fn folder_with(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.toml"), scenario).unwrap();
    fs::create_dir(folder.path().join("baselines")).unwrap();
    folder
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_run_writes_its_folder_and_the_same_bytes_twice() {
    let folder = folder_with(SMALL);
    let first = orrery(
        folder.path(),
        &[
            "run",
            "{}/s.toml",
            "--out",
            "{}/a",
            "--write",
            "html,junit,trace,csv",
        ],
    );
    assert_eq!(first.exit, Exit::Success, "{}", first.err);
    assert!(
        first.out.contains("scenarios: 1 passed, 0 failed"),
        "{}",
        first.out
    );
    for file in [
        "run.json",
        "meta.json",
        "report.html",
        "junit.xml",
        "trace.json",
        "metrics.csv",
    ] {
        assert!(folder.path().join("a").join(file).is_file(), "{file} is written");
    }
    orrery(folder.path(), &["run", "{}/s.toml", "--out", "{}/b"]);
    let read = |run: &str| fs::read(folder.path().join(run).join("run.json")).unwrap();
    assert!(read("a") == read("b"), "the same scenario gives the same bytes");
    orrery(
        folder.path(),
        &["run", "{}/s.toml", "--out", "{}/c", "--seed", "4"],
    );
    assert!(read("a") != read("c"), "another seed is named in the result");
}

#[test]
fn a_failed_expectation_exits_1_and_is_named_with_its_line() {
    let scenario = format!("{SMALL}{FAILING}");
    let folder = folder_with(&scenario);
    let line = 1 + scenario
        .lines()
        .position(|line| line.starts_with("check"))
        .unwrap();
    let ran = orrery(
        folder.path(),
        &["run", "{}/s.toml", "--out", "{}/a", "--format", "github"],
    );
    assert_eq!(ran.exit, Exit::ExpectationFailed);
    assert!(ran.out.starts_with("::error file="), "{}", ran.out);
    assert!(
        ran.out
            .contains(&format!(",line={line},title=small%3A instant::")),
        "{}",
        ran.out
    );
    let forgiven = orrery(folder.path(), &["run", "{}/s.toml", "--out", "{}/a", "--no-fail"]);
    assert_eq!(forgiven.exit, Exit::Success);
    assert!(forgiven.out.contains("✗ instant"), "{}", forgiven.out);
}

#[test]
fn a_baseline_is_missed_then_saved_then_broken_then_updated() {
    let folder = folder_with(&format!("{SMALL}{REGRESSION}"));
    let run = |more: &[&str]| {
        let arguments = [&["run", "{}/s.toml", "--out", "{}/a"], more].concat();
        orrery(folder.path(), &arguments)
    };
    let missing = run(&[]);
    assert_eq!(missing.exit, Exit::DataMissing);
    assert!(missing.err.contains("orrery baseline save"), "{}", missing.err);
    assert_eq!(
        orrery(folder.path(), &["baseline", "save", "{}/a"]).exit,
        Exit::Success
    );
    assert!(
        folder.path().join("baselines/small.json").is_file(),
        "beside the scenario"
    );
    assert_eq!(run(&[]).exit, Exit::Success);
    let slower = run(&["--set", "training.seq_len=8192"]);
    assert_eq!(slower.exit, Exit::ExpectationFailed);
    assert!(slower.out.contains("✗ no-regression"), "{}", slower.out);
    let update = orrery(folder.path(), &["baseline", "update", "{}/a"]);
    assert!(update.out.contains("train.step_time.mean: "), "{}", update.out);
    assert!(update.out.contains("the scenario hash changed"), "{}", update.out);
    assert_eq!(run(&["--set", "training.seq_len=8192"]).exit, Exit::Success);
}

#[test]
fn faults_of_a_scenario_come_all_at_once_and_nothing_is_run() {
    let broken = SMALL
        .replace("pp = 2", "expert_parallel = 2")
        .replace("llama3-8b", "llama3-9b");
    let folder = folder_with(&broken);
    let ran = orrery(folder.path(), &["run", "{}/s.toml", "--out", "{}/a"]);
    assert_eq!(ran.exit, Exit::Invalid);
    assert!(
        ran.err.contains("S014") && ran.err.contains("S013"),
        "{}",
        ran.err
    );
    assert!(ran.out.is_empty(), "no result");
    assert!(!folder.path().join("a").exists(), "nothing was run");
    let check = orrery(folder.path(), &["check", "{}/s.toml", "--format", "json"]);
    assert_eq!(check.exit, Exit::Invalid);
    let faults: serde_json::Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!(faults.as_array().unwrap().len(), 2);
}

#[test]
fn a_limit_leaves_partial_results() {
    let folder = folder_with(SMALL);
    let ran = orrery(
        folder.path(),
        &[
            "run",
            "{}/s.toml",
            "--out",
            "{}/a",
            "--set",
            "run.limits.events=2000",
        ],
    );
    assert_eq!(ran.exit, Exit::LimitReached, "{}", ran.err);
    assert!(ran.out.contains("PARTIAL RESULT"), "{}", ran.out);
    assert!(
        folder.path().join("a/run.json").is_file(),
        "partial results are written"
    );
}

#[test]
fn a_stored_run_is_shown_exported_and_explained() {
    let folder = folder_with(SMALL);
    orrery(
        folder.path(),
        &["run", "{}/s.toml", "--out", "{}/a", "--write", "trace"],
    );
    let report = orrery(folder.path(), &["report", "{}/a"]);
    assert!(report.out.contains("train.step_time"), "{}", report.out);
    let trace = orrery(folder.path(), &["export", "{}/a", "--to", "chrome"]);
    let trace: serde_json::Value = serde_json::from_str(&trace.out).unwrap();
    assert!(trace["traceEvents"].is_array(), "a trace has events");
    let explained = orrery(folder.path(), &["explain", "{}/a/run.json"]);
    assert!(explained.out.contains("keys were filled in"), "{}", explained.out);
    let missing = orrery(folder.path(), &["report", "{}/nowhere"]);
    assert_eq!(missing.exit, Exit::DataMissing);
}

#[test]
fn lists_and_codes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| orrery(folder.path(), arguments);
    assert!(run(&["metrics"]).out.contains("train.step_time  [s]"));
    assert_eq!(run(&["metrics", "--kind", "nothing"]).exit, Exit::NothingMatched);
    assert_eq!(run(&["explain", "S014"]).exit, Exit::Success);
    assert_eq!(run(&["explain", "S999"]).exit, Exit::NothingMatched);
    assert!(run(&["schema"]).out.contains("scenario/1"));
    assert!(run(&["completions", "bash"]).out.contains("_orrery"));
    assert_eq!(run(&["run", "{}/none.toml"]).exit, Exit::Invalid);
}

#[test]
fn megatron_arguments_become_a_scenario_that_checks() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 512 \
                     --micro-batch-size 4 --global-batch-size 128 --bf16";
    let import = orrery(
        folder.path(),
        &[
            "import",
            "megatron",
            arguments,
            "--gpu",
            "H100",
            "-o",
            "{}/m.toml",
        ],
    );
    assert_eq!(import.exit, Exit::Success, "{}", import.err);
    assert!(import.err.contains("understood: "), "{}", import.err);
    assert_eq!(orrery(folder.path(), &["check", "{}/m.toml"]).exit, Exit::Success);
}

/// The example of the README of deepseek-ai/EPLB, with a key that is no part of the question.
#[test]
fn a_placement_equals_the_example_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let case = r#"{"name": "readme", "num_replicas": 16, "num_groups": 4, "num_nodes": 2, "num_gpus": 8,
        "weights": [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
                    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]}"#;
    fs::write(folder.path().join("case.json"), case).unwrap();
    let ran = orrery(folder.path(), &["balance", "{}/case.json"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let placement: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let expected = serde_json::json!([
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1]
    ]);
    assert_eq!(placement["phy2log"], expected);
    assert_eq!(placement["logcnt"][0][5], 2);
    let global = orrery(folder.path(), &["balance", "{}/case.json", "--policy", "global"]);
    assert_ne!(global.out, ran.out, "another policy, another placement");
    fs::write(folder.path().join("case.json"), "{}").unwrap();
    assert_eq!(
        orrery(folder.path(), &["balance", "{}/case.json"]).exit,
        Exit::Invalid
    );
}

#[test]
fn a_recorded_load_becomes_a_scenario_whose_run_says_whether_balancing_pays() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "layer,expert,count\n".to_owned();
    for (layer, expert) in (0..2).flat_map(|layer| (0..16).map(move |expert| (layer, expert))) {
        let count = if expert < 2 { 900 } else { 100 };
        table.push_str(&format!("{layer},{expert},{count}\n"));
    }
    fs::write(folder.path().join("counts.csv"), table).unwrap();
    let imported = orrery(
        folder.path(),
        &[
            "import",
            "routing",
            "{}/counts.csv",
            "--scenario",
            "-o",
            "{}/x.scenario.toml",
        ],
    );
    assert_eq!(imported.exit, Exit::Success, "{}", imported.err);
    let text = fs::read_to_string(folder.path().join("x.scenario.toml")).unwrap();
    assert!(
        text.contains("path = \"counts.csv\""),
        "it lies beside it: {text}"
    );
    let ran = orrery(
        folder.path(),
        &["run", "{}/x.scenario.toml", "--out", "{}/out", "--write", "html"],
    );
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.contains("Balancing pays: "), "{}", ran.out);
    assert!(
        ran.out
            .contains("eplb lowers the imbalance, busiest device over mean: "),
        "{}",
        ran.out
    );
    let result = fs::read_to_string(folder.path().join("out/run.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["worth"][0]["policy"], "eplb");
    let held = result["worth"][0]["redundant_bytes_per_device"].as_f64();
    assert!(held.is_some_and(|bytes| bytes > 0.0), "{}", result["worth"][0]);
    assert!(
        result["load_fits"][0]["r_squared"].is_number(),
        "{}",
        result["load_fits"]
    );
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    for form in [&ran.out, &page] {
        for words in [
            "of what their MoE layers take under static",
            "Evidence: no balancer was timed",
            "R² of the sorted",
        ] {
            assert!(form.contains(words), "{words}: {form}");
        }
    }
}
