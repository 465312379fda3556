//! Balancing scenarios: those that ship keep what they expect, the closed form is the engine's answer, and the two signs
//! that are easily got wrong.

use orrery::balancing::{self, Watch, expert_laws, layer_by_engine};
use orrery::scenario::{BalancingPlan, Loaded, catalog, render};
use orrery::{checks, pipeline};
use orrery_balance::cost::{Curing, PowerLaw};
use orrery_balance::lab::{
    self, Compiled, Contender, Control, Dispatcher, Exchange, ExpertTime, Machine, Passes, Question,
};
use orrery_balance::placement::{Algorithm, Dispatch, Observed, Policy as _, Setting, Shape, Sources};
use orrery_experts::load::{
    Domain, Law, Layers, LoadProcess as _, Mixture, Replay, Shape as Routed, StepLayer,
};
use orrery_profile::library::{LibraryExperts, Peaks, Widths};
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Seed, SimDuration};
use orrery_workload::routing::Router;

fn load(name: &str, settings: &[(&str, &str)]) -> BalancingPlan {
    let path = crate::tidy::root().join(format!("scenarios/balancing/{name}.scenario.toml"));
    let text = std::fs::read_to_string(&path).expect("the scenario ships");
    let settings: Vec<(String, String)> = settings
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    match pipeline::load_any(&path.to_string_lossy(), &text, &settings) {
        Ok(Loaded::Balancing(plan)) => *plan,
        Ok(Loaded::Training(_)) => panic!("{name} is of kind balancing"),
        Err(faults) => panic!("{}", render(&faults)),
    }
}

/// Runs the scenario as it ships and holds its expectations.
fn holds(name: &str) {
    let plan = load(name, &[]);
    let report = balancing::run(&plan, &Watch::new(&plan)).report;
    let checks = checks::evaluate_all(&plan.expectations, None, &report.metrics, None);
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| check.fails_run())
        .map(|check| {
            format!(
                "{}:{}: {} {}",
                check.file,
                check.line,
                check.text,
                check.outcome()
            )
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Names of the balancing scenarios that ship, but for the one that takes half a minute.
fn shipped() -> Vec<String> {
    let folder = crate::tidy::root().join("scenarios/balancing");
    let files = std::fs::read_dir(folder).expect("the folder ships");
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let name = file.expect("a file").file_name().into_string().ok()?;
            Some(name.strip_suffix(".scenario.toml")?.to_owned())
        })
        .filter(|name| name != "twenty-thousand-steps")
        .collect();
    names.sort();
    names
}

/// Every scenario that ships, a third of them a test: tests run beside each other.
fn every_third_holds(from: usize) {
    let names = shipped();
    assert!(names.len() >= 18, "{names:?}");
    for name in names.iter().skip(from).step_by(3) {
        holds(name);
    }
}

#[test]
fn scenarios_keep_their_expectations() {
    every_third_holds(0);
}

#[test]
fn more_scenarios_keep_their_expectations() {
    every_third_holds(1);
}

#[test]
fn the_other_scenarios_keep_their_expectations() {
    every_third_holds(2);
}

/// The law of a stack on H100 for DeepSeek-V3's experts on so many ranks.
fn law(stack: &str, tokens: u32, slots: u32, ranks: u32) -> ExpertTime {
    let laws = expert_laws();
    let h100 = catalog::hardware("H100-SXM5-80GB").expect("a device of the catalogue");
    let law = laws
        .find(stack, &h100.device, "fp8_block")
        .expect("the stack was measured on H100");
    let shape = LibraryExperts {
        peaks: Peaks {
            rate: FlopsPerSec::new(1979e12),
            bandwidth: BytesPerSec::new(3.35e12),
            num_units: 132,
            cache: Bytes::ZERO,
        },
        widths: Widths::named("fp8_block").expect("a format of the tables"),
        load: orrery_profile::library::LocalLoad {
            rows: 1.0,
            active: 1.0,
            padded: 1.0,
            largest: 1.0,
        },
        tokens,
        chosen: 8,
        hidden: 7168,
        inner: 2048,
        experts: slots,
        ranks,
        skew: 0.0,
    };
    ExpertTime::new(&shape, &law.parameters)
}

