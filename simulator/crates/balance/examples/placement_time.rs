//! Processor time of placements of DeepSeek-V3's shape (58 layers of 256 experts) on one core: what the bench measures,
//! counted by the kernel, so that a busy machine does not lengthen it.
//!
//! `cargo run --release -p orrery-balance --example placement_time`

use orrery_balance::placement::{Algorithm, BalanceCase};
use orrery_units::Seed;

/// Placements per figure.
const TIMES: u32 = 200;

fn main() -> std::io::Result<()> {
    let load =
        |layer: u64, expert: u64| (0.8 * Seed::new(1).at("load", &[layer, expert]).normal()).exp() * 1e3;
    let case = |num_nodes: usize, num_gpus: usize| BalanceCase {
        weights: (0..58)
            .map(|layer| (0..256).map(|expert| load(layer, expert)).collect())
            .collect(),
        num_replicas: 288,
        num_groups: 8,
        num_nodes,
        num_gpus,
    };
    let questions = [
        (
            "hierarchical, 288 slots, 32 devices",
            case(4, 32),
            Algorithm::EplbHierarchical,
        ),
        (
            "global, 288 slots, 144 devices",
            case(18, 144),
            Algorithm::EplbGlobal,
        ),
    ];
    for (name, case, algorithm) in questions {
        let before = processor_seconds()?;
        for _ in 0..TIMES {
            std::hint::black_box(case.place(algorithm).expect("the counts divide each other"));
        }
        let each = (processor_seconds()? - before) / f64::from(TIMES);
        #[expect(clippy::print_stdout, reason = "an example prints")]
        {
            println!("{name}: {:.2} ms", each * 1e3);
        }
    }
    Ok(())
}

/// Seconds that this process has run, by the scheduler.
fn processor_seconds() -> std::io::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|first| first.parse::<f64>().ok());
    Ok(nanos.unwrap_or(0.0) / 1e9)
}
