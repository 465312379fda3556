//! Processes: keyed, conserving, and moving as they were told to.

use orrery_units::Seed;
use proptest::prelude::*;

use super::*;

const SHAPE: Shape = Shape {
    layers: 2,
    experts: 16,
    top_k: 2,
};

fn domain(name: &str, law: Law) -> Domain {
    Domain::drawn(name, law, Layers::Apart, SHAPE, Seed::new(1))
}

fn phase(steps: u64, weights: [f64; 2], ramp: u64) -> Phase {
    Phase {
        steps,
        weights: weights.to_vec(),
        ramp,
        burst: None,
    }
}

fn two_domains(phases: Vec<Phase>, scatter: Scatter) -> Mixture {
    let law = Law::LogNormal { sigma: 1.0 };
    let domains = vec![domain("chat", law), domain("code", law)];
    Mixture::new(domains, phases, (4096, 2), scatter, Seed::new(1))
}

fn counts(process: &dyn LoadProcess, step: u64, layer: u32) -> Vec<u32> {
    let mut counts = vec![0; process.experts()];
    process.counts(StepLayer::new(step, layer), &mut counts);
    counts
}

/// Every process that the package has.
fn processes(seed: u64) -> Vec<Box<dyn LoadProcess>> {
    let law = Law::DirichletZipf {
        exponent: 0.7,
        concentration: 3.0,
    };
    let scatter = Scatter {
        alike: 5,
        mixture_concentration: Some(20.0),
        ..Scatter::default()
    };
    let phases = vec![phase(7, [1.0, 1.0], 0), phase(7, [0.0, 1.0], 7)];
    let mut processes: Vec<Box<dyn LoadProcess>> = vec![
        Box::new(Mixture::steady(domain("all", law), 1000, 2, Seed::new(seed))),
        Box::new(two_domains(phases, scatter)),
        Box::new(Replay::drawn(vec![vec![vec![5, 0, 1], vec![1, 1, 4]]], 700, 2, Seed::new(seed)).unwrap()),
    ];
    for workload in Workload::ALL {
        let benchmark = Benchmark::new(workload, (2, 16), (1000, 4), Seed::new(seed));
        processes.push(Box::new(benchmark));
    }
    processes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn counts_add_up_in_any_order(seed: u64, mut steps in prop::collection::vec(0u64..40, 1..12)) {
        for process in processes(seed) {
            let forth: Vec<_> = steps.iter().map(|&step| counts(&*process, step, 1)).collect();
            for (&step, counts) in steps.iter().zip(&forth) {
                let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
                prop_assert_eq!(sum, process.assignments(step), "{:?}", process);
            }
            let back: Vec<_> = steps.iter().rev().map(|&step| counts(&*process, step, 1)).collect();
            prop_assert!(back.iter().rev().eq(&forth));
            let mut shares = vec![0.0; process.experts()];
            process.popularity(StepLayer::new(steps[0], 0), &mut shares);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        }
        steps.clear();
    }
}

#[test]
fn history_is_the_sum_of_steps_and_a_window_has_its_law() {
    let process = two_domains(vec![phase(1, [1.0, 2.0], 0)], Scatter::default());
    let (mut history, mut window) = (vec![0; 16], vec![0; 16]);
    process.history(1, 30..70, &mut history);
    process.window(1, 30..70, &mut window);
    let by_hand: u64 = (30..70).map(|step| u64::from(counts(&process, step, 1)[3])).sum();
    assert_eq!(history[3], by_hand);
    assert_eq!(window.iter().sum::<u64>(), 40 * 8192);
    for (&a, &b) in history.iter().zip(&window) {
        // Both are within four standard deviations of the same mean.
        assert!((a as f64 - b as f64).abs() < 8.0 * (a as f64).sqrt(), "{a} {b}");
    }
}

#[test]
fn mixtures_shift_drift_and_burst() {
    let burst = Burst {
        every: 10,
        steps: 2,
        domain: 1,
        share: 0.5,
    };
    let phases = vec![
        phase(100, [1.0, 0.0], 0),
        phase(100, [0.0, 2.0], 0),
        phase(100, [1.0, 0.0], 100),
        Phase {
            burst: Some(burst),
            ..phase(100, [1.0, 0.0], 0)
        },
    ];
    let process = two_domains(phases, Scatter::default());
    assert_eq!(process.weights(99), [1.0, 0.0]);
    assert_eq!(process.weights(100), [0.0, 1.0], "a shift is sudden");
    let drift = process.weights(250);
    assert!((drift[0] - 0.505).abs() < 1e-12, "{drift:?}");
    assert_eq!(process.weights(307), [1.0, 0.0]);
    assert_eq!(
        process.weights(308),
        [0.5, 0.5],
        "the last two of ten steps burst"
    );
    assert_eq!(
        process.weights(1_000_010),
        process.weights(310),
        "the last phase lasts"
    );
    assert_eq!(
        (process.phase(99), process.phase(100), process.phase(9999)),
        (0, 1, 3)
    );
}

