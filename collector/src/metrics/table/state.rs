//! What a device says of its health: power, throttling, memory errors, errors of the driver.

use orrery_telemetry::{Celsius, DeviceSample, Nanoseconds, Reading, Xids};
use prometheus_client::metrics::MetricType;

use super::{
    Metric, Rows, alone, counter_of, gauge_of, hertz, labelled, labelled_reading, plain_gauge, several,
    watts, whole,
};
use crate::metrics::Number;

pub(super) static METRICS: [Metric; 14] = [
    gauge_of(
        "orrery_gpu_power_instant",
        "watts",
        "Power drawn at this instant",
        |d| watts(&d.power_instant),
    ),
    gauge_of(
        "orrery_gpu_power_average",
        "watts",
        "Power drawn, mean over the last second",
        |d| watts(&d.power_average),
    ),
    plain_gauge(
        "orrery_gpu_performance_state",
        "Performance state, 0 the fastest",
        |d| alone(&d.performance_state, |state| Number::Whole(u64::from(state.0))),
    ),
    gauge_of(
        "orrery_gpu_sm_clock_max",
        "hertz",
        "Highest clock of the multiprocessors",
        |d| hertz(&d.facts.max_sm_clock),
    ),
    gauge_of(
        "orrery_gpu_slowdown_temperature",
        "celsius",
        "Temperature that slows the device down",
        |d| {
            alone(&d.facts.slowdown_temperature, |&Celsius(degrees)| {
                Number::Real(degrees)
            })
        },
    ),
    counter_of(
        "orrery_gpu_throttle",
        Some("seconds"),
        "Time for which this reason held the clocks down",
        throttled,
    ),
    counter_of("orrery_gpu_ecc_errors", None, "Memory errors", ecc),
    counter_of(
        "orrery_gpu_remapped_rows",
        None,
        "Memory rows that spare ones stand in for",
        |d| {
            let rows = &d.remapped_rows;
            vec![
                labelled_reading("kind", "correctable", &rows.correctable, whole),
                labelled_reading("kind", "uncorrectable", &rows.uncorrectable, whole),
            ]
        },
    ),
    plain_gauge(
        "orrery_gpu_row_remap_pending",
        "Rows wait for a reset of the device",
        |d| flag(&d.remapped_rows.pending),
    ),
    plain_gauge(
        "orrery_gpu_row_remap_failure",
        "A row could not be remapped",
        |d| flag(&d.remapped_rows.failure),
    ),
    counter_of(
        "orrery_gpu_xid_errors",
        None,
        "Errors of the driver since the collector listens",
        |d| several(&d.xids, xids),
    ),
    gauge_of(
        "orrery_gpu_xid_last_timestamp",
        "seconds",
        "When this error came last",
        |d| {
            let last = |xids: &Xids| {
                let counts = xids.counts.iter();
                counts
                    .map(|count| labelled("xid", count.code.to_string(), Number::Real(count.last.as_secs())))
                    .collect()
            };
            d.xids.value().map_or_else(Vec::new, last)
        },
    ),
    plain_gauge("orrery_gpu_recovery_action", "What the driver asks for", |d| {
        several(&d.recovery, |action| {
            vec![labelled("action", action.name(), Number::from(true))]
        })
    }),
    Metric {
        name: "orrery_gpu_mig_enabled",
        unit: None,
        help: "The device is divided",
        kind: MetricType::Gauge,
        rows: |d| flag(&d.mig.is_enabled),
    },
];

fn flag(reading: &Reading<bool>) -> Rows {
    alone(reading, |&holds| Number::from(holds))
}

fn throttled(device: &DeviceSample) -> Rows {
    let times = &device.throttle_times;
    let seconds = |time: &Nanoseconds| Number::Real(time.as_secs());
    [
        ("power_cap", &times.power_cap),
        ("thermal_software", &times.thermal_software),
        ("thermal_hardware", &times.thermal_hardware),
        ("power_brake", &times.power_brake),
    ]
    .into_iter()
    .map(|(reason, time)| labelled_reading("reason", reason, time, seconds))
    .collect()
}

/// By kind, and by whether they are counted since the driver was loaded (`volatile`) or ever (`aggregate`).
fn ecc(device: &DeviceSample) -> Rows {
    let ecc = &device.ecc;
    [
        ("corrected", "volatile", &ecc.corrected_volatile),
        ("uncorrected", "volatile", &ecc.uncorrected_volatile),
        ("corrected", "aggregate", &ecc.corrected_aggregate),
        ("uncorrected", "aggregate", &ecc.uncorrected_aggregate),
    ]
    .into_iter()
    .map(|(kind, counter, errors)| {
        let (mut labels, number) = labelled_reading("kind", kind, errors, whole);
        labels.push(("counter", counter.into()));
        (labels, number)
    })
    .collect()
}

/// By code, and under `other` those for which there was no room. A device without errors has a row all the same, so
/// that an error shows as a rise.
fn xids(xids: &Xids) -> Rows {
    let counts = xids.counts.iter();
    let rows = counts.map(|count| labelled("xid", count.code.to_string(), Number::Whole(count.count)));
    rows.chain([labelled("xid", "other", Number::Whole(xids.num_others))])
        .collect()
}
