//! Files written for a test each, read.

use super::*;

const HEAD: &str =
    r#"{"distributedInfo": {"rank": 3, "world_size": 8}, "deviceProperties": [{"name": "H100"}], "#;

fn trace(events: &str) -> RankTrace {
    read(format!("{HEAD}\"traceEvents\": [{events}], \"traceName\": \"x\"}}").as_bytes()).expect("a trace")
}

const KERNEL: &str = r#"{"ph": "X", "cat": "kernel", "name": "ncclDevKernel_SendRecv", "pid": 0, "tid": 7, "ts": 10.5,
    "dur": 2, "args": {"device": 1, "stream": 9, "correlation": 4, "Collective name": "all_to_allv", "dtype": "BFloat16",
    "In msg nelems": 3, "Out msg nelems": 7, "Seq": 12, "Group size": 2, "Process Group Ranks": "[1, 3]"}}"#;

#[test]
fn an_event_is_kept_with_its_collective() {
    let trace = trace(KERNEL);
    assert_eq!((trace.rank, trace.world_size), (Some(3), Some(8)));
    assert_eq!(trace.devices, ["H100"]);
    assert_eq!(trace.tracks, [Track::Stream { device: 1, stream: 9 }]);
    let kept = trace.kept[0];
    assert_eq!((kept.start, kept.duration, kept.correlation), (10_500, 2000, 4));
    let (_, collective) = &trace.collectives[0];
    assert_eq!((collective.sequence, collective.bytes), (Some(12), Some(14)));
    assert_eq!(trace.groups.all[0].ranks.as_deref(), Some([1, 3].as_slice()));
}

/// With stacks and memory recorded, numbers go to calls of Python and to instants as well: none is missing.
#[test]
fn numbers_are_counted_whatever_they_number() {
    let trace = trace(
        r#"{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 1, "dur": 1, "args": {"Ev Idx": 0}},
        {"ph": "X", "cat": "python_function", "name": "step", "ts": 1, "dur": 1, "args": {"Ev Idx": 1}},
        {"ph": "i", "name": "[memory]", "ts": 1, "args": {"Ev Idx": 2}},
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 2, "dur": 1, "args": {"Ev Idx": 3}}"#,
    );
    assert!(
        (trace.completeness() - 1.0).abs() < 1e-12,
        "{}",
        trace.completeness()
    );
}

#[test]
fn threads_of_two_processes_and_threads_with_names_are_apart() {
    let call = |pid: &str, tid: &str| {
        format!(
            r#"{{"ph": "X", "cat": "cuda_runtime", "name": "a", "pid": {pid}, "tid": {tid}, "ts": 1, "dur": 1}}"#
        )
    };
    let trace = trace(
        &[
            call("1", "7"),
            call("2", "7"),
            call("1", "\"a\""),
            call("1", "\"b\""),
            call("1", "\"a\""),
        ]
        .join(","),
    );
    assert_eq!(trace.tracks.len(), 4, "{:?}", trace.tracks);
    let names = trace.tracks.iter().map(|track| match *track {
        Track::Thread { thread, .. } | Track::Stream { stream: thread, .. } => trace.label(thread),
    });
    assert_eq!(names.collect::<Vec<_>>(), ["7", "7", "a", "b"]);
}

#[test]
fn an_event_without_a_time_says_where_and_why() {
    let trace = trace(&format!(
        r#"{KERNEL}, {{"ph": "X", "cat": "kernel", "name": "a", "ts": "noon", "dur": 1}}"#
    ));
    let (count, first) = &trace.unreadable;
    let first = first.as_ref().expect("one is lost");
    assert!(
        *count == 1 && first.byte > 0 && first.reason.contains("`ts` is \"noon\""),
        "{first:?}"
    );
}

#[test]
fn a_damaged_file_gives_what_lies_before() {
    let text = format!("{HEAD}\"traceEvents\": [{KERNEL}, {{\"ph\": \"X\", \"cat\"");
    let trace = read(text.as_bytes()).expect("an event was read");
    assert_eq!(trace.kept.len(), 1);
    let stop = trace.stopped.expect("it does not end");
    assert!(stop.reason.contains("ends inside"), "{stop:?}");
    assert_eq!(stop.byte, text.rfind("{\"ph\"").expect("it is there") as u64);
}

#[test]
fn one_bad_event_costs_that_event() {
    let trace = trace(&format!(
        "{{\"ph\": X}}, {KERNEL}, {{\"ph\": \"X\", \"name\": \"a\u{1}b\"}}"
    ));
    assert_eq!((trace.events, trace.kept.len(), trace.unreadable.0), (3, 1, 1));
}

#[test]
fn other_files_are_refused() {
    for text in [
        "",
        "hello",
        "{\"a\": 1}",
        "[]",
        "{\"traceEvents\": [",
        "{\"traceEvents\": 3}",
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
}
