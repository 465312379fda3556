//! Why a step takes as long as it does: every account sums, a slow twin finds the same path, and looking changes nothing.

use orrery::compare::Comparison;
use orrery::pipeline::{self, Watch};
use orrery::report::{Cause, Hold, Phase, Report, Waterfall, render};
use orrery::scenario::Plan;
use orrery::why::sensitivity;
use orrery_timeline::Timeline;
use orrery_units::{KindId, SimTime};
use orrery_workload::lower::{Folding, TrainingDriver};
use serde_json::Value;

use crate::command::orrery;
use crate::support::{DENSE, EXPERTS, balanced_experts, near, plan, run, simulate};

/// Schedules, recompute, folding, shared links and noise, each at least once.
fn plans() -> Vec<(&'static str, Plan)> {
    let noisy = EXPERTS.replace("[noise]\n", "[noise]\nkernel = 0.05\n");
    vec![
        ("dense", plan(DENSE, &[])),
        (
            "dense, recomputed",
            plan(DENSE, &[("training.recompute", "full")]),
        ),
        ("balanced experts, folded", plan(&balanced_experts(), &[])),
        ("experts", plan(EXPERTS, &[])),
        ("experts, noisy kernels", plan(&noisy, &[])),
        (
            "experts, DualPipe",
            plan(&noisy, &[("parallel.schedule.kind", "dualpipe")]),
        ),
        (
            "experts, shared links",
            plan(EXPERTS, &[("cluster.fabric.contention", "links")]),
        ),
    ]
}

fn explained(plan: &Plan) -> Report {
    let watch = Watch::new(plan.run.replications);
    pipeline::simulate_explained(plan, &watch)
        .expect("a valid plan runs to its end")
        .report
}

fn stored(plan: &Plan) -> Value {
    render::json(&explained(plan))
}

#[test]
fn every_account_sums_to_the_step_exactly() {
    for (name, plan) in plans() {
        let report = explained(&plan);
        let step = report.waterfall.step();
        let bars: u64 = report.waterfall.bars().map(|(_, time)| time.as_picos()).sum();
        assert_eq!(bars, step.as_picos(), "{name}: causes");
        // One measured step, so that the mean step is the last.
        let why = report.why.as_ref().expect("the run came to its end");
        assert_eq!(why.critical_path.length(), step, "{name}: critical path");
        for rank in &why.phases {
            assert_eq!(
                rank.picos.iter().sum::<u64>(),
                step.as_picos(),
                "{name}: phases of {}",
                rank.rank
            );
        }
        for rank in &why.phases {
            let passes = |phase: Phase| u64::from(rank.passes[phase as usize]);
            let both = passes(Phase::Overlapped);
            let all = plan.training.num_microbatches;
            assert_eq!(
                passes(Phase::Forward) + both,
                all,
                "{name}: every microbatch forward"
            );
            assert_eq!(passes(Phase::Backward) + both, all, "{name}: and backward");
        }
        let unknown = why
            .critical_path
            .pieces()
            .iter()
            .filter(|piece| piece.hold == Hold::Unknown);
        assert_eq!(unknown.count(), 0, "{name}: every piece is known");
        let mut at = why.critical_path.start();
        for piece in why.critical_path.pieces() {
            assert_eq!(piece.start, at, "{name}: the pieces are contiguous");
            assert!(
                !piece.length.is_zero() && piece.slowed <= piece.length,
                "{name}: a piece takes time"
            );
            at += piece.length;
        }
    }
}

#[test]
fn looking_changes_nothing() {
    for (name, plan) in plans() {
        let (plain, looked) = (simulate(&plan).report, explained(&plan));
        assert_eq!(plain.metrics, looked.metrics, "{name}");
    }
}

