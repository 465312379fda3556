//! `/metrics`: valid OpenMetrics, a reason for everything that is absent, no number that is stale.

use std::time::Duration;

use orrery_collector::{Daemon, SourceKind};

use crate::http::{Gated, get, metrics_until, settings};
use crate::openmetrics::{Row, check};

fn rows_named<'a>(rows: &'a [Row], name: &str) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.name == name).collect()
}

fn source_row<'a>(rows: &'a [Row], source: &str) -> &'a Row {
    let mut ups = rows_named(rows, "orrery_source_up").into_iter();
    let found = ups.find(|row| row.label("source") == Some(source));
    found.unwrap_or_else(|| panic!("no `orrery_source_up` of `{source}`"))
}

#[test]
fn without_a_driver_it_is_up_and_says_why_each_source_is_absent() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Nvml])).unwrap();
    let text = metrics_until(daemon.address(), "a reason", |text| {
        text.contains("no NVIDIA driver library")
    });
    let rows = check(&text).unwrap();
    assert_eq!(
        rows_named(&rows, "orrery_up")[0].value,
        "1",
        "an integer is printed as one"
    );
    assert!(text.contains("\norrery_up 1\n"), "{text}");
    let nvml = source_row(&rows, "nvml");
    assert_eq!(nvml.value, "0");
    let reason = nvml.label("reason").unwrap();
    assert!(reason.starts_with("no NVIDIA driver library: "), "{reason}");
    let demo = source_row(&rows, "demo");
    assert_eq!(
        (demo.value.as_str(), demo.label("reason")),
        ("0", Some("not asked for"))
    );
    let next_try = rows_named(&rows, "orrery_source_next_try_timestamp_seconds");
    assert_eq!(next_try.len(), 1, "{text}");
    assert_eq!(next_try[0].label("source"), Some("nvml"));
    assert!(
        !text.contains("orrery_gpu_"),
        "no number without a device:\n{text}"
    );
    let (head, health) = get(daemon.address(), "/healthz");
    assert!(
        head.contains(" 200 ") && health.contains(r#""status":"ok""#),
        "{head}\n{health}"
    );
}

#[test]
fn the_whole_page_of_a_cluster_is_valid_and_says_demo_on_every_row() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let text = metrics_until(daemon.address(), "readings", |text| text.contains("orrery_gpu_"));
    let rows = check(&text).unwrap();
    let of_devices: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name.starts_with("orrery_gpu_"))
        .collect();
    for row in &of_devices {
        assert_eq!(row.label("demo"), Some("true"), "{row:?}");
        assert!(row.label("node").unwrap().starts_with("demo-node-"), "{row:?}");
        assert!(
            row.label("gpu").is_some() && row.label("uuid").is_some(),
            "{row:?}"
        );
    }
    for name in [
        "orrery_gpu_info",
        "orrery_gpu_utilization_ratio",
        "orrery_gpu_memory_used_bytes",
        "orrery_gpu_power_watts",
        "orrery_gpu_sm_clock_hertz",
        "orrery_gpu_energy_joules_total",
        "orrery_gpu_nvlink_receive_bytes_per_second",
    ] {
        assert_eq!(rows_named(&rows, name).len(), 32, "{name}");
    }
    for sensor in ["gpu", "memory"] {
        let rows = rows_named(&rows, "orrery_gpu_temperature_celsius").into_iter();
        let of_sensor = rows.filter(|row| row.label("sensor") == Some(sensor));
        assert_eq!(of_sensor.count(), 32, "{sensor}");
    }
    // The one reading that is missing is no number, but a reason.
    assert_eq!(rows_named(&rows, "orrery_gpu_tensor_active_ratio").len(), 31);
    let missing = rows_named(&rows, "orrery_metric_supported");
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].label("metric"), Some("orrery_gpu_tensor_active_ratio"));
    assert_eq!(
        missing[0].label("reason"),
        Some("the driver gave no usable number")
    );
    let memory = &rows_named(&rows, "orrery_gpu_memory_total_bytes")[0].value;
    assert_eq!(memory, "85899345920");
    let (head, _) = get(daemon.address(), "/metrics");
    let media_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(media_type), "{head}");
}

#[test]
fn numbers_of_a_source_that_hangs_vanish_and_come_back() {
    let (open, gate) = Gated::with_gate();
    let daemon = Daemon::start_with(&settings(Vec::new()), vec![("test", open)]).unwrap();
    let has_power = |text: &str| text.contains("orrery_gpu_power_watts{");
    let text = metrics_until(daemon.address(), "the reading", has_power);
    let rows = check(&text).unwrap();
    let power = rows_named(&rows, "orrery_gpu_power_watts")[0];
    assert_eq!(power.value, "512.0");
    assert_eq!(power.label("node"), Some("node\\0"), "escapes are undone");
    assert_eq!(power.label("uuid"), Some("GPU-\"a\"\nb"), "escapes are undone");
    assert_eq!(source_row(&rows, "test").value, "1");
    // Silent for longer than three intervals and a second.
    gate.send(Duration::from_millis(2500)).unwrap();
    let text = metrics_until(daemon.address(), "the end of the reading", |text| {
        !has_power(text)
    });
    let rows = check(&text).unwrap();
    let test = source_row(&rows, "test");
    assert_eq!(test.value, "0");
    assert_eq!(
        test.label("reason"),
        Some("no answer for more than three intervals")
    );
    assert!(
        rows_named(&rows, "orrery_last_collect_timestamp_seconds").is_empty(),
        "{text}"
    );
    let text = metrics_until(daemon.address(), "the reading again", has_power);
    assert_eq!(source_row(&check(&text).unwrap(), "test").value, "1");
}
