//! Everything that is known of one device.

use std::fmt::Display;

use eframe::egui::{Grid, RichText, Ui};
use orrery_telemetry::{DeviceSample, Reading};
use orrery_units::with_si_prefix;

use super::{badge, history};
use crate::document::{Device, Fleet, FleetMetric, Node, Standing};
use crate::theme;

/// The device that is looked at: its last minutes and its readings.
pub(super) fn panel(
    ui: &mut Ui,
    fleet: &Fleet,
    (node, device): (&Node, &Device),
    metric: FleetMetric,
    now: f64,
) {
    heading(ui, node, device);
    match fleet.standing(node, now) {
        Standing::Live => {}
        Standing::Stale => {
            ui.colored_label(
                theme::warn(ui.visuals()),
                format!("last heard {:.0} s ago", node.age(now)),
            );
        }
        Standing::Gone(why) => {
            ui.colored_label(
                theme::bad(ui.visuals()),
                format!("{why}; last heard {:.0} s ago", node.age(now)),
            );
        }
    }
    let plot = history::Plot {
        history: &device.history,
        metric,
        scale: fleet.scale(metric),
        pause: node.pause(),
    };
    history::plot(ui, &plot, now);
    table(ui, device);
}

/// Every reading of a device, for where there is no room for more.
pub(super) fn readings(ui: &mut Ui, node: &Node, device: &Device) {
    heading(ui, node, device);
    table(ui, device);
}

fn heading(ui: &mut Ui, node: &Node, device: &Device) {
    let identity = &device.sample.identity;
    ui.horizontal(|ui| {
        if node.is_demo() {
            badge(ui);
        }
        ui.strong(format!("{} device {}", node.name, identity.index));
        ui.weak(&identity.model);
    });
}

/// Every reading, with the reason where there is none.
fn table(ui: &mut Ui, device: &Device) {
    let identity = &device.sample.identity;
    Grid::new(("readings", &identity.uuid))
        .num_columns(2)
        .show(ui, |ui| {
            for (name, shown) in rows(&device.sample) {
                ui.label(name);
                match shown {
                    Ok(value) => ui.label(value),
                    Err(reason) => ui.label(RichText::new(format!("n/a: {reason}")).weak()),
                };
                ui.end_row();
            }
        });
    ui.weak(&identity.uuid);
}

type Row = (&'static str, Result<String, String>);

fn rows(sample: &DeviceSample) -> Vec<Row> {
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
        for (name, shown) in rows(&sample) {
            assert_eq!(shown, Err("no permission".to_owned()), "{name}");
        }
    }
}
