//! `doctor` and `once` as somebody sees them who runs them for the first time.

use serde_json::{Value, json};

use crate::process::{Driver, ended, run};

/// A driver that is not there, on whatever machine this runs.
const NOWHERE: [&str; 2] = ["--nvml-library", "/nonexistent/libnvidia-ml.so.1"];

#[test]
fn without_a_driver_doctor_says_what_is_missing_and_what_to_do() {
    let (code, out, words) = run(&["doctor", NOWHERE[0], NOWHERE[1]]);
    assert_eq!((code, words.as_str()), (Some(3), ""), "{out}");
    for part in [
        "nvml     ABSENT: no NVIDIA driver library: /nonexistent/libnvidia-ml.so.1",
        "what to do: install the NVIDIA driver",
        "--gpus all",
        "demo     DEMO: 32 made-up devices\n",
        "listen   127.0.0.1:9477 ",
        "serve --source demo",
    ] {
        assert!(out.contains(part), "`{part}` is missing:\n{out}");
    }
}

#[test]
fn without_a_driver_once_prints_its_object_and_ends_with_3() {
    let (code, out, words) = run(&["once", NOWHERE[0], NOWHERE[1]]);
    assert_eq!(code, Some(3), "{words}");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["samples"], json!([]));
    assert_eq!(out["sources"][0]["state"], "absent");
    assert!(words.contains("orrery-collector doctor"), "{words}");
}

#[test]
fn once_reads_the_demonstration_as_one_object() {
    let (code, out, words) = run(&["once", "--source", "demo"]);
    assert_eq!((code, words.as_str()), (Some(0), ""), "{out}");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&out["schema"], &out["samples"][0]["origin"]),
        (&json!("once/1"), &json!("demo"))
    );
}

#[test]
fn with_devices_doctor_lists_them_and_what_they_lack() {
    let driver = Driver::new(&json!({"driver": "580.95.05", "devices": [
        {"name": "FAKE", "uuid": "GPU-good", "utilization_percent": [[40, 10]], "power_milliwatts": [512_250]},
        {"name": "FAKE", "uuid": "GPU-lost", "lost_after": 8},
    ]}));
    let (code, out, words) = ended(&driver.command(&["doctor"]).output().unwrap());
    assert_eq!(code, Some(0), "{out}{words}");
    for part in [
        "fake     FAKE: 2 devices\n",
        "device 0  FAKE  GPU-good\n",
        "no memory used, memory free, memory reserved, memory total, power limit, energy,",
        ": not supported by this device\n",
        "device 1  FAKE  GPU-lost  LOST\n",
        "what to do: reset the device",
    ] {
        assert!(out.contains(part), "`{part}` is missing:\n{out}");
    }
}

#[test]
fn a_machine_whose_every_device_is_lost_has_no_device() {
    let driver = Driver::new(&json!({"driver": "580.95.05", "devices": [
        {"name": "FAKE", "uuid": "GPU-a", "lost_after": 0},
        {"name": "FAKE", "uuid": "GPU-b", "lost_after": 4},
    ]}));
    let (code, out, words) = ended(&driver.command(&["doctor"]).output().unwrap());
    assert_eq!(code, Some(3), "{out}{words}");
    assert_eq!(out.matches("  LOST\n").count(), 2, "{out}");
    assert!(out.contains("No device can be read here."), "{out}");
}

#[test]
fn a_driver_that_does_not_start_is_told_with_its_remedy() {
    // The numbers of `nvmlReturn_t`.
    for (fault, reason, remedy) in [
        (4, "permission", "run as a user that may open `/dev/nvidia*`"),
        (9, "driver is not loaded", "modprobe nvidia"),
        (10, "timeout", "the driver is slow or hangs"),
        (17, "blocked by the operating system", "cgroup"),
        (18, "version mismatch", "reload its kernel module"),
        (999, "internal driver error", "see `dmesg`"),
    ] {
        let driver = Driver::new(&json!({"driver": "1", "devices": [],
            "failing_starts": 100, "failing_with": fault}));
        let (code, out, words) = ended(&driver.command(&["doctor"]).output().unwrap());
        assert_eq!(code, Some(3), "{out}{words}");
        assert!(out.contains(reason), "{fault}: {out}");
        let what_to_do = out.split("what to do: ").nth(1).unwrap_or_default();
        assert!(what_to_do.contains(remedy), "{fault}: {out}");
    }
}

#[test]
fn a_source_that_is_named_twice_is_read_once() {
    for arguments in [
        ["once", "--source", "demo,demo"],
        ["doctor", "--source", "demo,demo"],
    ] {
        let (code, out, words) = run(&arguments);
        assert_eq!(
            out.matches(r#""source":"demo""#).count(),
            usize::from(arguments[0] == "once"),
            "{out}"
        );
        assert!(
            out.matches("DEMO: 32 made-up").count() <= 1,
            "{code:?} {out}{words}"
        );
    }
}
