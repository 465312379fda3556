//! The trace that the command writes keeps the rules of the Trace Event Format and reads back.

use std::collections::{BTreeMap, BTreeSet};

use orrery_timeline::{Timeline, read_chrome_trace, write_chrome_trace};
use orrery_units::SimTime;
use serde_json::Value;

use crate::command::{folder_with, orrery};
use crate::support::EXPERTS;

/// The lane of an event: process and thread.
fn lane(event: &Value) -> (u64, u64) {
    let number = |key: &str| {
        event[key]
            .as_u64()
            .unwrap_or_else(|| panic!("no whole `{key}`: {event}"))
    };
    (number("pid"), number("tid"))
}

/// Picoseconds of a time in microseconds.
fn picos(event: &Value, key: &str) -> u64 {
    let text = event[key].to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = format!("{fraction:0<6}");
    assert!(fraction.len() == 6, "six decimals are a picosecond: {text}");
    let number = |digits: &str| {
        digits
            .parse::<u64>()
            .unwrap_or_else(|_| panic!("`{key}` of {event}"))
    };
    number(whole) * 1_000_000 + number(&fraction)
}

struct Trace(Vec<Value>);

impl Trace {
    fn of(&self, phase: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |event| event["ph"] == phase)
    }

    fn known_phases_and_places(&self) {
        for event in &self.0 {
            let phase = event["ph"].as_str().unwrap_or_else(|| panic!("no `ph`: {event}"));
            assert!(["M", "X", "C", "s", "f"].contains(&phase), "{event}");
            assert!(event["name"].is_string(), "{event}");
            lane(event);
            if phase != "M" {
                picos(event, "ts");
            }
        }
    }

    fn every_place_has_one_name(&self) {
        let mut names = BTreeMap::<(u64, u64, bool), u32>::new();
        for event in self.of("M") {
            let (pid, tid) = lane(event);
            assert!(event["args"]["name"].is_string(), "{event}");
            if event["name"] == "process_name" {
                *names.entry((pid, 0, false)).or_default() += 1;
            } else if event["name"] == "thread_name" {
                *names.entry((pid, tid, true)).or_default() += 1;
            }
        }
        assert!(names.values().all(|&count| count == 1), "{names:?}");
        for event in self.of("X").chain(self.of("C")) {
            let (pid, tid) = lane(event);
            assert!(names.contains_key(&(pid, 0, false)), "process {pid} has no name");
            assert!(
                event["ph"] == "C" || names.contains_key(&(pid, tid, true)),
                "thread {tid} of {pid}"
            );
        }
    }

    fn slices(&self) -> BTreeMap<(u64, u64), Vec<(u64, u64)>> {
        let mut slices = BTreeMap::<_, Vec<_>>::new();
        for event in self.of("X") {
            let (start, duration) = (picos(event, "ts"), picos(event, "dur"));
            slices
                .entry(lane(event))
                .or_default()
                .push((start, start + duration));
        }
        slices.values_mut().for_each(|lane| lane.sort_unstable());
        slices
    }

    fn slices_of_a_lane_do_not_overlap(&self) {
        let slices = self.slices();
        assert!(
            slices.len() >= 8,
            "several lanes of several ranks were recorded: {}",
            slices.len()
        );
        for (lane, slices) in slices {
            assert!(
                slices.windows(2).all(|pair| pair[0].1 <= pair[1].0),
                "slices of {lane:?} overlap"
            );
        }
    }

    fn arrows_pair_up_within_slices(&self) {
        let slices = self.slices();
        let within = |event: &Value| {
            let at = picos(event, "ts");
            let lane = slices.get(&lane(event)).map_or(&[][..], Vec::as_slice);
            let next = lane.partition_point(|slice| slice.0 <= at);
            lane[..next].iter().rev().take(2).any(|slice| slice.1 >= at)
        };
        let mut starts = BTreeMap::new();
        for event in self.of("s") {
            assert!(
                starts.insert(event["id"].to_string(), event).is_none(),
                "an id starts once: {event}"
            );
            assert!(within(event), "an arrow leaves from within a slice: {event}");
        }
        assert!(!starts.is_empty(), "tasks release tasks of other lanes");
        let mut ends = BTreeSet::new();
        for event in self.of("f") {
            let id = event["id"].to_string();
            let start = starts.get(&id).unwrap_or_else(|| panic!("no start: {event}"));
            assert!(
                picos(start, "ts") <= picos(event, "ts"),
                "an arrow goes forward in time: {event}"
            );
            assert!(
                event["name"] == start["name"] && event["cat"] == start["cat"],
                "{event}"
            );
            assert!(within(event), "an arrow ends at a slice: {event}");
            assert!(ends.insert(id), "an id ends once: {event}");
        }
        assert_eq!(ends.len(), starts.len(), "every arrow ends");
    }

    fn counters_are_numbers(&self) {
        assert!(self.of("C").next().is_some(), "memory is counted");
        for event in self.of("C") {
            let values = event["args"].as_object().expect("a counter has values");
            assert!(
                !values.is_empty() && values.values().all(Value::is_number),
                "{event}"
            );
        }
    }
}

