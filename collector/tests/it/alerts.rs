//! The alert rules for Prometheus, held by `promtool test rules` against a fleet that is well and one that is not.

use std::collections::BTreeMap;

use orrery_units::Seed;
use serde_json::{Value, json};

use crate::deploy::shipped;
use crate::prometheus::promtool;
use crate::skips::has_command;

const NUM_DEVICES: u64 = 16;
/// Minutes of history; a reading each.
const MINUTES: u64 = 120;
/// Since when something is wrong, in minutes.
const SINCE: u64 = 40;

/// One device of a fleet.
struct Device {
    index: u64,
    labels: String,
}

/// What a fault does to a reading of a device, if it is its: from the healthy value to the one at hand.
type Fault = fn(device: &Device, metric: &str, minute: u64, healthy: f64) -> f64;

const METRICS: [(&str, f64, f64); 15] = [
    // Name, mean and spread of a device that works; assumptions, as in the demonstration.
    ("orrery_gpu_up", 1.0, 0.0),
    ("orrery_gpu_utilization_ratio", 0.97, 0.02),
    ("orrery_gpu_sm_clock_hertz", 1.755e9, 0.01),
    ("orrery_gpu_tensor_active_ratio", 0.45, 0.06),
    ("orrery_gpu_dram_active_ratio", 0.5, 0.05),
    ("orrery_gpu_power_watts", 610.0, 0.05),
    ("orrery_gpu_temperature_celsius{sensor=gpu}", 62.0, 0.05),
    // By reason: the power cap comes and goes on every device.
    ("orrery_gpu_throttle_active{reason=power_cap}", 0.5, 1.0),
    ("orrery_gpu_throttle_active{reason=thermal_hardware}", 0.0, 0.0),
    // A program of a user fails every now and then.
    ("orrery_gpu_xid_last_timestamp_seconds{xid=31}", 7_000.0, 0.0),
    // Not there: a device that fell off the bus.
    ("orrery_gpu_xid_last_timestamp_seconds{xid=79}", f64::NAN, 0.0),
    (
        "orrery_gpu_ecc_errors_total{kind=uncorrected,counter=volatile}",
        1.0,
        0.0,
    ),
    ("orrery_gpu_row_remap_pending", 0.0, 0.0),
    ("orrery_gpu_row_remap_failure", 0.0, 0.0),
    ("orrery_gpu_nvlink_errors_total{kind=recovery,link=3}", 2.0, 0.0),
];

/// The series of a fleet with `fault`, as `promtool` reads them.
fn fleet(fault: Fault) -> Vec<Value> {
    let seed = Seed::new(8);
    let mut series = Vec::new();
    for index in 0..NUM_DEVICES {
        let (node, gpu) = (index / 8, index % 8);
        let place = format!("source=\"nvml\",node=\"node-{node}\",gpu=\"{gpu}\",uuid=\"GPU-{index}\"");
        let device = Device { index, labels: place };
        for (number, (metric, mean, spread)) in (0..).zip(METRICS) {
            let values = (0..MINUTES).map(|minute| {
                let noise = seed.at("reading", &[index, number, minute]).uniform();
                let healthy = mean * (1.0 + spread * (2.0 * noise - 1.0));
                let value = fault(&device, metric, minute, healthy);
                if value.is_nan() {
                    "_".to_owned()
                } else {
                    value.to_string()
                }
            });
            let values: Vec<String> = values.collect();
            let labels = &device.labels;
            let (name, more) = metric.split_once('{').unwrap_or((metric, ""));
            let more = more
                .trim_end_matches('}')
                .split(',')
                .filter_map(|label| label.split_once('='));
            let more = more.map(|(label, value)| format!(",{label}=\"{value}\""));
            let name = format!("{name}{{{labels}{}}}", more.collect::<String>());
            series.push(json!({"series": name, "values": values.join(" ")}));
        }
        let info = format!("orrery_gpu_info{{{},model=\"H100\"}}", device.labels);
        series.push(json!({"series": info, "values": format!("1x{}", MINUTES - 1)}));
    }
    series
}

