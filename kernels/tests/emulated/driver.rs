//! The whole way of a measurement without a device: operands, launches, check and timing through the driver's functions.
//! The driver is a fake whose kernels are those of `cuda/`, built for the CPU, or do nothing.
//!
//! A driver is found where the loader looks when a process starts, so each case runs in a child: this test binary, told
//! by its environment to be one.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use orrery_kernels::catalog::{Kernel, Source};
use orrery_kernels::compile::{Cache, Compiler, Search};
use orrery_kernels::device::{Device, Measurement, Sampling};
use orrery_kernels::measure::{Mode, Subject};
use orrery_kernels::statistics::StopRule;
use orrery_operation::Precision;
use orrery_units::SimDuration;

use crate::fake_cuda::{driver, nvrtc};
use crate::machine::Emulator;

/// Names the subjects to a child.
const SUBJECTS: &str = "ORRERY_TEST_SUBJECTS";

/// Second-level cache of the devices, in bytes.
pub(crate) const CACHE: u64 = 20_000;

/// What came of every subject.
pub(crate) type Results = Vec<Result<Measurement, String>>;

/// Relative errors of `subjects`, or why there is none, on a device of this major capability that runs `sources`, with
/// `libraries` there; none where something to build them with is missing.
fn measure(
    major: u32,
    sources: &[Source],
    libraries: &[&str],
    subjects: &[Subject],
) -> Option<Vec<Result<Option<f64>, String>>> {
    let results = measured(major, sources, libraries, subjects, &[])?.into_iter();
    Some(
        results
            .map(|result| result.map(|measured| measured.error))
            .collect(),
    )
}

