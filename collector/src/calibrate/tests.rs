//! Calibration with workers of a shell's making: each answers as a real one would, or fails as a real one may.

use std::path::Path;
use std::time::Duration;

use orrery_kernels::device::{DeviceFacts, Launching, Measurement};
use orrery_profile::{OpClass, Profile};

use super::{Answer, CalibrateError, Calibration, Order, Plan, Supervisor, WorkerFault, calibrate, spec_of};

pub(super) fn facts() -> DeviceFacts {
    DeviceFacts {
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        uuid: "0707".to_owned(),
        capability: (9, 0),
        num_units: 132,
        memory_bytes: 80 << 30,
        cache_bytes: 50 << 20,
    }
}

pub(super) fn measured(picos: u64) -> Measurement {
    Measurement {
        p50_picos: picos,
        p5_picos: picos,
        p95_picos: picos,
        p99_picos: picos,
        min_picos: picos,
        max_picos: picos,
        mad_picos: 0,
        median_interval_picos: (picos, picos),
        samples: 30,
        launches: 10,
        launching: Launching::Graph,
        stopped: "converged".to_owned(),
        clock_hertz: Some(1.8e9),
        error: Some(1e-3),
        source_hash: Some("abcdef0123456789".to_owned()),
        taints: Vec::new(),
    }
}

/// A worker that runs `script`, where `$FACTS` and `$TIME` are answers.
pub(super) fn worker(script: &str) -> Vec<String> {
    let quoted = |answer: &Answer| serde_json::to_string(answer).expect("plain data");
    let facts = quoted(&Answer::Facts(facts()));
    let time = quoted(&Answer::Measured(Box::new(measured(50_000_000))));
    let script = format!("FACTS='{facts}'\nTIME='{time}'\n{script}");
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

pub(super) const WILLING: &str =
    r#"while read -r order; do case "$order" in *look*) echo "$FACTS";; *) echo "$TIME";; esac; done"#;

pub(super) fn calibration(folder: &Path, worker: Vec<String>, only: &[&str]) -> Calibration {
    let only: Vec<String> = only.iter().map(|&part| part.to_owned()).collect();
    Calibration {
        device: 0,
        plan: Plan::standard(1.0).only(&only),
        out: folder.join("h100.profile.json"),
        fresh: false,
        worker,
        patience: Duration::from_secs(10),
        watch: None,
        ports: None,
        even_in_use: false,
        measured_by: "node-7".to_owned(),
        date: "2026-11-30".to_owned(),
    }
}

#[test]
fn a_plan_has_unique_names_and_fits_a_device() {
    let plan = Plan::standard(0.5);
    let mut names: Vec<String> = plan.entries.iter().map(super::Entry::id).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "names are unique");
    assert!(plan.memory() < 40 << 30, "{}", plan.memory());
    let text = plan.text();
    assert!(
        text.contains("dense-bf16-8192x8192x8192-sustained") && text.contains("cublaslt"),
        "{text}"
    );
    assert!(text.contains("grouped-fp8-8x512x4096x7168-sustained"), "{text}");
    assert!(text.contains("50 % of the time"), "{text}");
    assert!(
        (plan.seconds() - 2.0 * Plan::standard(1.0).seconds()).abs() < 1e-6,
        "half the duty, twice the time"
    );
    assert_eq!(plan.pause_after(Duration::from_secs(3)), Duration::from_secs(3));
    assert_eq!(plan.only(&["contention-8192".to_owned()]).entries.len(), 5);
}

#[test]
fn devices_are_known_by_what_the_driver_calls_them() {
    for (name, expected) in [
        ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB"),
        ("NVIDIA H100 PCIe", "H100-PCIe-80GB"),
        ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA H20", "H20-96GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA B200", "B200-SXM-180GB"),
    ] {
        assert_eq!(spec_of(name).map(|spec| spec.name), Some(expected), "{name}");
    }
    assert_eq!(spec_of("NVIDIA GeForce RTX 4090"), None);
}

