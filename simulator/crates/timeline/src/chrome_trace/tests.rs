//! Round trip, and the format's own rules.

use orrery_units::{Bytes, Evidence, Flops, SimDuration, SimTime};
use serde_json::Value;

use super::*;
use crate::{KindTable, OpClass, Span, Timeline, TimelineBuilder};

fn sample() -> Timeline {
    let mut kinds = KindTable::new();
    let attention = kinds.intern("attention \"forward\"", OpClass::Compute);
    let dispatch = kinds.intern("dispatch", OpClass::Dispatch);
    let mut builder = TimelineBuilder::new(kinds, 4);
    let compute = builder.add_lane("rank 0", "compute");
    let exchange = builder.add_lane("rank 0", "exchange");
    let other = builder.add_lane("rank 17", "compute");
    let memory = builder.add_counter("rank 0", "memory", "B");
    let watts = builder.add_counter("rank 17", "power", "W");
    let span = |lane, kind, start: u64, duration: u64, released_by| Span {
        lane,
        kind,
        start: SimTime::from_picos(start),
        duration: SimDuration::from_picos(duration),
        step: 3,
        tag: (7, 11),
        released_by,
        flops: Flops::new(1.5e12),
        bytes: Bytes::new(123_456_789_012),
        evidence: Evidence::Interpolated,
    };
    let first = builder.add(span(compute, attention, 0, 1_234_567, None));
    let second = builder.add(span(exchange, dispatch, 1_234_567, 1, first));
    builder.add(span(other, attention, 1_234_568, 19_926_000_000_007, second));
    builder.add(span(compute, attention, 1_234_567, 5, first));
    builder.add(span(exchange, dispatch, 9_000_000, 5, first));
    builder.count(memory, SimTime::from_picos(5), 42.0);
    builder.count(memory, SimTime::from_picos(1_000_006), 80_000_000_000.0);
    builder.count(watts, SimTime::from_picos(7), 699.5);
    builder.finish()
}

fn written(timeline: &Timeline) -> String {
    let mut out = Vec::new();
    write_chrome_trace(timeline, &mut out).expect("a vector can be written");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn what_is_written_is_read_back() {
    let timeline = sample();
    assert_eq!(timeline.dropped, 1);
    assert_eq!(read_chrome_trace(&written(&timeline)), Ok(timeline));
    let empty = Timeline::default();
    assert_eq!(read_chrome_trace(&written(&empty)), Ok(empty));
}

/// Rules of the Trace Event Format: every event has a phase, a process and a thread; complete events have a
/// time and a duration; every arrow has one start and one end, in that order, each within a slice.
#[test]
fn the_trace_keeps_the_rules_of_its_format() {
    let root: Value = serde_json::from_str(&written(&sample())).expect("it is JSON");
    let events = root["traceEvents"].as_array().expect("a list of events");
    let of = |phase: &str| events.iter().filter(|e| e["ph"] == phase).collect::<Vec<_>>();
    assert!(
        events
            .iter()
            .all(|e| e["pid"].is_u64() && e["tid"].is_u64() && e["name"].is_string())
    );
    assert_eq!(
        (of("X").len(), of("C").len(), of("s").len(), of("f").len()),
        (4, 3, 2, 2)
    );
    for slice in of("X") {
        assert!(slice["ts"].is_number() && slice["dur"].is_number());
        let named =
            |e: &&Value| e["name"] == "thread_name" && e["pid"] == slice["pid"] && e["tid"] == slice["tid"];
        assert_eq!(of("M").into_iter().filter(named).count(), 1);
    }
    for start in of("s") {
        let ends = of("f")
            .into_iter()
            .filter(|end| end["id"] == start["id"])
            .collect::<Vec<_>>();
        assert_eq!(ends.len(), 1);
        assert!(ends[0]["ts"].as_f64() >= start["ts"].as_f64());
        let holds = |at: &Value| {
            let at = (at["ts"].as_f64(), &at["pid"], &at["tid"]);
            of("X")
                .iter()
                .any(|x| (x["ts"].as_f64(), &x["pid"], &x["tid"]) == at)
        };
        assert!(holds(start) && holds(ends[0]));
    }
}

#[test]
fn times_are_exact_decimals_of_microseconds() {
    let text = written(&sample());
    assert!(text.contains("\"ts\":1.234568,\"dur\":19926000.000007"), "{text}");
}

#[test]
fn another_text_is_refused_with_what_is_missing() {
    assert!(matches!(
        read_chrome_trace("nonsense"),
        Err(ReadTraceError::Json(_))
    ));
    let error = read_chrome_trace("{\"orrery\":{\"kinds\":[]},\"traceEvents\":[{\"pid\":1}]}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 0 has no usable `ph`\nonly traces written by Orrery are read"
    );
}