/// The path by the spans of a run with every rank recorded: from the last end back by what released each span.
fn path_of_spans(timeline: &Timeline, step: u16) -> Vec<(SimTime, KindId)> {
    let begin = timeline
        .spans()
        .filter(|span| span.step < step)
        .map(|span| span.start + span.duration);
    let begin = begin.max().unwrap_or(SimTime::ZERO);
    let in_step = |id: &u32| timeline.span(*id).step == step;
    let ids = 0..u32::try_from(timeline.len()).expect("a small run");
    // Spans stand in order of their ends: the last one ends the step.
    let mut at = ids.rev().find(in_step);
    let mut path = Vec::new();
    while let Some(id) = at {
        let span = timeline.span(id);
        if span.start + span.duration <= begin {
            break;
        }
        // What takes no time is no piece.
        if !span.duration.is_zero() {
            path.push((span.start.max(begin), span.kind));
        }
        at = span.released_by;
    }
    path.reverse();
    path
}

/// The witness reconstructs what the engine knows: with kernels that all differ, where no two arrive together, the paths
/// are the same to the picosecond.
#[test]
fn the_path_is_that_of_the_recorded_spans() {
    let noisy = EXPERTS.replace("[noise]\n", "[noise]\nkernel = 0.05\n");
    for schedule in ["1f1b", "zb-h1"] {
        let plan = plan(&noisy, &[("parallel.schedule.kind", schedule)]);
        let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::of(&plan));
        let outcome = run(&mut driver, &plan);
        assert_eq!(outcome.timeline.dropped, 0, "everything is recorded");
        let last = u16::try_from(plan.training.steps - 1).expect("few steps");
        let report = explained(&plan);
        let path = &report
            .why
            .as_ref()
            .expect("the run came to its end")
            .critical_path;
        let ours: Vec<(SimTime, KindId)> = path
            .pieces()
            .iter()
            .filter_map(|piece| match piece.hold {
                Hold::Running(kind) => Some((piece.start, kind)),
                Hold::Host(_) | Hold::Unknown => None,
            })
            .collect();
        assert_eq!(ours, path_of_spans(&outcome.timeline, last), "{schedule}");
        assert!(ours.len() > 20, "{schedule}: a step has a path of some length");
    }
}

/// What the waterfall calls recompute is what a run with it computes longer than one without, each simulated by itself;
/// the other kinds of work stay what they are.
#[test]
fn recompute_is_what_a_run_without_it_does_not_compute() {
    let without = explained(&plan(DENSE, &[])).waterfall;
    assert!(without.time(Cause::Recompute).is_zero(), "nothing is recomputed");
    for modules in ["full", "[\"norm\", \"core_attention\"]"] {
        let with = explained(&plan(DENSE, &[("training.recompute", modules)])).waterfall;
        let work = [Cause::Products, Cause::Attention, Cause::Passes];
        let sum = |waterfall: &Waterfall| {
            work.map(|cause| waterfall.time(cause).as_secs())
                .iter()
                .sum::<f64>()
        };
        assert!(
            near(sum(&with), sum(&without), 1e-3),
            "{modules}: {} {}",
            sum(&with),
            sum(&without)
        );
        let added = with.time(Cause::Recompute).as_secs();
        assert!(added > 1e-4, "{modules}: {added}");
    }
}

#[test]
fn a_run_compared_with_itself_differs_in_nothing() {
    let run = stored(&plan(EXPERTS, &[]));
    let comparison = Comparison::of(&run, &run).expect("a whole run");
    assert_eq!(comparison.difference(), 0);
    assert!(comparison.bars().is_empty(), "no bar");
    assert!(
        comparison.settings.is_empty() && comparison.kinds.is_empty(),
        "no key and no kind"
    );
    for figure in &comparison.figures {
        assert_eq!(figure.values[0], figure.values[1], "{}", figure.key);
    }
}

