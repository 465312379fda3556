//! Draws of a layer-step of DeepSeek-V3's shape: 256 experts, 2^22 assignments. A scenario of 20,000 steps and 58
//! layers has 1.16 million of them.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use orrery_experts::load::{
    Domain, Draws, Law, Layers, LoadProcess as _, Mixture, Phase, Scatter, Shape, StepLayer,
};
use orrery_units::Seed;

fn process(kind: Draws, num_domains: usize) -> Mixture {
    let shape = Shape {
        layers: 58,
        experts: 256,
        top_k: 8,
    };
    let law = Law::LogNormal { sigma: 1.0 };
    let domain = |name: &str| Domain::drawn(name, law, Layers::Apart, shape, Seed::new(1));
    let domains = ["chat", "code", "law"][..num_domains]
        .iter()
        .copied()
        .map(domain)
        .collect();
    let phase = Phase {
        steps: 1,
        weights: vec![1.0; num_domains],
        ramp: 0,
        burst: None,
    };
    let scatter = Scatter {
        kind,
        ..Scatter::default()
    };
    Mixture::new(domains, vec![phase], (524_288, 8), scatter, Seed::new(1))
}

fn draws(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer-step");
    for (name, kind, domains) in [
        ("normal", Draws::Multinomial, 1),
        ("normal, three domains", Draws::Multinomial, 3),
        ("chained", Draws::Chained, 1),
    ] {
        let process = process(kind, domains);
        let (mut step, mut counts) = (0, vec![0; 256]);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                step += 1;
                process.counts(StepLayer::new(step, (step % 58) as u32), black_box(&mut counts));
            });
        });
    }
    let process = process(Draws::Multinomial, 3);
    let mut sums = vec![0; 256];
    group.bench_function("window of 1,000 steps", |bench| {
        bench.iter(|| process.window(7, 0..1000, black_box(&mut sums)));
    });
}

criterion_group!(benches, draws);
criterion_main!(benches);
