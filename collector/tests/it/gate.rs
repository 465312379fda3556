//! `check`: the gate in front of jobs, with a driver in good and in ill moods, and with what measures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use orrery_collector::SourceKind;
use orrery_collector::gate::{Bench, Gate, NotMeasured, Probe, Rate, port_reference, reference};
use orrery_profile::{Link, LinkReference, Profile, Provenance};
use orrery_telemetry::DeviceSample;
use orrery_telemetry::judge::Rules;
use orrery_units::{Bytes, BytesPerSec};
use serde_json::{Value, json};

use crate::fake_nvml::{device, driver};
use crate::http::settings;
use crate::process::{ended, run};

pub(crate) fn profile_path() -> PathBuf {
    let shipped = "../scenarios/profiles/h100-megatron-core-2025-09.profile.json";
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(shipped)
}

/// A device with nothing wrong, but for `more`.
pub(crate) fn well(uuid: &str, more: &Value) -> Value {
    let mut well = device(
        uuid,
        &json!({"temperature_celsius": [61], "throttle_bits": [0], "ecc": [[5, 0, 50, 0]]}),
    );
    for (field, value) in [("144", 0), ("230", 0), ("252", 3_000_000_000_u64)] {
        well["fields"][field] = json!([value]);
    }
    for (key, value) in more.as_object().expect("changes are an object") {
        well[key] = value.clone();
    }
    well
}

/// `well` with one field of the driver changed.
fn with_field(uuid: &str, field: &str, value: u64) -> Value {
    let mut device = well(uuid, &json!({}));
    device["fields"][field] = json!([value]);
    device
}

/// Checks `devices`: exit code, output, faults.
fn check(devices: &[Value], script: &Value, arguments: &[&str]) -> (Option<i32>, String, String) {
    let driver = driver(devices, script);
    let profile = profile_path();
    let mut all = vec![
        "check",
        "--profile",
        profile.to_str().expect("a path of ours"),
        "--budget",
        "6s",
    ];
    all.extend(arguments);
    ended(&driver.command(&all).output().expect("it runs"))
}

#[test]
fn a_healthy_node_passes_with_a_line_for_each_device() {
    let devices = [well("GPU-a", &json!({})), well("GPU-b", &json!({}))];
    let begun = Instant::now();
    let (code, out, words) = check(&devices, &json!({}), &[]);
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "it keeps to its budget"
    );
    assert_eq!(code, Some(0), "{out}{words}");
    assert!(out.lines().next().unwrap().ends_with("FAKE"), "{out}");
    assert!(
        out.contains("GPU 0  FAKE  GPU-a  healthy\nGPU 1  FAKE  GPU-b  healthy\n"),
        "{out}"
    );
    assert!(
        out.contains(
            "not measured: gemm bf16, memory copy, nvlink, nic loopback: GPU 0 is in use by process "
        ),
        "{out}"
    );
    assert!(!out.contains("scontrol"), "{out}");
    let (code, out, words) = check(&devices, &json!({}), &["--format", "json"]);
    assert_eq!(code, Some(0), "{out}{words}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["healthy"], true);
    assert_eq!(report["condition"]["type"], "OrreryDevicesHealthy");
    assert_eq!(report["condition"]["status"], "True");
    let at = report["condition"]["lastHeartbeatTime"].as_str().unwrap();
    assert!(at.len() == 20 && at.ends_with('Z') && at.contains('T'), "{at}");
    assert_eq!(report["drain"], Value::Null);
}

#[test]
fn every_ill_mood_is_named_with_its_device_and_a_reason_to_paste() {
    let ill = |what: &str| match what {
        "row-remap-failure" => with_field("GPU-ill", "145", 1),
        "row-remap-pending" => with_field("GPU-ill", "144", 1),
        "uncorrected memory errors" => well("GPU-ill", &json!({"ecc": [[0, 3, 0, 3]]})),
        "asks for reboot_node" => with_field("GPU-ill", "230", 2),
        "throttle-thermal" => well(
            "GPU-ill",
            &json!({"throttle_bits": [0x40], "temperature_celsius": [91]}),
        ),
        "device-hot" => well("GPU-ill", &json!({"temperature_celsius": [86]})),
        "device-lost" => well("GPU-ill", &json!({"lost_after": 60})),
        "nvlink-down" => well("GPU-ill", &json!({"links": [false, false]})),
        "power-cap" => well("GPU-ill", &json!({"power_limit_milliwatts": [400_000]})),
        "pcie-degraded" => well("GPU-ill", &json!({"pcie": [5, 8]})),
        other => panic!("no mood `{other}`"),
    };
    for what in [
        "row-remap-failure",
        "row-remap-pending",
        "uncorrected memory errors",
        "asks for reboot_node",
        "throttle-thermal",
        "device-hot",
        "device-lost",
        "nvlink-down",
        "power-cap",
        "pcie-degraded",
    ] {
        // Four of them, so that there is a fleet to be apart from.
        let good = ["GPU-a", "GPU-b", "GPU-c"].map(|uuid| well(uuid, &json!({})));
        let mut devices = good.to_vec();
        devices.insert(2, ill(what));
        let (code, out, words) = check(&devices, &json!({}), &[]);
        assert_eq!(code, Some(1), "{what}: {out}{words}");
        let lines: Vec<&str> = out.lines().filter(|line| line.contains("  ILL")).collect();
        assert_eq!(lines.len(), 1, "{what}: {out}");
        assert!(
            lines[0].starts_with("GPU 2  ") && lines[0].contains(what),
            "{what}: {out}"
        );
        let drain = out.lines().last().unwrap();
        assert!(
            drain.starts_with("scontrol update nodename=")
                && drain.contains(" state=drain reason=\"orrery: GPU 2 ")
                && drain.ends_with('"'),
            "{what}: {drain}"
        );
        assert!(out.contains("\nwhat to do: "), "{what}: {out}");
    }
}

