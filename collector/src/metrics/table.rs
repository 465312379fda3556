//! The metrics of a device: each stated once, with its name and where its rows are from.

mod links;
mod state;
mod usage;

use std::borrow::Cow;

use orrery_telemetry::{Celsius, DeviceSample, DeviceState, Hertz, Reading, Throttle, UnixTime};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};
use prometheus_client::metrics::MetricType;

use super::{Labels, Number};

/// What one metric has for one device: for each set of labels of its own a number, or the reason why there is none.
pub(super) type Rows = Vec<(Labels, Reading<Number>)>;

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

const fn counter_of(
    name: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    rows: fn(&DeviceSample) -> Rows,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        kind: MetricType::Counter,
        rows,
    }
}

const fn plain_gauge(name: &'static str, help: &'static str, rows: fn(&DeviceSample) -> Rows) -> Metric {
    Metric {
        name,
        unit: None,
        help,
        kind: MetricType::Gauge,
        rows,
    }
}

/// All of them, in the order in which they are printed.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    DEVICE
        .iter()
        .chain(&state::METRICS)
        .chain(&links::METRICS)
        .chain(&usage::METRICS)
}

static DEVICE: [Metric; 25] = [
    plain_gauge(
        "orrery_gpu_up",
        "The device can be read; 0 when it is lost or a call to its driver hangs",
        |d| one(Number::from(!d.is_lost() && !d.is_silent())),
    ),
    plain_gauge(
        "orrery_gpu_state",
        "Whether the device answers, is silent or lost",
        |d| {
            let presence = d.presence.into_iter();
            let rows =
                presence.flat_map(|presence| DeviceState::ALL.map(|state| (state, presence.state == state)));
            rows.map(|(state, holds)| labelled("state", state.name(), Number::from(holds)))
                .collect()
        },
    ),
    gauge_of(
        "orrery_gpu_state_since_timestamp",
        "seconds",
        "Since when the device is in its state",
        |d| time(d.presence.map(|presence| presence.since)),
    ),
    gauge_of(
        "orrery_gpu_last_answer_timestamp",
        "seconds",
        "When the device was last read",
        |d| time(d.presence.and_then(|presence| presence.last_answer)),
    ),
    counter_of(
        "orrery_gpu_readings_missed",
        None,
        "Readings left out because a call to the driver hung",
        |d| {
            let missed = d.presence.map(|presence| presence.num_missed);
            missed.map_or_else(Vec::new, |missed| one(Number::Whole(missed)))
        },
    ),
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
    plain_gauge(
        "orrery_gpu_throttle_active",
        "This reason holds the clocks down now",
        throttles,
    ),
    counter_of(
        "orrery_gpu_energy",
        Some("joules"),
        "Energy since the driver was loaded",
        |d| alone(&d.energy, |&Joules(joules)| Number::Real(joules)),
    ),
];

/// One row without labels of its own.
fn alone<T>(reading: &Reading<T>, number: fn(&T) -> Number) -> Rows {
    vec![(Vec::new(), read(reading, number))]
}

/// A number without labels of its own.
fn one(number: Number) -> Rows {
    vec![(Vec::new(), Reading::Value(number))]
}

/// An instant that is not known has no row, and is amiss with nothing.
fn time(at: Option<UnixTime>) -> Rows {
    at.map_or_else(Vec::new, |at| one(Number::Real(at.as_secs())))
}

/// A row under one label.
fn labelled(
    label: &'static str,
    value: impl Into<Cow<'static, str>>,
    number: Number,
) -> (Labels, Reading<Number>) {
    (vec![(label, value.into())], Reading::Value(number))
}

/// A reading under one label.
fn labelled_reading<T>(
    label: &'static str,
    value: impl Into<Cow<'static, str>>,
    reading: &Reading<T>,
    number: fn(&T) -> Number,
) -> (Labels, Reading<Number>) {
    (vec![(label, value.into())], read(reading, number))
}

/// A reading as a number.
fn read<T>(reading: &Reading<T>, number: fn(&T) -> Number) -> Reading<Number> {
    match reading {
        Reading::Value(value) => Reading::Value(number(value)),
        Reading::Absent { absent } => Reading::absent(absent.clone()),
    }
}

/// The rows of a reading that has several, or its reason in their place.
fn several<T>(reading: &Reading<T>, rows: impl FnOnce(&T) -> Rows) -> Rows {
    match reading {
        Reading::Value(value) => rows(value),
        Reading::Absent { absent } => vec![(Vec::new(), Reading::absent(absent.clone()))],
    }
}

fn whole(number: &u64) -> Number {
    Number::Whole(*number)
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

/// By sensor: of the chip, and of its memory.
fn temperature(device: &DeviceSample) -> Rows {
    let degrees = |&Celsius(degrees): &Celsius| Number::Real(degrees);
    vec![
        labelled_reading("sensor", "gpu", &device.temperature, degrees),
        labelled_reading("sensor", "memory", &device.memory_temperature, degrees),
    ]
}

/// By reason, with 0 for those that do not hold.
fn throttles(device: &DeviceSample) -> Rows {
    several(&device.throttles, |active| {
        let row = |throttle: Throttle| {
            labelled(
                "reason",
                throttle.name(),
                Number::from(active.contains(&throttle)),
            )
        };
        Throttle::ALL.into_iter().map(row).collect()
    })
}

impl Metric {
    /// The name as it is printed: with its unit, and the end that a counter has.
    pub(super) fn full_name(&self) -> String {
        super::full_name(self.name, self.unit, self.kind)
    }
}
