//! What a profiler records is held against what does the same work, and causes are named only where they can be told.

use orrery_replay::{Attribution, CauseKind, Graph, Timing, attribute};
use orrery_trace::Recording;
use orrery_trace::kineto::{join, read};

/// Ranks whose stream 7 runs kernels of these names and microseconds one after the other.
fn recording(ranks: &[&[(&str, u32)]]) -> Recording {
    let rank = |(number, kernels): (usize, &&[(&str, u32)])| {
        let mut at = 0;
        let mut events = Vec::new();
        for (name, duration) in *kernels {
            events.push(format!(
                r#"{{"ph": "X", "cat": "kernel", "name": "{name}", "pid": 0, "tid": 7, "ts": {at}, "dur": {duration}}}"#
            ));
            at += duration;
        }
        let text = format!(
            r#"{{"distributedInfo": {{"rank": {number}, "world_size": {}}}, "traceEvents": [{}]}}"#,
            ranks.len(),
            events.join(",")
        );
        read(text.as_bytes()).expect("a trace")
    };
    join(ranks.iter().enumerate().map(rank).collect()).recording
}

/// Microseconds that each operation ideally takes, in the order of ranks and starts.
fn ideal(recording: &Recording) -> Vec<u64> {
    let graph = Graph::new(recording).expect("an order");
    let ideal = Timing::measured(&graph).ideal(&graph);
    ideal.own.iter().map(|own| own.as_picos() / 1_000_000).collect()
}

fn attributed(recording: &Recording) -> Attribution {
    let graph = Graph::new(recording).expect("an order");
    attribute(&graph, &mut |_, _| true).expect("nobody stops it")
}

/// One name serves layers of two sizes: the n-th of each rank is alike, and the mean over the name means nothing.
#[test]
fn kernels_of_one_name_are_alike_by_their_place() {
    let ranks: [&[(&str, u32)]; 2] = [&[("gemm", 10), ("gemm", 100)], &[("gemm", 10), ("gemm", 140)]];
    assert_eq!(ideal(&recording(&ranks)), [10, 120, 10, 120]);
}

/// A rank that launched one more has no places in common with the other; all moved no bytes that are known.
#[test]
fn where_numbers_differ_the_mean_is_all_there_is() {
    let ranks: [&[(&str, u32)]; 2] = [
        &[("gemm", 10), ("gemm", 100)],
        &[("gemm", 10), ("gemm", 100), ("gemm", 30)],
    ];
    assert_eq!(ideal(&recording(&ranks)), [50; 5]);
}

/// Rank 1 takes ten times as long for a kernel of a microsecond, rank 2 half as long again for one of 100: it is slower.
#[test]
fn the_slow_rank_is_slow_by_its_time() {
    let usual: &[(&str, u32)] = &[("copy", 1), ("gemm", 100)];
    let ranks = [
        usual,
        &[("copy", 10), ("gemm", 100)],
        &[("copy", 1), ("gemm", 150)],
    ];
    let job = attributed(&recording(&ranks));
    let slow = job.causes.iter().find(|cause| cause.kind == CauseKind::SlowRank);
    let evidence = &slow.expect("ranks compute").evidence;
    assert!(evidence.starts_with("rank 2 takes 1.50 x"), "{evidence}");
}

/// Stages and passes of microbatches are not in a profiler's trace.
#[test]
fn what_cannot_be_told_is_no_cause() {
    let job = attributed(&recording(&[&[("gemm", 10)], &[("gemm", 30)]]));
    let kinds: Vec<CauseKind> = job.causes.iter().map(|cause| cause.kind).collect();
    assert!(
        !kinds.contains(&CauseKind::StagePartition) && !kinds.contains(&CauseKind::SequenceLengths),
        "{kinds:?}"
    );
    assert!(
        (job.slowdown() - 1.5).abs() < 1e-9,
        "30 us, of which 20 are needed: {}",
        job.slowdown()
    );
}

#[test]
fn an_attribution_stops_when_asked() {
    let recording = recording(&[&[("gemm", 10)], &[("gemm", 30)]]);
    let graph = Graph::new(&recording).expect("an order");
    let mut heard = 0;
    let stopped = attribute(&graph, &mut |done, all| {
        heard += 1;
        assert!(done < all, "{done} of {all}");
        done == 0
    });
    assert_eq!((stopped, heard), (None, 2));
}
