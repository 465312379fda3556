//! The laboratory against exact draws, and its claims of balancing.

use orrery_experts::load::{Domain, Law, Layers, Mixture, Shape as Routed};
use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad, Peaks, Widths};
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Seed, SimDuration};

use super::*;
use crate::placement::{Algorithm, Dispatch, Shape};

/// Experts of DeepSeek-V3 on a device of 32, at the priors of the law.
fn shape(load: LocalLoad) -> LibraryExperts {
    LibraryExperts {
        peaks: Peaks {
            rate: FlopsPerSec::new(1979e12),
            bandwidth: BytesPerSec::new(3.35e12),
            num_units: 132,
            cache: Bytes::new(50_000_000),
        },
        widths: Widths::named("fp8_block").unwrap(),
        load,
        tokens: 65_536,
        chosen: 8,
        hidden: 7168,
        inner: 2048,
        experts: 288,
        ranks: 32,
        skew: 0.0,
    }
}

fn parameters() -> Vec<f64> {
    LibraryExperts::priors()
        .iter()
        .map(|prior| prior.centre.exp())
        .collect()
}

const NO_LOAD: LocalLoad = LocalLoad {
    rows: 1.0,
    active: 1.0,
    padded: 128.0,
    largest: 1.0,
};

fn machine() -> Machine {
    Machine {
        devices_per_node: 8,
        experts: ExpertTime::new(&shape(NO_LOAD), &parameters()),
        dispatch_token: Bytes::new(7392),
        combine_token: Bytes::new(14_336),
        network: BytesPerSec::new(50e9),
        node: BytesPerSec::new(160e9),
        latency: SimDuration::from_secs(20e-6),
        expert_bytes: Bytes::new(44_000_000),
        passes: Passes {
            products: 1.0,
            exchanges: 1.0,
        },
    }
}

/// `tokens` tokens a step to 8 of 256 experts of `layers` layers, log-normal with sigma 0.8.
fn steady(layers: u32, tokens: u64) -> Mixture {
    let shape = Routed {
        layers,
        experts: 256,
        top_k: 8,
    };
    let law = Law::LogNormal { sigma: 0.8 };
    let domain = Domain::drawn("chat", law, Layers::Apart, shape, Seed::new(1));
    Mixture::steady(domain, tokens, 8, Seed::new(3))
}

fn contender(id: &str, algorithm: Algorithm, control: Control) -> Contender {
    Contender {
        id: id.to_owned(),
        shape: Shape::new(256, 288, 8, 4, 32).unwrap(),
        algorithm,
        dispatch: Dispatch::RoundRobin,
        control,
    }
}

fn every(interval: u64, migration: Migration) -> Control {
    Control {
        interval,
        window: interval / 2,
        migration,
        ..Control::never()
    }
}

/// The table of the corner against the law itself, over loads from one row to a full device.
#[test]
fn the_fast_time_is_that_of_the_law() {
    let fast = ExpertTime::new(&shape(NO_LOAD), &parameters());
    for rows in [1.0, 9.0, 300.0, 4_000.0, 40_000.0, 400_000.0] {
        for active in [1.0, 4.0, 9.0] {
            let load = LocalLoad {
                rows,
                active,
                padded: (rows / 128.0_f64).ceil() * 128.0 + active * 64.0,
                largest: rows,
            };
            let law = shape(load).seconds(&parameters());
            let found = fast.seconds(load.rows, load.active, load.padded);
            assert!((found / law - 1.0).abs() < 1e-4, "{rows} {active}: {found} {law}");
        }
    }
}

/// Loads that stay: after its first plan EPLB is nearly even, what never moves stays uneven, and whoever waits less is
/// faster. Blocking costs standing still, overlapping none.
#[test]
fn balancing_pays_where_loads_stay() {
    let process = steady(4, 65_536);
    let contenders = [
        contender("static", Algorithm::Contiguous, Control::never()),
        contender(
            "eplb",
            Algorithm::EplbHierarchical,
            every(50, Migration::Blocking),
        ),
        contender(
            "beside",
            Algorithm::EplbHierarchical,
            every(50, Migration::Overlapped { share: 0.25 }),
        ),
    ];
    let machine = machine();
    let question = Question {
        process: &process,
        steps: 200,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(3),
    };
    let outcome = question.run(|_| Ok(())).unwrap();
    let mean =
        |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    let [fixed, eplb, beside] = &outcome.tracks[..] else {
        panic!("three policies")
    };
    assert!(
        mean(&fixed.imbalance[60..]) > 1.3,
        "{}",
        mean(&fixed.imbalance[60..])
    );
    assert!(
        mean(&eplb.imbalance[60..]) < 1.1,
        "{}",
        mean(&eplb.imbalance[60..])
    );
    assert!(mean(&eplb.layer_time[60..]) < mean(&fixed.layer_time[60..]));
    // Before its first plan it is the same placement on the same tokens.
    assert_eq!(eplb.imbalance[..50], fixed.imbalance[..50]);
    assert!(eplb.stall.iter().sum::<f32>() > 0.0 && beside.stall.iter().sum::<f32>() == 0.0);
    assert!(beside.rebalances[0].moved > 0 && !fixed.rebalances.iter().any(|plan| plan.moved > 0));
    let phase = Phase {
        name: "all".to_owned(),
        start: 0,
        end: 200,
    };
    assert!(eplb.recovery(&phase, 1.2, 5) <= 55 && fixed.recovery(&phase, 1.2, 5) == 200);
}

/// Everything again with the same process, whatever was asked before.
#[test]
fn runs_repeat() {
    let process = steady(2, 16_384);
    let contenders = [contender(
        "flash",
        Algorithm::FlashLb,
        every(20, Migration::Blocking),
    )];
    let machine = machine();
    let question = Question {
        process: &process,
        steps: 60,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(1),
    };
    let series = || question.run(|_| Ok(())).unwrap().tracks[0].layer_time.clone();
    assert_eq!(series(), series());
    assert_eq!(question.run(|_| Err(Stop)).unwrap_err(), Stop);
}
