//! Batches of launches as CUDA graphs: the same launches as without, the same results, and what refuses them is told.

use std::collections::BTreeMap;
use std::path::Path;

use orrery_kernels::catalog::{Kernel, Source};
use orrery_kernels::device::{Launching, Measurement};
use orrery_kernels::measure::Subject;
use orrery_units::Bytes;

use crate::driver::{CACHE, PASSES, Results, measured};

/// What the fake driver is told of graphs.
const GRAPHS: &str = "ORRERY_FAKE_CUDA_GRAPHS";
const JOURNAL: &str = "ORRERY_FAKE_CUDA_JOURNAL";

fn sources() -> [Source; 6] {
    [
        Kernel::Copy,
        Kernel::Swiglu,
        Kernel::Gather,
        Kernel::Combine,
        Kernel::GemmBf16,
        Kernel::Clock,
    ]
    .map(Kernel::source)
}

/// What comes of `subjects` with this said of graphs.
fn with(graphs: &str, libraries: &[&str], subjects: &[Subject]) -> Option<Results> {
    measured(8, &sources(), libraries, subjects, &[(GRAPHS, graphs)])
}

fn stream(measured: &Measurement) -> &str {
    match &measured.launching {
        Launching::Graph => panic!("it was replayed"),
        Launching::Stream(why) => why,
    }
}

/// Every subject of one stream is replayed, and its result is right when the graph alone has made it.
#[test]
fn batches_are_replayed_and_checked() {
    let Some(results) = with("", &[], &PASSES) else {
        return;
    };
    let Some(others) = with("refuse", &[], &PASSES) else {
        return;
    };
    for (subject, (replayed, followed)) in PASSES.iter().zip(results.iter().zip(&others)) {
        let (replayed, followed) = (replayed.as_ref().unwrap(), followed.as_ref().unwrap());
        assert_eq!(replayed.launching, Launching::Graph, "{}", subject.id());
        assert!(stream(followed).contains("beginning a capture"), "{followed:?}");
        assert_eq!(replayed.error, followed.error, "{}", subject.id());
    }
    let libraries = ["libcublas.so", "libcublasLt.so"];
    let subjects = [
        Subject::Dense { m: 50, n: 33, k: 70 },
        Subject::LibraryGrouped {
            experts: 3,
            rows_per_expert: 20,
            n: 24,
            k: 40,
        },
        Subject::PeerCopy { bytes: 4096, peer: 1 },
        Subject::LaunchFloor,
    ];
    let Some(results) = with("", &libraries, &subjects) else {
        return;
    };
    for result in results {
        assert_eq!(result.unwrap().launching, Launching::Graph);
    }
}

/// Launches of the kernel that copies in the journal, each as the number of the copy that it reads, with where graphs began.
fn launches(journal: &Path) -> Vec<Option<usize>> {
    let text = std::fs::read_to_string(journal).expect("the driver writes it");
    let mut copies = BTreeMap::new();
    let lines = text.lines().filter_map(|line| {
        if line == "graph" {
            return Some(None);
        }
        let launch = line.strip_prefix("bandwidth_copy ")?;
        let next = copies.len();
        Some(Some(*copies.entry(launch.to_owned()).or_insert(next)))
    });
    lines.collect()
}

/// Batch by batch the same launches in the same order, whoever makes them: each begins with the first copy of the operands
/// and goes round them.
#[test]
fn a_graph_holds_the_launches_that_would_follow_each_other() {
    let subject = [Subject::Copy { bytes: 10_000 }];
    let num_copies = usize::try_from(subject[0].copies(Bytes::new(CACHE))).unwrap();
    assert_eq!(num_copies, 3, "a case of this test");
    let folder = tempfile::tempdir().unwrap();
    for graphs in ["", "refuse"] {
        let journal = folder.path().join(format!("journal-{graphs}"));
        let told = [(GRAPHS, graphs), (JOURNAL, journal.to_str().unwrap())];
        let Some(results) = measured(8, &sources(), &[], &subject, &told) else {
            return;
        };
        let measured = results[0].as_ref().unwrap();
        let batch = usize::try_from(measured.launches).unwrap();
        let mut launches = launches(&journal);
        let expected: Vec<Option<usize>> = (0..batch).map(|launch| Some(launch % num_copies)).collect();
        let replays = launches.iter().filter(|each| each.is_none()).count();
        let samples = usize::try_from(measured.samples).unwrap();
        // One more, to be checked.
        assert_eq!(replays, if graphs.is_empty() { samples + 1 } else { 0 });
        for _sample in 0..samples {
            let of_batch = launches.split_off(launches.len() - batch);
            assert_eq!(of_batch, expected, "`{graphs}`: {batch} launches");
            if graphs.is_empty() {
                assert_eq!(launches.pop(), Some(None), "a graph is one batch");
            }
        }
    }
}

/// Whatever is wrong with a graph before it runs costs nothing but the graph: the launches follow each other, and say why.
#[test]
fn what_cannot_be_captured_is_launched_and_says_why() {
    let grouped = [Subject::LibraryGrouped {
        experts: 3,
        rows_per_expert: 20,
        n: 24,
        k: 40,
    }];
    for (graphs, why) in [
        (
            "refuse",
            "beginning a capture: DriverError(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        ),
        (
            "invalidate",
            "ending a capture: DriverError(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
        ),
        (
            "uninstantiated",
            "ending a capture: DriverError(CUDA_ERROR_NOT_SUPPORTED",
        ),
        (
            "library",
            "`libcublas.so` refuses this grouped product: CUBLAS_STATUS_ALLOC_FAILED",
        ),
    ] {
        let Some(results) = with(graphs, &["libcublas.so"], &grouped) else {
            return;
        };
        let measured = results[0]
            .as_ref()
            .unwrap_or_else(|fault| panic!("{graphs}: {fault}"));
        assert!(stream(measured).starts_with(why), "{graphs}: {measured:?}");
        assert!(
            measured.error.is_some_and(|error| error > 0.0 && error < 1e-2),
            "{measured:?}"
        );
    }
}

/// A graph that runs and is wrong, or does not run, is a fault of the device's: no number is published.
#[test]
fn a_graph_that_does_nothing_or_fails_has_no_time() {
    let subject = [PASSES[0].clone(), PASSES[2].clone()];
    let Some(results) = with("empty", &[], &subject) else {
        return;
    };
    for result in results {
        let fault = result.unwrap_err();
        assert!(fault.contains("is wrong: relative error 1.00e0"), "{fault}");
    }
    let Some(results) = with("unlaunched", &[], &subject[..1]) else {
        return;
    };
    let fault = results[0].as_ref().unwrap_err();
    assert!(
        fault.contains("launching a graph") && fault.contains("CUDA_ERROR_LAUNCH_FAILED"),
        "{fault}"
    );
}

/// All-reduces over peers number their launches, and a driver of several devices captures none of them.
#[test]
fn launches_that_are_numbered_are_not_replayed() {
    let all = [Subject::AllReduce {
        bytes: 5000,
        ranks: 2,
        is_ring: false,
    }];
    let sources = [Kernel::AllReduceOneShot, Kernel::Clock].map(Kernel::source);
    let Some(results) = measured(9, &sources, &[], &all, &[]) else {
        return;
    };
    assert!(
        stream(results[0].as_ref().unwrap()).contains("a number of its own"),
        "{results:?}"
    );
}