#[test]
fn the_trace_of_a_run_keeps_the_rules_of_its_format_and_reads_back() {
    let folder = folder_with(EXPERTS);
    let ran = orrery(
        folder.path(),
        &["run", "s.toml", "--write", "trace", "--out", "out"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = std::fs::read_to_string(folder.path().join("out/trace.json")).unwrap();
    let root: Value = serde_json::from_str(&text).expect("the trace is JSON");
    assert!(root.is_object(), "the object form");
    let trace = Trace(root["traceEvents"].as_array().expect("a list of events").clone());
    trace.known_phases_and_places();
    trace.every_place_has_one_name();
    trace.slices_of_a_lane_do_not_overlap();
    trace.arrows_pair_up_within_slices();
    trace.counters_are_numbers();

    let timeline = read_chrome_trace(&text).expect("our own reader takes it");
    assert_eq!(timeline.len(), trace.of("X").count());
    let mut again = Vec::new();
    write_chrome_trace(&timeline, &mut again).expect("a vector can be written");
    assert!(
        again == text.as_bytes(),
        "what is read is written again, byte for byte"
    );
    let exported = orrery(folder.path(), &["export", "out", "--to", "chrome"]);
    assert!(exported.out == text, "export gives the stored trace");
}

/// A simulated run, exported as ranks of a profiler and imported again, is the same timeline to the nanosecond.
#[test]
fn a_run_comes_back_from_the_traces_of_its_ranks() {
    let folder = folder_with(EXPERTS);
    for arguments in [
        vec!["run", "s.toml", "--write", "trace,perfetto", "--out", "out"],
        vec!["export", "out", "--to", "kineto", "-o", "ranks"],
        vec!["import", "kineto", "ranks", "-o", "back"],
        vec!["export", "out", "--to", "perfetto", "-o", "out.pftrace"],
        vec!["export", "out", "--to", "parquet", "-o", "out.parquet"],
    ] {
        let ran = orrery(folder.path(), &arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
    }
    let read = |path: &str| std::fs::read(folder.path().join(path)).expect("it is written");
    let timeline = |path: &str| {
        let text = String::from_utf8(read(path)).expect("a text");
        read_chrome_trace(&text).expect("our own reader takes it")
    };
    let named = |timeline: &Timeline| {
        let nanos = |at: SimTime| at.as_picos() / 1000;
        let first = timeline.spans().map(|span| nanos(span.start)).min().unwrap_or(0);
        let mut all: Vec<_> = timeline
            .spans()
            .map(|span| {
                let (lane, kind) = (&timeline.lanes[span.lane], timeline.kinds.kind(span.kind));
                let times = [span.start, span.start + span.duration].map(|at| nanos(at) - first);
                let names = [&lane.program, &lane.name, &kind.name].map(String::clone);
                (
                    names,
                    kind.class.name(),
                    times,
                    span.step,
                    span.tag,
                    span.bytes.get(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let (there, back) = (timeline("out/trace.json"), timeline("back/trace.json"));
    assert!(there.len() > 100, "a step has spans");
    let (there, mut back) = (named(&there), named(&back));
    // A recording counts its steps from zero.
    let step = there[0].3;
    back.iter_mut().for_each(|span| span.3 += step);
    assert_eq!(back, there);
    assert_eq!(read("out.pftrace"), read("out/trace.pftrace"), "from either");
    assert!(read("out.parquet").starts_with(b"PAR1"), "a table");
}
