//! Fit of a library's kernel: parameters of its law, then what they leave.

use std::collections::BTreeMap;

use orrery_units::SimDuration;

use super::kriging::covariance;
use super::{Component, Kriging, Prior, least_squares};
use crate::law::library::LibraryKernel;

/// Scatter of a row about a law without a residual: what the robust loss takes for a common error.
const LAW_SCATTER: f64 = 0.12;
/// Residuals are believed up to a factor of `exp(2) = 7.4` either way: beyond, a row is taken for a fault.
const MOST_RESIDUAL: f64 = 2.0;
/// Rows that parameters are fitted to: more of them tell a dozen parameters nothing new.
const MOST_ROWS: usize = 1500;
/// How far a device's parameters lie from those of all devices, over how far these lie from their priors.
const OWN_SPREAD: f64 = 0.5;
/// The part of a residual that all devices and releases share, and the logarithm of a peak over which the rest changes;
/// releases differ by whole numbers, many such lengths.
const KIN: (f64, f64) = (0.5, 0.3);
/// How far a device and release is off as a whole beyond its parameters.
const OFFSET: f64 = 0.1;
/// Rows whose neighbours of other shapes tell how far shapes lie apart.
const PAIRS: usize = 200;

/// A call and what it took.
#[derive(Debug)]
pub struct LibraryRow<'a, K> {
    /// The call.
    pub call: &'a K,
    /// A number for each release of the library, in any order.
    pub release: u32,
    /// Measured.
    pub time: SimDuration,
}

/// A law with its parameters on each device and release, and the residual about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LibraryFit {
    /// Where each lies, and its parameters.
    parameters: Vec<([f64; 3], Vec<f64>)>,
    residual: Kriging,
}

