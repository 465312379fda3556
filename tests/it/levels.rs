//! One collective in ever more detail gives one answer.

use orrery_engine::{Options, Outcome, RunControl};
use orrery_operation::CollectiveOp;
use orrery_taskgraph::Driver;
use orrery_units::{Bytes, BytesPerSec, Seed, SimDuration};
use orrery_workload::collective::closed_form;
use orrery_workload::collective::steps::coupled::Coupled;
use orrery_workload::collective::steps::exchange::Exchange;
use orrery_workload::collective::steps::ring::Ring;
use orrery_workload::collective::steps::tree::{self, DoubleTree};
use orrery_workload::collective::steps::{Detailed, Ports};

use crate::support::near;

fn run(driver: &mut dyn Driver) -> Outcome {
    let control = RunControl::default();
    orrery_engine::run(driver, &Options::default(), &control).unwrap_or_else(|fault| panic!("{fault}"))
}

/// When the last message of a collective in detail came.
fn end(driver: &mut impl Detailed) -> f64 {
    run(driver);
    driver.end().as_secs()
}

fn seconds(driver: &mut dyn Driver) -> f64 {
    run(driver).totals.steps[0].duration().as_secs()
}

const fn mebibytes(count: u64) -> Bytes {
    Bytes::new(count << 20)
}

fn ports() -> Ports {
    Ports {
        rate: BytesPerSec::new(50e9),
        latency: SimDuration::from_nanos(1500),
    }
}

fn formula(ring: Ring) -> SimDuration {
    closed_form::ring(ring.op, ring.ranks, ring.bytes, ports().latency, ports().rate)
}

/// The ring as one activity of its ranks.
fn coupled(ring: Ring) -> Coupled {
    let latency = ports().latency * u64::from(ring.num_steps());
    Coupled {
        ranks: ring.ranks,
        bytes: Bytes::new(ring.bytes.get() * u64::from(ring.num_steps()) / u64::from(ring.ranks)),
        rate: ports().rate,
        latency,
        alone: formula(ring).saturating_sub(latency),
    }
}

/// Claim: on an idle network a collective as one activity takes what its formula says, by construction.
#[test]
fn one_activity_equals_its_formula() {
    for ranks in [2, 3, 8, 64, 512] {
        for op in [CollectiveOp::AllReduce, CollectiveOp::AllGather] {
            let ring = Ring {
                op,
                ranks,
                bytes: mebibytes(96) * u64::from(ranks),
            };
            let (formula, outcome) = (formula(ring), run(&mut coupled(ring).driver(1)));
            let time = outcome.totals.steps[0].duration();
            // A tick for the rounding of either.
            let apart = time.as_picos().abs_diff(formula.as_picos());
            assert!(apart <= 2, "{ranks} ranks: {time:?} after {formula:?}");
        }
    }
}

/// Claim: two equal collectives on the same ports move their bytes in exactly twice the time.
#[test]
fn two_at_once_take_twice_as_long() {
    let ring = Ring {
        op: CollectiveOp::AllReduce,
        ranks: 16,
        bytes: mebibytes(160),
    };
    let one = coupled(ring);
    let latency = one.latency.as_secs();
    let time = |times: u32| seconds(&mut one.driver(times)) - latency;
    assert!(
        near(time(2), 2.0 * time(1), 1e-11),
        "{} after {}",
        time(2),
        time(1)
    );
}

