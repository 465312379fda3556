//! The OpenMetrics text of what is on the board, in one order, whatever came first.

use std::fmt;
use std::sync::Arc;

use orrery_telemetry::{Absence, Celsius, DeviceSample, Hertz, Origin, Reading, Sample, Throttle};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::Board;

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
/// A metric of a device: name, help, and how a device gives its value.
type Column = (&'static str, &'static str, fn(&DeviceSample) -> Reading<f64>);

const GAUGES: [Column; 17] = [
    (
        "orrery_gpu_utilization_ratio",
        "Share of time with a kernel running",
        |d| ratio(&d.utilization),
    ),
    ("orrery_gpu_memory_used_bytes", "Memory in use", |d| {
        bytes(&d.memory_used)
    }),
    ("orrery_gpu_memory_free_bytes", "Memory not in use", |d| {
        bytes(&d.memory_free)
    }),
    (
        "orrery_gpu_memory_reserved_bytes",
        "Memory kept by the driver",
        |d| bytes(&d.memory_reserved),
    ),
    ("orrery_gpu_memory_total_bytes", "All memory", |d| {
        bytes(&d.memory_total)
    }),
    ("orrery_gpu_power_watts", "Power drawn", |d| watts(&d.power)),
    ("orrery_gpu_power_limit_watts", "Power that may be drawn", |d| {
        watts(&d.power_limit)
    }),
    ("orrery_gpu_sm_clock_hertz", "Clock of the multiprocessors", |d| {
        hertz(&d.sm_clock)
    }),
    ("orrery_gpu_mem_clock_hertz", "Clock of the memory", |d| {
        hertz(&d.memory_clock)
    }),
    (
        "orrery_gpu_graphics_active_ratio",
        "Activity of the engine",
        |d| ratio(&d.activity.graphics),
    ),
    (
        "orrery_gpu_sm_active_ratio",
        "Activity of the multiprocessors",
        |d| ratio(&d.activity.sm),
    ),
    (
        "orrery_gpu_sm_occupancy_ratio",
        "Warps resident over possible",
        |d| ratio(&d.activity.occupancy),
    ),
    (
        "orrery_gpu_tensor_active_ratio",
        "Activity of the tensor pipes",
        |d| ratio(&d.activity.tensor),
    ),
    ("orrery_gpu_dram_active_ratio", "Share of memory bandwidth", |d| {
        ratio(&d.activity.dram)
    }),
    (
        "orrery_gpu_fp32_active_ratio",
        "Activity of the FP32 pipes",
        |d| ratio(&d.activity.fp32),
    ),
    (
        "orrery_gpu_nvlink_receive_bytes_per_second",
        "Received over NVLink",
        |d| rate(&d.activity.nvlink_receive),
    ),
    (
        "orrery_gpu_nvlink_transmit_bytes_per_second",
        "Sent over NVLink",
        |d| rate(&d.activity.nvlink_transmit),
    ),
];

/// Written by hand below because they carry a label or are counters.
const TEMPERATURE: &str = "orrery_gpu_temperature_celsius";
const ENERGY: &str = "orrery_gpu_energy_joules";
const THROTTLE: &str = "orrery_gpu_throttle_active";

fn ratio(reading: &Reading<Ratio>) -> Reading<f64> {
    reading.clone().map(Ratio::get)
}

fn bytes(reading: &Reading<Bytes>) -> Reading<f64> {
    reading.clone().map(Bytes::as_f64)
}

fn watts(reading: &Reading<Watts>) -> Reading<f64> {
    reading.clone().map(|Watts(watts)| watts)
}

fn hertz(reading: &Reading<Hertz>) -> Reading<f64> {
    reading.clone().map(Hertz::as_f64)
}

fn rate(reading: &Reading<BytesPerSec>) -> Reading<f64> {
    reading.clone().map(BytesPerSec::get)
}

/// The text of everything on `board`.
pub(crate) fn render(board: &Arc<Board>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(BoardCollector(board.clone())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct BoardCollector(Arc<Board>);

impl Collector for BoardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = self.0.latest();
        self.encode_self(&mut encoder, &samples)?;
        for (name, help, value) in GAUGES {
            let rows = rows(&samples, |device| {
                value(device).value().map(|&value| (Vec::new(), value))
            });
            gauge(&mut encoder, name, help, &rows)?;
        }
        encode_special(&mut encoder, &samples)?;
        encode_absent(&mut encoder, &samples)
    }
}

