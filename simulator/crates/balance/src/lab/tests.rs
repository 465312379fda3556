//! The laboratory against exact draws, and its claims of balancing.

mod twins;

use orrery_experts::load::{
    Benchmark, Domain, Draws, Law, Layers, LoadProcess as _, Mixture, Phase as LoadPhase, Scatter,
    Shape as Routed, StepLayer, Workload,
};
use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad, Peaks, Widths};
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Seed, SimDuration};

use super::*;
use crate::placement::{Algorithm, Dispatch, Shape, Sources};

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
        experts: ExpertTime::new(&shape(NO_LOAD), &parameters()),
        exchange: Exchange::new(
            Dispatcher::OncePerNode,
            8,
            None,
            super::Routed {
                tokens: 65_536.0,
                top_k: 8,
                experts: 256.0,
            },
        ),
        dispatch_token: Bytes::new(7392),
        combine_token: Bytes::new(14_336),
        network: BytesPerSec::new(50e9),
        node: BytesPerSec::new(160e9),
        latency: SimDuration::from_secs(20e-6),
        first_dispatch: 1.0,
        training: None,
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

/// Four steps of skewed loads and then equal ones, nothing by chance.
fn skewed_then_equal(layers: u32, skewed: u64) -> Mixture {
    let shape = Routed {
        layers,
        experts: 256,
        top_k: 8,
    };
    let of = |name: &str, law: Law| Domain::drawn(name, law, Layers::Apart, shape, Seed::new(1));
    let phase = |weights: [f64; 2]| LoadPhase {
        steps: skewed,
        weights: weights.to_vec(),
        ramp: 0,
        burst: None,
    };
    let scatter = Scatter {
        kind: Draws::Expected,
        ..Scatter::default()
    };
    Mixture::new(
        vec![
            of("skewed", Law::LogNormal { sigma: 0.8 }),
            of("equal", Law::Uniform),
        ],
        vec![phase([1.0, 0.0]), phase([0.0, 1.0])],
        (65_536, 8),
        scatter,
        Seed::new(3),
    )
}

fn track(process: &Mixture, steps: u64, contender: Contender) -> Track {
    let machine = machine();
    let contenders = [contender];
    let question = Question {
        process,
        steps,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(3),
    };
    question.run(|_| Ok(())).unwrap().tracks.remove(0)
}

/// Eight layers a chunk each, planned at step 4 and asked again at step 8, when nothing is to be done: the chunks under
/// way arrive all the same, and each costs its own step.
#[test]
fn chunks_under_way_arrive_unless_a_new_plan_is_made() {
    let control = Control {
        trigger: 1.2,
        layers_per_chunk: 1,
        window: 4,
        ..every(4, Migration::Blocking)
    };
    let greedy = Contender {
        shape: Shape::new(256, 256, 8, 4, 32).unwrap(),
        ..contender("greedy", Algorithm::Greedy, control)
    };
    let track = track(&skewed_then_equal(8, 4), 16, greedy);
    let in_order: Vec<usize> = (0..256).collect();
    assert!(
        track.placements.iter().all(|layer| layer.experts() != in_order),
        "every layer has its new place"
    );
    let stands: Vec<usize> = (0..16).filter(|&step| track.stall[step] > 0.0).collect();
    assert_eq!(stands, [4, 5, 6, 7, 8, 9, 10, 11]);
    let (stalls, plan) = (
        track.stall.iter().copied().map(f64::from).sum::<f64>(),
        track.rebalances[0],
    );
    assert!(
        (stalls / plan.stall.as_secs() - 1.0).abs() < 1e-5,
        "{stalls} {plan:?}"
    );
    assert_eq!(track.rebalances.len(), 1);
}

/// Links are shared while replicas travel, and neither while a plan is made nor after one that changes nothing.
#[test]
fn links_are_shared_while_replicas_travel() {
    let control = Control {
        window: 4,
        plan_time: SimDuration::from_secs(0.03),
        ..every(20, Migration::Overlapped { share: 0.25 })
    };
    let keeper = contender("vllm", Algorithm::EplbVllm, control);
    let track = track(&skewed_then_equal(2, 1_000), 60, keeper);
    let time = &track.layer_time;
    let planned = (f64::from(time[19]) * 2.0).recip() * 0.03;
    let planning = planned.ceil() as usize;
    assert!(planning > 1, "planning takes some steps: {planned}");
    let same = |a: f32, b: f32| (a / b - 1.0).abs() < 1e-6;
    assert!(
        (20..20 + planning).all(|step| same(time[step], time[19])),
        "{time:?}"
    );
    assert!(time[20 + planning] > time[19], "{time:?}");
    // The second plan moves nothing.
    assert_eq!(track.rebalances.len(), 1);
    assert!(
        (40..60).all(|step| same(time[step], time[39])) && time[39] < time[19],
        "{time:?}"
    );
}

