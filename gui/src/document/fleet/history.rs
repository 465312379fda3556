//! The last minutes of a device.

use std::collections::VecDeque;

use orrery_telemetry::DeviceSample;

use super::FleetMetric;

/// How long a value is kept, in seconds.
pub const KEPT: f64 = 300.0;
/// Values closer than this to the one before are left out, in seconds: a point for each pixel is enough.
const CLOSEST: f64 = 0.5;

/// Values of a device at one instant, one for each metric; `None` where it was absent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    at: f64,
    values: [Option<f32>; FleetMetric::ALL.len()],
}

/// The last minutes of a device, on the clock of the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(VecDeque<Point>);

impl History {
    /// Adds what was heard at `now`, and lets go what is too old.
    pub(super) fn add(&mut self, now: f64, device: &DeviceSample) {
        if self.0.back().is_some_and(|last| now - last.at < CLOSEST) {
            return;
        }
        while self.0.front().is_some_and(|first| now - first.at > KEPT) {
            self.0.pop_front();
        }
        // Half the digits are enough for a picture.
        let values = FleetMetric::ALL.map(|metric| metric.of(device).ok().map(|value| value as f32));
        self.0.push_back(Point { at: now, values });
    }

    /// The values of `metric` in the order of time, each with its instant in seconds of the window's clock.
    pub fn values(&self, metric: FleetMetric) -> impl Iterator<Item = (f64, Option<f64>)> {
        let column = FleetMetric::ALL.iter().position(|&other| other == metric);
        let column = column.expect("every metric is among all");
        let points = self.0.iter();
        points.map(move |point| (point.at, point.values[column].map(f64::from)))
    }
}
