//! The unmodified NVML wrapper, driven by the fake library: no device is needed.

use std::path::PathBuf;
use std::process::Command;

use orrery_telemetry::{Absence, Celsius, Origin, Reading, Sample};
use serde_json::{Value, json};

/// Builds the fake library into the folder of this test's own build.
fn library() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let target = target
        .parent()
        .expect("the folder lies in the target folder")
        .to_owned();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "orrery-fake-nvml", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the fake library builds");
    target.join("debug/libnvidia_ml.so")
}

fn device(uuid: &str, more: &Value) -> Value {
    let mut device = json!({
        "name": "FAKE", "uuid": uuid,
        "utilization_percent": [[40, 10], [90, 20]],
        "memory_bytes": [[1000, 100, 600]],
        "power_milliwatts": [512_250], "power_limit_milliwatts": [700_000],
        "energy_millijoules": [1_000_000, 2_500_000],
        "sm_clock_megahertz": [1755], "memory_clock_megahertz": [2619],
        "temperature_celsius": [61, 88], "throttle_bits": [0, 0x40],
        "gpm": {"1": 97.0, "2": 83.0, "3": 31.0, "5": 46.5, "12": 11.0, "60": 2.0, "61": 3.0},
    });
    for (key, value) in more.as_object().expect("changes are an object") {
        device[key] = value.clone();
    }
    device
}

#[test]
fn the_wrapper_is_driven_through_readings_absences_and_a_lost_device() {
    let script = json!({"driver": "580.95.05", "devices": [
        device("GPU-good", &json!({})),
        device("GPU-old", &json!({"gpm": null, "power_milliwatts": []})),
        device("GPU-lost", &json!({"lost_after": 12})),
    ]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.json");
    std::fs::write(&path, script.to_string()).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_orrery-collector"))
        .args([
            "once",
            "--source",
            "fake",
            "--interval",
            "150ms",
            "--nvml-library",
        ])
        .arg(library())
        .env("ORRERY_FAKE_NVML_SCRIPT", &path)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{words}");
    let out: Value = serde_json::from_slice(&run.stdout).unwrap();
    // Through text, as a reader gets it: the untagged readings need the plain form.
    let sample: Sample = serde_json::from_str(&out["samples"][0].to_string()).unwrap();
    assert_eq!((sample.origin, sample.devices.len()), (Origin::Fake, 3));
    let [good, old, lost] = &sample.devices[..] else {
        panic!("three devices")
    };
    assert!((good.utilization.value().unwrap().get() - 0.9).abs() < 1e-12);
    assert_eq!(good.memory_free.value().unwrap().get(), 300);
    assert!((good.power.value().unwrap().0 - 512.25).abs() < 1e-9);
    assert!((good.energy.value().unwrap().0 - 2500.0).abs() < 1e-9);
    assert_eq!(good.sm_clock.value().unwrap().get(), 1_755_000_000);
    assert_eq!(good.temperature, Reading::Value(Celsius(88.0)));
    assert_eq!(good.throttles.value().unwrap().len(), 1);
    assert!((good.activity.tensor.value().unwrap().get() - 0.465).abs() < 1e-12);
    assert!((good.activity.nvlink_receive.value().unwrap().get() - 2_097_152.0).abs() < 1e-6);
    assert_eq!(good.activity.dram.absence(), Some(&Absence::NotSupported));
    assert_eq!(old.power.absence(), Some(&Absence::NotSupported));
    assert_eq!(old.activity.sm.absence(), Some(&Absence::NotSupported));
    assert!(
        old.utilization.value().is_some(),
        "one absence hides nothing else"
    );
    assert!(lost.is_lost(), "{lost:?}");
    assert_eq!(lost.identity.uuid, "GPU-lost");
}

#[test]
fn a_fake_without_a_script_is_a_machine_without_a_driver() {
    let run = Command::new(env!("CARGO_BIN_EXE_orrery-collector"))
        .args(["once", "--source", "fake", "--nvml-library"])
        .arg(library())
        .env_remove("ORRERY_FAKE_NVML_SCRIPT")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(3), "{out}");
    assert!(out.contains("driver is not loaded"), "{out}");
}
