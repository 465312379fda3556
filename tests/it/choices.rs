//! What a scenario leaves to be chosen or drawn: recompute under a budget, documents, stalls of hosts.

use orrery::report::Metrics;
use orrery_engine::Outcome;
use orrery_scenario::Plan;
use orrery_scenario::plan::Recompute;
use orrery_units::{Bytes, Flops};
use orrery_workload::estimate::{Parts, memory_peaks};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{DENSE, near, plan, run, simulate};

fn peak(plan: &Plan) -> Bytes {
    memory_peaks(plan).into_iter().max().expect("there are ranks")
}

fn step(plan: &Plan) -> f64 {
    Parts::of(plan).step(&plan.tuning).step
}

fn adaptive(budget: Bytes) -> Plan {
    let budget = format!("\"{} B\"", budget.get());
    let settings = [
        ("training.recompute", "adaptive"),
        ("training.memory_budget", budget.as_str()),
    ];
    plan(DENSE, &settings)
}

fn written(recompute: &str) -> Plan {
    plan(DENSE, &[("training.recompute", recompute)])
}

/// Where everything fits nothing is computed again, where nothing does whole layers are, and between the two the set fits
/// and no other that fits is cheaper.
#[test]
fn the_cheapest_set_that_fits_is_chosen() {
    let (none, full) = (written("none"), written("full"));
    assert_eq!(adaptive(peak(&none)).training.recompute, Recompute::None);
    assert_eq!(adaptive(Bytes::new(1 << 20)).training.recompute, Recompute::Full);
    let budget = Bytes::new(peak(&none).get().midpoint(peak(&full).get()));
    let chosen = adaptive(budget);
    assert!(peak(&chosen) <= budget, "it fits");
    for other in [
        "[\"norm\"]",
        "[\"activation\"]",
        "[\"mlp\"]",
        "[\"norm\", \"activation\"]",
        "[\"norm\", \"mlp\"]",
        "full",
    ] {
        let other = written(other);
        let fits = peak(&other) <= budget;
        assert!(
            !fits || step(&chosen) <= step(&other) * (1.0 + 1e-12),
            "{:?}",
            other.training.recompute
        );
    }
    let named = |key: &str| chosen.assumptions.iter().find(|known| known.key == key);
    assert!(named("training.recompute").is_some_and(|known| known.reason.contains("adaptive")));
    assert!(named("training.recompute.mlp").is_some_and(|known| known.value.contains("GiB")));
}

fn ran(settings: &[(&str, &str)]) -> (Plan, Outcome) {
    let plan = plan(DENSE, settings);
    let outcome = {
        let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::of(&plan));
        run(&mut driver, &plan)
    };
    (plan, outcome)
}

/// Documents of a quarter of the sequence leave a quarter of the pairs: `(2 + 5) · pairs · 2 · 128` operations a head and
/// layer (causal, `S² / 2` pairs, two products forward and five backward) become a quarter of that.
#[test]
fn documents_leave_their_share_of_attention() {
    let one = [
        ("model.fields.layers", "4"),
        ("cluster.nodes", "1"),
        ("parallel.pp", "1"),
        ("training.global_batch", "4"),
    ];
    let flops = |outcome: &Outcome| -> Flops {
        let lanes = outcome.totals.steps[0].lanes.iter();
        lanes
            .flat_map(|lane| lane.iter())
            .map(|(_, cell)| cell.flops)
            .sum()
    };
    let (_, whole) = ran(&one);
    let mut packed = one.to_vec();
    packed.extend([
        ("training.documents.law", "fixed"),
        ("training.documents.tokens", "1024"),
    ]);
    let (_, packed) = ran(&packed);
    let attention = 4.0 * 4.0 * 32.0 * 7.0 * 2.0 * 128.0 * 4096.0 * 4096.0 / 2.0;
    let less = flops(&whole).get() - flops(&packed).get();
    assert!(near(less, 0.75 * attention, 1e-6), "{less} of {attention}");
    assert!(
        packed.totals.steps[1].duration() < whole.totals.steps[1].duration(),
        "and take less time"
    );
}

/// Held to 420 W of 700 the busiest device draws no more, at a lower clock and over a longer step; at 700 W no time moves.
#[test]
fn a_cap_of_power_lowers_the_clock() {
    // Graphs and many microbatches: devices that wait for nobody.
    let busy = [("stack.cuda_graphs", "true"), ("training.global_batch", "128")];
    let run = |limit: &str| {
        let settings = [&busy[..], &[("cluster.node.power_limit", limit)]].concat();
        simulate(&plan(DENSE, &settings)).report.metrics
    };
    let free = simulate(&plan(DENSE, &busy)).report.metrics;
    let (full, capped) = (run("\"700 W\""), run("\"420 W\""));
    let of = |metrics: &Metrics, key: &str| metrics.get(key).unwrap_or(f64::NAN);
    assert!(free.get("power.device.max").is_none(), "nobody asked");
    assert!(near(
        of(&full, "train.step_time.mean"),
        of(&free, "train.step_time.mean"),
        1e-12
    ));
    assert!(near(of(&full, "power.clock.mean"), 1.0, 1e-12));
    assert!(of(&full, "power.device.max") > 420.0, "the cap binds");
    assert!(
        near(of(&capped, "power.device.max"), 420.0, 0.01),
        "{}",
        of(&capped, "power.device.max")
    );
    assert!(of(&capped, "power.clock.mean") < 0.99);
    assert!(of(&capped, "train.step_time.mean") > of(&full, "train.step_time.mean"));
    // 32 devices take their mean power for a step of 128 sequences.
    for metrics in [&full, &capped] {
        let joules = 32.0 * of(metrics, "power.device.mean") * of(metrics, "train.step_time.mean");
        let tokens = 128.0 * 4096.0;
        assert!(near(
            of(metrics, "power.energy_per_token.mean"),
            joules / tokens,
            1e-9
        ));
    }
}

/// Nine of ten hosts stall, a second in the mean: the step lasts longer by the longest of their stalls, and whoever had it is
/// charged with the waits of all others, who meet it at the reduction of gradients.
#[test]
fn a_stall_of_one_host_is_everybodys() {
    let apart = [
        ("model.fields.layers", "2"),
        ("cluster.nodes", "1"),
        ("parallel.tp", "1"),
        ("parallel.pp", "1"),
        ("parallel.sequence_parallel", "false"),
        ("training.global_batch", "8"),
    ];
    let mut stalling = apart.to_vec();
    stalling.extend([("noise.stall", "\"1 s\""), ("noise.stall_chance", "0.9")]);
    let (_, even) = ran(&apart);
    let (plan, stalled) = ran(&stalling);
    assert!(!plan.noise.is_off(), "stalls are noise");
    let longer = stalled.totals.steps[1].duration().as_secs() - even.totals.steps[1].duration().as_secs();
    assert!(longer > 0.5, "{longer}");
    let caused: Vec<f64> = stalled.totals.steps[1]
        .programs
        .iter()
        .map(|program| program.caused_wait.as_secs())
        .collect();
    let (most, all) = (
        caused.iter().copied().fold(0.0, f64::max),
        caused.iter().sum::<f64>(),
    );
    assert!(most > 0.9 * all && most > longer, "{caused:?}");
}
