//! Sums over stretches of a lane and over intervals, against adding up; counters; search; dependencies.

use orrery_timeline::{Counter, OpClass};
use orrery_units::SimTime;
use proptest::prelude::*;

use super::{lanes, model};
use crate::timeline::lane::Filter;
use crate::timeline::measure::Measured;
use crate::timeline::steps::Steps;

proptest! {
    #[test]
    fn stored_sums_are_the_sums(
        lengths in prop::collection::vec((0_u64..1_000, 0_u32..4), 1..400),
        cuts in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let mut now = 0;
        let spans: Vec<_> = lengths.into_iter().map(|(length, kind)| {
            let start = now;
            now += length;
            (start, now, kind)
        }).collect();
        let lane = &lanes(&spans)[0];
        let at = |cut: f64| (cut * spans.len() as f64).round() as usize;
        let (from, to) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let mut fast = Vec::new();
        lane.busy(from, to, &mut fast);
        let slow: Vec<u64> = lane.kinds.iter().map(|kind| {
            let mine = spans[from..to].iter().filter(|(_, _, of)| *of == kind.get());
            mine.map(|(start, end, _)| end - start).sum()
        }).collect();
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_highest_value_of_a_counter_is_found(
        points in prop::collection::vec((1_u64..50, 0_u32..1_000), 1..500),
        cuts in (0_u64..12_000, 0_u64..12_000),
    ) {
        let mut now = 0;
        let points: Vec<_> = points.into_iter().map(|(later, value)| {
            now += later;
            (SimTime::from_picos(now), f64::from(value))
        }).collect();
        let counter = Counter { name: "memory".to_owned(), program: String::new(), unit: "B", points };
        let steps = Steps::new(&counter, 0);
        let (from, to) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1) + 1);
        let slow = (from..to).map(|at| {
            let mut before = counter.points.iter().filter(|(when, _)| when.as_picos() <= at);
            before.next_back().map_or(0.0, |(_, value)| *value)
        }).fold(0.0, f64::max);
        prop_assert!((steps.highest_within(from, to) - slow).abs() < f64::EPSILON, "{from}..{to}");
    }
}

#[test]
fn an_interval_cuts_spans_at_both_ends() {
    let compute = OpClass::Compute;
    let model = model([
        (0, compute, 0, 10, None),
        (0, OpClass::Tensor, 10, 10, None),
        (2, compute, 0, 30, None),
        (0, compute, 20, 10, None),
    ]);
    let busy = |from: u64, to: u64| {
        let busy = model.busy_within(0..model.lanes.len(), from * 1_000, to * 1_000);
        (
            busy[compute as usize] / 1_000,
            busy[OpClass::Tensor as usize] / 1_000,
        )
    };
    assert_eq!(busy(0, 30), (50, 10));
    assert_eq!(busy(5, 25), (5 + 5 + 20, 10));
    assert_eq!(busy(12, 14), (2, 2), "within one span");
    assert_eq!(busy(30, 40), (0, 0));
}

#[test]
fn a_counter_begins_with_what_holds_at_the_origin() {
    let point = |at, value| (SimTime::from_picos(at), value);
    let points = vec![point(5, 90.0), point(10, 3.0), point(25, 4.0)];
    let counter = Counter {
        name: "memory".to_owned(),
        program: String::new(),
        unit: "B",
        points,
    };
    let steps = Steps::new(&counter, 20);
    // What was before the origin is not seen.
    let values = [steps.at(0), steps.at(4), steps.at(5), steps.peak];
    assert_eq!(format!("{values:?}"), "[3.0, 3.0, 4.0, 4.0]");
}

#[test]
fn found_spans_come_in_order_of_time_and_begin_again() {
    let compute = OpClass::Compute;
    let model = model([
        (0, compute, 0, 5, None),
        (1, OpClass::Dispatch, 5, 5, None),
        (3, compute, 7, 5, None),
        (0, compute, 20, 10, None),
    ]);
    let mut found = vec![false; OpClass::ALL.len()];
    found[compute as usize] = true;
    let filter = Filter {
        hidden: Vec::new(),
        found: Some(found),
    };
    let next = |from, back| model.next_found(&filter, from, back);
    assert_eq!(
        [next(None, false), next(Some(0), false), next(Some(2), false)],
        [Some(0), Some(2), Some(3)]
    );
    assert_eq!(
        [next(Some(3), false), next(Some(0), true), next(Some(1), true)],
        [Some(0), Some(3), Some(0)]
    );
}

#[test]
fn the_nearest_span_is_under_the_pointer_or_beside_it() {
    let lane = &lanes(&[(0, 10, 0), (20, 30, 0), (30, 40, 0)])[0];
    let near = [0, 12, 18, 25, 35, 99].map(|instant| lane.nearest(instant));
    assert_eq!(near, [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)]);
    assert_eq!(crate::timeline::lane::Lane::default().nearest(3), None);
}

/// Rank 0 computes 0 to 10 and exchanges 5 to 20; rank 1 computes 0 to 8 and exchanges nothing.
#[test]
fn an_interval_says_what_lanes_compute_and_what_traffic_is_exposed() {
    let model = model([
        (2, OpClass::Compute, 0, 8, None),
        (0, OpClass::Compute, 0, 10, None),
        (1, OpClass::Dispatch, 5, 15, None),
    ]);
    let measured = Measured::of(&model, 0, 20_000);
    assert_eq!(
        (measured.lanes, measured.groups),
        (3, 2),
        "lanes without spans are none"
    );
    let busy: Vec<u64> = measured.computing.iter().map(|(_, busy)| *busy).collect();
    assert_eq!(busy, [10_000, 8_000], "the busiest first");
    assert_eq!(measured.exposed, Some(10_000), "10 to 20, on rank 0");
    let kinds: Vec<u64> = measured.kinds(&model).into_iter().map(|(_, time)| time).collect();
    assert_eq!(kinds, [18_000, 15_000]);
    assert_eq!(
        Measured::of(&model, 0, 12_000).exposed,
        Some(2_000),
        "cut at its end"
    );
}
