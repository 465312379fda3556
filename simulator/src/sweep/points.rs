//! Keys of a scenario varied: grids, Latin hypercubes, bisection.

use orrery_scenario::Plan;
use orrery_units::{Bytes, Seed};
use orrery_workload::estimate::{Parts, memory_peaks};

use crate::pipeline;

/// Keys and their values.
pub type Settings = Vec<(String, String)>;

/// Values that a key may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The key.
    pub key: String,
    /// The least value.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Whether values are whole.
    pub whole: bool,
    /// Text behind a number: its unit.
    pub unit: String,
}

/// What became of a point.
#[derive(Clone, Debug)]
pub struct Point {
    /// What was set.
    pub settings: Settings,
    /// The plan, or why there is none.
    pub plan: Result<Plan, Vec<String>>,
    /// The step in closed form, seconds, and the most that a device holds.
    pub estimate: Option<(f64, Bytes)>,
}

impl Range {
    /// `key=lo..hi`, both with the same unit, if any.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("write KEY=LOW..HIGH, such as `training.micro_batch=1..8`, not `{text}`");
        let (key, range) = text.split_once('=').ok_or_else(fault)?;
        let (low, high) = range.split_once("..").ok_or_else(fault)?;
        let (low, low_unit) = number(low.trim()).ok_or_else(fault)?;
        let (high, unit) = number(high.trim()).ok_or_else(fault)?;
        if low_unit != unit && !low_unit.is_empty() || low > high {
            return Err(fault());
        }
        Ok(Self {
            key: key.trim().to_owned(),
            low,
            high,
            whole: unit.is_empty() && !range.trim().replace("..", "").contains('.'),
            unit: unit.to_owned(),
        })
    }

    /// The value at `share` of the way.
    #[must_use]
    pub fn at(&self, share: f64) -> String {
        let value = if self.whole {
            let count = self.high - self.low + 1.0;
            (self.low + (share * count).floor()).min(self.high)
        } else {
            self.low + share * (self.high - self.low)
        };
        self.text(value)
    }

    /// `value` as a scenario has it.
    #[must_use]
    pub fn text(&self, value: f64) -> String {
        match (self.whole, self.unit.as_str()) {
            (_, "") => format!("{value}"),
            (_, unit) => format!("\"{value} {unit}\""),
        }
    }
}

/// A number and its unit.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || ".-+e".contains(c)))
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// Every combination of `axes`, the last key fastest.
#[must_use]
pub fn grid(axes: &[(String, Vec<String>)]) -> Vec<Settings> {
    let mut all: Vec<Settings> = vec![Vec::new()];
    for (key, values) in axes {
        all = all
            .into_iter()
            .flat_map(|settings| {
                values.iter().map(move |value| {
                    let mut settings = settings.clone();
                    settings.push((key.clone(), value.clone()));
                    settings
                })
            })
            .collect();
    }
    all
}

/// `count` points of a Latin hypercube (`McKay` 1979): every range is cut into `count` pieces, and each piece is met once.
///
/// Pieces are dealt by the draws of `seed`, one per key and point.
#[must_use]
pub fn latin(ranges: &[Range], count: u32, seed: Seed) -> Vec<Settings> {
    let mut points: Vec<Settings> = vec![Vec::new(); count as usize];
    for (axis, range) in ranges.iter().enumerate() {
        let draw = |name, at: u32| seed.at(name, &[axis as u64, u64::from(at)]).uniform();
        let mut pieces: Vec<u32> = (0..count).collect();
        pieces.sort_by(|&a, &b| draw("piece", a).total_cmp(&draw("piece", b)).then(a.cmp(&b)));
        for ((point, piece), at) in points.iter_mut().zip(pieces).zip(0..) {
            let share = (f64::from(piece) + draw("place", at)) / f64::from(count);
            point.push((range.key.clone(), range.at(share)));
        }
    }
    points
}

/// The plan of the scenario `text` in `file` with `settings` over `common`, and its estimate.
#[must_use]
pub fn point(file: &str, text: &str, common: &[(String, String)], settings: Settings) -> Point {
    let overrides: Settings = common.iter().chain(&settings).cloned().collect();
    match pipeline::load(file, text, &overrides) {
        Ok(plan) => {
            let step = Parts::of(&plan).step(&plan.tuning).step;
            let peak = memory_peaks(&plan).into_iter().max().unwrap_or_default();
            Point {
                settings,
                plan: Ok(plan),
                estimate: Some((step, peak)),
            }
        }
        Err(faults) => Point {
            settings,
            plan: Err(faults
                .iter()
                .map(|fault| format!("{}: {}", fault.code, fault.message))
                .collect()),
            estimate: None,
        },
    }
}