/// A balancer with foresight is right from the first step on, where the others know nothing yet.
#[test]
fn foresight_plans_before_the_first_step() {
    let control = Control {
        estimator: Estimator::Oracle,
        ..every(20, Migration::Blocking)
    };
    let track = track(
        &skewed_then_equal(2, 1_000),
        20,
        contender("oracle", Algorithm::EplbSwap, control),
    );
    assert!(
        track.imbalance[0] < 1.05 && track.stall[0] <= 0.0,
        "{:?}",
        track.imbalance
    );
}

/// Replicas sum their gradients before an update, and shadows are sent in every step.
#[test]
fn replicas_of_training_sum_their_gradients() {
    let machine = Machine {
        training: Some(Update {
            steps: 4,
            gradients: Bytes::new(176_000_000),
        }),
        ..machine()
    };
    let process = skewed_then_equal(2, 1_000);
    let run = |slots: usize| {
        let contenders = [Contender {
            shape: Shape::new(256, slots, 8, 4, 32).unwrap(),
            ..contender("one", Algorithm::Contiguous, Control::never())
        }];
        let question = Question {
            process: &process,
            steps: 8,
            contenders: &contenders,
            machine: &machine,
            seed: Seed::new(3),
        };
        question.run(|_| Ok(())).unwrap().tracks.remove(0).layer_time
    };
    let (without, with) = (run(256), run(288));
    let later = |times: &[f32]| times[3] - times[2];
    assert!(later(&without).abs() < 1e-9, "{without:?}");
    // Slots 256 to 287 hold experts 0 to 31 again. Slots 0 to 8 lie on the first device, and all but the last have their
    // other replica on other nodes: nine experts of two replicas send and receive 176 MB each, 31.68 ms at 50 GB/s.
    assert!((f64::from(later(&with)) - 0.03168).abs() < 1e-5, "{with:?}");
    assert!((with[7] - with[3]).abs() < 1e-7, "{with:?}");
}

/// W4 sends what W0 does, from ragged sources: the last of eight devices holds half as many tokens again as the mean, and
/// dispatch takes so much longer.
#[test]
fn ragged_sources_send_longer() {
    let machine = Machine {
        latency: SimDuration::ZERO,
        ..machine()
    };
    let dispatch = |workload| {
        let process = Benchmark::new(workload, (1, 256), (65_536, 8), Seed::new(3));
        let contenders = [Contender {
            shape: Shape::new(256, 256, 1, 1, 8).unwrap(),
            ..contender("static", Algorithm::Contiguous, Control::never())
        }];
        let question = Question {
            process: &process,
            steps: 1,
            contenders: &contenders,
            machine: &machine,
            seed: Seed::new(3),
        };
        let track = question.run(|_| Ok(())).unwrap().tracks.remove(0);
        let sources = Sources {
            devices_per_node: 8,
            shares: &[],
        };
        let placed = Compiled::new(track.placements[0].clone(), Dispatch::RoundRobin, &[], sources);
        question.layer(StepLayer::new(0, 0), &placed).0.dispatch
    };
    let longer = dispatch(Workload::SourceRagged) / dispatch(Workload::Balanced);
    assert!((longer - 1.5).abs() < 0.01, "{longer}");
}

/// Heat maps lie evenly from the first step to the last, and each holds the counts of its own steps.
#[test]
fn heat_maps_are_those_of_their_steps() {
    let process = steady(2, 16_384);
    let machine = machine();
    let contenders = [contender("static", Algorithm::Contiguous, Control::never())];
    let of = |steps: u64| Question {
        process: &process,
        steps,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(3),
    };
    let frames = |steps: u64| of(steps).frames().collect::<Vec<_>>();
    assert_eq!(frames(1), vec![0..1; 1]);
    assert_eq!(frames(200), vec![0..200; 1]);
    assert_eq!(frames(300), [0..200, 100..300]);
    let long = frames(20_000);
    assert_eq!(
        (long.len(), long[0].clone(), long[11].clone()),
        (12, 0..200, 19_800..20_000)
    );
    assert_eq!(long[5], 9_000..9_200);
    let outcome = of(450).run(|_| Ok(())).unwrap();
    assert_eq!(outcome.frames, [0..200, 125..325, 250..450]);
    for (frame, map) in outcome.frames.iter().zip(&outcome.experts) {
        for (layer, row) in (0..).zip(&map.rows) {
            let mut counts = vec![0; process.experts()];
            let mut sums = vec![0_u64; process.experts()];
            for step in frame.clone() {
                process.counts(StepLayer::new(step, layer), &mut counts);
                sums.iter_mut()
                    .zip(&counts)
                    .for_each(|(sum, &count)| *sum += u64::from(count));
            }
            let mean = sums.iter().sum::<u64>() as f64 / sums.len() as f64;
            for (cell, &sum) in row.iter().zip(&sums) {
                assert!(
                    (cell - sum as f64 / mean).abs() < 1e-9,
                    "{frame:?}, layer {layer}"
                );
            }
        }
    }
}
