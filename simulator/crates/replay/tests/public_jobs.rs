//! Public recordings of jobs with stragglers, held against their published what-if results.

use orrery_replay::{Attribution, CauseKind, Graph, Slowdown, attribute};

const ROOT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../tests/truth/traces/straggler/"
);

fn attributed(name: &str) -> Attribution {
    let file = std::fs::read(format!("{ROOT}trace-{name}.parquet")).expect("it is shipped");
    let rows = orrery_trace::pipeline::read(file.into()).expect("a trace by operation");
    let recording = orrery_trace::pipeline::recording(&rows).expect("a pipeline");
    let graph = Graph::new(&recording).expect("an order");
    attribute(&graph, &mut |_, _| true).expect("nobody stops it")
}

fn factor(parts: &[Slowdown], part: &str) -> f64 {
    let found = parts.iter().find(|slowdown| slowdown.part == part);
    found.expect("a part of the job").factor
}

fn near(what: &str, got: f64, published: f64) {
    assert!(
        (got - published).abs() < 0.001,
        "{what}: {got}, published {published}"
    );
}

/// Step times and slowdowns of `result-*.json`, to the third digit, and the cause that the authors name.
#[test]
fn sequence_lengths_differ() {
    let job = attributed("SE");
    near("step", job.measured.as_secs(), 9.1130);
    near("replayed", job.replayed.as_secs(), 9.1130);
    near("without delays", job.without_delays.as_secs(), 9.0666);
    near("ideal", job.ideal.as_secs(), 5.8975);
    near("slowdown", job.slowdown(), 1.5374);
    near("delays", job.delay_slowdown(), 1.0051);
    near("backward", factor(&job.by_kind, "backward-compute"), 1.4128);
    near("stage 1", factor(&job.by_stage, "stage 1"), 1.4354);
    near("replica 8", factor(&job.by_replica, "replica 8"), 1.2045);
    assert_eq!(job.causes[0].kind, CauseKind::SequenceLengths);
    assert!(job.causes[0].share > 0.5, "{:?}", job.causes[0]);
}

#[test]
fn the_last_stage_is_too_long() {
    let job = attributed("ST");
    near("step", job.measured.as_secs(), 2.2144);
    near("without delays", job.without_delays.as_secs(), 2.1727);
    near("ideal", job.ideal.as_secs(), 1.8433);
    near("slowdown", job.slowdown(), 1.1787);
    near("delays", job.delay_slowdown(), 1.0192);
    near("stage 3", factor(&job.by_stage, "stage 3"), 1.2323);
    assert_eq!(job.causes[0].kind, CauseKind::StagePartition);
    assert!(job.causes[0].evidence.contains("stage 3"), "{:?}", job.causes[0]);
}

#[test]
fn one_worker_is_slow() {
    let job = attributed("AR");
    near("step", job.measured.as_secs(), 46.6492);
    near("without delays", job.without_delays.as_secs(), 46.3364);
    near("ideal", job.ideal.as_secs(), 23.4847);
    near("slowdown", job.slowdown(), 1.9730);
    near("stage 0", factor(&job.by_stage, "stage 0"), 1.9792);
    near("replica 0", factor(&job.by_replica, "replica 0"), 1.9730);
    assert_eq!(job.causes[0].kind, CauseKind::SlowRank);
    assert!(job.causes[0].evidence.contains("rank 0 "), "{:?}", job.causes[0]);
}
