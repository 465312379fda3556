//! Reports of a run small enough to add up by hand: two ranks, two stages, a warm-up and a measured step.

mod support;

use orrery_report::{
    Assumption, Check, DeviceFacts, Identity, Level, ModelError, Network, NetworkFacts, Origin, PairLoad,
    Price, Rank, Report, RunFacts, State, StepWork, Verdict, render,
};
use orrery_timeline::{KindTable, MemoryPeak, MemoryTotals, OpClass, StepTotals, Totals};
use orrery_units::{Bytes, Flops, FlopsPerSec, IndexVec, LaneId, SimDuration, SimTime};
use support::link;

const MILLIS: fn(u64) -> SimDuration = SimDuration::from_millis;

fn at(millis: u64) -> SimTime {
    SimTime::ZERO + MILLIS(millis)
}

fn kinds() -> KindTable {
    let mut kinds = KindTable::new();
    kinds.intern("expert forward", OpClass::Compute);
    kinds.intern("combine forward", OpClass::Combine);
    kinds.intern("receive activations", OpClass::Pipeline);
    kinds.intern("adam", OpClass::Optimizer);
    kinds
}

/// A step of 100 ms: rank 0 computes 60, waits 10 for peers, 5 for data, optimises 5, idles 20;
/// rank 1 waits 30 for its stage, 2 for the transfer, computes 50, optimises 5, host 3, idles 10.
fn step(start: u64) -> StepTotals {
    let kinds = kinds();
    let mut ids = kinds.iter().map(|(id, _)| id);
    let [compute, combine, pipeline, adam] =
        std::array::from_fn(|_| ids.next().expect("four kinds were interned"));
    let mut step = StepTotals::new(at(start), 2, 2);
    step.end = at(start + 100);
    let first = &mut step.lanes[LaneId::new(0)];
    first.cell_mut(compute).busy = MILLIS(60);
    first.cell_mut(compute).alone = MILLIS(54);
    first.cell_mut(combine).idle_waiting = MILLIS(10);
    first.cell_mut(combine).idle_running = MILLIS(5);
    first.cell_mut(adam).busy = MILLIS(5);
    let second = &mut step.lanes[LaneId::new(1)];
    second.cell_mut(pipeline).idle_waiting = MILLIS(30);
    second.cell_mut(pipeline).idle_running = MILLIS(2);
    second.cell_mut(compute).busy = MILLIS(50);
    second.cell_mut(compute).alone = MILLIS(50);
    second.cell_mut(adam).busy = MILLIS(5);
    second.idle_host = MILLIS(3);
    let mut programs: Vec<_> = step.programs.iter().copied().collect();
    programs[0].caused_wait = MILLIS(30);
    programs[1].caused_wait = MILLIS(10);
    step.programs = IndexVec::from(programs);
    step.evidence = [MILLIS(30), MILLIS(60), MILLIS(30), MILLIS(0)];
    step
}

fn memory(weights: u64, activations: u64) -> MemoryTotals {
    let gib = |n: u64| Bytes::new(n << 30);
    MemoryTotals {
        held: vec![0, 0],
        peak: MemoryPeak {
            bytes: gib(weights + activations),
            at: at(140),
            step: 1,
            by_cause: vec![gib(weights), gib(activations)],
        },
    }
}

fn totals() -> Totals {
    Totals {
        steps: vec![step(0), step(100)],
        memory: IndexVec::from(vec![memory(40, 30), memory(40, 20)]),
        tasks: 24,
        events: 48,
    }
}

