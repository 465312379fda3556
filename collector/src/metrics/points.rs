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
    /// The name and the unit, which together tell metrics apart as well as the whole name does.
    pub(crate) fn short_name(&self) -> (&'static str, Option<&'static str>) {
        (self.metric.name, self.metric.unit)
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

/// Whether a number is the traffic of one link of many: 18 links of eight devices are 288 curves, each of a counter
/// that never repeats. The rate over all links is kept instead, where a device tells it; what is wrong with one link is
/// kept by link.
fn is_one_of_many(metric: &Metric, own_labels: &Labels) -> bool {
    metric.unit == Some("bytes")
        && own_labels
            .iter()
            .any(|(label, link)| *label == "link" && link != "all")
}

/// Whether a number is of a process: every process that ever ran would be a series of its own.
fn is_of_a_process(own_labels: &Labels) -> bool {
    own_labels.iter().any(|(label, _)| *label == "pid")
}

/// Every number of `sample` that is worth keeping; an absent reading has none.
pub(crate) fn points(sample: &Sample) -> impl Iterator<Item = Point<'_>> {
    sample.devices.iter().flat_map(move |device| {
        table::all().flat_map(move |metric| {
            let rows = (metric.rows)(device).into_iter();
            let rows = rows.filter(move |(own_labels, _)| {
                !is_one_of_many(metric, own_labels) && !is_of_a_process(own_labels)
            });
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

#[cfg(test)]
mod tests {
    use orrery_telemetry::{
        Absence, DeviceSample, JobContext, Link, LinkErrors, Origin, Process, Reading, UnixTime,
    };
    use orrery_units::{Bytes, SimTime};

    use super::*;

    #[test]
    fn traffic_of_single_links_and_single_processes_is_not_kept_and_errors_of_links_are() {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 0,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        let link = |index| Link {
            index,
            is_active: true,
            receive: Reading::Value(Bytes::new(5)),
            transmit: Reading::Value(Bytes::new(5)),
            errors: LinkErrors {
                replay: Reading::Value(0),
                ..LinkErrors::absent(&Absence::NotSupported)
            },
        };
        device.nvlink.links = Reading::Value(vec![link(0), link(1)].into());
        device.pcie.receive = Reading::Value(Bytes::new(7));
        let process = Process {
            pid: 17,
            name: "python".to_owned(),
            memory: Reading::Value(Bytes::new(9)),
            gpu_instance: None,
            job: JobContext::default(),
        };
        device.processes = Reading::Value(vec![process]);
        let sample = Sample {
            source: "nvml".to_owned(),
            origin: Origin::Live,
            sequence: 0,
            at: SimTime::ZERO,
            taken: UnixTime::from_millis(0),
            devices: vec![device],
            host: None,
            collectives: Vec::new(),
        };
        let names: Vec<String> = points(&sample).map(|point| point.full_name()).collect();
        let count = |name: &str| names.iter().filter(|known| *known == name).count();
        assert_eq!(count("orrery_gpu_nvlink_receive_bytes_total"), 0, "{names:?}");
        assert_eq!(count("orrery_gpu_nvlink_errors_total"), 2, "{names:?}");
        assert_eq!(count("orrery_gpu_pcie_receive_bytes_total"), 1, "{names:?}");
        assert!(
            !names.iter().any(|name| name.contains("process_memory")),
            "{names:?}"
        );
    }
}
