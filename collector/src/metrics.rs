//! The OpenMetrics text of what is on the board, in one order, whatever came first.

use std::fmt;
use std::sync::Arc;

use orrery_telemetry::{Absence, Celsius, DeviceSample, Hertz, Origin, Reading, Sample, Throttle};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::Board;

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// A value as it is printed.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// Without a point.
    Whole(u64),
    Real(f64),
}

/// A gauge of a device.
struct Gauge {
    /// The name without its unit.
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: fn(&DeviceSample) -> Reading<Number>,
}

const fn gauge_of(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: fn(&DeviceSample) -> Reading<Number>,
) -> Gauge {
    Gauge {
        name,
        unit,
        help,
        value,
    }
}

const GAUGES: [Gauge; 17] = [
    gauge_of(
        "orrery_gpu_utilization",
        "ratio",
        "Share of time with a kernel running",
        |d| ratio(&d.utilization),
    ),
    gauge_of("orrery_gpu_memory_used", "bytes", "Memory in use", |d| {
        bytes(&d.memory_used)
    }),
    gauge_of("orrery_gpu_memory_free", "bytes", "Memory not in use", |d| {
        bytes(&d.memory_free)
    }),
    gauge_of(
        "orrery_gpu_memory_reserved",
        "bytes",
        "Memory kept by the driver",
        |d| bytes(&d.memory_reserved),
    ),
    gauge_of("orrery_gpu_memory_total", "bytes", "All memory", |d| {
        bytes(&d.memory_total)
    }),
    gauge_of("orrery_gpu_power", "watts", "Power drawn", |d| watts(&d.power)),
    gauge_of(
        "orrery_gpu_power_limit",
        "watts",
        "Power that may be drawn",
        |d| watts(&d.power_limit),
    ),
    gauge_of(
        "orrery_gpu_sm_clock",
        "hertz",
        "Clock of the multiprocessors",
        |d| hertz(&d.sm_clock),
    ),
    gauge_of("orrery_gpu_mem_clock", "hertz", "Clock of the memory", |d| {
        hertz(&d.memory_clock)
    }),
    gauge_of(
        "orrery_gpu_graphics_active",
        "ratio",
        "Activity of the engine",
        |d| ratio(&d.activity.graphics),
    ),
    gauge_of(
        "orrery_gpu_sm_active",
        "ratio",
        "Activity of the multiprocessors",
        |d| ratio(&d.activity.sm),
    ),
    gauge_of(
        "orrery_gpu_sm_occupancy",
        "ratio",
        "Warps resident over possible",
        |d| ratio(&d.activity.occupancy),
    ),
    gauge_of(
        "orrery_gpu_tensor_active",
        "ratio",
        "Activity of the tensor pipes",
        |d| ratio(&d.activity.tensor),
    ),
    gauge_of(
        "orrery_gpu_dram_active",
        "ratio",
        "Share of memory bandwidth",
        |d| ratio(&d.activity.dram),
    ),
    gauge_of(
        "orrery_gpu_fp32_active",
        "ratio",
        "Activity of the FP32 pipes",
        |d| ratio(&d.activity.fp32),
    ),
    gauge_of(
        "orrery_gpu_nvlink_receive",
        "bytes_per_second",
        "Received over NVLink",
        |d| rate(&d.activity.nvlink_receive),
    ),
    gauge_of(
        "orrery_gpu_nvlink_transmit",
        "bytes_per_second",
        "Sent over NVLink",
        |d| rate(&d.activity.nvlink_transmit),
    ),
];

/// Written by hand below because they carry a label or are counters.
const TEMPERATURE: &str = "orrery_gpu_temperature";
const ENERGY: &str = "orrery_gpu_energy";
const THROTTLE: &str = "orrery_gpu_throttle_active";

fn ratio(reading: &Reading<Ratio>) -> Reading<Number> {
    reading.clone().map(|ratio| Number::Real(ratio.get()))
}

fn bytes(reading: &Reading<Bytes>) -> Reading<Number> {
    reading.clone().map(|bytes| Number::Whole(bytes.get()))
}

fn watts(reading: &Reading<Watts>) -> Reading<Number> {
    reading.clone().map(|Watts(watts)| Number::Real(watts))
}

fn hertz(reading: &Reading<Hertz>) -> Reading<Number> {
    reading.clone().map(|clock| Number::Whole(clock.get()))
}

fn rate(reading: &Reading<BytesPerSec>) -> Reading<Number> {
    reading.clone().map(|rate| Number::Real(rate.get()))
}

impl From<bool> for Number {
    fn from(holds: bool) -> Self {
        Self::Whole(u64::from(holds))
    }
}

impl Number {
    fn encode(self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => metric.encode_gauge(&number),
            Self::Real(number) => metric.encode_gauge(&number),
        }
    }
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
        self.encode_self(&mut encoder)?;
        encode_sources(&mut encoder, &samples)?;
        for column in GAUGES {
            let rows = rows(&samples, |device| {
                let &value = (column.value)(device).value()?;
                Some((Vec::new(), value))
            });
            gauge(&mut encoder, column.name, Some(column.unit), column.help, &rows)?;
        }
        encode_special(&mut encoder, &samples)?;
        encode_absent(&mut encoder, &samples)
    }
}