#[test]
fn a_difference_turns_with_its_sides_and_its_bars_sum_to_it() {
    let a = stored(&plan(EXPERTS, &[]));
    let b = stored(&plan(
        EXPERTS,
        &[("parallel.ep", "2"), ("training.recompute", "full")],
    ));
    let there = Comparison::of(&a, &b).expect("whole runs");
    let back = Comparison::of(&b, &a).expect("whole runs");
    assert!(there.difference() != 0, "the two differ");
    assert_eq!(there.difference(), -back.difference());
    let turned: Vec<(Cause, i64)> = back
        .bars()
        .into_iter()
        .map(|(cause, picos)| (cause, -picos))
        .collect();
    assert_eq!(there.bars(), turned);
    let steps = [&a, &b].map(|run| run["waterfall"]["step_ps"].as_i64().expect("a step"));
    assert_eq!(
        there.bars().iter().map(|bar| bar.1).sum::<i64>(),
        steps[1] - steps[0]
    );
    let keys: Vec<&str> = there
        .settings
        .iter()
        .map(|setting| setting.key.as_str())
        .collect();
    assert!(
        keys.contains(&"parallel.ep") && keys.contains(&"training.recompute"),
        "{keys:?}"
    );
    let filled = there
        .settings
        .iter()
        .find(|setting| setting.key == "training.recompute");
    let before = filled
        .and_then(|setting| setting.values[0].clone())
        .unwrap_or_default();
    assert!(before.is_empty() || before.ends_with("(filled in)"), "{before}");
}

#[test]
fn a_part_of_a_run_is_not_compared() {
    let whole = stored(&plan(DENSE, &[]));
    let mut part = whole.clone();
    part["partial"] = "an event limit".into();
    assert!(Comparison::of(&whole, &part).is_err(), "a part proves nothing");
    let mut old = whole.clone();
    old["waterfall"] = Value::Null;
    let fault = Comparison::of(&old, &whole).expect_err("a run of an older version");
    assert!(fault.to_string().contains("help: run it again"), "{fault}");
}

/// Better is not slower and worse not faster, but for scheduling anomalies, of which a folded run without noise has none
/// worth a thousandth.
#[test]
fn more_of_a_resource_is_never_slower() {
    for text in [DENSE.to_owned(), balanced_experts()] {
        let plan = plan(&text, &[]);
        let watch = Watch::new(plan.run.replications * sensitivity::num_runs(&plan));
        let simulated = sensitivity::simulated(&plan, &watch).expect("the runs come to their ends");
        for tornado in [
            simulated.expect("nobody cancelled"),
            sensitivity::estimated(&plan),
        ] {
            let step = tornado.step.as_secs();
            for entry in &tornado.resources {
                let (more, less) = (entry.more.as_secs(), entry.less.as_secs());
                let name = entry.resource.name();
                assert!(
                    more <= step * 1.001 && less >= step * 0.999,
                    "{name}: {more} {step} {less}"
                );
                // No resource is worth more than all of it.
                assert!(
                    more >= step * 0.9 && less <= step * 1.12,
                    "{name}: {more} {step} {less}"
                );
            }
            let first = tornado.resources.first().expect("there are resources");
            assert!(first.less > tornado.step, "something limits the step");
        }
    }
}

/// The words of a person who asks: what differs, by how much, is it too much, and may I have a picture.
#[test]
fn the_command_explains_a_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.scenario.toml"), DENSE).expect("it is written");
    let run = |arguments: &[&str]| orrery(folder.path(), arguments);
    let stored = run(&["run", "a.scenario.toml", "--why", "--out", "a"]);
    assert_eq!(stored.code, 0, "{}", stored.err);
    assert!(
        stored.out.contains("critical path of the last step"),
        "{}",
        stored.out
    );

    let same = run(&["compare", "a", "a/run.json"]);
    assert_eq!(same.code, 0, "{}", same.err);
    assert!(same.out.starts_with("Both steps take"), "{}", same.out);

    let slower = [
        "compare",
        "a",
        "a.scenario.toml",
        "--set-b",
        "training.recompute=full",
    ];
    let more = [&slower[..], &["--fail-over", "1%", "--picture", "difference.svg"]].concat();
    let slower_run = run(&more);
    assert_eq!(slower_run.code, 1, "{}{}", slower_run.out, slower_run.err);
    assert!(slower_run.out.contains(" % longer ("), "{}", slower_run.out);
    assert!(
        slower_run.out.contains("training.recompute"),
        "{}",
        slower_run.out
    );
    let picture = std::fs::read_to_string(folder.path().join("difference.svg")).expect("it was drawn");
    assert!(
        picture.contains("recompute") && picture.contains("step of B"),
        "the picture names its bars"
    );
    let value: Value =
        serde_json::from_str(&run(&[&slower[..], &["--format", "json"]].concat()).out).expect("JSON");
    let bars = value["causes_ps"].as_object().expect("causes");
    let sum: i64 = bars.values().filter_map(Value::as_i64).sum();
    assert_eq!(Some(sum), value["step_ps"]["difference"].as_i64());

    let missing = run(&["compare", "a", "nowhere.json"]);
    assert_eq!(missing.code, 3, "{}", missing.err);
    let changed = run(&["compare", "a", "a", "--set-b", "parallel.pp=2"]);
    assert_eq!(changed.code, 2, "{}", changed.err);
    assert!(
        changed.err.contains("a stored run cannot be changed"),
        "{}",
        changed.err
    );
}