fn facts() -> RunFacts {
    let rank = |name: &str, number: u32| Rank {
        name: name.to_owned(),
        stage: number as usize,
        node: Some(0),
        compute_lane: LaneId::new(number),
        stands_for: 1,
    };
    RunFacts {
        identity: Identity {
            scenario: "two-ranks".to_owned(),
            title: "Two ranks <by hand>".to_owned(),
            file: "two.scenario.toml".to_owned(),
            hash: "0123456789abcdef".to_owned(),
            seed: 7,
            version: "0.1.0".to_owned(),
            profile: "none".to_owned(),
            ..Identity::default()
        },
        work: StepWork {
            tokens: 8192.0,
            samples: 2.0,
            model_flops: Flops::new(80e12),
            model_flops_full_attention: Flops::new(100e12),
            hardware_flops: Flops::new(90e12),
            weighted_ideal: MILLIS(30),
        },
        device: DeviceFacts {
            name: "test device".to_owned(),
            count: 2,
            peak: FlopsPerSec::new(1e15),
            memory: Bytes::new(80 << 30),
            power_limit: orrery_units::Watts(700.0),
        },
        kinds: kinds(),
        shares: Vec::new(),
        causes: vec!["weights".to_owned(), "activations".to_owned()],
        stages: vec!["stage 0".to_owned(), "stage 1".to_owned()],
        ranks: vec![rank("rank 0", 0), rank("rank 1", 1)],
        warmup_steps: 1,
        expert_imbalance: vec![1.25],
        networks: Vec::new(),
        model_error: ModelError {
            time: 0.08,
            memory: Some(0.05),
        },
        power: None,
        price: Some(Price {
            currency: "USD".to_owned(),
            device_hour: 2.0,
            priced_on: "2026-09-01".to_owned(),
        }),
        assumptions: vec![Assumption {
            key: "training.micro_batch".to_owned(),
            value: "1".to_owned(),
            reason: "the smallest that fills a device".to_owned(),
        }],
    }
}

fn check(id: &str, verdict: Verdict, level: Level) -> Check {
    Check {
        id: id.to_owned(),
        text: "train.step_time.mean <= 90 ms".to_owned(),
        why: Some("half of last year, 100 % sure".to_owned()),
        level,
        verdict,
        value: (verdict != Verdict::NoData).then_some(0.1),
        bounds: (None, Some(0.09)),
        unit: "s".to_owned(),
        file: "two.scenario.toml".to_owned(),
        line: 12,
    }
}

fn report() -> Report {
    Report::new(&[&totals()], facts()).with_checks(vec![
        check("fast-enough", Verdict::Fail, Level::Error),
        check("still-fine", Verdict::Pass, Level::Error),
        check("would-be-nice", Verdict::Fail, Level::Warn),
        check("no-such-samples", Verdict::NoData, Level::Error),
        check("only-if", Verdict::Skipped, Level::Error),
    ])
}

#[test]
fn states_sum_to_the_step_to_the_picosecond() {
    let breakdown = report().breakdown;
    // Two lanes of 100 ms each.
    assert_eq!(breakdown.total_picos(), 200 * 1_000_000_000);
    let millis = |state: State| breakdown.picos(state) / 1_000_000_000;
    let expected = [
        (State::Compute, 110),
        (State::AllToAll, 5),
        (State::Pipeline, 2),
        (State::Bubble, 30),
        (State::ImbalanceWait, 10),
        (State::Host, 3),
        (State::Optimizer, 10),
        (State::Idle, 30),
        (State::Tensor, 0),
    ];
    for (state, expected) in expected {
        assert_eq!(millis(state), expected, "{}", state.name());
    }
}

#[test]
fn an_early_start_is_taken_out_of_waiting_and_the_sum_stays() {
    let mut totals = totals();
    // Rank 1 began this step 15 ms before rank 0 had ended the one before: its account holds 115 ms.
    let pipeline = kinds().iter().nth(2).unwrap().0;
    totals.steps[1].lanes[LaneId::new(1)]
        .cell_mut(pipeline)
        .idle_waiting = MILLIS(55);
    let breakdown = Report::new(&[&totals], facts()).breakdown;
    assert_eq!(breakdown.total_picos(), 200 * 1_000_000_000);
    assert_eq!(breakdown.picos(State::Bubble), 40 * 1_000_000_000);
}