fn drawn(tokens: u32, ranks: u32, skew: f64, curing: Curing) -> orrery_profile::library::LocalLoad {
    let law = PowerLaw {
        tokens,
        chosen: 8,
        experts: 256,
        ranks,
        skew,
        curing,
        reaching: None,
    };
    law.fullest().expect("ranks divide the slots")
}

/// 128 tokens on EP8 of H100, generation: 0.53 ms balanced, 0.47 skewed by 1.2. Fewer experts are read. At 16,384 tokens
/// of a prompt the sign is the other.
#[test]
fn skewed_decode_is_faster_than_balanced() {
    let decode = law("deepepmoe-generation", 128, 256, 8);
    let balanced = decode.of(&drawn(128, 8, 0.0, Curing::None));
    let skewed = decode.of(&drawn(128, 8, 1.2, Curing::None));
    assert!(skewed < balanced, "{skewed} {balanced}");
    let prefill = law("deepepmoe-context", 16_384, 256, 8);
    let balanced = prefill.of(&drawn(16_384, 8, 0.0, Curing::None));
    let skewed = prefill.of(&drawn(16_384, 8, 1.2, Curing::None));
    assert!(skewed > balanced, "{skewed} {balanced}");
}

/// 128 tokens on EP32 of H100 under EPLB: 0.118 ms with 256 slots, 0.162 with 288. At 8,192 tokens redundancy pays.
#[test]
fn redundancy_costs_in_small_batch_decode() {
    let time = |tokens: u32, slots: u32| {
        let load = drawn(tokens, 32, 1.2, Curing::Eplb { slots });
        law("wideep_compute_cutlass", tokens, slots, 32).of(&load)
    };
    assert!(
        time(128, 288) > time(128, 256),
        "{} {}",
        time(128, 288),
        time(128, 256)
    );
    assert!(
        time(16_384, 288) < time(16_384, 256),
        "{} {}",
        time(16_384, 288),
        time(16_384, 256)
    );
}