/// Without stages to wait for there is no bubble: what a rank waits for its own gradients and parameters is the end of the
/// step, whether it is written as overlapped with the next forward, whose first layer waits, or not. What the host takes to
/// read the norm is left, less than a hundredth of what is under way.
#[test]
fn what_travels_among_ranks_of_one_stage_is_no_bubble() {
    for overlaps in ["true", "false"] {
        let settings = [
            ("parallel.pp", "1"),
            ("stack.overlap_gradients", "false"),
            ("stack.overlap_parameters", overlaps),
        ];
        let plan = plan(DENSE, &settings);
        let report = explained(&plan);
        let why = report.why.as_ref().expect("the run came to its end");
        let step = report.waterfall.step().as_secs();
        for rank in &why.phases {
            let [bubble, end] =
                [Phase::Bubble, Phase::Optimizer].map(|phase| rank.time(phase).as_secs() / step);
            assert!(bubble < end / 100.0, "{overlaps}: {bubble} and {end} of the step");
        }
    }
}

#[test]
fn the_command_draws_a_tornado_and_the_phases() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.scenario.toml"), DENSE).expect("it is written");
    let run = |arguments: &[&str]| orrery(folder.path(), arguments);
    let tornado = run(&[
        "explain",
        "a.scenario.toml",
        "--sensitivity",
        "--picture",
        "tornado.png",
        "--format",
        "json",
    ]);
    assert_eq!(tornado.code, 0, "{}", tornado.err);
    let value: Value = serde_json::from_str(&tornado.out).expect("JSON");
    assert_eq!(value["resources"][0]["resource"], "tensor_cores", "{value}");
    assert!(folder.path().join("tornado.png").is_file(), "it was drawn");

    assert_eq!(run(&["run", "a.scenario.toml", "--out", "plain"]).code, 0);
    let unknown = run(&["report", "plain", "--view", "phases", "--picture", "phases.svg"]);
    assert_eq!(unknown.code, 3, "{}", unknown.err);
    assert!(unknown.err.contains("`--why`"), "{}", unknown.err);

    assert_eq!(
        run(&["run", "a.scenario.toml", "--why", "--out", "looked"]).code,
        0
    );
    let parts = "scenario,part,seconds,source\nsmall-dense,bubble,0.5,by hand\n";
    std::fs::write(folder.path().join("parts.csv"), parts).expect("it is written");
    for view in ["waterfall", "critical-path", "phases"] {
        let picture = format!("{view}.svg");
        let arguments = [
            "report",
            "looked",
            "--view",
            view,
            "--picture",
            &picture,
            "--beside",
            "parts.csv",
        ];
        let drawn = run(&arguments);
        assert_eq!(drawn.code, 0, "{}", drawn.err);
        assert!(drawn.out.contains("published 0.5 s"), "{}", drawn.out);
        assert!(folder.path().join(&picture).is_file(), "{view} was drawn");
    }
}
