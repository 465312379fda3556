//! Bars against a slow twin that follows the rule of merging to the letter, and degenerate lanes.

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{Color32, Rangef};
use orrery_timeline::OpClass;
use orrery_units::KindId;
use proptest::prelude::*;

use super::{lanes, model};
use crate::timeline::lane::{Filter, Lane};
use crate::timeline::layout::{Bar, COLUMN, bars, column_bits, hit, place};
use crate::timeline::paint::Brush;
use crate::timeline::rows::{Strips, strips};
use crate::timeline::view::View;
use crate::timeline::window::Window;

const KINDS: usize = 5;

/// Every span is put under its column (or alone, when it is as long as one); a bar for each in view.
fn slow(lane: &Lane, window: Window, width: f32, widest: f64, filter: &Filter) -> Vec<Bar> {
    let column = 1_u64 << column_bits(window, width, widest);
    let mut together: BTreeMap<(u64, bool), Vec<usize>> = BTreeMap::new();
    for at in 0..lane.len() {
        let wide = lane.ends[at] - lane.starts[at] >= column;
        // Of a column's spans only the last can be wide, so that this is the order of time.
        let key = (lane.starts[at] / column, wide);
        together.entry(key).or_default().push(at);
    }
    let mut all = Vec::new();
    for members in together.values() {
        let (first, last) = (members[0], members[members.len() - 1]);
        let (start, end) = (lane.starts[first], lane.ends[last]);
        if end < window.from || start >= window.until() {
            continue;
        }
        let drawn = members.iter().filter(|&&at| filter.draws(lane.kind_of(at)));
        let mut time: BTreeMap<usize, u64> = BTreeMap::new();
        for &at in drawn {
            let number = lane
                .kinds
                .iter()
                .position(|&kind| kind == lane.kind_of(at))
                .unwrap();
            *time.entry(number).or_default() += lane.ends[at] - lane.starts[at];
        }
        let rank = |(&number, &time): (&usize, &u64)| {
            let found = filter.finds(lane.kinds[number]) && time > 0;
            (found, time, std::cmp::Reverse(number))
        };
        // Of spans without length the first that is drawn.
        let busy: u64 = time.values().sum();
        let best = if busy > 0 {
            time.iter()
                .max_by_key(|&entry| rank(entry))
                .map(|(&number, _)| lane.kinds[number])
        } else {
            let mut kinds = members.iter().map(|&at| lane.kind_of(at));
            kinds.find(|&kind| filter.draws(kind))
        };
        let Some(kind) = best else { continue };
        all.push(place(start, end, window, width, |left, right| Bar {
            left,
            right,
            kind,
            first,
            count: members.len(),
            fill: busy as f32 / (end - start).max(1) as f32,
            found: filter.finds(kind),
        }));
    }
    all
}

/// The kind in each column of pixels, as painted from left to right.
fn columns(bars: &[Bar], width: f32) -> Vec<Option<KindId>> {
    let mut columns = vec![None; width as usize];
    for bar in bars {
        for column in bar.left.floor() as usize..(bar.right.ceil() as usize).min(columns.len()) {
            columns[column] = Some(bar.kind);
        }
    }
    columns
}