/// What collectors say of themselves.
fn collectors(gone_since: Option<u64>, silent_since: Option<u64>, drops: u64) -> Vec<Value> {
    let until = |since: Option<u64>, before: &str, after: &str| {
        let since = since.unwrap_or(MINUTES);
        let values = (0..MINUTES).map(|minute| if minute < since { before } else { after });
        values.collect::<Vec<&str>>().join(" ")
    };
    vec![
        json!({"series": "orrery_up{job=\"gpus\",instance=\"node-0:9477\"}", "values": until(gone_since, "1", "_")}),
        json!({"series": "orrery_up{job=\"gpus\",instance=\"node-1:9477\"}", "values": until(None, "1", "_")}),
        json!({"series": "orrery_source_up{instance=\"node-1:9477\",source=\"nvml\",reason=\"\"}",
            "values": until(silent_since, "1", "_")}),
        json!({"series": "orrery_source_up{instance=\"node-1:9477\",source=\"nvml\",\
            reason=\"no answer for more than three intervals\"}", "values": until(silent_since, "_", "0")}),
        json!({"series": "orrery_source_up{instance=\"node-1:9477\",source=\"demo\",reason=\"not asked for\"}",
            "values": until(None, "0", "0")}),
        json!({"series": "orrery_source_dropped_total{instance=\"node-0:9477\",source=\"nvml\"}",
            "values": format!("0+{drops}x{}", MINUTES - 1)}),
    ]
}

/// A job whose MFU is `mfu` from `since` on, and a word of the judge.
fn job(since: u64, mfu: f64, severity: &str) -> Vec<Value> {
    let values = (0..MINUTES).map(|minute| if minute < since { 0.46 } else { mfu }.to_string());
    let values: Vec<String> = values.collect();
    let judged =
        format!("orrery_alert{{rule=\"row-remap\",severity=\"{severity}\",node=\"node-0\",gpu=\"4\"}}");
    vec![
        json!({"series": "orrery_job_mfu_ratio{job_name=\"pretrain\"}", "values": values.join(" ")}),
        json!({"series": "orrery_job_predicted_mfu_ratio{job_name=\"pretrain\"}",
            "values": format!("0.44x{}", MINUTES - 1)}),
        json!({"series": judged, "values": format!("1x{}", MINUTES - 1)}),
    ]
}

/// One test of `promtool`: the alerts that fire at the end, by name and labels that are looked at.
fn case(name: &str, series: Vec<Value>, firing: &BTreeMap<&str, Vec<Value>>) -> Value {
    let all = [
        "OrreryCollectorGone",
        "OrrerySourceSilent",
        "OrreryDeviceLost",
        "OrreryDeviceSlowAgainstFleet",
        "OrreryDeviceHeldDown",
        "OrreryDeviceSpins",
        "OrreryDeviceError",
        "OrreryMemoryErrors",
        "OrreryRowsWaitForReset",
        "OrreryRowRemapFailed",
        "OrreryLinkTrainsAnew",
        "OrreryDeviceHotAgainstNode",
        "OrrerySamplesDropped",
        "OrreryJobSlow",
        "OrreryJudged",
    ];
    // Seen through the alerts themselves: the labels that matter, none of the words.
    let count = |alert: &str| {
        let labels = firing.get(alert).cloned().unwrap_or_default();
        let exact: Vec<Value> = labels
            .into_iter()
            .map(|labels| json!({"labels": labels, "value": 1}))
            .collect();
        json!({
            "expr": format!("count by (node, gpu, instance) (ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})"),
            "eval_time": format!("{}m", MINUTES - 1), "exp_samples": exact,
        })
    };
    json!({
        "name": name, "interval": "1m", "input_series": series,
        "promql_expr_test": all.map(count),
    })
}

fn silent() -> BTreeMap<&'static str, Vec<Value>> {
    BTreeMap::new()
}

