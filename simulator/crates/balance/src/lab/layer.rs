//! The time of a layer whose devices have their loads.

use orrery_units::SimDuration;

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
    /// What a device waits at combine, in the mean.
    pub wait: f64,
    /// Largest over mean rows of a device.
    pub imbalance: f64,
}

impl LayerTime {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> f64 {
        self.dispatch + self.experts + self.combine
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
    /// `dispatch = latency + max(network rows · bytes / rate, node rows · bytes / rate)` over devices; combine likewise
    /// the other way; between them the slowest device's experts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    pub fn layer(&self, loads: &mut Loads, links: f64) -> LayerTime {
        let Loads {
            rows,
            active,
            padded,
            from_node,
            from_network,
            bounds,
            ..
        } = loads;
        let (mut slowest, mut seconds) = (0.0_f64, 0.0);
        for own in self.experts.of_all(rows, active, padded, bounds) {
            slowest = larger(slowest, own);
            seconds += own;
        }
        let count = rows.len() as f64;
        let all: f64 = rows.iter().sum();
        let ports = |token: f64| {
            (largest(from_network) * token / self.network.get())
                .max(largest(from_node) * token / self.node.get())
        };
        let exchange = |token: f64| self.passes.exchanges * (self.latency.as_secs() + ports(token) / links);
        LayerTime {
            dispatch: exchange(self.dispatch_token.as_f64()),
            experts: self.passes.products * slowest,
            combine: exchange(self.combine_token.as_f64()),
            // Rounding may leave less than nothing where all are alike.
            wait: self.passes.products * (slowest - seconds / count).max(0.0),
            imbalance: if all > 0.0 {
                largest(rows) * count / all
            } else {
                1.0
            },
        }
    }

    /// The time of a device's experts in a step.
    #[must_use]
    pub fn device_seconds(&self, device: &DeviceLoad) -> f64 {
        self.passes.products * self.experts.seconds(device.rows, device.active, device.padded)
    }
}

/// The larger of two numbers. Not `max`, which has to mind what is none.
const fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

fn largest(column: &[f64]) -> f64 {
    column.iter().copied().fold(0.0, larger)
}
