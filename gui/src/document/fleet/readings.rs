//! Every reading of a device in words, or why there is none.

use std::fmt::Display;

use orrery_telemetry::{DeviceSample, Reading};
use orrery_units::with_si_prefix;

use super::FleetMetric;

type Row = (&'static str, Result<String, String>);

/// Every reading of `sample`, with the reason where there is none.
pub(crate) fn readings(sample: &DeviceSample) -> Vec<Row> {
    let activity = &sample.activity;
    let metric = |metric: FleetMetric| match metric.of(sample) {
        Ok(value) => (metric.name(), Ok(metric.show(value))),
        Err(reason) => (metric.name(), Err(reason.to_string())),
    };
    let share = |share: &orrery_units::Ratio| format!("{:.0} %", share.get() * 100.0);
    let plain = |amount: &dyn Display| amount.to_string();
    vec![
        metric(FleetMetric::Utilization),
        ("SM activity", reading(&activity.sm, share)),
        metric(FleetMetric::TensorActivity),
        ("occupancy", reading(&activity.occupancy, share)),
        ("memory bandwidth", reading(&activity.dram, share)),
        ("FP32 activity", reading(&activity.fp32, share)),
        ("engine activity", reading(&activity.graphics, share)),
        ("memory used", reading(&sample.memory_used, |bytes| plain(bytes))),
        (
            "memory of all",
            reading(&sample.memory_total, |bytes| plain(bytes)),
        ),
        (
            "driver's memory",
            reading(&sample.memory_reserved, |bytes| plain(bytes)),
        ),
        metric(FleetMetric::Power),
        (
            "power limit",
            reading(&sample.power_limit, |watts| format!("{:.0} W", watts.0)),
        ),
        (
            "energy",
            reading(&sample.energy, |joules| with_si_prefix(joules.0, "J")),
        ),
        metric(FleetMetric::Temperature),
        metric(FleetMetric::SmClock),
        (
            "memory clock",
            reading(&sample.memory_clock, |clock| with_si_prefix(clock.as_f64(), "Hz")),
        ),
        (
            "clocks held by",
            reading(&sample.throttles, |held| {
                let names: Vec<&str> = held.iter().map(|held| held.name()).collect();
                if names.is_empty() {
                    "nothing".to_owned()
                } else {
                    names.join(", ")
                }
            }),
        ),
        (
            "NVLink received",
            reading(&activity.nvlink_receive, |rate| plain(rate)),
        ),
        (
            "NVLink sent",
            reading(&activity.nvlink_transmit, |rate| plain(rate)),
        ),
    ]
}

fn reading<T>(reading: &Reading<T>, show: impl FnOnce(&T) -> String) -> Result<String, String> {
    match reading {
        Reading::Value(value) => Ok(show(value)),
        Reading::Absent { absent } => Err(absent.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use orrery_telemetry::{Absence, DeviceIdentity};

    use super::*;

    #[test]
    fn a_device_of_which_nothing_is_read_says_why_in_every_row() {
        let identity = DeviceIdentity {
            node: "node".to_owned(),
            index: 0,
            uuid: "GPU-0".to_owned(),
            model: "model".to_owned(),
        };
        let sample = DeviceSample::absent(identity, &Absence::NoPermission);
        for (name, shown) in readings(&sample) {
            assert_eq!(shown, Err("no permission".to_owned()), "{name}");
        }
    }
}
