//! A ring all-reduce of 1 GiB: over 4,096 ranks with one rank that stands for all, and over 512 with every step of
//! every rank, both beside the closed form.
//!
//! `cargo run --release -p orrery --example ring_all_reduce`
#![expect(clippy::print_stdout, reason = "a measuring program prints")]

use std::time::Instant;

use orrery_engine::{Options, Outcome, RunControl, run};
use orrery_operation::CollectiveOp;
use orrery_taskgraph::Driver;
use orrery_units::{Bytes, BytesPerSec, SimDuration};
use orrery_workload::collective::closed_form;
use orrery_workload::collective::steps::ring::Ring;
use orrery_workload::collective::steps::{Detailed as _, Ports};

/// A NIC of 400 Gbit/s and a message from node to node.
fn ports() -> Ports {
    Ports {
        rate: BytesPerSec::new(50e9),
        latency: SimDuration::from_micros(4),
    }
}

const fn ring(ranks: u32) -> Ring {
    Ring {
        op: CollectiveOp::AllReduce,
        ranks,
        bytes: Bytes::new(1 << 30),
    }
}

/// Runs `driver` and returns what came out and the seconds that took.
fn timed(driver: &mut dyn Driver) -> (Outcome, f64) {
    let began = Instant::now();
    let outcome = run(driver, &Options::default(), &RunControl::default()).expect("a ring cannot block");
    (outcome, began.elapsed().as_secs_f64())
}

/// The most memory that this process has held, where the system tells.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

fn compare(what: &str, ring: Ring, time: f64, wall: f64, flows: u64) {
    let formula = closed_form::ring(ring.op, ring.ranks, ring.bytes, ports().latency, ports().rate);
    println!(
        "{what}: {:.9} ms, closed form {:.9} ms ({:+.1e}); {flows} flows in {wall:.4} s, {:.2} M/s; most memory {}",
        time * 1e3,
        formula.as_secs() * 1e3,
        time / formula.as_secs() - 1.0,
        flows as f64 / wall / 1e6,
        peak_memory()
    );
}

fn main() {
    let began = Instant::now();
    let folded = ring(4096);
    let (outcome, _) = timed(&mut folded.folded(ports()));
    let time = outcome.totals.steps[0].duration().as_secs();
    compare(
        "4,096 ranks folded",
        folded,
        time,
        began.elapsed().as_secs_f64(),
        outcome.totals.tasks,
    );
    for ranks in [64, 512] {
        let unfolded = ring(ranks);
        let mut driver = unfolded.unfolded(ports());
        let (outcome, wall) = timed(&mut driver);
        compare(
            &format!("{ranks} ranks unfolded"),
            unfolded,
            driver.end().as_secs(),
            wall,
            outcome.totals.tasks,
        );
    }
}
