//! From spans to bars on the screen, for one window of time: pure, and bounded by pixels, not by spans.
//!
//! The rule of merging. Time is cut into columns of a power of two picoseconds, the widest that is no wider
//! than [`COLUMN`] points, or in thin strips of a line as many times that as there are strips. A span at least as long as a column is a bar of its own. Shorter spans that begin
//! in one column are one bar, in the colour of the kind that fills most of it. Columns do not depend on where
//! the window begins, so bars do not shimmer while the view is panned.

use orrery_units::KindId;

use super::lane::{Filter, Lane};
use super::window::Window;

/// The widest column of a lane that has a line of its own, in points.
pub(super) const COLUMN: f64 = 3.0;

/// What is drawn of one or many spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    /// Left edge, in points from the left of the lane.
    pub(super) left: f32,
    /// Right edge.
    pub(super) right: f32,
    /// The kind that fills most of it.
    pub(super) kind: KindId,
    /// The first span in it.
    pub(super) first: usize,
    /// How many spans it stands for.
    pub(super) count: usize,
    /// Share of the time between its first and its last instant that spans fill, 0 to 1.
    pub(super) fill: f32,
    /// Whether its kind is one that was searched for.
    pub(super) found: bool,
}

/// The length of a column in picoseconds, as a power of two: no wider than `column` points.
pub(super) fn column_bits(window: Window, width: f32, column: f64) -> u32 {
    let widest = window.length as f64 * column / f64::from(width);
    // A float beyond the range of integers becomes its limit.
    (widest as u64).max(1).ilog2()
}

/// The bars of `lane` in `window` on `width` points, from left to right: at most two for each column of `column` points in
/// view, whatever the number of spans, for every step finds the next bar by a search of logarithmic time.
pub(super) fn bars(lane: &Lane, window: Window, width: f32, column: f64, filter: &Filter) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut scratch = Vec::new();
    let bits = column_bits(window, width, column);
    let narrow = |at: usize| lane.ends[at] - lane.starts[at] < 1 << bits;
    let until = window.until();
    let mut at = lane.ends.partition_point(|&end| end < window.from);
    if at < lane.len() && narrow(at) {
        // Its bar begins with the first span of its column, be that in view or not.
        let column = lane.starts[at] >> bits;
        at = lane.starts[..at].partition_point(|&start| start >> bits < column);
    }
    while at < lane.len() && lane.starts[at] < until {
        let next = if narrow(at) {
            let column = lane.starts[at] >> bits;
            let next = at + 1 + gallop(&lane.starts[at + 1..], |start| start >> bits == column);
            // All but the last end before it begins, hence within the column.
            if narrow(next - 1) { next } else { next - 1 }
        } else {
            at + 1
        };
        if let Some(dominant) = lane.dominant(at, next, filter, &mut scratch) {
            let (start, end) = (lane.starts[at], lane.ends[next - 1]);
            bars.push(place(start, end, window, width, |left, right| Bar {
                left,
                right,
                kind: dominant.kind,
                first: at,
                count: next - at,
                fill: dominant.busy as f32 / (end - start).max(1) as f32,
                found: dominant.found,
            }));
        }
        at = next;
    }
    bars
}

/// A bar from `start` to `end`, clipped to the lane, at least a point wide.
pub(super) fn place(
    start: u64,
    end: u64,
    window: Window,
    width: f32,
    bar: impl FnOnce(f32, f32) -> Bar,
) -> Bar {
    let most = f64::from(width);
    let left = window.position(start, width).clamp(0.0, (most - 1.0).max(0.0));
    let right = window.position(end, width).min(most).max(left + 1.0);
    bar(left as f32, right as f32)
}

/// How many of the first of `starts` are `like` the ones before: time logarithmic in the answer.
fn gallop(starts: &[u64], like: impl Fn(u64) -> bool) -> usize {
    let mut reach = 1;
    while reach <= starts.len() && like(starts[reach - 1]) {
        reach *= 2;
    }
    let (low, high) = (reach / 2, (reach - 1).min(starts.len()));
    low + starts[low..high].partition_point(|&start| like(start))
}

/// The bar at `position`; two points beside it still count, for bars may be thin, and the nearest wins.
pub(super) fn hit(bars: &[Bar], position: f32) -> Option<&Bar> {
    const BESIDE: f32 = 2.0;
    let distance = |bar: &Bar| (bar.left - position).max(position - bar.right).max(0.0);
    let after = bars.partition_point(|bar| bar.right < position);
    let near = &bars[after.saturating_sub(1)..bars.len().min(after + 2)];
    near.iter()
        .filter(|bar| distance(bar) <= BESIDE)
        .min_by(|one, other| distance(one).total_cmp(&distance(other)))
}