impl BoardCollector {
    /// The collector about itself and its sources.
    fn encode_self(&self, encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
        let statuses = self.0.statuses();
        gauge(
            encoder,
            "orrery_up",
            "The collector answers",
            &[(Vec::new(), 1.0)],
        )?;
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        gauge(encoder, "orrery_build_info", "What was built", &[(version, 1.0)])?;
        let sources: Vec<(Labels, f64)> = statuses
            .iter()
            .map(|status| {
                let labels = vec![("source", status.name.clone()), ("reason", status.reason.clone())];
                (labels, f64::from(u8::from(status.is_up())))
            })
            .collect();
        gauge(
            encoder,
            "orrery_source_up",
            "The source gives samples, or the reason why not",
            &sources,
        )?;
        let mut family = encoder.encode_descriptor(
            "orrery_source_dropped",
            "Samples that nobody could receive",
            None,
            MetricType::Counter,
        )?;
        for status in &statuses {
            family
                .encode_family(&vec![("source", status.name.clone())])?
                .encode_counter::<NoLabelSet, _, f64>(&status.dropped, None)?;
        }
        let collected: Vec<(Labels, f64)> = samples
            .iter()
            .map(|sample| (source_labels(sample), sample.taken.as_secs()))
            .collect();
        let help = "When the source was last read";
        gauge(encoder, "orrery_last_collect_timestamp_seconds", help, &collected)?;
        let info = rows(samples, |device| {
            Some((vec![("model", device.identity.model.clone())], 1.0))
        });
        gauge(encoder, "orrery_gpu_info", "Which device it is", &info)
    }
}

/// Metrics with a label of their own, and the counter.
fn encode_special(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
    let temperature = rows(samples, |device| {
        let &Celsius(degrees) = device.temperature.value()?;
        Some((vec![("sensor", "gpu".to_owned())], degrees))
    });
    gauge(encoder, TEMPERATURE, "Temperature", &temperature)?;
    let mut throttles = Vec::new();
    for throttle in Throttle::ALL {
        throttles.extend(rows(samples, |device| {
            let active = device.throttles.value()?.contains(&throttle);
            let labels = vec![("reason", throttle.name().to_owned())];
            Some((labels, f64::from(u8::from(active))))
        }));
    }
    gauge(
        encoder,
        THROTTLE,
        "This reason holds the clocks down now",
        &throttles,
    )?;
    let energy = rows(samples, |device| {
        let &Joules(joules) = device.energy.value()?;
        Some((Vec::new(), joules))
    });
    if energy.is_empty() {
        return Ok(());
    }
    let help = "Energy since the driver was loaded";
    let mut family = encoder.encode_descriptor(ENERGY, help, None, MetricType::Counter)?;
    for (labels, joules) in &energy {
        family
            .encode_family(labels)?
            .encode_counter::<NoLabelSet, _, f64>(joules, None)?;
    }
    Ok(())
}

/// What was not read, with the reason: an absent reading is never a number.
fn encode_absent(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
    let mut absent = Vec::new();
    let mut add = |name: &'static str, reason: &dyn Fn(&DeviceSample) -> Option<Absence>| {
        absent.extend(rows(samples, |device| {
            let reason = reason(device)?.to_string();
            Some((vec![("metric", name.to_owned()), ("reason", reason)], 0.0))
        }));
    };
    for (name, _, value) in GAUGES {
        add(name, &|device| value(device).absence().cloned());
    }
    add(TEMPERATURE, &|device| device.temperature.absence().cloned());
    add(THROTTLE, &|device| device.throttles.absence().cloned());
    add("orrery_gpu_energy_joules_total", &|device| {
        device.energy.absence().cloned()
    });
    gauge(
        encoder,
        "orrery_metric_supported",
        "0 with the reason where a metric is absent",
        &absent,
    )
}

/// One row for each device for which `value` gives labels and a number.
fn rows(samples: &[Sample], value: impl Fn(&DeviceSample) -> Option<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let devices = samples
        .iter()
        .flat_map(|sample| sample.devices.iter().map(move |device| (sample, device)));
    devices
        .filter_map(|(sample, device)| {
            let (more, value) = value(device)?;
            let mut labels = source_labels(sample);
            labels.push(("node", device.identity.node.clone()));
            labels.push(("gpu", device.identity.index.to_string()));
            labels.push(("uuid", device.identity.uuid.clone()));
            labels.extend(more);
            Some((labels, value))
        })
        .collect()
}

/// Where a number is from; a made-up one says so itself.
fn source_labels(sample: &Sample) -> Labels {
    let mut labels = vec![("source", sample.source.clone())];
    match sample.origin {
        Origin::Live => {}
        Origin::Demo => labels.push(("demo", "true".to_owned())),
        Origin::Fake => labels.push(("fake", "true".to_owned())),
    }
    labels
}

/// A gauge with its rows; nothing at all when there are none.
fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[(Labels, f64)]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        if labels.is_empty() {
            family.encode_gauge(value)?;
        } else {
            family.encode_family(labels)?.encode_gauge(value)?;
        }
    }
    Ok(())
}
