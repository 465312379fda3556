//! The layout of the timeline: merging, hits, clipping, zoom.

use orrery_timeline::{KindTable, OpClass, Span, TimelineBuilder};
use orrery_units::{Bytes, Evidence, Flops, LaneId, SimDuration, SimTime};

use super::layout::{Bar, Window, bars, hit, marks};
use super::model::TimelineModel;

/// Spans (start, duration, class) in nanoseconds on one lane.
fn model(spans: impl IntoIterator<Item = (u64, u64, OpClass)>) -> TimelineModel {
    let mut kinds = KindTable::new();
    for class in OpClass::ALL {
        kinds.intern(class.name(), class);
    }
    let mut builder = TimelineBuilder::new(kinds.clone(), 1_000_000);
    let lane: LaneId = builder.add_lane("rank 0", "compute");
    for (start, nanos, class) in spans {
        builder.add(Span {
            lane,
            kind: kinds.intern(class.name(), class),
            start: SimTime::from_picos(start * 1000),
            duration: SimDuration::from_nanos(nanos),
            step: 1,
            tag: (7, 3),
            released_by: None,
            flops: Flops::ZERO,
            bytes: Bytes::new(0),
            evidence: Evidence::Measured,
        });
    }
    TimelineModel::new(builder.finish())
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-6
}

#[test]
fn a_wide_span_is_a_bar_and_narrow_neighbours_are_merged_by_what_fills_them() {
    let compute = OpClass::Compute;
    let model = model([
        (1000, 500, compute),
        (1500, 1, compute),
        (1501, 3, OpClass::Dispatch),
        (1800, 200, compute),
    ]);
    assert_eq!(model.end, 1_000_000, "time is counted from the first span");
    let bars = bars(&model.lanes[0], Window::all(model.end), 500.0);
    let seen: Vec<_> = bars.iter().map(|bar| (bar.first, bar.count, bar.class)).collect();
    assert_eq!(
        seen,
        [(0, 1, compute), (1, 2, OpClass::Dispatch), (3, 1, compute)]
    );
    assert_eq!((bars[0].left, bars[0].right), (0.0, 250.0));
    assert_eq!((bars[2].left, bars[2].right), (400.0, 500.0));
    let first = |position| hit(&bars, position).map(|bar| bar.first);
    assert_eq!(
        [first(10.0), first(251.0), first(300.0), first(450.0)],
        [Some(0), Some(1), None, Some(3)]
    );
    assert_eq!(model.describe(0, 2)[0], "dispatch (dispatch)");
    assert!(
        model.describe(0, 2)[2].contains("layer 7, microbatch 3"),
        "the tag is read"
    );
}

#[test]
fn bars_are_bounded_by_pixels_and_stand_for_every_span() {
    let model = model((0..100_000).map(|at| (at * 10, 9, OpClass::Compute)));
    let bars = bars(&model.lanes[0], Window::all(model.end), 1000.0);
    assert!(bars.len() <= 502, "{} bars", bars.len());
    assert_eq!(bars.iter().map(|bar| bar.count).sum::<usize>(), 100_000);
    let ordered = bars.windows(2).all(|pair| pair[0].left < pair[1].left);
    assert!(ordered, "from left to right");
}

#[test]
fn only_what_the_window_shows_is_laid_out() {
    let model = model((0..1000).map(|at| (at * 10, 10, OpClass::Compute)));
    let window = Window {
        from: 5_005_000.0,
        length: 20_000.0,
    };
    let bars = bars(&model.lanes[0], window, 200.0);
    let seen: Vec<_> = bars.iter().map(|bar: &Bar| bar.first).collect();
    assert_eq!(seen, [500, 501, 502]);
    assert_eq!(
        (bars[0].left, bars[2].right),
        (0.0, 200.0),
        "clipped at both edges"
    );
}

#[test]
fn zooming_keeps_the_instant_under_the_pointer_and_stays_within_the_run() {
    let all = Window::all(1_000_000);
    let closer = all.zoomed(4.0, 0.25, 1_000_000);
    assert_eq!(
        closer,
        Window {
            from: 187_500.0,
            length: 250_000.0
        }
    );
    assert!(near(closer.position(250_000.0, 100.0), 25.0), "where it was");
    assert_eq!(closer.zoomed(0.01, 0.9, 1_000_000), all);
    let edges = [-9.0, 9.0].map(|share| closer.panned(share, 1_000_000).from);
    assert!(near(edges[0], 0.0) && near(edges[1], 750_000.0), "{edges:?}");
    let closest = all.zoomed(1e30, 0.5, 1_000_000);
    assert!(near(closest.length, 1000.0), "no closer than a nanosecond");
}

#[test]
fn marks_are_round() {
    let window = Window {
        from: 150.0,
        length: 1000.0,
    };
    assert_eq!(marks(window, 5.0), [200.0, 400.0, 600.0, 800.0, 1000.0]);
}
