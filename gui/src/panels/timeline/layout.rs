//! From spans to bars on the screen, for one window of time: pure, and bounded by pixels, not by spans.

use orrery_timeline::OpClass;

use super::model::Lane;

/// Spans narrower than this, in points, are merged with their neighbours.
const NARROW: f64 = 2.0;
/// The shortest window: a nanosecond, in picoseconds.
const SHORTEST: f64 = 1000.0;

/// The window of time that is shown, in picoseconds since the first span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// Its left edge.
    pub(super) from: f64,
    /// Its length.
    pub(super) length: f64,
}

/// What is drawn of one or many spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    /// Left edge, in points from the left of the lane.
    pub(super) left: f32,
    /// Right edge.
    pub(super) right: f32,
    /// The class that fills most of it.
    pub(super) class: OpClass,
    /// The first span in it.
    pub(super) first: usize,
    /// How many spans it stands for.
    pub(super) count: usize,
}

impl Window {
    /// Everything up to `end`.
    pub(super) fn all(end: u64) -> Self {
        Self {
            from: 0.0,
            length: (end as f64).max(SHORTEST),
        }
    }

    /// `factor` times closer, with the instant at `place` (0 left edge, 1 right edge) staying where it is.
    pub(super) fn zoomed(self, factor: f64, place: f64, end: u64) -> Self {
        let longest = (end as f64).max(SHORTEST);
        let length = (self.length / factor).clamp(SHORTEST, longest);
        let from = self.from + (self.length - length) * place;
        Self { from, length }.within(end)
    }

    /// Moved by `share` of its length, to the right if positive.
    pub(super) fn panned(self, share: f64, end: u64) -> Self {
        let from = self.from + self.length * share;
        Self { from, ..self }.within(end)
    }

    fn within(self, end: u64) -> Self {
        let last = (end as f64 - self.length).max(0.0);
        Self {
            from: self.from.clamp(0.0, last),
            ..self
        }
    }

    /// Where `instant` lies on a lane of `width` points.
    pub(super) fn position(self, instant: f64, width: f32) -> f64 {
        (instant - self.from) / self.length * f64::from(width)
    }

    /// The instant at `position` of a lane of `width` points.
    fn instant(self, position: f64, width: f32) -> f64 {
        self.from + position / f64::from(width) * self.length
    }
}

/// The bars of `lane` in `window` on `width` points, from left to right: at most `width / NARROW` of them
/// and two, whatever the number of spans, for every step finds the next bar by binary search.
pub(super) fn bars(lane: &Lane, window: Window, width: f32) -> Vec<Bar> {
    let mut bars = Vec::new();
    let until = window.from + window.length;
    let mut at = lane.ends.partition_point(|&end| end as f64 <= window.from);
    while at < lane.starts.len() && (lane.starts[at] as f64) < until {
        let left = window.position(lane.starts[at] as f64, width);
        let right = window.position(lane.ends[at] as f64, width);
        let next = if right - left >= NARROW {
            at + 1
        } else {
            // Everything that ends within the next points is one bar, though the first may end beyond.
            let edge = window.instant(left + NARROW, width);
            let fit = lane.ends[at..].partition_point(|&end| end as f64 <= edge);
            at + fit.max(1)
        };
        let right = window.position(lane.ends[next - 1] as f64, width);
        bars.push(Bar {
            left: left.max(0.0) as f32,
            right: right.max(left + 1.0).min(f64::from(width)) as f32,
            class: lane.dominant(at, next),
            first: at,
            count: next - at,
        });
        at = next;
    }
    bars
}

/// The bar at `position`, by binary search; half a point beside it still counts, for bars may be thin.
pub(super) fn hit(bars: &[Bar], position: f32) -> Option<&Bar> {
    let at = bars.partition_point(|bar| bar.right + 0.5 < position);
    bars.get(at).filter(|bar| bar.left - 0.5 <= position)
}

/// Instants of ruler marks in `window`, about `wanted` of them, at 1, 2 or 5 times a power of ten.
pub(super) fn marks(window: Window, wanted: f64) -> Vec<f64> {
    let rough = window.length / wanted.max(1.0);
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * decade)
        .into_iter()
        .find(|&step| step >= rough)
        .unwrap_or(10.0 * decade);
    let first = (window.from / step).ceil();
    let count = ((window.from + window.length) / step).floor() - first;
    // A window shows at most a few dozen marks.
    (0..=count.max(0.0) as u32)
        .map(|number| (first + f64::from(number)) * step)
        .collect()
}
