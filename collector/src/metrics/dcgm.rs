//! The names, units and labels of dcgm-exporter, for dashboards and rules that were written for it: a page of its
//! own, in Prometheus text 0.0.4, because its counters do not end in `_total` as OpenMetrics asks.
//!
//! Names, types and help texts are those of dcgm-exporter 4.5 (`etc/default-counters.csv`,
//! `etc/dcp-metrics-included.csv`). What was not read has no row.

use std::fmt::Write as _;

use orrery_telemetry::{DeviceSample, Origin, Reading, Sample};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};

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

/// A field of DCGM.
struct Field {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&DeviceSample) -> Option<f64>,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&DeviceSample) -> Option<f64>) -> Field {
    Field {
        name,
        kind: "gauge",
        help,
        value,
    }
}

const FIELDS: [Field; 17] = [
    gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", |d| {
        value(&d.sm_clock, |clock| megahertz(clock.get()))
    }),
    gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", |d| {
        value(&d.memory_clock, |clock| megahertz(clock.get()))
    }),
    gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", |d| {
        value(&d.temperature, |degrees| degrees.0)
    }),
    gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", |d| {
        value(&d.power, |&Watts(watts)| watts)
    }),
    Field {
        kind: "counter",
        ..gauge(
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
            "Total energy consumption since boot (in mJ).",
            |d| value(&d.energy, |&Joules(joules)| (joules * 1e3).round()),
        )
    },
    gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", |d| {
        value(&d.utilization, |ratio| (ratio.get() * 100.0).round())
    }),
    gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", |d| {
        mebibytes(&d.memory_free)
    }),
    gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", |d| {
        mebibytes(&d.memory_used)
    }),
    gauge(
        "DCGM_FI_DEV_FB_RESERVED",
        "Framebuffer memory reserved (in MiB).",
        |d| mebibytes(&d.memory_reserved),
    ),
    gauge(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "Ratio of time the graphics engine is active.",
        |d| ratio(&d.activity.graphics),
    ),
    gauge(
        "DCGM_FI_PROF_SM_ACTIVE",
        "The ratio of cycles an SM has at least 1 warp assigned.",
        |d| ratio(&d.activity.sm),
    ),
    gauge(
        "DCGM_FI_PROF_SM_OCCUPANCY",
        "The ratio of number of warps resident on an SM.",
        |d| ratio(&d.activity.occupancy),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        |d| ratio(&d.activity.tensor),
    ),
    gauge(
        "DCGM_FI_PROF_DRAM_ACTIVE",
        "Ratio of cycles the device memory interface is active sending or receiving data.",
        |d| ratio(&d.activity.dram),
    ),
    gauge(
        "DCGM_FI_PROF_PIPE_FP32_ACTIVE",
        "Ratio of cycles the fp32 pipes are active.",
        |d| ratio(&d.activity.fp32),
    ),
    gauge(
        "DCGM_FI_PROF_NVLINK_TX_BYTES",
        "The rate of data transmitted over NVLink in bytes per second.",
        |d| rate(&d.activity.nvlink_transmit),
    ),
    gauge(
        "DCGM_FI_PROF_NVLINK_RX_BYTES",
        "The rate of data received over NVLink in bytes per second.",
        |d| rate(&d.activity.nvlink_receive),
    ),
];

fn value<T>(reading: &Reading<T>, number: impl Fn(&T) -> f64) -> Option<f64> {
    reading.value().map(number)
}

#[expect(clippy::cast_precision_loss, reason = "a clock of some gigahertz")]
fn megahertz(hertz: u64) -> f64 {
    hertz as f64 / 1e6
}

/// Whole mebibytes, as DCGM gives them.
fn mebibytes(reading: &Reading<Bytes>) -> Option<f64> {
    value(reading, |bytes| (bytes.as_f64() / f64::from(1 << 20)).floor())
}

fn ratio(reading: &Reading<Ratio>) -> Option<f64> {
    value(reading, |ratio| ratio.get())
}

fn rate(reading: &Reading<BytesPerSec>) -> Option<f64> {
    value(reading, |rate| rate.get())
}

/// The page of `samples`, with the node's name in the label `hostname`.
pub(super) fn render(samples: &[Sample], hostname: HostnameLabel) -> String {
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
mod tests {
    use orrery_telemetry::{Absence, DeviceIdentity, Hertz, UnixTime};
    use orrery_units::SimTime;

    use super::*;

    #[test]
    fn a_device_has_the_units_and_the_labels_of_dcgm() {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 3,
            uuid: "GPU-\"a\"\n\\".to_owned(),
            model: "NVIDIA H100 80GB HBM3".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        device.sm_clock = Reading::Value(Hertz::from_megahertz(1755));
        device.energy = Reading::Value(Joules(2.5));
        device.memory_used = Reading::Value(Bytes::new((3 << 20) + 5));
        device.utilization = Reading::Value(Ratio::clamped(0.29));
        device.activity.sm = Reading::Value(Ratio::clamped(0.83));
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
        let text = render(std::slice::from_ref(&sample), HostnameLabel::Upper);
        let labels = r#"{gpu="3",UUID="GPU-\"a\"\n\\",device="nvidia3",modelName="NVIDIA H100 80GB HBM3",Hostname="node-0"}"#;
        let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let wanted = [
            ("DCGM_FI_DEV_SM_CLOCK", "1755"),
            ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "2500"),
            ("DCGM_FI_DEV_GPU_UTIL", "29"),
            ("DCGM_FI_DEV_FB_USED", "3"),
            ("DCGM_FI_PROF_SM_ACTIVE", "0.83"),
        ];
        assert_eq!(
            rows,
            wanted.map(|(name, value)| format!("{name}{labels} {value}"))
        );
        assert!(
            text.contains("# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n"),
            "{text}"
        );
        let demo = Sample {
            origin: Origin::Demo,
            ..sample
        };
        let text = render(&[demo], HostnameLabel::Lower);
        assert!(text.contains(r#",hostname="node-0",demo="true"} "#), "{text}");
        assert_eq!(render(&[], HostnameLabel::Upper), "");
    }
}
