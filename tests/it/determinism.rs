//! The same seed gives the same bytes, however many threads run; another seed gives others.

use std::process::Command;

use orrery::report::render;
use orrery::scenario::Plan;

use crate::command;
use crate::support::{EXPERTS, plan, simulate};

/// The report and the trace of a run.
fn bytes(plan: &Plan) -> (String, Vec<u8>) {
    let done = simulate(plan);
    let mut trace = Vec::new();
    let timeline = done.timeline.expect("a timeline is kept");
    orrery_timeline::write_chrome_trace(&timeline, &mut trace).expect("a vector can be written");
    (render::json_text(&done.report), trace)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let settings = [("run.outputs", "[\"summary\", \"timeline\"]")];
    let (report, trace) = bytes(&plan(EXPERTS, &settings));
    let (again, trace_again) = bytes(&plan(EXPERTS, &settings));
    assert_eq!(report, again);
    assert!(trace == trace_again, "two traces of one seed differ");
}

#[test]
fn another_seed_gives_other_figures() {
    let step = |seed: &str| {
        simulate(&plan(EXPERTS, &[("run.seed", seed)]))
            .report
            .metrics
            .get("train.step_time.mean")
    };
    let (one, two) = (step("1"), step("2"));
    assert!(one.is_some() && one != two, "{one:?} and {two:?}");
}

/// Replications run beside each other; each is what it would be alone.
#[test]
fn replications_are_the_runs_of_neighbouring_seeds() {
    let step = |settings: &[(&str, &str)], statistic: &str| {
        let done = simulate(&plan(EXPERTS, settings));
        done.report
            .metrics
            .get(&format!("train.step_time.{statistic}"))
            .expect("a step was run")
    };
    let alone = ["1", "2", "3"].map(|seed| step(&[("run.seed", seed)], "mean"));
    let together = |statistic| step(&[("run.replications", "3")], statistic);
    assert_eq!(
        together("max").to_bits(),
        alone.into_iter().fold(0.0, f64::max).to_bits()
    );
    assert_eq!(
        together("min").to_bits(),
        alone.into_iter().fold(f64::INFINITY, f64::min).to_bits()
    );
    assert_eq!(together("last").to_bits(), alone[2].to_bits());
}

/// The command on one core and on all of them writes the same files.
#[test]
fn the_number_of_threads_changes_nothing() {
    if Command::new("taskset").arg("--version").output().is_err() {
        command::skip(
            "taskset",
            "util-linux is not installed; runs on one core were not compared",
        );
        return;
    }
    let folder = command::folder_with(EXPERTS);
    let run = |core_list: Option<&str>, out: &str| {
        let program = command::program();
        let mut command = core_list.map_or_else(
            || Command::new(&program),
            |list| {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", list]).arg(&program);
                pinned
            },
        );
        let arguments = [
            "run",
            "s.toml",
            "--set",
            "run.replications=3",
            "--write",
            "trace",
            "--out",
            out,
        ];
        let done = command
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("the command starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        ["run.json", "trace.json"].map(|name| std::fs::read(folder.path().join(out).join(name)).unwrap())
    };
    let all = run(None, "all");
    let first_allowed = first_core();
    let one = run(Some(&first_allowed), "one");
    assert!(all == one, "one thread and several threads disagree");
}

/// A core that this process may use.
fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|list| list.trim().split(['-', ',']).next());
    first.unwrap_or("0").to_owned()
}
