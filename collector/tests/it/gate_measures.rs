//! `check` with a driver of CUDA that works, fails or hangs: what it measures, and that it never takes longer than it may.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake_cuda::{driver as cuda, nvrtc};
use crate::fake_nvml::driver;
use crate::gate::{profile_path, well};
use crate::process::ended;

/// Device `index` of both fakes, used by nobody.
fn idle(index: u64) -> Value {
    let digit = 7 + index;
    let group = |length: usize| format!("0{digit}").repeat(length / 2);
    let uuid = [8, 4, 4, 4, 12].map(group).join("-");
    let idle = json!({"processes": [], "utilization_percent": [[0, 0]], "memory_bytes": [[1000, 10, 20]]});
    well(&format!("GPU-{uuid}"), &idle)
}

/// What `check` says of two idle devices, the driver of CUDA in `mood`, in `budget`.
fn check(mood: &str, budget: &str, libraries: &Path) -> (Option<i32>, String, Duration) {
    let nvml = driver(&[idle(0), idle(1)], &json!({}));
    let profile = profile_path();
    let mut command = nvml.command(&["check", "--budget", budget, "--without-ports"]);
    command.arg("--profile").arg(profile);
    if let Some(nvrtc) = nvrtc() {
        command.arg("--nvrtc").arg(nvrtc);
    }
    command
        .arg("--kernel-cache")
        .arg(libraries)
        .env("LD_LIBRARY_PATH", libraries)
        .env("ORRERY_FAKE_CUDA", mood)
        .env("ORRERY_FAKE_CUDA_DEVICES", "2");
    let begin = Instant::now();
    let (code, out, words) = ended(&command.output().expect("it runs"));
    (code, format!("{out}{words}"), begin.elapsed())
}

#[test]
fn without_cuda_every_line_says_why_nothing_is_measured() {
    let nothing = tempfile::tempdir().unwrap();
    let (code, out, _) = check("", "4s", nothing.path());
    assert_eq!(code, Some(0), "{out}");
    let lines: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("not measured: "))
        .collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(
        lines[0]
            .starts_with("not measured: nic loopback: ports are judged by their states and counters alone"),
        "{out}"
    );
    assert!(
        lines[1].starts_with("not measured: gemm bf16, memory copy, nvlink: the CUDA driver")
            && lines[1].contains("; help: install the NVIDIA driver"),
        "{out}"
    );
}

/// Links are measured by the driver alone, copies by a kernel that this driver does; products need a library.
#[test]
fn a_driver_that_works_is_measured() {
    if nvrtc().is_none() {
        // The tests of the kernels record the skip.
        return;
    }
    let libraries = cuda(&[]);
    let (code, out, _) = check("copies", "90s", libraries.path());
    for index in [0, 1] {
        let line = out
            .lines()
            .find(|line| line.starts_with(&format!("GPU {index} ")))
            .unwrap();
        // The memory of this machine is no memory of a device.
        assert!(
            line.contains("  ILL  memory copy ") && line.contains(" % of the profile)  nvlink "),
            "{out}"
        );
        assert!(line.contains("below-profile: memory copy"), "{out}");
    }
    assert!(out.contains("not measured: gemm bf16: "), "{out}");
    assert!(
        out.contains("not measured: nic loopback: ports are judged by"),
        "{out}"
    );
    assert_eq!(code, Some(1), "{out}");
}

#[test]
fn a_device_that_computes_wrong_is_ill() {
    if nvrtc().is_none() {
        return;
    }
    let libraries = cuda(&[]);
    let (code, out, _) = check("", "90s", libraries.path());
    assert_eq!(code, Some(1), "{out}");
    let line = out.lines().find(|line| line.starts_with("GPU 1 ")).unwrap();
    assert!(
        line.contains("  ILL  nvlink ")
            && line.contains("wrong-result: memory copy: `copy` is wrong: relative error 1.00e0"),
        "{out}"
    );
    assert!(
        out.contains("reason=\"orrery: GPU 0 wrong-result; GPU 1 wrong-result\""),
        "{out}"
    );
}

#[test]
fn a_driver_that_fails_costs_what_it_fails_at_and_never_more_than_the_budget() {
    if nvrtc().is_none() {
        return;
    }
    let libraries = cuda(&[]);
    for (mood, expected) in [
        (
            "no_device",
            "starting the driver: DriverError(CUDA_ERROR_NO_DEVICE",
        ),
        ("refuse", "making a stream: DriverError(CUDA_ERROR_OUT_OF_MEMORY"),
        ("crash", "the worker ended (signal 6)"),
        ("wedge", "was silent for"),
    ] {
        let (code, out, elapsed) = check(mood, "8s", libraries.path());
        assert_eq!(
            code,
            Some(0),
            "what could not be measured condemns no device; {mood}: {out}"
        );
        assert!(
            out.contains("not measured: ") && out.contains(expected),
            "{mood}: {out}"
        );
        assert!(out.contains("  healthy"), "{mood}: {out}");
        assert!(elapsed < Duration::from_secs(13), "{mood}: {elapsed:?}");
    }
}