fn fires(alert: &'static str, labels: &str) -> BTreeMap<&'static str, Vec<Value>> {
    BTreeMap::from([(alert, vec![labels.into()])])
}

/// A fleet of which device 5 has `fault`, with the alert that names it.
fn one_is_ill(alert: &'static str, fault: Fault) -> Value {
    let labels = "{node=\"node-0\",gpu=\"5\"}";
    case(alert, fleet(fault), &fires(alert, labels))
}

fn is_ill(device: &Device, minute: u64) -> bool {
    device.index == 5 && minute >= SINCE
}

/// Fleets that are well, and collectors that are not.
fn fleets_that_are_well() -> Vec<Value> {
    let healthy: Fault = |_, _, _, value| value;
    let with = |collectors: Vec<Value>| [fleet(healthy), collectors].concat();
    vec![
        case("healthy", with(collectors(None, None, 0)), &silent()),
        case("a job as ever", job(MINUTES - 45, 0.42, "info"), &silent()),
        // Nine tenths of its own median are 0.414, of what was predicted 0.396.
        case(
            "a job slower than it was",
            job(MINUTES - 45, 0.40, "info"),
            &fires("OrreryJobSlow", "{}"),
        ),
        case(
            "a job slower than predicted",
            job(0, 0.39, "info"),
            &fires("OrreryJobSlow", "{}"),
        ),
        case(
            "judged",
            job(0, 0.46, "critical"),
            &fires("OrreryJudged", "{node=\"node-0\",gpu=\"4\"}"),
        ),
        // A job ends, another begins, half as heavy: nothing is wrong.
        case(
            "jobs change",
            fleet(|_, metric, minute, value| match (metric, minute % 90) {
                (metric, 60..75) if metric.ends_with("_ratio") => 0.0,
                ("orrery_gpu_power_watts", 60..75) => 0.2 * value,
                ("orrery_gpu_power_watts" | "orrery_gpu_tensor_active_ratio", 75..) => 0.5 * value,
                _ => value,
            }),
            &silent(),
        ),
        case(
            "gone",
            with(collectors(Some(MINUTES - 9), None, 0)),
            &fires("OrreryCollectorGone", "{instance=\"node-0:9477\"}"),
        ),
        case(
            "silent",
            with(collectors(None, Some(SINCE), 0)),
            &fires("OrrerySourceSilent", "{instance=\"node-1:9477\"}"),
        ),
        case(
            "drops",
            with(collectors(None, None, 5)),
            &fires("OrrerySamplesDropped", "{instance=\"node-0:9477\"}"),
        ),
    ]
}

/// Fleets of which one device is ill, one for every alert.
fn fleets_that_are_ill() -> Vec<Value> {
    vec![
        one_is_ill("OrreryDeviceError", |device, metric, minute, value| {
            let fell = device.index == 5 && minute >= 114 && metric.contains("xid=79");
            // Five minutes before the end.
            if fell { 6_840.0 } else { value }
        }),
        one_is_ill("OrreryMemoryErrors", |device, metric, minute, value| {
            let more = device.index == 5 && minute > MINUTES - 30 && metric.contains("ecc");
            if more { value + 1.0 } else { value }
        }),
        one_is_ill("OrreryRowsWaitForReset", |device, metric, minute, value| {
            let pends = is_ill(device, minute) && metric.contains("pending");
            if pends { 1.0 } else { value }
        }),
        one_is_ill("OrreryRowRemapFailed", |device, metric, minute, value| {
            let failed = is_ill(device, minute) && metric.contains("failure");
            if failed { 1.0 } else { value }
        }),
        one_is_ill("OrreryLinkTrainsAnew", |device, metric, minute, value| {
            let trains = is_ill(device, minute) && metric.contains("nvlink");
            if trains {
                value + f64::from(u32::try_from(minute / 10).unwrap_or(0))
            } else {
                value
            }
        }),
        one_is_ill("OrreryDeviceLost", |device, metric, minute, value| {
            match (is_ill(device, minute), metric) {
                (true, "orrery_gpu_up") => 0.0,
                (true, _) => f64::NAN,
                _ => value,
            }
        }),
        one_is_ill("OrreryDeviceSlowAgainstFleet", |device, metric, minute, value| {
            let slow = is_ill(device, minute) && metric == "orrery_gpu_sm_clock_hertz";
            if slow { 0.9 * value } else { value }
        }),
        one_is_ill("OrreryDeviceHeldDown", |device, metric, minute, value| {
            let held = is_ill(device, minute) && metric.contains("thermal_hardware");
            if held {
                f64::from(u8::from(minute % 3 == 0))
            } else {
                value
            }
        }),
        one_is_ill("OrreryDeviceSpins", |device, metric, minute, value| {
            match (is_ill(device, minute), metric) {
                (true, "orrery_gpu_utilization_ratio") => 1.0,
                (true, "orrery_gpu_tensor_active_ratio") => 0.0,
                (true, "orrery_gpu_dram_active_ratio") => 0.01,
                _ => value,
            }
        }),
        one_is_ill("OrreryDeviceHotAgainstNode", |device, metric, minute, value| {
            let hot = is_ill(device, minute) && metric.contains("temperature");
            if hot { value + 20.0 } else { value }
        }),
    ]
}

#[test]
fn alerts_are_silent_on_a_healthy_fleet_and_name_every_fault() {
    if !has_command("promtool", "prometheus") {
        return;
    }
    let cases = [fleets_that_are_well(), fleets_that_are_ill()].concat();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alerts.yml"), shipped("alerts.yml")).unwrap();
    let tests = json!({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": cases});
    let path = folder.path().join("tests.json");
    std::fs::write(&path, tests.to_string()).unwrap();
    let path = path.to_str().unwrap();
    promtool(
        &[
            "check",
            "rules",
            folder.path().join("alerts.yml").to_str().unwrap(),
        ],
        "",
    )
    .unwrap();
    promtool(&["test", "rules", path], "").unwrap();
}
