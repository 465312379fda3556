//! Three policies on a layer of DeepSeek-V3's experts on 32 devices, step after step: one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orrery_balance::lab::{
    self, Contender, Control, Dispatcher, Exchange, ExpertTime, Machine, Migration, Passes, Question,
};
use orrery_balance::placement::{Algorithm, Dispatch, Shape};
use orrery_experts::load::{Domain, Law, Layers, Mixture, Shape as Routed};
use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad, Peaks, Widths};
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Seed, SimDuration};

/// Layers: few, for each is drawn and timed like the others.
const LAYERS: u32 = 8;
/// Steps of a run.
const STEPS: u64 = 2000;

/// Four nodes of eight devices whose experts take the time of the law at its priors.
fn machine() -> Machine {
    let shape = LibraryExperts {
        peaks: Peaks {
            rate: FlopsPerSec::new(1979e12),
            bandwidth: BytesPerSec::new(3.35e12),
            num_units: 132,
            cache: Bytes::ZERO,
        },
        widths: Widths::named("fp8_block").expect("a format of the tables"),
        load: LocalLoad {
            rows: 1.0,
            active: 1.0,
            padded: 1.0,
            largest: 1.0,
        },
        tokens: 131_072,
        chosen: 8,
        hidden: 7168,
        inner: 2048,
        experts: 288,
        ranks: 32,
        skew: 0.0,
    };
    let priors = LibraryExperts::priors();
    let parameters: Vec<f64> = priors.iter().map(|prior| prior.centre.exp()).collect();
    Machine {
        experts: ExpertTime::new(&shape, &parameters),
        exchange: Exchange::new(
            Dispatcher::OncePerNode,
            8,
            None,
            lab::Routed {
                tokens: 131_072.0,
                top_k: 8,
                experts: 256.0,
            },
        ),
        dispatch_token: Bytes::new(7392),
        combine_token: Bytes::new(14_336),
        network: BytesPerSec::new(50e9),
        node: BytesPerSec::new(160e9),
        latency: SimDuration::from_micros(20),
        first_dispatch: 1.0,
        training: None,
        expert_bytes: Bytes::new(44_040_192),
        passes: Passes {
            products: 1.0,
            exchanges: 1.0,
        },
    }
}

fn contender(id: &str, algorithm: Algorithm, window: u64, interval: u64, migration: Migration) -> Contender {
    Contender {
        id: id.to_owned(),
        shape: Shape::new(256, 288, 8, 4, 32).expect("the counts divide"),
        algorithm,
        dispatch: Dispatch::RoundRobin,
        control: Control {
            interval,
            window,
            migration,
            ..Control::never()
        },
    }
}

fn steps(criterion: &mut Criterion) {
    let routed = Routed {
        layers: LAYERS,
        experts: 256,
        top_k: 8,
    };
    let law = Law::LogNormal { sigma: 0.73 };
    let domain = Domain::drawn("chat", law, Layers::Apart, routed, Seed::new(1));
    let process = Mixture::steady(domain, 131_072, 8, Seed::new(3));
    let machine = machine();
    let share = Migration::Overlapped { share: 0.25 };
    let contenders = [
        contender("static", Algorithm::Contiguous, 0, 0, Migration::Blocking),
        contender("eplb", Algorithm::EplbHierarchical, 300, 900, share),
        contender("eplb-fast", Algorithm::EplbGlobal, 100, 500, Migration::Blocking),
    ];
    let question = Question {
        process: &process,
        steps: STEPS,
        contenders: &contenders,
        machine: &machine,
        seed: Seed::new(3),
    };
    let mut group = criterion.benchmark_group("lab");
    group.sample_size(10);
    // One element is a layer of a step: a draw of its counts, and its time under each of the three.
    group.throughput(Throughput::Elements(STEPS * u64::from(LAYERS)));
    group.bench_function("three_policies_32_devices", |bencher| {
        bencher.iter(|| question.run(|_| Ok(())).expect("nobody asks to stop"));
    });
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