#[test]
fn figures_equal_their_hand_computation() {
    let report = report();
    let near = |key: &str, expected: f64| {
        let got = report.metrics.get(key).unwrap();
        assert!(
            (got - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{key}: {got}"
        );
    };
    near("train.step_time.mean", 0.1);
    near("train.tokens_per_gpu_s.mean", 40_960.0);
    near("train.tflops_per_gpu.mean", 400e12);
    near("train.mfu.mean", 0.4);
    near("train.mfu_full_attention.mean", 0.5);
    near("train.hfu.mean", 0.45);
    near("train.mfu_weighted.mean", 0.3);
    near("train.bubble_ratio.mean", 0.15);
    near("train.compute_ratio.mean", 0.55);
    near("train.contention_ratio.mean", 0.03);
    near("train.exposed_comm_ratio{op='all_to_all'}.mean", 0.025);
    near("train.exposed_comm_ratio.mean", 0.035);
    near("train.exposed_comm_time{op='pipeline'}.mean", 0.001);
    near("train.imbalance_wait_ratio.mean", 0.05);
    near("mem.hbm_peak.max", 70.0 * (1u64 << 30) as f64);
    near("mem.hbm_peak.mean", 65.0 * (1u64 << 30) as f64);
    near("mem.fits.min", 1.0);
    // 2 devices x 2 USD x 0.1 s / 3600 s over 8192 tokens.
    near("cost.per_mtok.mean", 0.4 / 3600.0 / 8192.0 * 1e6);
    near("cost.per_day.last", 96.0);
    near("provenance.interpolated.mean", 0.5);
    near("moe.imbalance.p95", 1.25);
    // One sample, so the interval is the model's 8 % alone.
    let (low, high) = report.metrics.interval("train.step_time.mean").unwrap();
    assert!(
        (low - 0.092).abs() < 1e-12 && (high - 0.108).abs() < 1e-12,
        "{low} {high}"
    );
    assert_eq!(report.metrics.interval("sim.tasks.sum"), None);
    assert_eq!(report.metrics.get("train.no_such.mean"), None);
}

#[test]
fn an_interval_joins_spread_and_model_error() {
    let mut totals = totals();
    totals.steps[0].end = at(1000);
    totals.steps[1].start = at(1000);
    totals.steps[1].end = at(4000);
    let mut facts = facts();
    facts.warmup_steps = 0;
    facts.model_error.time = 0.1;
    let report = Report::new(&[&totals], facts);
    let (low, high) = report.metrics.interval("train.step_time.mean").unwrap();
    assert!(
        (low - 0.7029).abs() < 1e-4 && (high - 3.2971).abs() < 1e-4,
        "{low} {high}"
    );
}

#[test]
fn a_run_without_measured_steps_has_no_step_figures() {
    let mut facts = facts();
    facts.warmup_steps = 2;
    let report = Report::new(&[&totals()], facts);
    assert_eq!(report.metrics.get("train.step_time.mean"), None);
    assert_eq!(
        report.verdict,
        "Nothing was measured: no step lies beyond the warm-up."
    );
}

#[test]
fn a_plan_that_does_not_fit_says_so_first() {
    let mut facts = facts();
    facts.device.memory = Bytes::new(64 << 30);
    let report = Report::new(&[&totals()], facts);
    assert!(!report.memory.fits(), "70 GiB do not fit into 64");
    insta::assert_snapshot!(report.verdict, @"Does not fit: rank 0 of stage 0 holds 70 GiB where a device has 64 GiB, 6 GiB too much, most of it weights (40 GiB). Were there room: Compute limits the step of 100 ms: 55 % of the step (55 ms) at 40 % MFU; the largest loss is the pipeline bubble, 15 % of the step (15 ms).");
}

#[test]
fn a_range_names_the_bound_that_is_broken() {
    let mut check = check("range", Verdict::Fail, Level::Error);
    check.bounds = (Some(0.2), Some(0.4));
    assert_eq!(check.outcome(), "got 100 ms, bound 200 ms (-50.0 %)");
    check.bounds = (Some(0.02), Some(0.08));
    assert_eq!(check.outcome(), "got 100 ms, bound 80 ms (+25.0 %)");
    check.verdict = Verdict::NoBaseline;
    assert!(check.fails_run(), "a baseline that is not there is no pass");
}

#[test]
fn the_terminal_look() {
    insta::assert_snapshot!(render::text(&report()));
}

#[test]
fn the_json_look() {
    let text = render::json_text(&report());
    assert_eq!(text, render::json_text(&report()), "the same bytes twice");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], "result/1");
    assert_eq!(value["metrics"]["train.step_time.mean"], 0.1);
    assert_eq!(value["checks"][0]["at"], "two.scenario.toml:12");
    assert_eq!(value["checks"][0]["pass"], false);
    let mut short = value;
    for key in ["metrics", "intervals"] {
        short[key] = serde_json::json!(short[key].as_object().unwrap().len());
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&short).unwrap());
}

#[test]
fn the_junit_look() {
    insta::assert_snapshot!(render::junit([&report()]));
}

#[test]
fn the_github_look() {
    insta::assert_snapshot!(render::github([&report()]));
}

#[test]
fn github_shows_ten_of_a_kind_and_counts_the_rest() {
    let checks = (0..14)
        .map(|at| check(&format!("check-{at}"), Verdict::Fail, Level::Error))
        .collect();
    let report = Report::new(&[&totals()], facts()).with_checks(checks);
    let text = render::github([&report]);
    assert_eq!(text.lines().count(), 10, "ten annotations");
    assert!(text.contains("(and 4 more)"), "{text}");
}