/// Runs of alike tokens multiply the variance of a count by their length.
#[test]
fn tokens_that_choose_alike_scatter_more() {
    let variance = |alike| {
        let scatter = Scatter {
            alike,
            ..Scatter::default()
        };
        let process = two_domains(vec![phase(1, [1.0, 0.0], 0)], scatter);
        let draws: Vec<f64> = (0..4000)
            .map(|step| f64::from(counts(&process, step, 0)[2]))
            .collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 4000.0
    };
    let ratio = variance(16) / variance(1);
    // Five standard errors of a ratio of two variances.
    assert!(
        (ratio / 16.0 - 1.0).abs() < 5.0 * (4.0_f64 / 4000.0).sqrt(),
        "{ratio}"
    );
}

#[test]
fn a_fluctuating_mixture_is_one_for_all_layers_and_right_on_average() {
    let scatter = Scatter {
        mixture_concentration: Some(8.0),
        ..Scatter::default()
    };
    let process = two_domains(vec![phase(1, [3.0, 1.0], 0)], scatter);
    let first: Vec<f64> = (0..4000).map(|step| process.weights(step)[0]).collect();
    let mean = first.iter().sum::<f64>() / 4000.0;
    let variance = first.iter().map(|weight| (weight - mean).powi(2)).sum::<f64>() / 4000.0;
    // A Dirichlet law of concentration 8: mean 3/4, variance 3/4 · 1/4 / 9.
    let expected: f64 = 0.1875 / 9.0;
    assert!((mean - 0.75).abs() < 5.0 * (expected / 4000.0).sqrt(), "{mean}");
    assert!((variance / expected - 1.0).abs() < 0.15, "{variance}");
}

#[test]
fn what_is_expected_is_drawn_where_nothing_scatters() {
    let scatter = Scatter {
        kind: Draws::Expected,
        alike: 7,
        mixture_concentration: None,
    };
    let process = two_domains(vec![phase(1, [1.0, 1.0], 0)], scatter);
    let mut shares = vec![0.0; 16];
    process.popularity(StepLayer::new(0, 1), &mut shares);
    for (&count, share) in counts(&process, 0, 1).iter().zip(&shares) {
        assert!((f64::from(count) - 8192.0 * share).abs() <= 1.0);
    }
}

/// Largest count over the mean, and the coefficient of variation, of the first step.
fn imbalance(workload: Workload, tokens: u64, top_k: usize) -> (f64, f64) {
    let benchmark = Benchmark::new(workload, (1, 8), (tokens, top_k), Seed::new(1234));
    let counts = counts(&benchmark, 0, 0);
    let mean = counts.iter().sum::<u32>() as f64 / 8.0;
    let most = f64::from(*counts.iter().max().unwrap());
    let variance = counts
        .iter()
        .map(|&count| (f64::from(count) - mean).powi(2))
        .sum::<f64>()
        / 8.0;
    (most / mean, variance.sqrt() / mean)
}

/// The benchmark's own table (8 experts, 4 ranks of 512 tokens, top 4): largest over mean, and CV. Its generator is
/// another, so a count scatters: by `sqrt(2048 · 1/4)` at most, 2.2 % of the mean. Its row of W3 (1.047) is not what
/// its definition gives, which is the heat of W1 on other experts.
#[test]
fn workloads_are_as_imbalanced_as_published() {
    let published = [
        (Workload::Balanced, 1.0, 0.0),
        (Workload::HotExpertSet, 1.781, 0.744),
        (Workload::HotRank, 1.770, 0.747),
        (Workload::SpreadHotExperts, 1.781, 0.744),
        (Workload::SourceRagged, 1.086, 0.046),
        (Workload::ZeroExpertRank, 2.0, 1.0),
        (Workload::RotatingHotspot, 1.770, 0.742),
        (Workload::Burst, 1.066, 0.040),
    ];
    for (workload, most, variation) in published {
        let ours = imbalance(workload, 2048, 4);
        assert!((ours.0 - most).abs() < 0.08, "{}: {ours:?}", workload.name());
        assert!((ours.1 - variation).abs() < 0.08, "{}: {ours:?}", workload.name());
    }
}

#[test]
fn workloads_move_as_described() {
    let at = |workload, step| {
        let benchmark = Benchmark::new(workload, (1, 16), (4000, 2), Seed::new(1));
        let mut shares = vec![0.0; 16];
        benchmark.popularity(StepLayer::new(step, 0), &mut shares);
        shares
    };
    let hot = |shares: &[f64]| shares.iter().position(|&share| share > 0.1);
    let rotating: Vec<_> = (0..12)
        .map(|step| hot(&at(Workload::RotatingHotspot, step)))
        .collect();
    assert_eq!(rotating[..3], [Some(0); 3]);
    assert_eq!(
        rotating[3..],
        [
            Some(4),
            Some(4),
            Some(4),
            Some(8),
            Some(8),
            Some(8),
            Some(12),
            Some(12),
            Some(12)
        ]
    );
    assert_eq!(hot(&at(Workload::Burst, 2)), None);
    assert_eq!(hot(&at(Workload::Burst, 3)), Some(0));
    let ragged = Benchmark::new(Workload::SourceRagged, (1, 16), (4000, 2), Seed::new(1));
    let mut sources = [0.0; 4];
    ragged.sources(0, &mut sources);
    assert!(
        (sources[3] / sources[0] - 3.0).abs() < 1e-12 && (sources.iter().sum::<f64>() - 1.0).abs() < 1e-12
    );
}