impl LibraryFit {
    /// Fits `rows` of one device and release of a library or of several. Without rows it is the law at its priors.
    ///
    /// Parameters of all rows together are the priors of those of each device and release; residuals are shared the more
    /// the closer two data sheets are. A device or release without a row takes the parameters of the closest.
    #[must_use]
    pub fn new<K: LibraryKernel>(rows: &[LibraryRow<'_, K>]) -> Self {
        let mut own: BTreeMap<[u64; 3], Vec<&LibraryRow<'_, K>>> = BTreeMap::new();
        for row in rows {
            let whose = whose(row.call, row.release).map(f64::to_bits);
            own.entry(whose).or_default().push(row);
        }
        let all: Vec<&LibraryRow<'_, K>> = rows.iter().collect();
        let common = parameters(&K::priors(), &all);
        let priors: Vec<Prior> = K::priors()
            .iter()
            .zip(&common)
            .map(|(prior, &centre)| Prior {
                centre,
                spread: prior.spread * OWN_SPREAD,
            })
            .collect();
        let parameters: Vec<([f64; 3], Vec<f64>)> = match own.len() {
            0 | 1 => vec![(
                own.keys()
                    .next()
                    .map_or([0.0; 3], |whose| whose.map(f64::from_bits)),
                positive(&common),
            )],
            _ => own
                .iter()
                .map(|(whose, rows)| (whose.map(f64::from_bits), positive(&parameters(&priors, rows))))
                .collect(),
        };
        let left: Vec<f64> = rows
            .iter()
            .map(|row| {
                let law = row
                    .call
                    .seconds(closest(&parameters, whose(row.call, row.release)));
                (row.time.as_secs() / law)
                    .ln()
                    .clamp(-MOST_RESIDUAL, MOST_RESIDUAL)
            })
            .collect();
        let places: Vec<Vec<f64>> = rows.iter().map(|row| place(row.call, row.release)).collect();
        let components = components::<K>(&places, &left);
        Self {
            parameters,
            residual: Kriging::new(components, &places, &left, K::SCATTER),
        }
    }

    /// The parameters of the law for a call's device and a release, in the order of its priors.
    #[must_use]
    pub fn parameters<K: LibraryKernel>(&self, call: &K, release: u32) -> &[f64] {
        closest(&self.parameters, whose(call, release))
    }

    /// The time of a call under a release: `law · exp(residual)`.
    #[must_use]
    pub fn time<K: LibraryKernel>(&self, call: &K, release: u32) -> SimDuration {
        let law = call.seconds(self.parameters(call, release));
        SimDuration::from_secs(law * self.residual.at(&place(call, release)).exp())
    }
}

/// Logarithms of the peak and the bandwidth of a call's device, and its release.
fn whose<K: LibraryKernel>(call: &K, release: u32) -> [f64; 3] {
    let peaks = call.peaks();
    [
        peaks.rate.get().ln(),
        peaks.bandwidth.get().ln(),
        f64::from(release),
    ]
}

/// Coordinates of a call, and behind them those of its device and release.
fn place<K: LibraryKernel>(call: &K, release: u32) -> Vec<f64> {
    let mut place = call.coordinates();
    place.extend(whose(call, release));
    place
}

/// The parameters of the device and release that are most like `wanted`. Another release counts as much as half the peak.
fn closest(known: &[([f64; 3], Vec<f64>)], wanted: [f64; 3]) -> &[f64] {
    let far = |of: [f64; 3]| {
        let released = if (of[2] - wanted[2]).abs() < 0.5 { 0.0 } else { 0.5 };
        (of[0] - wanted[0]).powi(2) + (of[1] - wanted[1]).powi(2) + released
    };
    let found = known.iter().min_by(|a, b| far(a.0).total_cmp(&far(b.0)));
    found.map_or(&[], |(_, parameters)| parameters)
}

/// Logarithms of the parameters that `rows` have, evenly taken where there are many.
fn parameters<K: LibraryKernel>(priors: &[Prior], rows: &[&LibraryRow<'_, K>]) -> Vec<f64> {
    let every = rows.len().div_ceil(MOST_ROWS).max(1);
    least_squares(priors, |logs| {
        let parameters = positive(logs);
        rows.iter()
            .step_by(every)
            .map(|row| (row.call.seconds(&parameters) / row.time.as_secs()).ln() / LAW_SCATTER)
            .collect()
    })
}

/// How the residuals `left` at `places` vary: as the kind of call says, partly with the device, and from shape to shape by
/// the kernel that the library picked, as much as neighbours of other shapes differ beyond that.
fn components<K: LibraryKernel>(places: &[Vec<f64>], left: &[f64]) -> Vec<Component> {
    let Some(own) = places.first().map(|place| place.len() - 3) else {
        return K::components();
    };
    let (share, length) = KIN;
    let whose = [own, own + 1, own + 2];
    let kin = |component: Component| component.partly(share, &whose.map(|at| (at, length)));
    let mut components: Vec<Component> = K::components().into_iter().map(kin).collect();
    let apart = apart::<K>(&components, places, left);
    components.push(kin(Component::apart(apart, K::SHAPE)));
    components.push(Component::apart(OFFSET, &whose));
    components
}

/// How far residuals of neighbouring shapes lie apart beyond what `components` expect: half the median square of their
/// differences (over 0.455, which that of a normal scatter is), less its expectation.
fn apart<K: LibraryKernel>(components: &[Component], places: &[Vec<f64>], left: &[f64]) -> f64 {
    let same = |a: &[f64], b: &[f64]| K::SHAPE.iter().all(|&at| (a[at] - b[at]).abs() < 1e-9);
    let every = places.len().div_ceil(PAIRS).max(1);
    let mut excess: Vec<f64> = Vec::with_capacity(PAIRS);
    for (at, here) in places.iter().enumerate().step_by(every) {
        let other = (0..places.len())
            .filter(|&other| !same(here, &places[other]))
            .map(|other| (covariance(components, here, &places[other]), other))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        if let Some((alike, other)) = other {
            let whole = covariance(components, here, here);
            let expected = whole - alike + K::SCATTER * K::SCATTER;
            excess.push((left[at] - left[other]).powi(2) / (2.0 * 0.455) - expected);
        }
    }
    excess.sort_by(f64::total_cmp);
    let median = excess.get(excess.len() / 2).copied().unwrap_or(0.0);
    median.clamp(0.0, 0.25).sqrt()
}

fn positive(logs: &[f64]) -> Vec<f64> {
    logs.iter().map(|log| log.exp()).collect()
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec, FlopsPerSec};

    use super::*;
    use crate::law::library::Peaks;

    /// A pass over memory of so many gigabytes, with a launch, on a device of so many TB/s.
    struct Pass(f64, Peaks);

    fn pass(size: f64, bandwidth: f64) -> Pass {
        let peaks = Peaks {
            rate: FlopsPerSec::new(1e15),
            bandwidth: BytesPerSec::new(bandwidth * 1e12),
            num_units: 100,
            cache: Bytes::new(50_000_000),
        };
        Pass(size, peaks)
    }

    fn row(call: &Pass, seconds: f64) -> LibraryRow<'_, Pass> {
        LibraryRow {
            call,
            release: 0,
            time: SimDuration::from_secs(seconds),
        }
    }

