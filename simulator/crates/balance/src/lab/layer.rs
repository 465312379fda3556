//! The time of a layer whose devices have their loads.

use std::array;
use std::ops::AddAssign;

use orrery_units::SimDuration;

use super::exchange::larger;
use super::{DeviceLoad, Loads, Machine};

/// The terms of a layer's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerTime {
    /// Dispatch, by its busiest port.
    pub dispatch: f64,
    /// Experts of the slowest device.
    pub experts: f64,
    /// Combine, by its busiest port.
    pub combine: f64,
    /// What replicas take besides: parameters of shadows on their way, gradients that are summed.
    pub upkeep: f64,
    /// What a device waits at combine, in the mean.
    pub wait: f64,
    /// Largest over mean rows of a device.
    pub imbalance: f64,
}

impl AddAssign for LayerTime {
    /// Term by term.
    fn add_assign(&mut self, other: Self) {
        self.dispatch += other.dispatch;
        self.experts += other.experts;
        self.combine += other.combine;
        self.upkeep += other.upkeep;
        self.wait += other.wait;
        self.imbalance += other.imbalance;
    }
}

impl LayerTime {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> f64 {
        self.dispatch + self.experts + self.combine + self.upkeep
    }

    /// The same as a duration of the simulator.
    #[must_use]
    pub fn duration(&self) -> SimDuration {
        SimDuration::from_secs(self.total())
    }
}

/// The terms of a layer's time in `N` steps side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerTimes<const N: usize> {
    dispatch: [f64; N],
    experts: [f64; N],
    combine: [f64; N],
    wait: [f64; N],
    imbalance: [f64; N],
}

impl<const N: usize> LayerTimes<N> {
    /// Those of one of the steps, without what replicas take besides.
    #[must_use]
    pub const fn of(&self, step: usize) -> LayerTime {
        LayerTime {
            dispatch: self.dispatch[step],
            experts: self.experts[step],
            combine: self.combine[step],
            upkeep: 0.0,
            wait: self.wait[step],
            imbalance: self.imbalance[step],
        }
    }
}

impl Machine {
    /// The terms of the time of a layer whose devices have these loads, its exchanges with `links` of their bandwidth.
    ///
    /// `dispatch = latency + max(network rows · bytes / rate, node rows · bytes / rate)` over the ports of all devices,
    /// the first of a step's by [`first_dispatch`](Self::first_dispatch) longer; combine likewise the other way; between
    /// them the slowest device's experts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    #[inline(always)]
    pub fn layer<const N: usize>(&self, loads: &Loads<N>, links: f64) -> LayerTimes<N> {
        let (mut slowest, mut seconds) = ([0.0; N], [0.0; N]);
        let columns = loads.rows.iter().zip(&loads.active).zip(&loads.padded);
        for ((rows, active), padded) in columns {
            let own = self.experts.side_by_side(rows, active, padded);
            for at in 0..N {
                slowest[at] = larger(slowest[at], own[at]);
                seconds[at] += own[at];
            }
        }
        let (network, node) = (largest(&loads.network), largest(&loads.node));
        let exchange = |token: f64, times: f64| {
            array::from_fn(|at| {
                let ports = larger(
                    network[at] * token / self.network.get(),
                    node[at] * token / self.node.get(),
                );
                self.passes.exchanges * self.latency.as_secs() + times * ports / links
            })
        };
        let first = self.first_dispatch - 1.0;
        let (most, sum) = (largest(&loads.rows), sum(&loads.rows));
        let devices = loads.rows.len() as f64;
        LayerTimes {
            dispatch: exchange(self.dispatch_token.as_f64(), self.passes.exchanges + first),
            experts: slowest.map(|slowest| self.passes.products * slowest),
            combine: exchange(self.combine_token.as_f64(), self.passes.exchanges),
            // Rounding may leave less than nothing where all are alike.
            wait: array::from_fn(|at| {
                self.passes.products * larger(slowest[at] - seconds[at] / devices, 0.0)
            }),
            imbalance: array::from_fn(|at| {
                if sum[at] > 0.0 {
                    most[at] * devices / sum[at]
                } else {
                    1.0
                }
            }),
        }
    }

    /// The time of a device's experts in a step.
    #[must_use]
    pub fn device_seconds(&self, device: &DeviceLoad) -> f64 {
        self.passes.products * self.experts.seconds(device.rows, device.active, device.padded)
    }
}

/// The largest of each step's, nothing at least.
#[inline(always)]
fn largest<const N: usize>(column: &[[f64; N]]) -> [f64; N] {
    column.iter().fold([0.0; N], |mut most, own| {
        for (most, &own) in most.iter_mut().zip(own) {
            *most = larger(*most, own);
        }
        most
    })
}

/// The sum of each step's.
#[inline(always)]
pub(super) fn sum<const N: usize>(column: &[[f64; N]]) -> [f64; N] {
    column.iter().fold([0.0; N], |mut sum, own| {
        for (sum, &own) in sum.iter_mut().zip(own) {
            *sum += own;
        }
        sum
    })
}