/// Claim: a ring step by step takes what its formula says, and one rank that stands for all what all of them do.
#[test]
fn a_ring_step_by_step_equals_its_formula() {
    for ranks in [2, 3, 8, 61] {
        for op in [CollectiveOp::AllReduce, CollectiveOp::ReduceScatter] {
            let ring = Ring {
                op,
                ranks,
                bytes: mebibytes(64) * u64::from(ranks),
            };
            let formula = formula(ring).as_secs();
            let unfolded = end(&mut ring.unfolded(ports()));
            let folded = seconds(&mut ring.folded(ports()));
            assert!(
                near(unfolded, formula, 1e-9),
                "{ranks} ranks: {unfolded} after {formula}"
            );
            assert!(
                near(folded, formula, 1e-9),
                "{ranks} ranks: {folded} after {formula}"
            );
        }
    }
    let outcome = run(&mut Ring {
        op: CollectiveOp::AllReduce,
        ranks: 5,
        bytes: Bytes::new(1003),
    }
    .unfolded(ports()));
    let carried: Bytes = outcome.links.iter().map(|link| link.bytes).sum();
    assert_eq!(
        carried.get(),
        2 * 8 * 1003,
        "each part crosses 2 (n - 1) ports out and in"
    );
}

/// Claim: two trees chunk by chunk are within 5 % of their formula from 64 MiB on, whatever the number of ranks.
#[test]
fn trees_chunk_by_chunk_are_near_their_formula() {
    for ranks in [4, 7, 16, 64] {
        for (size, chunk) in [(64, 64 << 10), (256, 256 << 10)] {
            let tree = DoubleTree {
                ranks,
                bytes: mebibytes(size),
                chunk: Bytes::new(chunk),
            };
            let formula = tree::closed_form(tree, ports()).as_secs();
            let time = end(&mut tree.unfolded(ports()));
            assert!(
                near(time, formula, 0.05),
                "{ranks} ranks, {size} MiB: {time} after {formula}"
            );
        }
    }
}

fn exchange(bytes: impl Fn(u32, u32) -> u64) -> Exchange {
    Exchange {
        bytes: (0..32)
            .map(|from| (0..32).map(|to| Bytes::new(bytes(from, to))).collect())
            .collect(),
        ranks_per_node: 8,
        network: Ports {
            rate: BytesPerSec::new(50e9),
            latency: SimDuration::ZERO,
        },
        node: Ports {
            rate: BytesPerSec::new(200e9),
            latency: SimDuration::ZERO,
        },
    }
}

/// Claim: an even exchange per destination node takes the time of its busiest port, and all ranks end together.
#[test]
fn an_even_exchange_takes_the_time_of_its_busiest_port() {
    let even = exchange(|_, _| 1 << 20);
    let bound = even.port_bound().as_secs();
    let mut split = even.split();
    assert_eq!(split.num_flows(), 32 * 4);
    let time = end(split.driver());
    assert!(near(time, bound, 1e-9), "{time} after {bound}");
    let two_level = closed_form::uniform_all_to_all(
        32,
        8,
        mebibytes(32),
        BytesPerSec::new(200e9),
        BytesPerSec::new(50e9),
    );
    assert!(
        near(time, two_level.as_secs(), 1e-9),
        "the formula of the even exchange"
    );
    assert!(split.ends().iter().all(|end| near(end.as_secs(), time, 1e-9)));
}

/// Claim: of an uneven exchange the hot ranks end last, no earlier than the busiest port allows, the cold ones sooner.
#[test]
fn hot_ranks_of_an_exchange_end_last() {
    for seed in 0..8 {
        let key = Seed::new(seed).at("exchange", &[]);
        let weight = |to: u32| {
            if to == 5 {
                6.0
            } else {
                key.with(u64::from(to)).uniform() + 0.5
            }
        };
        let uneven = exchange(|_, to| Bytes::from_f64(weight(to) * 1e6).get());
        let bound = uneven.port_bound().as_secs();
        let mut split = uneven.split();
        let time = end(split.driver());
        assert!(time >= bound * (1.0 - 1e-9), "{time} before {bound}");
        assert!(time <= bound * 1.1, "{time} long after {bound}");
        let ends: Vec<f64> = split.ends().iter().map(|end| end.as_secs()).collect();
        let first = ends.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(near(ends[5], time, 1e-9), "the hot rank is last: {ends:?}");
        assert!(
            first < 0.9 * time,
            "the cold ones need not wait: {first} of {time}"
        );
    }
}