#[test]
fn an_error_of_the_driver_fails_the_node_and_one_of_a_program_does_not() {
    let devices = [well("GPU-a", &json!({})), well("GPU-b", &json!({}))];
    let script = |code: u64| json!({"xids": [{"device": 1, "code": code, "times": 2, "after": 60}]});
    let (code, out, _) = check(&devices, &script(79), &["--format", "json"]);
    assert_eq!(code, Some(1), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["condition"]["status"], "False");
    assert_eq!(report["devices"][0]["healthy"], true);
    assert_eq!(report["devices"][1]["healthy"], false);
    let message = report["condition"]["message"].as_str().unwrap();
    assert!(message.starts_with("orrery: GPU 1 "), "{message}");
    let (code, out, _) = check(&devices, &script(31), &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("Xid 31: "), "it is told all the same: {out}");
}

#[test]
fn no_profile_and_no_device_end_with_3_and_bad_words_with_2() {
    let devices = [well("GPU-a", &json!({}))];
    let (code, _, words) = check(&devices, &json!({}), &["--profile", "/nonexistent.profile.json"]);
    assert_eq!(code, Some(2), "given twice: {words}");
    let driver = driver(&devices, &json!({}));
    let with = |arguments: &[&str]| ended(&driver.command(arguments).output().unwrap());
    let (code, out, words) = with(&["check", "--profile", "/nonexistent.profile.json"]);
    assert_eq!((code, out.as_str()), (Some(3), ""), "{words}");
    assert!(
        words.contains("no profile") && words.contains("--counters-only"),
        "{words}"
    );
    let (code, _, words) = with(&["check"]);
    assert!(code == Some(2) && words.contains("--profile"), "{words}");
    let (code, _, words) = with(&["check", "--counters-only", "--budget", "soon"]);
    assert!(code == Some(2) && words.contains("--budget"), "{words}");
    let (code, out, words) = with(&["check", "--counters-only", "--budget", "4s"]);
    assert_eq!(code, Some(0), "{out}{words}");
    let none = [
        "check",
        "--counters-only",
        "--budget",
        "2s",
        "--nvml-library",
        "/nonexistent/libnvidia-ml.so.1",
    ];
    let (code, out, words) = run(&none);
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(
        out.contains("no device was read: nvml: no NVIDIA driver library"),
        "{out}"
    );
}

/// A profile that knows its links: copies to a peer and ports of the line rate are held against it, others are not.
#[test]
fn links_are_held_against_what_the_profile_says_of_them() {
    let mut profile = Profile::from_json(&std::fs::read_to_string(profile_path()).unwrap()).unwrap();
    let of = |link: Link, rate: f64| LinkReference {
        link,
        bandwidth: BytesPerSec::new(rate),
        bytes: Bytes::new(1 << 28),
        provenance: Provenance::default(),
    };
    profile.links = vec![
        of(Link::Peer, 380e9),
        of(Link::Port("400 Gbit/s".to_owned()), 48e9),
    ];
    assert_eq!(reference(&profile, Probe::NvLink), Some(380e9));
    assert_eq!(
        reference(&profile, Probe::NicLoopback),
        None,
        "ports are told by their line rate"
    );
    assert_eq!(port_reference(&profile, "mlx5_3/1, 400 Gbit/s"), Some(48e9));
    for other in ["mlx5_3/1, 200 Gbit/s", "mlx5_3/1", "400 Gbit/s"] {
        assert_eq!(port_reference(&profile, other), None, "{other}");
    }
    let settings = settings(vec![SourceKind::Demo]);
    let gate = Gate {
        settings: &settings,
        profile: Some(&profile),
        rules: Rules::default(),
        budget: Duration::from_secs(8),
    };
    let port = |value: f64, line: &str| Rate {
        value,
        through: Some(format!("mlx5_0/1, {line}")),
    };
    let report = gate.check(&mut Scripted(|uuid: &str, probe| match (probe, uuid) {
        (Probe::NvLink, "DEMO-0-1") => Some(Rate::from(300e9)),
        (Probe::NvLink, _) => Some(Rate::from(370e9)),
        (Probe::NicLoopback, "DEMO-0-2") => Some(port(40e9, "400 Gbit/s")),
        (Probe::NicLoopback, "DEMO-3-3") => Some(port(20e9, "200 Gbit/s")),
        (Probe::NicLoopback, _) => Some(port(47e9, "400 Gbit/s")),
        (Probe::Gemm | Probe::MemoryCopy, _) => None,
    }));
    let text = report.unwrap().text();
    let line = |uuid: &str| text.lines().find(|line| line.contains(uuid)).unwrap();
    for (uuid, words) in [
        (
            "DEMO-0-1",
            "below-profile: nvlink: this device gives 78.9 % of what its model gave",
        ),
        ("DEMO-0-1", "  nvlink 300 GB/s (78.9 % of the profile)"),
        (
            "DEMO-0-2",
            "below-profile: nic loopback: this device gives 83.3 % of",
        ),
        (
            "DEMO-0-2",
            "  nic loopback 40 GB/s (83.3 % of the profile; mlx5_0/1, 400 Gbit/s)",
        ),
        ("DEMO-3-3", "  nic loopback 20 GB/s (mlx5_0/1, 200 Gbit/s)"),
    ] {
        assert!(line(uuid).contains(words), "{uuid}: {words}\n{text}");
    }
    assert!(!line("DEMO-3-3").contains("below-profile"), "{text}");
}

