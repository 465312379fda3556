//! The time of a layer whose devices have their loads.

use orrery_units::SimDuration;

use super::exchange::larger;
use super::{DeviceLoad, Loads, Machine};
use crate::placement::{largest, max_over_mean};

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

impl Machine {
    /// The terms of the time of a layer whose devices have these loads, its exchanges with `links` of their bandwidth.
    ///
    /// `dispatch = latency + max(network rows · bytes / rate, node rows · bytes / rate)` over the ports of all devices,
    /// the first of a step's by [`first_dispatch`](Self::first_dispatch) longer; combine likewise the other way; between
    /// them the slowest device's experts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    #[inline(always)]
    pub fn layer(&self, loads: &mut Loads, links: f64) -> LayerTime {
        let (slowest, seconds) = self
            .experts
            .slowest_and_sum(&loads.rows, &loads.active, &loads.padded);
        let (network, node) = (largest(&loads.network), largest(&loads.node));
        let exchange = |token: f64, times: f64| {
            let ports = larger(
                network * token / self.network.get(),
                node * token / self.node.get(),
            );
            self.passes.exchanges * self.latency.as_secs() + times * ports / links
        };
        let first = self.first_dispatch - 1.0;
        LayerTime {
            dispatch: exchange(self.dispatch_token.as_f64(), self.passes.exchanges + first),
            experts: self.passes.products * slowest,
            combine: exchange(self.combine_token.as_f64(), self.passes.exchanges),
            upkeep: 0.0,
            // Rounding may leave less than nothing where all are alike.
            wait: self.passes.products * larger(slowest - seconds / loads.rows.len() as f64, 0.0),
            imbalance: max_over_mean(&loads.rows),
        }
    }

    /// The time of a device's experts in a step.
    #[must_use]
    pub fn device_seconds(&self, device: &DeviceLoad) -> f64 {
        self.passes.products * self.experts.seconds(device.rows, device.active, device.padded)
    }
}
