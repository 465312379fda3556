//! `calibrate --ranks`: a process for each device, whose collectives add up for real in a library that is a fake.

use serde_json::Value;
use tempfile::TempDir;

use crate::fake_cuda::driver;
use crate::process::{command, ended};

/// What goes wrong in the library.
const MOOD: &str = "ORRERY_FAKE_CUDA_NCCL";

/// What `calibrate` among `ranks` devices says of all-reduces of these sizes.
fn calibrate(
    driver: &TempDir,
    ranks: usize,
    sizes: &[u64],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut command = command(&[
        "calibrate",
        "--duty",
        "1",
        "--fresh",
        "--patience",
        "20s",
        "--out",
    ]);
    command.arg(driver.path().join("out.profile.json"));
    command.arg("--ranks").arg(ranks.to_string());
    for size in sizes {
        command.arg("--only").arg(format!("nccl-all_reduce-{size}-"));
    }
    command
        .env("LD_LIBRARY_PATH", driver.path())
        .env("ORRERY_FAKE_CUDA_DEVICES", "3")
        .envs(environment.iter().copied());
    let (code, out, words) = ended(&command.output().expect("it runs"));
    (code, format!("{out}{words}"))
}

/// What was measured, one object each.
fn measured(driver: &TempDir) -> Vec<Value> {
    let path = driver.path().join("out.profile.json.measured.jsonl");
    let lines = std::fs::read_to_string(path).expect("it was written");
    let lines = lines.lines().skip(1);
    let measured = lines.map(|line| serde_json::from_str::<Value>(line).expect("as it is written"));
    measured.map(|mut line| line["measured"].take()).collect()
}

/// A collective is measured by three processes, and checked at every rank: replayed, or launched where one may not replay,
/// with the same result.
#[test]
fn a_process_for_each_device_measures_collectives() {
    let driver = driver(&["libnccl.so"]);
    let (code, said) = calibrate(&driver, 3, &[1024], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 measured, 0 from an earlier run, 0 failed"),
        "{said}"
    );
    let replayed = measured(&driver).remove(0);
    let error = replayed["error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 1e-2, "sums are rounded: {replayed}");
    assert_eq!(replayed["launching"], "graph", "{replayed}");
    let refused = [("ORRERY_FAKE_CUDA_GRAPHS", "invalidate")];
    let (code, said) = calibrate(&driver, 3, &[1024], &refused);
    assert_eq!(code, Some(0), "{said}");
    let launched = measured(&driver).remove(0);
    assert_eq!(launched["error"], replayed["error"], "{launched}");
    let why = launched["launching"]["stream"].as_str().unwrap();
    assert!(why.starts_with("rank 0: ending a capture: "), "{why}");
}

/// One rank that dies ends all of them at once; it is named with those, and the next measurement begins with new ones.
#[test]
fn a_rank_that_dies_costs_the_measurement_and_names_all() {
    let driver = driver(&["libnccl.so"]);
    let (code, said) = calibrate(&driver, 2, &[1024, 8192], &[(MOOD, "die-1")]);
    assert_eq!(code, Some(3), "{said}");
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("failed: ")).collect();
    assert_eq!(failed.len(), 2, "{said}");
    for line in failed {
        assert!(
            line.contains("rank 1 (device 1): the worker ended (signal 6)")
                && line.contains("stopped with it: rank 0 (device 0)"),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_rank_a_missing_library_and_too_few_devices_are_told() {
    let driver = driver(&["libnccl.so"]);
    let (code, said) = calibrate(&driver, 2, &[1024], &[(MOOD, "wrong-1")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("rank 1 (device 1): `collective` is wrong"),
        "{said}"
    );
    let (_, said) = calibrate(&driver, 4, &[1024], &[]);
    assert!(
        said.contains("a collective of 4 devices, and there are 3"),
        "{said}"
    );
    let without = crate::fake_cuda::driver(&[]);
    let (_, said) = calibrate(&without, 2, &[1024], &[]);
    assert!(said.contains("rank 0: `libnccl.so` was not found"), "{said}");
}