/// Measures what it was told.
struct Scripted<F>(F);

impl<R: Into<Rate>, F: Fn(&str, Probe) -> Option<R>> Bench for Scripted<F> {
    fn measure(
        &mut self,
        devices: &[&DeviceSample],
        probe: Probe,
        budget: Duration,
    ) -> Vec<Result<Rate, NotMeasured>> {
        assert!(
            budget <= Duration::from_secs(8),
            "there is no more than the budget"
        );
        let rates = devices
            .iter()
            .map(|device| match (self.0(&device.identity.uuid, probe), probe) {
                (Some(rate), _) => Ok(rate.into()),
                (None, Probe::MemoryCopy) if device.identity.uuid == "DEMO-1-7" => {
                    Err(NotMeasured::wrong("`copy` is wrong\n  = help: it is"))
                }
                (None, _) => Err(NotMeasured::new("the device is in use")),
            });
        rates.collect()
    }
}

#[test]
fn what_is_measured_is_held_against_the_profile_and_the_other_devices() {
    let profile = Profile::from_json(&std::fs::read_to_string(profile_path()).unwrap()).unwrap();
    let gemm = reference(&profile, Probe::Gemm).unwrap();
    // The law's rate of a large product: a little below what it tends to, for its last wave and its prologue.
    let limit = 989e12 * 0.8521 * 0.9326;
    assert!((0.97..1.0).contains(&(gemm / limit)), "{gemm}");
    assert!(reference(&profile, Probe::MemoryCopy).is_some());
    assert_eq!(reference(&profile, Probe::NvLink), None);
    let settings = settings(vec![SourceKind::Demo]);
    let gate = Gate {
        settings: &settings,
        profile: Some(&profile),
        rules: Rules::default(),
        budget: Duration::from_secs(8),
    };
    let report = gate
        .check(&mut Scripted(|uuid: &str, probe| match (probe, uuid) {
            (Probe::Gemm, "DEMO-0-3") => Some(0.87 * gemm),
            (Probe::Gemm, _) => Some(gemm),
            (Probe::NvLink, "DEMO-1-1") => Some(200e9),
            (Probe::NvLink, _) => Some(365e9),
            (Probe::MemoryCopy | Probe::NicLoopback, _) => None,
        }))
        .unwrap();
    let text = report.text();
    let line = |uuid: &str| text.lines().find(|line| line.contains(uuid)).unwrap();
    let slow = line("DEMO-0-3");
    assert!(
        slow.contains("  ILL  gemm bf16 ")
            && slow.contains(" TFLOP/s (87 % of the profile)")
            && slow.contains("below-profile: gemm bf16: this device gives 87 % of what its model gave"),
        "{slow}"
    );
    let linked = line("DEMO-1-1");
    assert!(linked.contains("slow-device: nvlink gives 200 GB/s"), "{linked}");
    let wrong = line("DEMO-1-7");
    assert!(
        wrong.contains("  ILL  ")
            && wrong.contains("; wrong-result: memory copy: `copy` is wrong; help: it is"),
        "{wrong}"
    );
    // The made-up cluster has a device whose clock is stuck.
    assert!(line("DEMO-2-5").contains("clock-low"), "{text}");
    assert!(line("DEMO-3-3").contains("  healthy  "), "{text}");
    assert!(
        text.contains("not measured: memory copy, nic loopback: the device is in use\n"),
        "{text}"
    );
    assert!(text.starts_with("demo-node-0  DEMO\n"), "{text}");
    assert_eq!(report.is_healthy(), Some(false));
}
