//! The names, units and labels of dcgm-exporter, for dashboards and rules that were written for it: a page of its
//! own, in Prometheus text 0.0.4, because its counters do not end in `_total` as OpenMetrics asks.
//!
//! What was not read has no row.

mod fields;

use std::fmt::Write as _;
use std::sync::Arc;

use orrery_telemetry::{DeviceSample, Origin, Sample};

use self::fields::{FIELDS, Field};

/// How the label with the node's name is spelled. dcgm-exporter changed it in May 2026, and rules written for one
/// do not match the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum HostnameLabel {
    /// `Hostname`, as up to then.
    #[default]
    #[value(name = "Hostname")]
    Upper,
    /// `hostname`, as since.
    #[value(name = "hostname")]
    Lower,
}

impl HostnameLabel {
    const fn name(self) -> &'static str {
        match self {
            Self::Upper => "Hostname",
            Self::Lower => "hostname",
        }
    }
}

/// The page of `samples`, with the node's name in the label `hostname`.
pub(super) fn render(samples: &[Arc<Sample>], hostname: HostnameLabel) -> String {
    let devices = samples
        .iter()
        .flat_map(|sample| sample.devices.iter().map(|device| (sample.origin, device)));
    let devices: Vec<(String, &DeviceSample)> = devices
        .map(|(origin, device)| (labels(device, origin, hostname), device))
        .collect();
    let mut text = String::new();
    for field in &FIELDS {
        let rows = devices.iter();
        let rows = rows.filter_map(|(labels, device)| Some((labels, (field.value)(device)?)));
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            continue;
        }
        let Field { name, kind, help, .. } = field;
        push(
            &mut text,
            format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
        );
        for (labels, value) in rows {
            push(&mut text, format_args!("{name}{{{labels}}} {value}\n"));
        }
    }
    text
}

/// The labels of a device in the order that dcgm-exporter has; a made-up device says so in one more.
fn labels(device: &DeviceSample, origin: Origin, hostname: HostnameLabel) -> String {
    let identity = &device.identity;
    let index = identity.index;
    let mut text = String::new();
    let values = [
        ("gpu", index.to_string()),
        ("UUID", identity.uuid.clone()),
        (
            "pci_bus_id",
            device.facts.pci_bus_id.value().cloned().unwrap_or_default(),
        ),
        ("device", format!("nvidia{index}")),
        ("modelName", identity.model.clone()),
        (hostname.name(), identity.node.clone()),
    ];
    for (name, value) in &values {
        let comma = if text.is_empty() { "" } else { "," };
        push(&mut text, format_args!("{comma}{name}=\"{}\"", escaped(value)));
    }
    match origin {
        Origin::Live => {}
        Origin::Demo => text.push_str(",demo=\"true\""),
        Origin::Fake => text.push_str(",fake=\"true\""),
    }
    text
}

/// The value of a label with what 0.0.4 escapes escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("a string takes every text");
}

#[cfg(test)]
mod tests;
