//! Reports as a table for people: a line a collector, and one for all.

use comfy_table::{CellAlignment, Table, presets};
use orrery_telemetry::Origin;

use super::{HostReport, HostState};

const HEAD: [&str; 11] = [
    "host", "state", "devices", "util", "tensor", "memory", "power", "hottest", "slowed", "age", "",
];

/// The table of `reports`.
pub(crate) fn table(reports: &[HostReport]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(HEAD);
    for column in 2..10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for report in reports {
        table.add_row(row(report));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n\n{}\n", lines.join("\n"), summary(reports))
}

fn row(report: &HostReport) -> [String; 11] {
    let share = |value: Option<f64>| value.map_or_else(none, |value| format!("{:.0} %", 100.0 * value));
    let devices = match report.num_lost {
        0 => report.num_devices.to_string(),
        lost => format!("{} ({lost} lost)", report.num_devices),
    };
    let is_dead = report.state == HostState::Dead;
    [
        report.host.clone(),
        state(report),
        if is_dead { none() } else { devices },
        share(report.utilization),
        share(report.tensor_active),
        share(report.memory_used),
        report
            .power_watts
            .map_or_else(none, |watts| format!("{:.2} kW", watts / 1000.0)),
        report
            .hottest_celsius
            .map_or_else(none, |degrees| format!("{degrees:.0} °C")),
        if is_dead {
            none()
        } else {
            report.num_throttled.to_string()
        },
        report.age_s.map_or_else(none, age),
        report.reason.clone().unwrap_or_default(),
    ]
}

/// The state, with what its numbers are where they are of no device.
fn state(report: &HostReport) -> String {
    let state = match report.state {
        HostState::Up => "up",
        HostState::Quiet => "quiet",
        HostState::Dead => "DEAD",
    };
    let made_up = report.origins.iter().filter(|origin| **origin != Origin::Live);
    let marks = made_up.map(|origin| format!(" {}", origin.name().to_uppercase()));
    format!("{state}{}", marks.collect::<String>())
}

fn none() -> String {
    "-".to_owned()
}

fn age(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn summary(reports: &[HostReport]) -> String {
    let of = |state| reports.iter().filter(|report| report.state == state).count();
    let devices: usize = reports.iter().map(|report| report.num_devices).sum();
    let lost: usize = reports.iter().map(|report| report.num_lost).sum();
    let watts: f64 = reports.iter().filter_map(|report| report.power_watts).sum();
    format!(
        "{} up, {} quiet, {} dead; {devices} devices, {lost} lost; {:.2} kW",
        of(HostState::Up),
        of(HostState::Quiet),
        of(HostState::Dead),
        watts / 1000.0
    )
}