impl BoardCollector {
    /// The collector about itself and how its sources do.
    fn encode_self(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let statuses = self.0.statuses();
        let up = [(Vec::new(), Number::from(true))];
        gauge(encoder, "orrery_up", None, "The collector answers", &up)?;
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        info(encoder, "orrery_build", "What was built", &[version])?;
        let sources = statuses.iter().map(|status| {
            let labels = vec![("source", status.name.clone()), ("reason", status.reason.clone())];
            (labels, Number::from(status.is_up()))
        });
        let help = "The source gives samples, or the reason why not";
        gauge(
            encoder,
            "orrery_source_up",
            None,
            help,
            &sources.collect::<Vec<_>>(),
        )?;
        let tries = statuses.iter().filter_map(|status| {
            let labels = vec![("source", status.name.clone())];
            Some((labels, Number::Real(status.next_try?.as_secs())))
        });
        let name = "orrery_source_next_try_timestamp";
        let help = "When the source is opened again";
        gauge(encoder, name, Some("seconds"), help, &tries.collect::<Vec<_>>())?;
        let name = "orrery_source_dropped";
        let help = "Samples that nobody could receive";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for status in &statuses {
            family
                .encode_family(&vec![("source", status.name.clone())])?
                .encode_counter::<NoLabelSet, _, f64>(&status.dropped, None)?;
        }
        Ok(())
    }
}

/// What is known of every source that gives samples, and of its devices, beside their readings.
fn encode_sources(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
    let collected: Vec<(Labels, Number)> = samples
        .iter()
        .map(|sample| (source_labels(sample), Number::Real(sample.taken.as_secs())))
        .collect();
    let name = "orrery_last_collect_timestamp";
    let help = "When the source was last read";
    gauge(encoder, name, Some("seconds"), help, &collected)?;
    let devices = rows(samples, |device| {
        let model = vec![("model", device.identity.model.clone())];
        Some((model, Number::from(true)))
    });
    let devices: Vec<Labels> = devices.into_iter().map(|(labels, _)| labels).collect();
    info(encoder, "orrery_gpu", "Which device it is", &devices)
}

/// Metrics with a label of their own, and the counter.
fn encode_special(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> fmt::Result {
    let temperature = rows(samples, |device| {
        let &Celsius(degrees) = device.temperature.value()?;
        Some((vec![("sensor", "gpu".to_owned())], Number::Real(degrees)))
    });
    gauge(encoder, TEMPERATURE, Some("celsius"), "Temperature", &temperature)?;
    let mut throttles = Vec::new();
    for throttle in Throttle::ALL {
        throttles.extend(rows(samples, |device| {
            let active = device.throttles.value()?.contains(&throttle);
            let labels = vec![("reason", throttle.name().to_owned())];
            Some((labels, Number::from(active)))
        }));
    }
    let help = "This reason holds the clocks down now";
    gauge(encoder, THROTTLE, None, help, &throttles)?;
    let energy = rows(samples, |device| {
        let &Joules(joules) = device.energy.value()?;
        Some((Vec::new(), joules))
    });
    if energy.is_empty() {
        return Ok(());
    }
    let help = "Energy since the driver was loaded";
    let unit = unit_of("joules");
    let mut family = encoder.encode_descriptor(ENERGY, help, Some(&unit), MetricType::Counter)?;
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
    let mut add = |name: &str, reason: &dyn Fn(&DeviceSample) -> Option<Absence>| {
        absent.extend(rows(samples, |device| {
            let reason = reason(device)?.to_string();
            let labels = vec![("metric", name.to_owned()), ("reason", reason)];
            Some((labels, Number::from(false)))
        }));
    };
    for Gauge {
        name, unit, value, ..
    } in GAUGES
    {
        add(&format!("{name}_{unit}"), &|device| {
            value(device).absence().cloned()
        });
    }
    add("orrery_gpu_temperature_celsius", &|device| {
        device.temperature.absence().cloned()
    });
    add(THROTTLE, &|device| device.throttles.absence().cloned());
    add("orrery_gpu_energy_joules_total", &|device| {
        device.energy.absence().cloned()
    });
    let help = "0 with the reason where a metric is absent";
    gauge(encoder, "orrery_metric_supported", None, help, &absent)
}

/// One row for each device for which `value` gives labels and a number.
fn rows<T>(samples: &[Sample], value: impl Fn(&DeviceSample) -> Option<(Labels, T)>) -> Vec<(Labels, T)> {
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

/// The unit `name`, spelled as it is: the crate's own `Ratios` would end the name in a plural.
fn unit_of(name: &str) -> Unit {
    Unit::Other(name.to_owned())
}

/// A gauge with its rows; nothing at all when there are none. The unit becomes the end of the name.
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&str>,
    help: &str,
    rows: &[(Labels, Number)],
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let unit = unit.map(unit_of);
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    for (labels, value) in rows {
        if labels.is_empty() {
            match value {
                Number::Whole(number) => family.encode_gauge(number)?,
                Number::Real(number) => family.encode_gauge(number)?,
            }
        } else {
            value.encode(family.encode_family(labels)?)?;
        }
    }
    Ok(())
}

/// Facts that do not change, as labels; nothing at all when there are none.
fn info(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[Labels]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
    for labels in rows {
        family.encode_info(labels)?;
    }
    Ok(())
}
