//! `calibrate` as somebody runs it: without a device, and with a driver that fails as it is told.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_cuda::{driver, nvrtc};
use crate::fake_nvml::{self, device};
use crate::process::{command, ended, run};

#[test]
fn a_dry_run_prints_the_plan_without_a_device() {
    let (code, out, words) = run(&["calibrate", "--dry-run"]);
    assert_eq!((code, words.as_str()), (Some(0), ""), "{out}");
    for part in [
        "launch_floor-cold",
        "dense-bf16-8192x8192x8192-sustained",
        "contention-8192-beside-32",
        "GiB",
        " min with",
    ] {
        assert!(out.contains(part), "`{part}` is missing:\n{out}");
    }
    let (code, _, words) = run(&["calibrate", "--dry-run", "--only", "nothing-of-the-kind"]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("= help:"), "{words}");
    let (code, _, words) = run(&["calibrate", "--dry-run", "--duty", "1.5"]);
    assert_eq!(code, Some(2), "{words}");
}

fn calibrate(driver: &TempDir, mood: &str, only: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(&["calibrate", "--duty", "1", "--patience", "4s", "--out"]);
    command.arg(driver.path().join("out.profile.json"));
    command.args(only.iter().flat_map(|part| ["--only", *part]));
    command.arg("--kernel-cache").arg(driver.path());
    if let Some(nvrtc) = nvrtc() {
        command.arg("--nvrtc").arg(nvrtc);
    }
    command
        .env("LD_LIBRARY_PATH", driver.path())
        .env("ORRERY_FAKE_CUDA", mood);
    ended(&command.output().expect("it runs"))
}

#[test]
fn a_driver_without_a_device_is_told() {
    let driver = driver(&[]);
    let (code, _, words) = calibrate(&driver, "no_device", &["launch_floor"]);
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("opening device 0") && words.contains("NO_DEVICE"),
        "{words}"
    );
    assert!(
        words.contains("orrery-collector doctor") && !words.contains("panicked"),
        "{words}"
    );
}

/// Whatever a driver does costs the measurement that met it: the run goes on to the next, and names both.
#[test]
fn a_driver_that_refuses_crashes_or_panics_costs_one_measurement_each() {
    if nvrtc().is_none() {
        // The tests of the kernels record the skip.
        return;
    }
    let driver = driver(&[]);
    for (mood, expected) in [
        ("refuse", ["making a stream"; 2]),
        ("crash", ["the worker ended (signal 6)"; 2]),
        // A function is missing, and kernels do nothing: the one is a fault of the worker's, the other a wrong result.
        (
            "",
            [
                "the worker ended (code 101)",
                "`permutation` is wrong: relative error 1.00e0",
            ],
        ),
    ] {
        let (code, out, words) = calibrate(&driver, mood, &["launch_floor", "gather"]);
        assert_eq!(code, Some(3), "{out}{words}");
        assert!(words.contains("FAKE H100 80GB HBM3, 132 units"), "{words}");
        let failed: Vec<&str> = out.lines().filter(|line| line.starts_with("failed: ")).collect();
        assert_eq!(failed.len(), 2, "{mood}: {out}");
        for (line, expected) in failed.iter().zip(expected) {
            assert!(line.contains(expected), "{mood}: {out}");
        }
        assert!(
            out.contains("0 measured, 0 from an earlier run, 2 failed"),
            "{out}"
        );
    }
}

/// A device that somebody uses is not measured; told to, it is, and every result says so.
#[test]
fn a_device_in_use_is_refused() {
    let libraries = driver(&[]);
    let run = |process: &Value, more: &[&str]| {
        let uuid = "GPU-07070707-0707-0707-0707-070707070707";
        let device = device(
            uuid,
            &json!({"processes": process, "utilization_percent": [[0, 0]], "memory_bytes": [[1000, 10, 20]]}),
        );
        let nvml = fake_nvml::driver(&[device], &json!({}));
        let mut command = nvml.command(&["calibrate", "--only", "launch_floor", "--patience", "4s"]);
        let out = libraries.path().join("used.profile.json");
        command.arg("--out").arg(out).args(more);
        command
            .env("LD_LIBRARY_PATH", libraries.path())
            .env("ORRERY_FAKE_CUDA", "refuse");
        ended(&command.output().expect("it runs"))
    };
    let user = json!([{"pid": 4_000_000, "memory_bytes": 600}]);
    let (code, out, words) = run(&user, &[]);
    assert_eq!(code, Some(2), "{out}{words}");
    assert!(
        words.contains("GPU 0 is in use by process 4000000") && words.contains("--even-in-use"),
        "{words}"
    );
    let (code, out, words) = run(&user, &["--even-in-use"]);
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(
        words.contains("is in use by process") && out.contains("failed: launch_floor"),
        "{out}{words}"
    );
    let (_, out, words) = run(&json!([]), &[]);
    assert!(
        !words.contains("in use") && out.contains("failed: launch_floor"),
        "{out}{words}"
    );
}

#[test]
fn a_wedged_driver_is_left_behind() {
    if nvrtc().is_none() {
        return;
    }
    let driver = driver(&[]);
    let mut command = command(&["calibrate", "--only", "launch_floor", "--patience", "1s", "--out"]);
    command.arg(driver.path().join("out.profile.json"));
    command.args(["--nvrtc".into(), nvrtc().expect("it is there")]);
    command
        .env("LD_LIBRARY_PATH", driver.path())
        .env("ORRERY_FAKE_CUDA", "wedge");
    let begin = std::time::Instant::now();
    let (code, out, words) = ended(&command.output().expect("it runs"));
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(out.contains("was silent for") && out.contains("dmesg"), "{out}");
    assert!(begin.elapsed().as_secs() < 90, "{:?}", begin.elapsed());
}

#[test]
fn doctor_names_every_library_and_how_to_get_it() {
    let mut command = command(&["doctor", "--nvml-library", "/nonexistent/libnvidia-ml.so.1"]);
    command
        .env_remove("LD_LIBRARY_PATH")
        .env("ORRERY_NVRTC", "/nonexistent/libnvrtc.so");
    let (code, out, words) = ended(&command.output().expect("it runs"));
    assert_eq!((code, words.as_str()), (Some(3), ""), "{out}");
    for part in [
        "\ncuda ",
        "\nnvrtc    ABSENT: NVRTC was not found",
        "\ncublas ",
        "\ncublaslt ",
        "\nnccl ",
    ] {
        assert!(out.contains(part), "`{part}` is missing:\n{out}");
    }
    assert!(out.contains("pip install nvidia-cuda-nvrtc-cu12"), "{out}");
}