#[test]
fn the_csv_look() {
    let text = render::csv([&report()]);
    assert!(
        text.starts_with("scenario,seed,metric,value,low,high,unit\n"),
        "a header comes first"
    );
    assert!(
        text.contains("two-ranks,7,train.mfu.mean,0.4,0.368,0.43"),
        "{text}"
    );
}

#[test]
fn the_page_is_whole_escaped_and_alone() {
    let page = render::html(&report());
    assert!(page.contains("Two ranks &lt;by hand&gt;"), "the title is escaped");
    assert!(!page.contains("<script"), "no script");
    assert!(!page.contains("href=") && !page.contains("src="), "no other file");
    assert_eq!(page.matches("<svg").count(), 4, "four pictures");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert_eq!(page, render::html(&report()), "the same bytes twice");
}

/// A report whose first link is full for half of a run of 2 µs, and which moved 3,000 bytes from rank 1 to 0.
fn with_network() -> Report {
    let network = Network::new(NetworkFacts {
        span: SimDuration::from_micros(2),
        intervals: vec![SimDuration::from_micros(1); 2],
        links: vec![
            link("leaf 0 -> <spine 0>", "leaf_spine", 1000, 0),
            link("node 0 NIC 0 -> leaf 0", "nic", 500, 1),
        ],
        series: vec![
            vec![Bytes::new(1000), Bytes::ZERO],
            vec![Bytes::new(250), Bytes::new(250)],
        ],
        pairs: vec![PairLoad {
            from: 1,
            to: 0,
            bytes: Bytes::new(3000),
        }],
        num_devices: 2,
        devices_per_node: 1,
    });
    let facts = RunFacts {
        networks: vec![network],
        ..facts()
    };
    Report::new(&[&totals()], facts)
}

#[test]
fn every_look_tells_of_shared_links() {
    let report = with_network();
    let metrics = &report.metrics;
    assert_eq!(metrics.get("net.utilization.max"), Some(0.5));
    assert_eq!(metrics.get("net.utilization{link='nic'}.max"), Some(0.25));
    assert_eq!(
        metrics.get("net.utilization_peak{link='leaf_spine'}.max"),
        Some(1.0)
    );
    let [low, high] = metrics
        .interval("net.utilization.mean")
        .map(|(low, high)| [low, high])
        .expect("it has one");
    assert!(
        (high - low - 2.0 * 0.08 * 0.375).abs() < 1e-12,
        "links differ by place: {low} to {high}"
    );
    let text = render::text(&report);
    assert!(text.contains("leaf_spine"), "{text}");
    let html = render::html(&report);
    for part in [
        "Links of the cluster",
        "leaf 0 -&gt; &lt;spine 0&gt;",
        "class=\"spark\"",
        "rank 1",
    ] {
        assert!(html.contains(part), "`{part}` is missing");
    }
    let json = render::json(&report);
    let network = &json["network"];
    assert_eq!(network["busiest"][0]["over_time"], serde_json::json!([1.0, 0.0]));
    assert_eq!(
        network["traffic"]["bytes"],
        serde_json::json!([[0, 0], [3000, 0]])
    );
    let network = report.network().expect("it has one");
    let links = render::links_csv(network);
    assert!(
        links.contains("\nleaf 0 -> <spine 0>,leaf_spine,1000000000,1000,0.000001,0.5,1\n"),
        "{links}"
    );
    assert_eq!(render::traffic_csv(network), "from,to,bytes\n1,0,3000\n");
}

/// A recording has no seed, and nothing of it was simulated; every look says so.
#[test]
fn a_recording_is_not_said_to_be_simulated() {
    let mut facts = facts();
    facts.identity.origin = Origin::Recorded;
    let report = Report::new(&[&totals()], facts);
    let value = render::json(&report);
    assert_eq!(
        (value["origin"].as_str(), value["seed"].is_null()),
        (Some("recorded"), true)
    );
    assert!(
        report.metrics.get("sim.tasks.sum").is_none(),
        "no tasks of an engine"
    );
    let csv = render::csv([&report]);
    assert!(csv.contains("two-ranks,,train.step_time.mean,"), "{csv}");
    let [text, html] = [render::text(&report), render::html(&report)];
    for look in [&text, &html.replace("recorded, not simulated", "")] {
        assert!(!look.contains("simulated") && !look.contains("seed"), "{look}");
    }
}
