//! Overlap: the hand computation of a pair, and the local rule against the exact coupled one.

use orrery_engine::exact::{Rule, schedule};
use orrery_taskgraph::{Demand, StaticDriver};
use orrery_units::{LaneId, SimTime};

use crate::support::{Traits, at, cluster, compute_with, flow, programs_of, random_graph, run_all, spans_of};

fn pair(
    compute: Demand,
    compute_micros: u64,
    occupancy: Demand,
    flow_micros: u64,
) -> [(SimTime, SimTime); 2] {
    let (resources, lanes) = cluster(1, &["compute", "exchange"]);
    let mut driver = StaticDriver::new(resources);
    // The flow is handed over first: the compute task starts before it all the same.
    driver.push(flow(lanes[0][1], 1, flow_micros, occupancy));
    driver.push(compute_with(
        lanes[0][0],
        0,
        crate::support::micros(compute_micros),
        compute,
    ));
    let outcome = run_all(&mut driver);
    [0, 1].map(|lane| spans_of(&outcome, LaneId::new(lane))[0])
}

/// Claim: 10 ms of compute (units 1.0, bandwidth 0.4) beside a flow of 6 ms (0.15, 0.1) run at
/// 1 / max(1, 1.15, 0.5): the flow ends at 6 · 1.15 = 6.9 ms; by then 6 ms of compute are done, and the rest
/// runs alone, to 6.9 + 4 = 10.9 ms. Slower than each alone, faster than one after the other (16 ms).
#[test]
fn the_overlapped_pair_equals_its_hand_computation() {
    let compute = Demand {
        units: 1.0,
        bandwidth: 0.4,
    };
    let occupancy = Demand {
        units: 0.15,
        bandwidth: 0.1,
    };
    let [compute, flow] = pair(compute, 10_000, occupancy, 6_000);
    assert_eq!(flow, (at(0), at(6_900)));
    assert_eq!(compute, (at(0), at(10_900)));
    assert!(
        compute.1 > at(10_000) && flow.1 > at(6_000),
        "slower than each alone"
    );
    assert!(compute.1 < at(16_000), "faster than their sum");
}

/// Claim: where bandwidth is scarcer it decides: 0.9 + 0.35 = 1.25, the flow of 8 ms ends at 10 ms, 8 of 10
/// ms of compute are done, and the rest ends at 12 ms.
#[test]
fn a_bandwidth_bound_pair_is_slowed_by_bandwidth() {
    let compute = Demand {
        units: 0.6,
        bandwidth: 0.9,
    };
    let occupancy = Demand {
        units: 0.1,
        bandwidth: 0.35,
    };
    let [compute, flow] = pair(compute, 10_000, occupancy, 8_000);
    assert_eq!(flow.1, at(10_000));
    assert_eq!(compute.1, at(12_000));
}

/// Claim: what fits beside each other does not slow each other.
#[test]
fn a_pair_that_fits_runs_as_if_alone() {
    let half = Demand {
        units: 0.5,
        bandwidth: 0.5,
    };
    let [compute, flow] = pair(half, 10_000, half, 8_000);
    assert_eq!((compute.1, flow.1), (at(10_000), at(8_000)));
}

/// Claim: only the transfer is stretched, not the latency; a compute task that comes later is slowed, the
/// flow is not slowed any more.
#[test]
fn a_flow_takes_its_slow_down_once() {
    let (resources, lanes) = cluster(1, &["compute", "exchange", "timer"]);
    let mut driver = StaticDriver::new(resources);
    let occupancy = Demand {
        units: 0.2,
        bandwidth: 0.0,
    };
    driver.push(flow(lanes[0][1], 1, 100, occupancy));
    let timer = driver.push(crate::support::delay(lanes[0][2], 2, crate::support::micros(10)));
    let full = Demand {
        units: 1.0,
        bandwidth: 0.0,
    };
    driver.push(compute_with(lanes[0][0], 0, crate::support::micros(120), full).after(timer));
    let outcome = run_all(&mut driver);
    // The flow saw an idle device: 100 µs. Compute does 90 / 1.2 = 75 µs of work by then, 45 remain.
    assert_eq!(spans_of(&outcome, lanes[0][1]), [(at(0), at(100))]);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(10), at(145))]);
}

/// Ends of all tasks by the twin and by the engine, and the makespan of the twin.
fn ends(seed: u64, rule: Rule) -> (Vec<Vec<f64>>, f64) {
    let mut driver = random_graph(seed, 14, Traits::default());
    let intervals = schedule(&mut driver, rule);
    let ends: Vec<Vec<f64>> = intervals
        .iter()
        .map(|program| program.iter().map(|&(_, end)| end).collect())
        .collect();
    let last = ends.iter().flatten().copied().fold(0.0, f64::max);
    (ends, last)
}

/// Claim: the engine and its slow twin under the same rule agree on every program's end to a nanosecond.
#[test]
fn the_engine_equals_its_twin_under_the_local_rule() {
    for seed in 0..300 {
        let mut driver = random_graph(seed, 14, Traits::default());
        let programs: Vec<_> = programs_of(&driver).collect();
        let outcome = run_all(&mut driver);
        let (twin, _) = ends(seed, Rule::Local);
        for program in programs {
            let engine = outcome.totals.steps[0].programs[program].end.as_secs() * 1e12;
            let twin = twin[program.index()].iter().copied().fold(0.0, f64::max);
            assert!(
                (engine - twin).abs() < 1000.0,
                "seed {seed}, program {}: engine {engine} ps, twin {twin} ps",
                program.get()
            );
        }
    }
}

/// Claim: on random graphs that overlap compute with occupants, the makespan under the local rule is within
/// 12 % of the exact coupled mode in every case, and within 2 % on average.
///
/// Measured over these 300 graphs: worst 11.5 %, mean 1.7 %; nine of ten cases lie between −0.5 % and +6.2 %.
/// The local rule errs upwards: a collective keeps the slow-down of its start when the compute beside it ends.
#[test]
fn the_local_rule_stays_near_the_coupled_one() {
    let (mut worst, mut sum, cases) = (0.0f64, 0.0, 300);
    let mut worst_seed = 0;
    for seed in 0..cases {
        let (_, local) = ends(seed, Rule::Local);
        let (_, coupled) = ends(seed, Rule::Coupled);
        let error = (local / coupled - 1.0).abs();
        sum += error;
        if error > worst {
            (worst, worst_seed) = (error, seed);
        }
    }
    let mean = sum / f64::from(u32::try_from(cases).expect("few cases"));
    assert!(worst < 0.12, "worst {worst} at seed {worst_seed}, mean {mean}");
    assert!(mean < 0.02, "mean {mean}");
}

/// Claim: flows that start at the same instant see each other, whoever is handed over first: 0.7 + 0.6 slow
/// both by 1.3.
#[test]
fn flows_that_start_together_see_each_other() {
    for order in [[0, 1], [1, 0]] {
        let (resources, lanes) = cluster(1, &["exchange", "data"]);
        let mut driver = StaticDriver::new(resources);
        for which in order {
            let units = [0.7, 0.6][which];
            let occupancy = Demand {
                units,
                bandwidth: 0.0,
            };
            driver.push(flow(lanes[0][which], 1, 100, occupancy));
        }
        let outcome = run_all(&mut driver);
        for lane in &lanes[0] {
            assert_eq!(spans_of(&outcome, *lane), [(at(0), at(130))], "order {order:?}");
        }
    }
}
