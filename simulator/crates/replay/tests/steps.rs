//! Steps of a device that lags behind its host, written for the test.

use orrery_engine::{Options, RunControl, run};
use orrery_replay::{Ends, Graph, Timing, attribute, totals};
use orrery_trace::kineto::{join, read};
use orrery_trace::{NO_STEP, Recording};
use orrery_units::{LaneId, SimDuration, SimTime};

fn event(cat: &str, name: &str, (track, start, duration): (u32, u32, u32), correlation: u32) -> String {
    format!(
        r#"{{"ph": "X", "cat": "{cat}", "name": "{name}", "pid": 1, "tid": {track}, "ts": {start}, "dur": {duration},
        "args": {{"device": 0, "stream": {track}, "correlation": {correlation}}}}}"#
    )
}

/// The host marks steps of 100 us and launches a kernel in each; the first one runs 50 us into the second step.
fn lagging() -> Recording {
    let mark = |number: u32, start: u32| {
        event(
            "user_annotation",
            &format!("ProfilerStep#{number}"),
            (100, start, 100),
            0,
        )
    };
    let events = [
        mark(4, 0),
        mark(5, 100),
        event("cuda_runtime", "cudaLaunchKernel", (100, 10, 2), 1),
        event("cuda_runtime", "cudaLaunchKernel", (100, 110, 2), 2),
        event("cuda_runtime", "cudaLaunchKernel", (100, 210, 2), 3),
        event("kernel", "gemm", (7, 20, 130), 1),
        event("kernel", "gemm", (7, 150, 80), 2),
        event("kernel", "after all steps", (7, 240, 10), 3),
    ];
    let text = format!("{{\"traceEvents\": [{}]}}", events.join(","));
    join(vec![read(text.as_bytes()).expect("a trace")]).recording
}

fn micros(micros: u64) -> SimDuration {
    SimDuration::from_micros(micros)
}

/// From the first launch to the end of the first kernel, and from there to the end of the second: 140 and 80 us. By the
/// marks of the host they would be 100 each, and the first kernel longer than its step.
#[test]
fn a_step_ends_with_its_last_operation() {
    let recording = lagging();
    let graph = Graph::new(&recording).expect("an order");
    let times = graph.step_times(&Ends::recorded(&recording));
    assert_eq!(times, [micros(140), micros(80)]);
    let replayed = graph.evaluate(&Timing::measured(&graph));
    assert_eq!(graph.step_times(&replayed), times);
    let attribution = attribute(&graph, &mut |_, _| true).expect("nobody stops it");
    assert_eq!(
        (attribution.measured, attribution.replayed),
        (micros(110), micros(110))
    );
}

/// The engine takes what belongs to steps that overlap, and many kinds of kernels.
#[test]
fn the_engine_runs_it() {
    let recording = lagging();
    let graph = Graph::new(&recording).expect("an order");
    let timing = Timing::measured(&graph);
    let options = Options {
        lookahead: graph.most_tasks(),
        ..Options::default()
    };
    let outcome =
        run(&mut graph.driver(&timing, None), &options, &RunControl::default()).expect("nothing blocks");
    let last = graph.evaluate(&timing).ends.iter().copied().max();
    assert_eq!(outcome.totals.steps.iter().map(|step| step.end).max(), last);
}

#[test]
fn a_lane_goes_on_across_the_end_of_a_step() {
    let recording = lagging();
    let totals = totals(&Graph::new(&recording).expect("an order"));
    let stream = recording.lanes.iter_enumerated().find(|(_, lane)| !lane.is_host);
    let stream: LaneId = stream.expect("a stream").0;
    let [first, second] = [0, 1].map(|step| &totals.steps[step]);
    assert_eq!([first.duration(), second.duration()], [micros(140), micros(80)]);
    assert_eq!(first.lanes[stream].busy(), micros(130));
    assert_eq!(second.lanes[stream].busy(), micros(80), "it fills its step");
    assert_eq!(second.lanes[stream].idle_host, SimDuration::ZERO);
    let timeline = recording.timeline(100);
    assert_eq!(timeline.len(), 4, "what belongs to no step is not shown");
    assert!(timeline.spans().all(|span| span.step != NO_STEP), "no step");
    assert_eq!(
        recording.steps[1].start,
        SimTime::ZERO + micros(140),
        "times count from the first launch"
    );
}