prop_compose! {
    /// Lanes with gaps, zero lengths and lengths of any magnitude, at times beyond 32 bits.
    fn any_lane()(
        origin in prop_oneof![Just(0_u64), Just(1 << 45)],
        spans in prop::collection::vec((0_u32..14, 0_u64..256, 0_u32..12, 0_u32..KINDS as u32), 0..400),
    ) -> Vec<(u64, u64, u32)> {
        let mut now = origin;
        spans.into_iter().map(|(magnitude, length, gap, kind)| {
            // Half of the spans touch the one before.
            now += if gap < 6 { 0 } else { 1 << (2 * (gap - 6)) };
            let start = now;
            now += (length << magnitude) >> 8;
            (start, now, kind)
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bars_are_those_of_the_rule(
        spans in any_lane(),
        from in 0.0..1.0_f64,
        zoom in 0.0..16.0_f64,
        width in 40.0..900.0_f32,
        strips in 1..4_u32,
        hidden in prop::collection::vec(any::<bool>(), KINDS),
        found in prop::option::of(prop::collection::vec(any::<bool>(), KINDS)),
    ) {
        let filter = Filter { hidden, found };
        let lane = lanes(&spans).pop().unwrap_or_default();
        let end = lane.ends.last().copied().unwrap_or(0);
        let begin = lane.starts.first().copied().unwrap_or(0);
        let length = (((end - begin) as f64 / zoom.exp2()) as u64).max(1);
        let window = Window { from: begin + ((end - begin) as f64 * from) as u64, length };
        let widest = COLUMN * f64::from(strips);
        let fast = bars(&lane, window, width, widest, &filter);
        let twin = slow(&lane, window, width, widest, &filter);
        prop_assert_eq!(columns(&fast, width), columns(&twin, width));
        prop_assert_eq!(&fast, &twin);
        // A column is half as wide as allowed at least, hence so many of them in view.
        let most = 2.0 * (f64::from(width) / (widest / 2.0) + 2.0);
        prop_assert!(fast.len() as f64 <= most || length < 1_000, "{} bars", fast.len());
    }
}

fn plain() -> Filter {
    Filter::default()
}

fn window(from: u64, length: u64) -> Window {
    Window { from, length }
}

#[test]
fn a_wide_span_is_a_bar_and_narrow_neighbours_are_merged_by_what_fills_them() {
    let spans = [
        (0, 512_000, 0),
        (512_000, 513_000, 0),
        (513_000, 514_500, 1),
        (800_000, 1_000_000, 0),
    ];
    let lane = lanes(&spans).pop().unwrap();
    let bars = bars(&lane, window(0, 1_000_000), 500.0, COLUMN, &plain());
    let seen: Vec<_> = bars
        .iter()
        .map(|bar| (bar.first, bar.count, bar.kind.get()))
        .collect();
    assert_eq!(seen, [(0, 1, 0), (1, 2, 1), (3, 1, 0)]);
    assert_eq!((bars[0].left, bars[0].right), (0.0, 256.0));
    assert_eq!((bars[2].left, bars[2].right), (400.0, 500.0));
    let first = |position| hit(&bars, position).map(|bar| bar.first);
    assert_eq!(
        [
            first(10.0),
            first(257.5),
            first(300.0),
            first(399.0),
            first(450.0)
        ],
        [Some(0), Some(1), None, Some(3), Some(3)],
        "two points beside a bar still hit it"
    );
}

#[test]
fn bars_are_bounded_by_pixels_and_stand_for_every_span() {
    let spans: Vec<_> = (0..100_000)
        .map(|at| (at * 10_000, at * 10_000 + 9_000, 0))
        .collect();
    let lane = lanes(&spans).pop().unwrap();
    let bars = bars(&lane, window(0, 1_000_000_000), 1000.0, COLUMN, &plain());
    assert!(bars.len() <= 670, "{} bars", bars.len());
    assert_eq!(bars.iter().map(|bar| bar.count).sum::<usize>(), 100_000);
    assert!(
        bars.iter().all(|bar| (bar.fill - 0.9).abs() < 0.01),
        "nine tenths are filled"
    );
}

#[test]
fn panning_does_not_change_which_spans_are_merged() {
    let spans: Vec<_> = (0..5_000)
        .map(|at| (at * 1_000, at * 1_000 + 700, (at % 3) as u32))
        .collect();
    let lane = lanes(&spans).pop().unwrap();
    let inner = |from| {
        let bars = bars(&lane, window(from, 1_000_000), 300.0, COLUMN, &plain());
        let inner = bars
            .into_iter()
            .filter(|bar| bar.left > 40.0 && bar.right < 260.0);
        inner.map(|bar| bar.first).collect::<Vec<_>>()
    };
    let (still, moved) = (inner(1_000_000), inner(1_003_700));
    let common = still.iter().filter(|first| moved.contains(first)).count();
    assert!(common + 2 >= still.len(), "{common} of {} stay", still.len());
}

#[test]
fn degenerate_lanes_are_drawn() {
    let all = window(0, 1_000);
    let bars_of = |spans: &[(u64, u64, u32)]| {
        let lane = lanes(spans).pop().unwrap_or_default();
        bars(&lane, all, 100.0, COLUMN, &plain())
    };
    assert!(bars_of(&[]).is_empty(), "an empty lane has no bars");
    let nothing = bars_of(&[(0, 0, 0), (0, 0, 1), (500, 500, 1)]);
    let seen: Vec<_> = nothing
        .iter()
        .map(|bar| (bar.left, bar.right, bar.count))
        .collect();
    assert_eq!(
        seen,
        [(0.0, 1.0, 2), (50.0, 51.0, 1)],
        "what has no length is a point wide"
    );
    let one = bars_of(&[(0, 1_000, 0)]);
    assert_eq!((one.len(), one[0].left, one[0].right), (1, 0.0, 100.0));
    let last = bars_of(&[(1_000, 1_000, 0)]);
    assert!(last.is_empty(), "what begins at the right edge is beyond it");
}

#[test]
fn a_picosecond_is_told_apart_after_an_hour() {
    let hour = 3_600_000_000_000_000_u64;
    let spans = [
        (hour, hour + 1, 0),
        (hour + 1, hour + 3, 1),
        (hour + 3, hour + 4, 0),
    ];
    let lane = lanes(&spans).pop().unwrap();
    let bars = bars(&lane, window(hour, 4), 400.0, COLUMN, &plain());
    let edges: Vec<_> = bars.iter().map(|bar| (bar.left, bar.right)).collect();
    assert_eq!(edges, [(0.0, 100.0), (100.0, 300.0), (300.0, 400.0)]);
}

#[test]
fn spans_that_overlap_get_a_lane_each() {
    let lanes = lanes(&[(0, 100, 0), (50, 150, 1), (100, 200, 2), (60, 70, 3)]);
    let spans: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.name.as_str(), lane.spans.clone()))
        .collect();
    assert_eq!(
        spans,
        [("lane", vec![0, 2]), ("lane (2)", vec![1]), ("lane (3)", vec![3])]
    );
}

#[test]
fn hidden_kinds_leave_gaps_and_found_ones_win() {
    let spans = [(0, 1, 0), (1, 9, 1), (9, 10, 2), (500, 900, 1)];
    let lane = lanes(&spans).pop().unwrap();
    let of = |hidden: u32, found: Option<u32>| {
        let only = |number: u32| (0..3).map(|at| at == number).collect::<Vec<_>>();
        let filter = Filter {
            hidden: only(hidden),
            found: found.map(only),
        };
        let bars = bars(&lane, window(0, 1_000), 100.0, COLUMN, &filter);
        bars.iter()
            .map(|bar| (bar.kind.get(), bar.found))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(9, None), [(1, false), (1, false)]);
    assert_eq!(
        of(1, None),
        [(0, false)],
        "the wide bar is hidden, the merged one shows the rest"
    );
    assert_eq!(
        of(9, Some(2)),
        [(2, true), (1, false)],
        "a match is seen however short"
    );
}

/// Strips that were kept are those that would be made, after whatever changed.
#[test]
fn strips_that_are_kept_are_those_that_would_be_made() {
    let spans = (0..50_u64).flat_map(|number| {
        (0..4_u32).map(move |lane| {
            let class = OpClass::ALL[(number as usize + lane as usize) % OpClass::ALL.len()];
            (lane, class, number * 20, 5 + u64::from(lane), None)
        })
    });
    let model = Arc::new(model(spans));
    let mut view = View::default();
    view.attend(&model);
    let mut kept = Strips::default();
    let all = Window::all(model.end);
    let near = Window {
        length: all.length / 7,
        ..all
    };
    let hidden = vec![true; model.kinds.len()];
    let mut seen = Vec::new();
    for (window, width, hides) in [
        (all, 400.0, false),
        (all, 400.0, false),
        (near, 400.0, false),
        (near, 250.0, false),
        (near, 250.0, true),
        (all, 400.0, true),
    ] {
        view.filter.hidden = if hides {
            hidden.clone()
        } else {
            vec![false; model.kinds.len()]
        };
        let brush = Brush {
            model: &model,
            view: &view,
            window,
            lanes: Rangef::new(10.0, 10.0 + width),
            colors: &view.colors,
            background: Color32::BLACK,
        };
        for group in 0..model.groups.len() {
            assert_eq!(
                kept.of(&brush, group),
                strips(&brush, group),
                "{window:?} {width} {hides}"
            );
        }
        seen.push(kept.of(&brush, 0).to_vec());
    }
    assert_eq!(seen[0], seen[1]);
    assert!(
        seen[1] != seen[2] && seen[2] != seen[3] && seen[3] != seen[4],
        "each change is seen"
    );
}