/// The end of the part of `range` in which `holds`, seen from that end of the range at which it holds, to a whole number or a
/// thousandth of the range; none where it holds at neither. Where it holds at both, that is `high`.
///
/// `holds` is none where there is no run, such as a batch that does not divide: the nearest whole number that has one
/// decides instead.
///
/// # Errors
/// What `holds` could not tell.
pub fn bisect<E>(
    range: &Range,
    mut holds: impl FnMut(f64) -> Result<Option<bool>, E>,
) -> Result<Option<f64>, E> {
    let low = holds(range.low)?.unwrap_or(false);
    let high = holds(range.high)?.unwrap_or(false);
    let (mut good, mut bad) = match (low, high) {
        (false, false) => return Ok(None),
        (true, true) => return Ok(Some(range.high)),
        (true, false) => (range.low, range.high),
        (false, true) => (range.high, range.low),
    };
    let small = if range.whole {
        1.0
    } else {
        (range.high - range.low) / 1000.0
    };
    while (bad - good).abs() > small {
        match nearest(range, (good, bad), &mut holds)? {
            Some((middle, true)) => good = middle,
            Some((middle, false)) => bad = middle,
            None => break,
        }
    }
    Ok(Some(good))
}

/// Whether it `holds` at the value nearest to the middle between two others at which there is a run; none where there is no
/// such value.
fn nearest<E>(
    range: &Range,
    (one, other): (f64, f64),
    holds: &mut impl FnMut(f64) -> Result<Option<bool>, E>,
) -> Result<Option<(f64, bool)>, E> {
    let (least, most) = (one.min(other), one.max(other));
    let half = f64::midpoint(least, most);
    if !range.whole {
        return Ok(Some((half, holds(half)?.unwrap_or(false))));
    }
    let (mut below, mut above) = (half.floor(), half.floor() + 1.0);
    while below > least || above < most {
        for value in [below, above]
            .into_iter()
            .filter(|&value| value > least && value < most)
        {
            if let Some(held) = holds(value)? {
                return Ok(Some((value, held)));
            }
        }
        (below, above) = (below - 1.0, above + 1.0);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn a_grid_has_every_combination() {
        let axes = [
            ("a".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
            ("b".to_owned(), vec!["x".to_owned(), "y".to_owned()]),
        ];
        let all = grid(&axes);
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], settings(&[("a", "1"), ("b", "y")]));
    }

    /// Eight points on 1 to 8: each value once, in an order that the seed decides.
    #[test]
    fn a_latin_hypercube_meets_every_piece_once() {
        let ranges = [
            Range::parse("k=1..8").unwrap(),
            Range::parse("q=10us..20us").unwrap(),
        ];
        let points = latin(&ranges, 8, Seed::new(3));
        let mut values: Vec<&str> = points.iter().map(|point| point[0].1.as_str()).collect();
        assert_ne!(values, ["1", "2", "3", "4", "5", "6", "7", "8"]);
        values.sort_unstable();
        assert_eq!(values, ["1", "2", "3", "4", "5", "6", "7", "8"]);
        assert!(points[0][1].1.ends_with(" us\""), "{points:?}");
        assert_eq!(points, latin(&ranges, 8, Seed::new(3)), "the seed decides all");
    }

    /// Multiples of 24 alone have a run: 48 is the last up to 70, though most values between have none.
    #[test]
    fn bisection_passes_over_what_has_no_run() {
        let range = Range::parse("k=24..240").unwrap();
        let divides = |value: f64| (value % 24.0).abs() < 1e-9;
        let upto = |most: f64| {
            let holds = |value| Ok::<_, ()>(divides(value).then_some(value <= most));
            bisect(&range, holds).unwrap()
        };
        assert_eq!(upto(70.0), Some(48.0));
        assert_eq!(upto(230.0), Some(216.0));
        assert_eq!(upto(20.0), None);
    }

    #[test]
    fn bisection_finds_the_last_value_that_holds() {
        let range = Range::parse("k=1..100").unwrap();
        let upto = |most: f64| bisect(&range, |value| Ok::<_, ()>(Some(value <= most))).unwrap();
        assert_eq!(upto(37.0), Some(37.0));
        assert_eq!(upto(0.0), None);
        assert_eq!(upto(1000.0), Some(100.0));
        let from = |least: f64| bisect(&range, |value| Ok::<_, ()>(Some(value >= least))).unwrap();
        assert_eq!(from(37.0), Some(37.0), "seen from the upper end");
        assert!(
            Range::parse("k=9..1").is_err() && Range::parse("k=1").is_err(),
            "no ranges"
        );
    }
}