/// Four nodes of eight H100, DeepSeek-V3's experts in 288 slots.
fn machine() -> Machine {
    Machine {
        experts: law("deepepmoe-context", 65_536, 288, 32),
        exchange: Exchange::new(
            Dispatcher::OncePerNode,
            8,
            Some(2),
            lab::Routed {
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
        first_dispatch: 1.28,
        training: None,
        expert_bytes: Bytes::new(44_040_192),
        passes: Passes {
            products: 1.0,
            exchanges: 1.0,
        },
    }
}

/// Any layer of any step through the engine, ports, kernels and meetings as tasks: the closed form to a nanosecond.
#[test]
fn the_engine_gives_the_closed_form() {
    let routed = Routed {
        layers: 4,
        experts: 256,
        top_k: 8,
    };
    let law_of = Law::LogNormal { sigma: 0.8 };
    let domain = Domain::drawn("chat", law_of, Layers::Apart, routed, Seed::new(1));
    let process = Mixture::steady(domain, 65_536, 8, Seed::new(2));
    let machine = machine();
    let shape = Shape::new(256, 288, 8, 4, 32).unwrap();
    let contenders = [Contender {
        id: "eplb".to_owned(),
        shape,
        algorithm: Algorithm::EplbGlobal,
        dispatch: Dispatch::RoundRobin,
        control: Control::never(),
    }];
    let question = Question {
        process: &process,
        steps: 10,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(2),
    };
    for (step, layer) in [(0, 0), (3, 1), (9, 3)] {
        let mut shares = vec![0.0; 256];
        process.popularity(StepLayer::new(step, layer), &mut shares);
        for algorithm in [Algorithm::Contiguous, Algorithm::EplbGlobal] {
            for dispatch in [Dispatch::RoundRobin, Dispatch::Nearest, Dispatch::Weighted] {
                let setting = Setting {
                    shape,
                    now: None,
                    key: Seed::new(2).at("placement", &[]),
                };
                let placement = algorithm.place(Observed::of_mean(&shares), setting);
                let sources = Sources {
                    devices_per_node: 8,
                    shares: &[],
                };
                let compiled = Compiled::new(placement, dispatch, &shares, sources);
                let both = layer_by_engine(&question, StepLayer::new(step, layer), &compiled).unwrap();
                let apart = both.engine.as_secs() - both.closed_form.as_secs();
                assert!(apart.abs() < 1e-9, "{algorithm:?} {dispatch:?}: {both:?}");
            }
        }
    }
}

/// The same file and seed give the same bytes; another seed gives others.
#[test]
fn a_run_repeats() {
    let settings = [("run.replications", "1"), ("load.steps", "12")];
    let run = |seed: &str| {
        let mut settings = settings.to_vec();
        settings.push(("run.seed", seed));
        let plan = load("w1-hot-expert-set", &settings);
        let report = balancing::run(&plan, &Watch::new(&plan)).report;
        orrery::report::render::balancing_json(&report).to_string()
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

/// The laboratory's ports against those that training lowers, on the same counts: DeepSeek-V3's expert group of 64 devices
/// on eight nodes, four of them a token's, tokens once to each; and the same by all-to-all.
#[test]
fn ports_are_those_of_training() {
    for (name, dispatcher) in [
        ("deepep", Dispatcher::OncePerNode),
        ("all-to-all", Dispatcher::AllToAll),
    ] {
        let path = crate::tidy::root().join("scenarios/training/deepseek-v3-2048-h800.scenario.toml");
        let text = std::fs::read_to_string(&path).expect("the scenario ships");
        let settings = [("stack.dispatcher".to_owned(), name.to_owned())];
        let plan = pipeline::load(&path.to_string_lossy(), &text, &settings)
            .unwrap_or_else(|faults| panic!("{}", render(&faults)));
        let mut router = Router::new(&plan, plan.run.seed);
        let load = router.load(0, 10, 0, 0);
        let counts: Vec<u64> = load.per_expert().iter().map(|&count| u64::from(count)).collect();
        #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^53")]
        let tokens = counts.iter().sum::<u64>() as f64 / 8.0;
        let process = Replay::exact(vec![vec![counts]]).expect("one layer");
        let routed = lab::Routed {
            tokens,
            top_k: 8,
            experts: 256.0,
        };
        let machine = Machine {
            exchange: Exchange::new(dispatcher, 8, plan.routing.max_nodes, routed),
            ..machine()
        };
        let shape = Shape::new(256, 256, 1, 1, 64).unwrap();
        let setting = Setting {
            shape,
            now: None,
            key: Seed::new(2).at("placement", &[]),
        };
        let placement = Algorithm::Contiguous.place(Observed::of_mean(&[1.0; 256]), setting);
        let sources = Sources {
            devices_per_node: 8,
            shares: &[],
        };
        let compiled = Compiled::new(placement, Dispatch::RoundRobin, &[], sources);
        let contenders = [Contender {
            id: "static".to_owned(),
            shape,
            algorithm: Algorithm::Contiguous,
            dispatch: Dispatch::RoundRobin,
            control: Control::never(),
        }];
        let question = Question {
            process: &process,
            steps: 1,
            contenders: &contenders,
            machine: &machine,
            seed: Seed::new(2),
        };
        let (_, devices) = question.layer(StepLayer::new(0, 0), &compiled);
        for (device, rank) in devices.iter().zip(0..) {
            let ports = load.dispatch_ports(rank);
            let network = ports.network_out.max(ports.network_in).as_f64() / 7392.0;
            let node = ports.node_out.max(ports.node_in).as_f64() / 7392.0;
            let same = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-5;
            assert!(
                same(device.network, network) && same(device.node, node),
                "{name}, rank {rank}: {device:?}, {network} and {node}"
            );
        }
    }
}
