//! Marks of the time axis: round instants, and labels that stay short however deep the zoom.

use super::window::Window;

/// Units of labels, in picoseconds.
const UNITS: [(u64, &str); 5] = [
    (1_000_000_000_000, "s"),
    (1_000_000_000, "ms"),
    (1_000_000, "µs"),
    (1_000, "ns"),
    (1, "ps"),
];
/// Labels with more decimals than this count from a base instead.
const DECIMALS: u32 = 3;

/// The marks of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// The instant that labels count from, in picoseconds; 0 unless the zoom is deep.
    pub(super) base: u64,
    /// Distance of marks.
    step: u64,
    /// Instants of the marks.
    pub(super) marks: Vec<u64>,
}

impl Axis {
    /// About `wanted` marks in `window`, at 1, 2 or 5 times a power of ten picoseconds.
    pub(super) fn new(window: Window, wanted: f64) -> Self {
        let rough = (window.length as f64 / wanted.max(1.0)).max(1.0).ceil() as u64;
        let step = round_up(rough);
        let first = window.from.div_ceil(step);
        let last = window.until() / step;
        let marks = (first..=last).map(|number| number * step).collect();
        let furthest = window.until();
        let base = if fits(furthest, step) {
            0
        } else {
            // A round instant before the window, a thousand marks or so apart from the next.
            window.from / (step * 1_000) * (step * 1_000)
        };
        Self { base, step, marks }
    }

    /// The label of `mark`, counted from the base.
    pub(super) fn label(&self, mark: u64) -> String {
        let offset = mark - self.base;
        if offset == 0 && self.base == 0 {
            return "0".to_owned();
        }
        let (unit, name) = unit_of(offset.max(self.step));
        let text = decimal(offset, unit, decimals(unit, self.step));
        let sign = if self.base == 0 { "" } else { "+" };
        format!("{sign}{text} {name}")
    }

    /// The base for people, if labels count from one: exact, in seconds or the largest unit below them.
    pub(super) fn base_label(&self) -> Option<String> {
        if self.base == 0 {
            return None;
        }
        Some(exact(self.base))
    }
}

/// `instant` in its unit with every digit that counts, such as `12.345678 ms`.
pub(super) fn exact(instant: u64) -> String {
    let (unit, name) = unit_of(instant);
    let text = decimal(instant, unit, unit.ilog10());
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} {name}")
}

fn round_up(rough: u64) -> u64 {
    let decade = 10_u64.pow(rough.ilog10());
    let steps = [1, 2, 5, 10].map(|factor| decade.saturating_mul(factor));
    steps.into_iter().find(|&step| step >= rough).unwrap_or(u64::MAX)
}

/// Whether labels up to `furthest` at distance `step` are short.
fn fits(furthest: u64, step: u64) -> bool {
    decimals(unit_of(furthest).0, step) <= DECIMALS
}

fn unit_of(picos: u64) -> (u64, &'static str) {
    UNITS
        .into_iter()
        .find(|&(unit, _)| picos >= unit)
        .unwrap_or((1, "ps"))
}

/// Decimals in which multiples of `step` are told apart in `unit`.
fn decimals(unit: u64, step: u64) -> u32 {
    unit.ilog10().saturating_sub(step.ilog10())
}

fn decimal(picos: u64, unit: u64, decimals: u32) -> String {
    if decimals == 0 {
        return (picos / unit).to_string();
    }
    // Decimals never exceed the digits of the unit.
    let rest = picos % unit / (unit / 10_u64.pow(decimals));
    format!("{}.{rest:0width$}", picos / unit, width = decimals as usize)
}
