//! The metrics of a device: each stated once, with its name and where its rows are from.

use orrery_telemetry::{Celsius, DeviceSample, Hertz, Reading, Throttle};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};
use prometheus_client::metrics::MetricType;

use super::{Labels, Number};

/// What one metric has for one device: a row for each set of labels of its own, or the reason why there is none.
pub(super) type Rows = Reading<Vec<(Labels, Number)>>;

/// A metric of a device, stated once: its name, and where its rows are from.
pub(super) struct Metric {
    /// The name without its unit.
    pub(super) name: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    pub(super) rows: fn(&DeviceSample) -> Rows,
}

const fn gauge_of(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    rows: fn(&DeviceSample) -> Rows,
) -> Metric {
    Metric {
        name,
        unit: Some(unit),
        help,
        kind: MetricType::Gauge,
        rows,
    }
}

pub(super) const METRICS: [Metric; 21] = [
    Metric {
        name: "orrery_gpu_up",
        unit: None,
        help: "The device can be read; 0 when it is lost",
        kind: MetricType::Gauge,
        rows: |d| Reading::Value(vec![(Vec::new(), Number::from(!d.is_lost()))]),
    },
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
    gauge_of("orrery_gpu_temperature", "celsius", "Temperature", temperature),
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
    Metric {
        name: "orrery_gpu_throttle_active",
        unit: None,
        help: "This reason holds the clocks down now",
        kind: MetricType::Gauge,
        rows: throttles,
    },
    Metric {
        name: "orrery_gpu_energy",
        unit: Some("joules"),
        help: "Energy since the driver was loaded",
        kind: MetricType::Counter,
        rows: |d| alone(&d.energy, |&Joules(joules)| Number::Real(joules)),
    },
];

/// One row without labels of its own.
fn alone<T>(reading: &Reading<T>, number: fn(&T) -> Number) -> Rows {
    match reading {
        Reading::Value(value) => Reading::Value(vec![(Vec::new(), number(value))]),
        Reading::Absent { absent } => Reading::absent(absent.clone()),
    }
}

fn ratio(reading: &Reading<Ratio>) -> Rows {
    alone(reading, |ratio| Number::Real(ratio.get()))
}

fn bytes(reading: &Reading<Bytes>) -> Rows {
    alone(reading, |bytes| Number::Whole(bytes.get()))
}

fn watts(reading: &Reading<Watts>) -> Rows {
    alone(reading, |&Watts(watts)| Number::Real(watts))
}

fn hertz(reading: &Reading<Hertz>) -> Rows {
    alone(reading, |clock| Number::Whole(clock.get()))
}

fn rate(reading: &Reading<BytesPerSec>) -> Rows {
    alone(reading, |rate| Number::Real(rate.get()))
}

/// By sensor: the chip's is the only one that is read.
fn temperature(device: &DeviceSample) -> Rows {
    let by_sensor = |Celsius(degrees)| vec![(vec![("sensor", "gpu".to_owned())], Number::Real(degrees))];
    device.temperature.clone().map(by_sensor)
}

/// By reason, with 0 for those that do not hold.
fn throttles(device: &DeviceSample) -> Rows {
    let by_reason = |active: Vec<Throttle>| {
        let row = |throttle: Throttle| {
            let labels = vec![("reason", throttle.name().to_owned())];
            (labels, Number::from(active.contains(&throttle)))
        };
        Throttle::ALL.into_iter().map(row).collect()
    };
    device.throttles.clone().map(by_reason)
}

impl Metric {
    /// The name as it is printed: with its unit, and the end that a counter has.
    pub(super) fn full_name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let end = if matches!(self.kind, MetricType::Counter) {
            "_total"
        } else {
            ""
        };
        format!("{}{unit}{end}", self.name)
    }
}