    impl LibraryKernel for Pass {
        const SCATTER: f64 = 0.01;
        const SHAPE: &'static [usize] = &[0];

        fn peaks(&self) -> &Peaks {
            &self.1
        }

        fn priors() -> Vec<Prior> {
            let prior = |value: f64| Prior {
                centre: value.ln(),
                spread: 1.0,
            };
            vec![prior(1e-3), prior(1e-6)]
        }

        fn components() -> Vec<Component> {
            vec![Component::smooth(0.1, &[(0, 1.0)])]
        }

        fn seconds(&self, parameters: &[f64]) -> f64 {
            parameters[0] * self.0 * 1e12 / self.1.bandwidth.get() + parameters[1]
        }

        fn coordinates(&self) -> Vec<f64> {
            vec![self.0.ln()]
        }
    }

    #[test]
    fn the_law_is_found_and_its_lack_is_learnt() {
        // 2 ms per GB and 5 us of launch; from 10 GB on a fifth slower, as no parameter can say.
        let truth = |size: f64| (2e-3 * size + 5e-6) * if size > 10.0 { 1.2 } else { 1.0 };
        let calls: Vec<Pass> = (-20..30).map(|at| pass(1.3_f64.powi(at), 1.0)).collect();
        let rows: Vec<LibraryRow<'_, Pass>> = calls.iter().map(|call| row(call, truth(call.0))).collect();
        let fit = LibraryFit::new(&rows);
        for size in [0.05, 1.1, 120.0] {
            let error = fit.time(&pass(size, 1.0), 0).as_secs() / truth(size) - 1.0;
            assert!(error.abs() < 0.02, "{size}: {error}");
            // A device of twice the bandwidth that nobody measured.
            let other = fit.time(&pass(size, 2.0), 0).as_secs();
            let expected = (1e-3 * size + 5e-6) * if size > 10.0 { 1.2 } else { 1.0 };
            assert!(
                (other / expected - 1.0).abs() < 0.12,
                "{size}: {other}, not {expected}"
            );
        }
    }

    /// Two devices, one a fifth slower than the other's data sheet tells: each keeps its own rate where both were measured.
    #[test]
    fn devices_keep_their_own_parameters() {
        let truth = |call: &Pass| {
            let bandwidth = call.1.bandwidth.get() / 1e12;
            (2e-3 * call.0 / bandwidth + 5e-6) * if bandwidth > 1.5 { 1.2 } else { 1.0 }
        };
        let calls: Vec<Pass> = (-20..30)
            .flat_map(|at| [1.0, 4.0].map(|bandwidth| pass(1.3_f64.powi(at), bandwidth)))
            .collect();
        let rows: Vec<LibraryRow<'_, Pass>> = calls.iter().map(|call| row(call, truth(call))).collect();
        let fit = LibraryFit::new(&rows);
        for call in [pass(0.7, 1.0), pass(0.7, 4.0), pass(90.0, 1.0), pass(90.0, 4.0)] {
            let error = fit.time(&call, 0).as_secs() / truth(&call) - 1.0;
            assert!(
                error.abs() < 0.02,
                "{} at {:?}: {error}",
                call.0,
                call.1.bandwidth
            );
        }
    }
}