/// The whole way: every measurement, a profile that loads, and no part left behind.
#[test]
fn a_willing_worker_makes_a_profile_that_loads() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = calibration(
        folder.path(),
        worker(WILLING),
        &["copy", "dense-bf16-4096", "grouped", "swiglu"],
    );
    let mut lines = Vec::new();
    let outcome = calibrate(&calibration, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(
        (outcome.measured, outcome.resumed),
        (calibration.plan.entries.len(), 0),
        "{outcome:?}"
    );
    assert!(lines[0].contains("NVIDIA H100 80GB HBM3, 132 units"), "{lines:?}");
    let profile = Profile::from_json(&std::fs::read_to_string(&calibration.out).unwrap()).unwrap();
    assert_eq!(profile.check_device("H100-SXM5-80GB"), Ok(()));
    for (op, source) in [
        (OpClass::Gemm, "cublaslt"),
        (OpClass::GroupedGemm, "cublas"),
        (OpClass::MemoryPass, "orrery"),
    ] {
        let curve = profile.kernels_of(op).next().unwrap_or_else(|| panic!("{op:?}"));
        assert_eq!(
            (
                curve.kernel_source.as_str(),
                curve.provenance.measured_by.as_str()
            ),
            (source, "node-7")
        );
        assert_eq!(curve.provenance.date, "2026-11-30");
    }
    let measured = std::fs::read_to_string(folder.path().join("h100.profile.json.measured.jsonl")).unwrap();
    assert_eq!(
        measured.lines().count(),
        1 + outcome.measured,
        "a line for each, after the first"
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no part is left"
    );
}

/// A worker that dies at its third order and starts again costs one measurement each time; the next run measures what is
/// left alone.
#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dying = r#"for n in 1 2; do read -r order || exit; case "$order" in *look*) echo "$FACTS";; *) echo "$TIME";; esac; done
        read -r order; echo "thread 'main' panicked: no such symbol" >&2; exit 101"#;
    let mut run = calibration(folder.path(), worker(dying), &["contention-8192"]);
    let outcome = calibrate(&run, &mut |_| {}).unwrap();
    // Look and one; then a new worker for two, and so on: every third order is lost.
    assert!(outcome.measured >= 2 && !outcome.failed.is_empty(), "{outcome:?}");
    assert_eq!(outcome.measured + outcome.failed.len(), 5);
    let reason = &outcome.failed[0].1;
    assert!(
        reason.contains("ended (code 101)") && reason.contains("no such symbol"),
        "{reason}"
    );
    let left = outcome.failed.len();
    run.worker = worker(WILLING);
    let outcome = calibrate(&run, &mut |_| {}).unwrap();
    assert_eq!(
        (outcome.measured, outcome.resumed, outcome.failed.len()),
        (left, 5 - left, 0)
    );
    // A part of another plan is not gone on with.
    run.worker = worker(dying);
    run.fresh = true;
    calibrate(&run, &mut |_| {}).unwrap();
    run.fresh = false;
    run.plan = Plan::standard(1.0).only(&["swiglu".to_owned()]);
    let fault = calibrate(&run, &mut |_| {}).unwrap_err();
    assert!(matches!(fault, CalibrateError::Part(_)), "{fault}");
    assert!(
        fault.to_string().contains("another plan") && fault.to_string().contains("--fresh"),
        "{fault}"
    );
}

#[test]
fn half_a_line_of_a_part_is_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = calibration(
        folder.path(),
        worker("read -r order; echo \"$FACTS\"; read -r order; echo \"$TIME\""),
        &["contention-8192"],
    );
    run.patience = Duration::from_secs(5);
    calibrate(&run, &mut |_| {}).unwrap();
    let part = folder.path().join("h100.profile.json.part.jsonl");
    let text = std::fs::read_to_string(&part).unwrap();
    assert!(text.lines().count() >= 2, "{text}");
    std::fs::write(&part, &text[..text.len() - 20]).unwrap();
    run.worker = worker(WILLING);
    let outcome = calibrate(&run, &mut |_| {}).unwrap();
    assert_eq!(outcome.measured + outcome.resumed, 5, "{outcome:?}");
    assert!(outcome.failed.is_empty(), "{outcome:?}");
}

#[test]
fn a_silent_worker_is_killed_and_the_next_one_answers() {
    let mut supervisor = Supervisor::new(
        worker("read -r order; exec sleep 100"),
        Duration::from_millis(300),
    );
    let fault = supervisor.ask(&Order::Libraries, Duration::ZERO).unwrap_err();
    assert!(matches!(fault, WorkerFault::Silent(_)), "{fault}");
    assert!(fault.to_string().contains("dmesg"), "{fault}");
    let mut nonsense = Supervisor::new(worker("read -r order; echo what"), Duration::from_secs(10));
    let fault = nonsense.ask(&Order::Libraries, Duration::ZERO).unwrap_err();
    assert!(fault.to_string().contains("`what`"), "{fault}");
    let mut nobody = Supervisor::new(vec!["/nonexistent/worker".to_owned()], Duration::from_secs(1));
    let fault = nobody.ask(&Order::Libraries, Duration::ZERO).unwrap_err();
    assert!(matches!(fault, WorkerFault::Start { .. }), "{fault}");
}
