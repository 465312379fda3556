//! The numbers of a sample one by one, under the names of the export, for what keeps them.

use std::fmt;

use orrery_telemetry::{DeviceIdentity, Sample};
use prometheus_client::metrics::MetricType;

use super::table::{self, Metric};
use super::{Labels, Number, place_labels};

/// One number of a sample.
pub(crate) struct Point<'a> {
    sample: &'a Sample,
    metric: &'static Metric,
    /// Of which device.
    pub(crate) device: &'a DeviceIdentity,
    /// What the metric adds to the labels of the device.
    pub(crate) own_labels: Labels,
    number: Number,
}

impl Point<'_> {
    /// The name without its unit, which tells metrics apart as well as the whole name does.
    pub(crate) fn short_name(&self) -> &'static str {
        self.metric.name
    }

    /// The name as `/metrics` prints it.
    pub(crate) fn full_name(&self) -> String {
        self.metric.full_name()
    }

    /// All labels, as `/metrics` prints them.
    pub(crate) fn labels(&self) -> Labels {
        let mut labels = place_labels(self.sample, self.device);
        labels.extend(self.own_labels.iter().cloned());
        labels
    }

    /// The number.
    #[expect(clippy::cast_precision_loss, reason = "bytes and hertz are far below 2^53")]
    pub(crate) fn value(&self) -> f64 {
        match self.number {
            Number::Whole(number) => number as f64,
            Number::Real(number) => number,
        }
    }

    /// Whether it counts, or is a whole number: such a number means nothing rounded.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.number, Number::Whole(_)) || matches!(self.metric.kind, MetricType::Counter)
    }
}

impl fmt::Debug for Point<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}: {:?}", self.metric.name, self.device, self.number)
    }
}

/// Every number of `sample`; an absent reading has none.
pub(crate) fn points(sample: &Sample) -> impl Iterator<Item = Point<'_>> {
    sample.devices.iter().flat_map(move |device| {
        table::all().flat_map(move |metric| {
            let rows = (metric.rows)(device).into_iter();
            rows.filter_map(move |(own_labels, number)| {
                Some(Point {
                    sample,
                    metric,
                    device: &device.identity,
                    own_labels,
                    number: *number.value()?,
                })
            })
        })
    })
}
