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
        (step - 0.019_685).abs() < 1e-5,
        "from the first call or kernel of any rank to the end of the last: {step}"
    );
    assert_eq!(dlrm["origin"], "recorded");
    let causes = &dlrm["waterfall"]["causes_ps"];
    let of = |cause: &str| causes[cause].as_u64().unwrap_or(0);
    assert!(
        of("products") > 0 && of("passes") > 0 && of("compute") == 0,
        "{causes}"
    );
    let path = &dlrm["why"]["critical_path"];
    assert_eq!(
        path["step_ps"], dlrm["waterfall"]["step_ps"],
        "the path fills the only step"
    );
    assert_eq!(path["by_kind"][0]["kind"], "host launch", "{path}");
    assert!(dlrm["seed"].is_null() && dlrm["partial"].is_null(), "{dlrm}");
    assert!(
        dlrm["metrics"].get("sim.tasks.sum").is_none(),
        "nothing was simulated"
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

/// What a recording says for people nowhere says that it was simulated, and import and replay give one step.
#[test]
fn a_recording_does_not_say_that_it_was_simulated() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = truth("kineto/hta_2rank_args");
    let ran = orrery(folder.path(), &["import", "kineto", &path, "-o", "recorded"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown = orrery(folder.path(), &["report", "recorded"]);
    for text in [&ran.out, &shown.out] {
        assert!(!text.contains("simulated") && !text.contains("seed"), "{text}");
        assert!(text.contains("PARTIAL RESULT: 1 of 2 ranks are here."), "{text}");
    }
    let ran = orrery(folder.path(), &["replay", &path, "--format", "json"]);
    let replayed: Value = serde_json::from_str(&ran.out).expect("JSON");
    let stored = std::fs::read_to_string(folder.path().join("recorded/run.json")).expect("it is written");
    let stored: Value = serde_json::from_str(&stored).expect("JSON");
    let step = |value: &Value| value.as_f64().expect("a step");
    let steps = [
        step(&replayed[0]["measured_s"]),
        step(&stored["metrics"]["train.step_time.mean"]),
    ];
    assert!((steps[0] - steps[1]).abs() < 1e-12, "{steps:?}");
    let refused = Comparison::of(&stored, &stored).expect_err("half of a job proves nothing");
    assert!(
        refused.to_string().contains("import the traces of all ranks"),
        "{refused}"
    );
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

/// Each change by itself; late starts are the hosts', which no change of devices or of the network removes.
#[test]
fn a_replay_answers_what_if() {
    let changes = "slow-rank,balance,network=2,gpu=a100-megatron-2025-09:h100-megatron-core-2025-09";
    let ran = replayed(
        "kineto/param_dlrm_8rank",
        &["--what-if", changes, "--format", "json"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON");
    let as_it_is = found[0]["without_delays_s"].as_f64().expect("a step");
    let steps = found[0]["what_if"].as_array().expect("changes");
    assert_eq!(steps.len(), 4);
    for step in steps {
        let share = step["step_s"].as_f64().expect("a step") / as_it_is;
        assert!((0.5..1.005).contains(&share), "{step}");
    }
    let ran = replayed(
        "straggler/trace-AR.parquet",
        &["--what-if", "slow-rank", "--format", "json"],
    );
    let found: Value = serde_json::from_str(&ran.out).expect("JSON");
    let [with, without] =
        [&found[0]["without_delays_s"], &found[0]["what_if"][0]["step_s"]].map(|step| step.as_f64());
    assert!(
        without < with.map(|step| step * 0.7),
        "one worker was slow: {without:?} of {with:?}"
    );
    let bad = replayed("straggler/trace-AR.parquet", &["--what-if", "noise"]);
    assert!(
        bad.code == 2 && bad.err.contains("`noise` is no change"),
        "{}",
        bad.err
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

/// Exchange `number` of a rank of four, with its sizes, as PyTorch's profiler notes it.
fn exchange(number: u64, start: u64, sent: [u64; 4], received: [u64; 4]) -> String {
    format!(
        r#", {{"ph": "X", "cat": "kernel", "name": "ncclDevKernel_SendRecv", "pid": 0, "tid": 9, "ts": {start}, "dur": 50,
        "args": {{"device": 0, "stream": 9, "Collective name": "all_to_allv", "dtype": "BFloat16", "Group size": 4,
        "Process Group Name": "ep", "Process Group Description": "EXPERT_MODEL_PARALLEL_GROUP", "Seq": {number},
        "Process Group Ranks": "[0, 1, 2, 3]", "In split size": "{sent:?}", "Out split size": "{received:?}"}}}}"#
    )
}

/// Rank `r` sends `10 r + d + layer` rows to rank `d`: dispatched and combined in two layers, forward and backward.
#[test]
fn sizes_of_exchanges_are_the_load_of_experts() {
    let folder = tempfile::tempdir().expect("a folder");
    let ranks = folder.path().join("ranks");
    std::fs::create_dir(&ranks).expect("a folder");
    for rank in 0..4 {
        let sizes = |layer: u64| {
            let sent = [0, 1, 2, 3].map(|to| 10 * rank + to + layer);
            let received = [0, 1, 2, 3].map(|from| 10 * from + rank + layer);
            (sent, received)
        };
        let mut events = String::new();
        for (at, (layer, is_dispatch)) in [(0, true), (0, false), (1, true), (1, false)]
            .into_iter()
            .chain([(1, true), (1, false), (0, true), (0, false)])
            .enumerate()
        {
            let (sent, received) = sizes(layer);
            let (sent, received) = if is_dispatch {
                (sent, received)
            } else {
                (received, sent)
            };
            let at = at as u64;
            events += &exchange(at, 100 + at * 100, sent, received);
        }
        let text = format!(
            r#"{{"schemaVersion": 1, "distributedInfo": {{"rank": {rank}, "world_size": 4}}, "traceEvents": [
            {{"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#7", "pid": 1, "tid": 1, "ts": 0, "dur": 5000}}{events}]}}"#
        );
        std::fs::write(ranks.join(format!("rank-{rank}.json")), text).expect("there is room");
    }
    let ran = orrery(folder.path(), &["import", "kineto", "ranks", "-o", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("8 collectives matched"), "{}", ran.err);
    let table = std::fs::read_to_string(folder.path().join("out/expert-load.csv")).expect("sizes are known");
    let rows: Vec<String> = table.lines().skip(1).map(str::to_owned).collect();
    // Over all ranks, expert d of the first layer got 0 + 10 + 20 + 30 + 4 d rows, of the second 4 more.
    let known = |layer: u64| {
        (0..4).map(move |d| {
            let count = 60 + 4 * (d + layer);
            format!("EXPERT_MODEL_PARALLEL_GROUP,7,{layer},{d},{count}")
        })
    };
    assert_eq!(rows, known(0).chain(known(1)).collect::<Vec<_>>());
    let fitted = orrery(folder.path(), &["import", "routing", "out/expert-load.csv"]);
    assert!(
        fitted.code == 0 && fitted.out.contains("[load]"),
        "{}",
        fitted.err
    );
}
