//! Changes of a recording whose outcome is known by hand.

use orrery_replay::{Graph, Timing, critical_path};
use orrery_trace::Recording;
use orrery_trace::kineto::{join, read};
use orrery_units::SimDuration;

/// Three ranks compute for 10, 10 and 30 us and then reduce: 12 us from the last arrival on.
fn recording() -> Recording {
    let rank = |(number, compute): (u32, u32)| {
        let text = format!(
            r#"{{"distributedInfo": {{"rank": {number}, "world_size": 3}}, "traceEvents": [
            {{"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 0, "dur": {compute}}},
            {{"ph": "X", "cat": "kernel", "name": "ncclDevKernel_AllReduce", "pid": 0, "tid": 7, "ts": {compute},
              "dur": {}, "args": {{"Collective name": "allreduce", "Process Group Name": "0", "Seq": 1,
              "Group size": 3}}}}]}}"#,
            42 - compute
        );
        read(text.as_bytes()).expect("a trace")
    };
    join([(0, 10), (1, 10), (2, 30)].map(rank).into()).recording
}

/// Microseconds of the step under a change, which rounds up to picoseconds.
fn step(change: impl Fn(&Timing, &Graph<'_>) -> Timing) -> f64 {
    let recording = recording();
    let graph = Graph::new(&recording).expect("an order");
    assert_eq!(recording.parties(), [3], "all meet");
    let timing = change(&Timing::measured(&graph), &graph);
    let steps = graph.step_times(&graph.evaluate(&timing));
    steps.into_iter().sum::<SimDuration>().as_secs() * 1e6
}

/// The last rank to arrive computes, then all reduce.
#[test]
fn the_path_passes_over_the_last_to_arrive() {
    let recording = recording();
    let graph = Graph::new(&recording).expect("an order");
    let (begin, path) = critical_path(&graph).expect("a step");
    let stretches: Vec<(u64, u64, &str, bool)> = path
        .iter()
        .map(|stretch| {
            let operation = &recording.operations[stretch.operation as usize];
            (
                stretch.start.saturating_since(begin).as_picos() / 1_000_000,
                stretch.length.as_picos() / 1_000_000,
                recording.programs[recording.program_of(operation)].name.as_str(),
                stretch.ran,
            )
        })
        .collect();
    assert_eq!(stretches, [(0, 30, "rank 2", true), (30, 12, "rank 2", true)]);
}

#[test]
fn changes_by_hand() {
    let near =
        |what: &str, got: f64, known: f64| assert!((got - known).abs() < 1e-4, "{what}: {got}, not {known}");
    near("as it is", step(|timing, _| timing.clone()), 42.0);
    near(
        "the slow rank at the median",
        step(|timing, graph| timing.with_slow_ranks_at_median(graph)),
        22.0,
    );
    near(
        "perfect balance",
        step(|timing, graph| timing.with_even_computation(graph)),
        50.0 / 3.0 + 12.0,
    );
    near(
        "twice the network",
        step(|timing, graph| timing.with_network(graph, 2.0)),
        36.0,
    );
    let faster = |timing: &Timing, graph: &Graph<'_>| {
        let kinds = &graph.recording().kinds;
        timing.with_times(
            graph,
            |kind| if kinds.kind(kind).name == "gemm" { 0.5 } else { 1.0 },
        )
    };
    near("kernels in half the time", step(faster), 27.0);
}