/// The same in full, by a driver that is told more by its `environment`.
pub(crate) fn measured(
    major: u32,
    sources: &[Source],
    libraries: &[&str],
    subjects: &[Subject],
    environment: &[(&str, &str)],
) -> Option<Results> {
    nvrtc()?;
    let kernels = sources.iter().map(|&source| {
        let emulator = Emulator::of(source)?;
        Some(emulator.path().display().to_string())
    });
    let kernels: Vec<String> = kernels.collect::<Option<_>>()?;
    let folder = driver(libraries);
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "driver::child", "--nocapture"])
        .env(SUBJECTS, serde_json::to_string(subjects).expect("plain data"))
        .env("LD_LIBRARY_PATH", folder.path())
        .env("ORRERY_FAKE_CUDA_KERNELS", kernels.join(":"))
        .env("ORRERY_FAKE_CUDA_MAJOR", major.to_string())
        .env("ORRERY_FAKE_CUDA_UNITS", "2")
        .env("ORRERY_FAKE_CUDA_DEVICES", "3")
        .env("ORRERY_FAKE_CUDA_CACHE", CACHE.to_string())
        .envs(environment.iter().copied())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let results = text.lines().filter_map(|line| line.strip_prefix("RESULT "));
    let results: Results = results
        .map(|line| serde_json::from_str(line).expect("as the child writes"))
        .collect();
    assert_eq!(
        results.len(),
        subjects.len(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(results)
}

/// The child's part; nothing where this is no child.
#[test]
fn child() {
    let Ok(subjects) = std::env::var(SUBJECTS) else {
        return;
    };
    let subjects: Vec<Subject> = serde_json::from_str(&subjects).unwrap();
    let search = Search {
        given: nvrtc(),
        ..Search::default()
    };
    let cache = Cache::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver-cubins"));
    let device = Device::open(0, Compiler::load(&search).unwrap(), cache).unwrap();
    let sampling = Sampling {
        rule: StopRule {
            min_samples: 2,
            relative_interval: 1.0,
            cap: SimDuration::from_millis(1),
        },
        warm_up: SimDuration::ZERO,
    };
    for subject in &subjects {
        let measured = device.measure(subject, Mode::Sustained, &sampling);
        let result = measured.map_err(|fault| fault.to_string());
        let line = serde_json::to_string(&result).unwrap();
        // On a line of its own, whatever stands before it.
        writeln!(std::io::stdout(), "\nRESULT {line}").unwrap();
    }
}

pub(crate) const PASSES: [Subject; 6] = [
    Subject::Copy { bytes: 40_000 },
    Subject::Read { bytes: 70_000 },
    Subject::Swiglu { rows: 6, inner: 40 },
    Subject::Gather {
        tokens: 5,
        top_k: 3,
        hidden: 24,
    },
    Subject::Combine {
        tokens: 5,
        top_k: 3,
        hidden: 24,
    },
    Subject::Grouped {
        experts: 2,
        rows_per_expert: 40,
        n: 128,
        k: 128,
        precision: Precision::Bf16,
    },
];

#[test]
fn every_pass_is_right_before_it_is_timed() {
    let sources = [
        Kernel::Copy,
        Kernel::Swiglu,
        Kernel::Gather,
        Kernel::Combine,
        Kernel::GemmBf16,
        Kernel::Clock,
    ];
    let Some(results) = measure(8, &sources.map(Kernel::source), &[], &PASSES) else {
        return;
    };
    for (subject, result) in PASSES.iter().zip(&results) {
        let error = result
            .as_ref()
            .unwrap_or_else(|fault| panic!("{}: {fault}", subject.id()));
        assert!(
            error.is_some_and(|error| error < 1e-2),
            "{}: {error:?}",
            subject.id()
        );
    }
    let exact = |at: usize| results[at] == Ok(Some(0.0));
    assert!(exact(0) && exact(1) && exact(3), "copies are bits: {results:?}");
}

#[test]
fn products_by_bulk_copies_are_right_on_a_device_of_theirs() {
    let of = |precision| Subject::Grouped {
        experts: 2,
        rows_per_expert: 40,
        n: 256,
        k: 128,
        precision,
    };
    let subjects = [of(Precision::Bf16), of(Precision::Fp8)];
    let sources = [Kernel::HopperBf16, Kernel::Clock].map(Kernel::source);
    let Some(results) = measure(9, &sources, &[], &subjects) else {
        return;
    };
    for (result, allowed) in results.iter().zip([1e-2, 4e-2]) {
        let error = result.clone().unwrap().unwrap();
        assert!(error > 0.0 && error < allowed, "{results:?}");
    }
}

#[test]
fn a_kernel_that_does_nothing_has_no_time() {
    let Some(results) = measure(8, &[], &[], &PASSES) else {
        return;
    };
    for (subject, result) in PASSES.iter().zip(&results) {
        let fault = result.as_ref().expect_err(&subject.id());
        assert!(
            fault.contains("is wrong: relative error 1.00e0") && fault.contains("no number of it is kept"),
            "{}: {fault}",
            subject.id()
        );
    }
}

#[test]
fn a_copy_to_a_peer_is_the_drivers_and_needs_one() {
    let copy = |peer| Subject::PeerCopy { bytes: 4096, peer };
    let Some(results) = measure(8, &[], &[], &[copy(1), copy(5)]) else {
        return;
    };
    assert_eq!(results[0], Ok(Some(0.0)));
    let fault = results[1].as_ref().unwrap_err();
    assert!(fault.contains("opening device 5"), "{fault}");
}

/// Operands, layouts and transposition as the library counts them; formats and shapes that it refuses are told.
#[test]
fn dense_products_of_the_library_are_described_right() {
    let eight = |m| Subject::DenseFp8 { m, n: 32, k: 80 };
    let subjects = [Subject::Dense { m: 50, n: 33, k: 70 }, eight(48), eight(50)];
    let Some(results) = measure(9, &[], &["libcublasLt.so"], &subjects) else {
        return;
    };
    for (result, allowed) in results.iter().zip([1e-2, 4e-2]) {
        let error = result.clone().unwrap().unwrap();
        assert!(error > 0.0 && error < allowed, "{results:?}");
    }
    let fault = results[2].as_ref().unwrap_err();
    assert!(
        fault.contains("refuses this product: CUBLAS_STATUS_NOT_SUPPORTED"),
        "{fault}"
    );
}

/// A group for each expert that has rows, none for others; a library from before grouped products says so.
#[test]
fn grouped_products_of_the_library_are_described_right() {
    let of = |experts, rows_per_expert| Subject::LibraryGrouped {
        experts,
        rows_per_expert,
        n: 24,
        k: 40,
    };
    // Of sixteen experts with one row in the mean some have none.
    let subjects = [of(3, 20), of(16, 1)];
    assert!(subjects[1].expert_rows().contains(&0), "a case of this test");
    let Some(results) = measure(9, &[], &["libcublas.so"], &subjects) else {
        return;
    };
    for result in &results {
        let error = result.clone().unwrap().unwrap();
        assert!(error > 0.0 && error < 1e-2, "{results:?}");
    }
}

/// All ranks' kernels run together, launch after launch: the sums of the first are right, and none waits for ever.
#[test]
fn all_reduces_over_peers_are_right_on_devices_that_run_together() {
    let of = |ranks, is_ring| Subject::AllReduce {
        bytes: 5000,
        ranks,
        is_ring,
    };
    let subjects = [of(2, false), of(3, false), of(2, true), of(3, true), of(9, true)];
    let sources = [Kernel::AllReduceRing, Kernel::Clock].map(Kernel::source);
    let Some(results) = measure(9, &sources, &[], &subjects) else {
        return;
    };
    for (subject, result) in subjects.iter().zip(&results[..4]) {
        let error = result.clone().unwrap().unwrap();
        assert!(error > 0.0 && error < 1e-2, "{}: {error}", subject.id());
    }
    assert!(
        results[4]
            .as_ref()
            .unwrap_err()
            .contains("a collective of 9 devices"),
        "{results:?}"
    );
}
