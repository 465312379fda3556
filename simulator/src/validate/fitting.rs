//! Laws of platforms from sweeps: all of them, all but one, and all but one with a few of its own points.

use std::collections::BTreeMap;

use orrery_profile::fit::{Prior, least_squares, rounded};
use orrery_profile::{Parameter, Platform, PlatformLaw, PlatformSet};
use orrery_units::HALF_WIDTH_80;
use orrery_workload::collective::law::Prepared;

use super::prior::priors;
use super::sweep::{Point, Sweep};

/// Scatter that is expected of a row: runs of one sweep on one machine differ by that much.
const SCATTER: f64 = 0.05;
/// Scatter that is expected of an anchor: of the sweep itself, not of the platform (assumption).
const ANCHOR_SCATTER: f64 = 0.02;
/// Most that one sweep's parameter lies off its platform's, as a logarithm (assumption).
const SWEEP_SPREAD: f64 = 0.3;
/// Sizes from here on are large.
pub(super) const LARGE: u64 = 1 << 20;

/// The law whose parameters' logarithms are `logs`.
fn law(logs: &[f64]) -> PlatformLaw {
    PlatformLaw::from_fn(|parameter| logs[parameter as usize].exp())
}

fn logs(law: &PlatformLaw) -> Vec<f64> {
    Parameter::ALL.into_iter().map(|p| law.get(p).ln()).collect()
}

/// The law of a place of which nothing was measured.
pub(super) fn unmeasured(sweep: &Sweep) -> PlatformLaw {
    let known: Vec<f64> = priors(&sweep.place.machine, sweep.place.launcher)
        .iter()
        .map(|prior| prior.centre)
        .collect();
    law(&known)
}

/// The law that fits `sweeps` of one platform best.
pub(super) fn fit(sweeps: &[&Sweep]) -> PlatformLaw {
    let Some(first) = sweeps.first() else {
        return PlatformLaw::from_fn(|_| 1.0);
    };
    let known = priors(&first.place.machine, first.place.launcher);
    let points: Vec<Ready> = sweeps
        .iter()
        .flat_map(|sweep| sweep.points.iter().map(|point| Ready::new(sweep, point)))
        .collect();
    let found = least_squares(&known, |logs| residuals(&law(logs), &points, SCATTER));
    law(&found)
}

/// `start` moved so that it meets `anchors` of `sweep`, as little as that takes.
pub(super) fn anchored(start: &PlatformLaw, sweep: &Sweep, anchors: &[Point]) -> PlatformLaw {
    let spreads = priors(&sweep.place.machine, sweep.place.launcher);
    let known: Vec<Prior> = logs(start)
        .into_iter()
        .zip(spreads)
        .map(|(centre, prior)| Prior {
            centre,
            spread: prior.spread.min(SWEEP_SPREAD),
        })
        .collect();
    let points: Vec<Ready> = anchors.iter().map(|point| Ready::new(sweep, point)).collect();
    let found = least_squares(&known, |logs| residuals(&law(logs), &points, ANCHOR_SCATTER));
    law(&found)
}

/// A measured point, ready to be asked many times.
struct Ready {
    call: Prepared,
    seconds: f64,
}

impl Ready {
    fn new(sweep: &Sweep, point: &Point) -> Self {
        Self {
            call: Prepared::new(&sweep.place.machine, &point.call),
            seconds: point.seconds,
        }
    }

    fn log_error(&self, law: &PlatformLaw) -> f64 {
        (self.call.seconds(law) / self.seconds).ln()
    }
}

fn residuals(law: &PlatformLaw, points: &[Ready], scatter: f64) -> Vec<f64> {
    points
        .iter()
        .map(|point| point.log_error(law) / scatter)
        .collect()
}

/// `ln(predicted / measured)` of a point.
pub(super) fn log_error(law: &PlatformLaw, sweep: &Sweep, point: &Point) -> f64 {
    Ready::new(sweep, point).log_error(law)
}

/// `count` sizes of a sweep from 1 MiB on: the smallest, the largest, the rest evenly between.
pub(super) fn anchors(sweep: &Sweep, count: usize) -> Vec<Point> {
    let large: Vec<Point> = sweep
        .points
        .iter()
        .copied()
        .filter(|point| point.call.bytes.get() >= LARGE)
        .collect();
    if count == 0 || large.is_empty() {
        return Vec::new();
    }
    let steps = count.saturating_sub(1).max(1);
    let mut at: Vec<usize> = (0..count).map(|i| i * (large.len() - 1) / steps).collect();
    at.dedup();
    at.into_iter().map(|i| large[i]).collect()
}

/// Sweeps by the name of their platform.
pub(super) fn by_platform(sweeps: &[Sweep]) -> BTreeMap<&str, Vec<&Sweep>> {
    let mut groups: BTreeMap<&str, Vec<&Sweep>> = BTreeMap::new();
    for sweep in sweeps.iter().filter(|sweep| !sweep.points.is_empty()) {
        groups.entry(&sweep.place.name).or_default().push(sweep);
    }
    groups
}

/// Every platform of `sweeps`, fitted; `progress` is told how many are, and whether to go on.
pub(super) fn platforms(sweeps: &[Sweep], progress: &mut dyn FnMut(usize) -> bool) -> PlatformSet {
    let platforms = by_platform(sweeps)
        .into_iter()
        .enumerate()
        .map_while(|(done, (name, group))| progress(done).then(|| platform(name, &group)))
        .collect();
    PlatformSet {
        schema: PlatformSet::SCHEMA.to_owned(),
        note: "Fitted to the sweeps in tests/truth/nccl by simulator/examples/fit_platforms.rs; times in us, rates in \
               GB/s, chunks in KiB. What a platform has no row for stays at its prior."
            .to_owned(),
        platforms,
    }
}

fn platform(name: &str, sweeps: &[&Sweep]) -> Platform {
    let exact = fit(sweeps);
    let law = PlatformLaw::from_fn(|parameter| rounded(exact.get(parameter)));
    let rows = |large: bool| -> Vec<f64> {
        let all = sweeps
            .iter()
            .flat_map(|sweep| sweep.points.iter().map(move |point| (sweep, point)));
        all.filter(|(_, point)| (point.call.bytes.get() >= LARGE) == large)
            .map(|(sweep, point)| log_error(&law, sweep, point))
            .collect()
    };
    let (small, large) = (rows(false), rows(true));
    Platform {
        name: name.to_owned(),
        sweeps: sweeps.iter().map(|sweep| sweep.name.clone()).collect(),
        rows: u32::try_from(small.len() + large.len()).unwrap_or(u32::MAX),
        // The size of the widest platforms where too few rows tell (assumption).
        spread_small: spread(&small).unwrap_or(0.15),
        spread_large: spread(&large).unwrap_or(0.15),
        law,
    }
}

/// Half the width that holds four fifths of the errors, as one standard deviation; none where fewer than five rows
/// tell.
pub(super) fn spread(errors: &[f64]) -> Option<f64> {
    if errors.len() < 5 {
        return None;
    }
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    Some(rounded((sizes[sizes.len() * 4 / 5] / HALF_WIDTH_80).max(0.005)))
}
