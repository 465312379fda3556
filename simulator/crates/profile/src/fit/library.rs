//! Fit of a library's kernel: parameters of its law, then what they leave.

use orrery_units::SimDuration;

use super::{Kriging, least_squares};
use crate::law::library::LibraryKernel;

/// Scatter of a row about a law without a residual: what the robust loss takes for a common error.
const LAW_SCATTER: f64 = 0.12;
/// Residuals are believed up to a factor of `exp(2) = 7.4` either way: beyond, a row is taken for a fault.
const MOST_RESIDUAL: f64 = 2.0;

/// A law with its parameters, and the residual about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LibraryFit {
    parameters: Vec<f64>,
    residual: Kriging,
}

impl LibraryFit {
    /// Fits `rows`, calls and their measured times. Without rows it is the law at its priors.
    #[must_use]
    pub fn new<K: LibraryKernel>(rows: &[(&K, SimDuration)]) -> Self {
        let logs = least_squares(&K::priors(), |logs| {
            let parameters = positive(logs);
            rows.iter()
                .map(|(call, time)| (call.seconds(&parameters) / time.as_secs()).ln() / LAW_SCATTER)
                .collect()
        });
        let parameters = positive(&logs);
        let left: Vec<f64> = rows
            .iter()
            .map(|(call, time)| {
                (time.as_secs() / call.seconds(&parameters))
                    .ln()
                    .clamp(-MOST_RESIDUAL, MOST_RESIDUAL)
            })
            .collect();
        let places = rows.iter().map(|(call, _)| call.coordinates()).collect();
        Self {
            parameters,
            residual: Kriging::new(K::components(), places, &left, K::SCATTER),
        }
    }

    /// The time of a call: `law · exp(residual)`.
    #[must_use]
    pub fn time<K: LibraryKernel>(&self, call: &K) -> SimDuration {
        let seconds = call.seconds(&self.parameters) * self.residual.at(&call.coordinates()).exp();
        SimDuration::from_secs(seconds)
    }
}

fn positive(logs: &[f64]) -> Vec<f64> {
    logs.iter().map(|log| log.exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Component, Prior};
    use super::*;

    /// A pass over memory of so many gigabytes, with a launch.
    struct Pass(f64);

    impl LibraryKernel for Pass {
        const SCATTER: f64 = 0.01;

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
            parameters[0] * self.0 + parameters[1]
        }

        fn coordinates(&self) -> Vec<f64> {
            vec![self.0.ln()]
        }
    }

    #[test]
    fn the_law_is_found_and_its_lack_is_learnt() {
        // 2 ms per GB and 5 us of launch; from 10 GB on a fifth slower, as no parameter can say.
        let truth = |size: f64| (2e-3 * size + 5e-6) * if size > 10.0 { 1.2 } else { 1.0 };
        let calls: Vec<Pass> = (-20..30).map(|at| Pass(1.3_f64.powi(at))).collect();
        let rows: Vec<(&Pass, SimDuration)> = calls
            .iter()
            .map(|call| (call, SimDuration::from_secs(truth(call.0))))
            .collect();
        let fit = LibraryFit::new(&rows);
        for size in [0.05, 1.1, 120.0] {
            let error = fit.time(&Pass(size)).as_secs() / truth(size) - 1.0;
            assert!(error.abs() < 0.02, "{size}: {error}");
        }
    }
}
