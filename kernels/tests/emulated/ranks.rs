//! Collectives of NCCL by a process for each device, through a library that is a fake and adds up for real.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use orrery_kernels::device::{DeviceError, Identity, Launching, Seat};
use orrery_operation::CollectiveOp;
use serde::{Deserialize, Serialize};

use crate::fake_cuda::driver;

/// Tells a child its part.
const PART: &str = "ORRERY_TEST_RANK";

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    rank: usize,
    ranks: usize,
    exchanges: Vec<(CollectiveOp, u64)>,
    /// Where rank 0 leaves the identity.
    identity: String,
}

/// What came of one collective at one rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Came {
    /// Relative error of the first launch, and of a graph.
    errors: (f64, Option<f64>),
    launching: Launching,
    /// Times that were taken.
    times: usize,
}

type Results = Vec<Result<Came, String>>;

/// What came of `exchanges` at every rank, with a driver that is told more by its `environment`.
fn measure(
    ranks: usize,
    exchanges: &[(CollectiveOp, u64)],
    libraries: &[&str],
    environment: &[(&str, &str)],
) -> Vec<Results> {
    let (folder, scratch) = (driver(libraries), tempfile::tempdir().expect("a folder"));
    let children = (0..ranks).map(|rank| {
        let part = Part {
            rank,
            ranks,
            exchanges: exchanges.to_vec(),
            identity: scratch.path().join("identity").display().to_string(),
        };
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "ranks::child", "--nocapture"])
            .env(PART, serde_json::to_string(&part).expect("plain data"))
            .env("LD_LIBRARY_PATH", folder.path())
            .env("ORRERY_FAKE_CUDA_DEVICES", ranks.to_string())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn();
        child.expect("it runs")
    });
    let children: Vec<_> = children.collect();
    let results = children.into_iter().map(|child| {
        let output = child.wait_with_output().expect("it is a child of ours");
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|line| line.strip_prefix("RESULT "));
        let results = lines.map(|line| serde_json::from_str(line).expect("as the child writes"));
        results.collect()
    });
    results.collect()
}

fn identity(part: &Part) -> Result<Identity, DeviceError> {
    let path = Path::new(&part.identity);
    if part.rank == 0 {
        let identity = Identity::new()?;
        let draft = path.with_extension("draft");
        std::fs::write(&draft, identity.to_string()).expect("a file");
        std::fs::rename(draft, path).expect("both lie in one folder");
        return Ok(identity);
    }
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text.parse();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn run(seat: &mut Seat, (op, bytes): (CollectiveOp, u64)) -> Result<Came, DeviceError> {
    let error = seat.begin(op, bytes)?;
    let (launching, of_graph) = seat.prepare(5, true)?;
    let times = seat.time(3)?.len();
    Ok(Came {
        errors: (error, of_graph),
        launching,
        times,
    })
}

/// A child's part; nothing where this is no child.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    let part: Part = serde_json::from_str(&part).unwrap();
    let tell = |result: Result<Came, String>| {
        let line = serde_json::to_string(&result).unwrap();
        // On a line of its own, whatever stands before it.
        writeln!(std::io::stdout(), "\nRESULT {line}").unwrap();
    };
    let seat = identity(&part).and_then(|identity| Seat::take(part.rank, &identity, part.rank, part.ranks));
    match seat {
        Ok(mut seat) => {
            for &exchange in &part.exchanges {
                tell(run(&mut seat, exchange).map_err(|fault| fault.to_string()));
            }
        }
        Err(fault) => tell(Err(fault.to_string())),
    }
}

const OPS: [CollectiveOp; 5] = [
    CollectiveOp::AllReduce,
    CollectiveOp::AllGather,
    CollectiveOp::ReduceScatter,
    CollectiveOp::AllToAll,
    CollectiveOp::SendRecv,
];

/// Every rank ends with what the collective says, launched and replayed.
#[test]
fn every_rank_ends_with_what_the_collective_says() {
    for (ranks, bytes) in [(2, 20_000), (3, 1000)] {
        let exchanges = OPS.map(|op| (op, bytes));
        let all = measure(ranks, &exchanges, &["libnccl.so"], &[]);
        for (rank, results) in all.iter().enumerate() {
            assert_eq!(results.len(), OPS.len(), "rank {rank}: {results:?}");
            for (op, result) in OPS.iter().zip(results) {
                let came = result
                    .as_ref()
                    .unwrap_or_else(|fault| panic!("rank {rank}, {op:?}: {fault}"));
                let adds = matches!(op, CollectiveOp::AllReduce | CollectiveOp::ReduceScatter);
                let (error, of_graph) = came.errors;
                assert!(
                    error < 1e-2 && (error > 0.0) == adds,
                    "rank {rank}, {op:?}: {came:?}"
                );
                // The same calls leave the same numbers, whoever makes them.
                assert_eq!(of_graph, Some(error), "rank {rank}, {op:?}");
                assert_eq!((&came.launching, came.times), (&Launching::Graph, 3));
            }
        }
    }
}

/// What one root alone ends with is no collective of a sweep, a library that permits no capture is told of, and one that is
/// not there at every rank.
#[test]
fn what_the_library_refuses_is_told() {
    let reduce = [(CollectiveOp::Reduce, 1000), (CollectiveOp::AllReduce, 1000)];
    let graphs = [("ORRERY_FAKE_CUDA_GRAPHS", "library")];
    let all = measure(2, &reduce, &["libnccl.so"], &graphs);
    for results in &all {
        let fault = results[0].as_ref().unwrap_err();
        assert!(fault.contains("refuses this collective"), "{fault}");
        let came = results[1].as_ref().unwrap();
        assert!(
            matches!(&came.launching, Launching::Stream(why) if why.contains("`libnccl.so` refuses this group")),
            "{came:?}"
        );
        assert!(came.errors.0 > 0.0 && came.errors.1.is_none(), "{came:?}");
    }
    let all = measure(1, &reduce, &[], &[]);
    let fault = all[0][0].as_ref().unwrap_err();
    assert!(fault.contains("`libnccl.so` was not found"), "{fault}");
}

/// A rank whose result is wrong says so, and the others do not: the sum of one is another's business.
#[test]
fn a_wrong_result_is_that_of_its_rank() {
    let all = measure(
        2,
        &[(CollectiveOp::AllGather, 1000)],
        &["libnccl.so"],
        &[("ORRERY_FAKE_CUDA_NCCL", "wrong-1")],
    );
    // It may miss the other one afterwards.
    let is_wrong = |fault: &String| fault.contains("is wrong");
    assert!(!all[0][0].as_ref().is_err_and(is_wrong), "{all:?}");
    let fault = all[1][0].as_ref().unwrap_err();
    assert!(fault.contains("`collective` is wrong"), "{fault}");
}
