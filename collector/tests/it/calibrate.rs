//! `calibrate` as somebody runs it: without a device, and with a driver that fails as it is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

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

/// A folder with a driver of the fake kind under the driver's name.
fn driver() -> TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it lies in the target folder");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "orrery-fake-cuda", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the fake driver builds");
    let folder = tempfile::tempdir().expect("a folder");
    let library = target.join("debug/libfake_cuda.so");
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::copy(&library, folder.path().join(name)).expect("it can be copied");
    }
    folder
}

/// NVRTC as `kernels/fetch-nvrtc.sh` leaves it, if it does.
fn nvrtc() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let folder = target.join("nvrtc/nvidia/cuda_nvrtc/lib");
    folder.is_dir().then_some(folder)
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
    let driver = driver();
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
    let driver = driver();
    for (mood, expected) in [
        ("refuse", "making a stream"),
        ("crash", "the worker ended (signal 6)"),
        ("", "the worker ended (code 101)"),
    ] {
        let (code, out, words) = calibrate(&driver, mood, &["launch_floor", "gather"]);
        assert_eq!(code, Some(3), "{out}{words}");
        assert!(words.contains("FAKE H100 80GB HBM3, 132 units"), "{words}");
        assert_eq!(out.matches("\nfailed: ").count(), 2, "{mood}: {out}");
        assert_eq!(out.matches(expected).count(), 2, "{mood}: {out}");
        assert!(
            out.contains("0 measured, 0 from an earlier run, 2 failed"),
            "{out}"
        );
    }
}

#[test]
fn a_wedged_driver_is_left_behind() {
    if nvrtc().is_none() {
        return;
    }
    let driver = driver();
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
