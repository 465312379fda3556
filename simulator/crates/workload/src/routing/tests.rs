//! Whole loads: sums, keys, memory of the router, capacity, and what DeepSeek-V3 puts on its ports.

use orrery_scenario::plan::{Dispatcher, Law};
use orrery_units::{Bytes, Seed};

use super::*;
use crate::memory::fixture::deep_seek_v3;

const SKEWED: Law = Law::LogNormal { sigma: 0.5 };

fn router(law: Law) -> Router {
    Router::new(&deep_seek_v3(law), Seed::new(1))
}

/// 64 ranks with 4,096 tokens each and 8 experts per token: 2,097,152 assignments.
#[test]
fn every_assignment_arrives() {
    for law in [Law::Balanced, Law::Uniform, SKEWED, Law::Zipf { exponent: 1.0 }] {
        let mut router = router(law);
        let load = router.load(1, 30, 2, 7).clone();
        assert_eq!(
            load.ranks().iter().map(|rank| rank.tokens).sum::<u64>(),
            2_097_152,
            "{law:?}"
        );
        assert!(
            load.ranks()
                .iter()
                .all(|rank| rank.padded >= rank.tokens && rank.active <= 4)
        );
        assert!(load.imbalance() >= 1.0, "{law:?} {}", load.imbalance());
    }
}

#[test]
fn loads_are_keyed_not_consumed() {
    let (mut forth, mut back) = (router(SKEWED), router(SKEWED));
    let microbatches: Vec<u32> = (0..200).collect();
    let loads: Vec<Vec<u32>> = microbatches
        .iter()
        .map(|&m| forth.load(0, 5, 1, m).per_expert().to_vec())
        .collect();
    for &m in microbatches.iter().rev() {
        assert_eq!(
            back.load(0, 5, 1, m).per_expert(),
            loads[m as usize],
            "microbatch {m}"
        );
    }
    assert_ne!(loads[0], loads[1]);
    assert_ne!(forth.load(1, 5, 1, 0).per_expert(), loads[0], "groups differ");
    assert_ne!(
        Router::new(&deep_seek_v3(SKEWED), Seed::new(2))
            .load(0, 5, 1, 0)
            .per_expert(),
        loads[0]
    );
}

#[test]
fn loads_are_remembered() {
    let mut router = router(SKEWED);
    for _ in 0..2 {
        for microbatch in 0..20 {
            router.load(0, 40, 0, microbatch);
        }
    }
    assert_eq!(router.num_draws(), 20);
}

/// Even loads do not change from one microbatch to the next, and are drawn once.
#[test]
fn even_loads_are_drawn_once() {
    let mut router = router(Law::Balanced);
    let first = router.load(0, 40, 0, 0).ranks().to_vec();
    for microbatch in 1..40 {
        assert_eq!(router.load(0, 40, 1, microbatch).ranks(), first);
    }
    assert_eq!(router.num_draws(), 1);
}

#[test]
fn popularity_persists_over_steps() {
    let mut router = router(Law::LogNormal { sigma: 1.0 });
    let hottest = |load: &LayerLoad| {
        let counts = load.per_expert().iter().enumerate();
        counts.max_by_key(|&(_, &count)| count).map(|(expert, _)| expert)
    };
    let first = hottest(router.load(0, 10, 0, 0));
    assert_eq!(hottest(router.load(0, 10, 5, 60)), first);
    assert_ne!(router.popularity(10), router.popularity(11));
    assert!(!router.has_experts(2) && router.has_experts(3) && router.has_experts(61));
}

/// Balanced, at most 4 of 8 nodes: 4 nodes per token, each of the 8 with probability 0.5. So each
/// device sends 4,096 · 7 · 0.5 tokens over the network.
#[test]
fn the_network_bytes_of_deep_seek() {
    let mut router = router(Law::Balanced);
    let ports = router.load(0, 30, 0, 0).dispatch_ports(5);
    let tokens = |bytes: Bytes, token: f64| bytes.as_f64() / token;
    assert!(
        (tokens(ports.network_out, 7392.0) - 4096.0 * 7.0 * 0.5).abs() < 1.0,
        "{ports:?}"
    );
    assert_eq!(ports.network_out, ports.network_in);
    let combine = router.load(0, 30, 0, 0).combine_ports(5);
    assert!((tokens(combine.network_in, 14_336.0) - tokens(ports.network_out, 7392.0)).abs() < 1.0);
}

#[test]
fn capacity_limits_and_pads() {
    let mut plan = deep_seek_v3(Law::Zipf { exponent: 1.0 });
    plan.training.stack.dispatcher = Dispatcher::AllToAll;
    plan.routing.capacity_factor = Some(1.0);
    // ceil(4096 · 8 / 256) = 128 per source, 8,192 per expert of 64 sources.
    let mut dropping = Router::new(&plan, Seed::new(1));
    let load = dropping.load(0, 10, 0, 0);
    assert!(load.per_expert().iter().all(|&count| count <= 8192) && load.dropped() > 0);
    plan.routing.pad_to_capacity = true;
    let mut padding = Router::new(&plan, Seed::new(1));
    let load = padding.load(0, 10, 0, 0);
    assert!(load.per_expert().iter().all(|&count| count == 8192));
    assert!((load.imbalance() - 1.0).abs() < 1e-12);
}
