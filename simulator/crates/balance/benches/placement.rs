//! Placements of a model of DeepSeek-V3's shape: 58 layers of 256 experts, one core.

use criterion::{Criterion, criterion_group, criterion_main};
use orrery_balance::placement::{Algorithm, BalanceCase};
use orrery_units::Seed;

/// 58 layers of 256 experts with log-normal loads.
fn case(num_replicas: usize, num_groups: usize, num_nodes: usize, num_gpus: usize) -> BalanceCase {
    let load =
        |layer: u64, expert: u64| (0.8 * Seed::new(1).at("load", &[layer, expert]).normal()).exp() * 1e3;
    BalanceCase {
        weights: (0..58)
            .map(|layer| (0..256).map(|expert| load(layer, expert)).collect())
            .collect(),
        num_replicas,
        num_groups,
        num_nodes,
        num_gpus,
    }
}

fn placements(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deepseek_v3");
    let hierarchical = case(288, 8, 4, 32);
    let global = case(288, 8, 18, 144);
    let cases = [
        (
            "eplb_hierarchical_288_slots_32_devices",
            &hierarchical,
            Algorithm::EplbHierarchical,
        ),
        (
            "eplb_global_288_slots_144_devices",
            &global,
            Algorithm::EplbGlobal,
        ),
        (
            "eplb_swap_288_slots_32_devices",
            &hierarchical,
            Algorithm::EplbSwap,
        ),
    ];
    for (name, case, algorithm) in cases {
        group.bench_function(name, |bencher| bencher.iter(|| case.place(algorithm)));
    }
    group.finish();
}

criterion_group!(benches, placements);
criterion_main!(benches);
