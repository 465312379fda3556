//! What holds in every run: time adds up, memory comes back, no task is lost.

use std::collections::BTreeMap;

use orrery::pipeline;
use orrery::scenario::Plan;
use orrery_engine::Outcome;
use orrery_taskgraph::Driver as _;
use orrery_units::{LaneId, SimTime};
use orrery_workload::lower::{Folding, TrainingDriver};
use orrery_workload::memory::StaticMemory;

use crate::support::{DENSE, EXPERTS, compute_lanes, plan, run};

const INTERLEAVED: (&str, &str) = ("parallel.schedule", "{ kind = \"interleaved\", chunks = 2 }");
const DUAL_PIPE: (&str, &str) = ("parallel.schedule", "{ kind = \"dualpipe\" }");

/// Busy time and idle time by cause fill each compute lane up to the end of its last task of each step.
fn time_adds_up(driver: &TrainingDriver<'_>, outcome: &Outcome) {
    assert_eq!(outcome.timeline.dropped, 0, "every span was kept");
    let resources = driver.resources();
    let mut last = BTreeMap::<(&str, u16), SimTime>::new();
    for span in outcome.timeline.spans() {
        let lane = &outcome.timeline.lanes[span.lane];
        if lane.name == "compute" {
            let end = last
                .entry((lane.program.as_str(), span.step))
                .or_insert(SimTime::ZERO);
            *end = (*end).max(span.start + span.duration);
        }
    }
    let accounted = |step: usize, lane: LaneId| {
        let lane = &outcome.totals.steps[step].lanes[lane];
        let idle: u64 = lane
            .iter()
            .map(|(_, cell)| cell.idle_waiting.as_picos() + cell.idle_running.as_picos())
            .sum();
        lane.busy().as_picos() + idle + lane.idle_host.as_picos()
    };
    for lane in compute_lanes(resources) {
        let rank = resources.programs[resources.lanes[lane].program].as_str();
        let mut before = 0;
        for step in 0..outcome.totals.steps.len() {
            let end = last[&(rank, u16::try_from(step).expect("few steps"))].as_picos();
            assert_eq!(accounted(step, lane), end - before, "{rank}, step {step}");
            assert!(
                end <= outcome.totals.steps[step].end.as_picos(),
                "a step ends after its tasks"
            );
            before = end;
        }
    }
}

/// After a step a rank holds what it held before its first: its static memory, cause by cause.
fn memory_comes_back(plan: &Plan, driver: &TrainingDriver<'_>, outcome: &Outcome) {
    let pipeline_ranks: Vec<u32> = driver.ranks().map(|(_, pipeline)| pipeline).collect();
    for (program, memory) in outcome.totals.memory.iter_enumerated() {
        let statics = StaticMemory::of(plan, pipeline_ranks[program.index()]);
        let mut expected = vec![0; memory.held.len()];
        for &(cause, bytes) in &statics {
            expected[cause as usize] += i64::try_from(bytes.get()).expect("less than 2^63 bytes");
        }
        assert_eq!(memory.held, expected, "program {}", program.index());
        let held: u64 = statics.iter().map(|(_, bytes)| bytes.get()).sum();
        assert!(
            memory.peak.bytes.get() > held,
            "activations come on top of {held} bytes"
        );
        let by_cause: u64 = memory.peak.by_cause.iter().map(|bytes| bytes.get()).sum();
        assert_eq!(
            memory.peak.bytes.get(),
            by_cause,
            "the peak is the sum of its causes"
        );
    }
}

/// Tasks of each kind: one per layer, microbatch and rank of a stage; what is sent is received.
fn tasks_are_as_many_as_expected(plan: &Plan, driver: &TrainingDriver<'_>, outcome: &Outcome) {
    let kinds = driver.kinds();
    let count = |kind| -> u64 {
        let lanes = outcome.totals.steps.iter().flat_map(|step| step.lanes.iter());
        lanes
            .filter_map(|lane| lane.cell(kind))
            .map(|cell| cell.count)
            .sum()
    };
    let (layout, training) = (&plan.layout, &plan.training);
    let each = training.num_microbatches * u64::from(layout.ranks_per_stage()) * u64::from(training.steps);
    let layers = plan.model.layers.len() as u64;
    assert_eq!(count(kinds.attention_forward), layers * each, "attention forward");
    assert_eq!(
        count(kinds.attention_backward),
        layers * each,
        "attention backward"
    );
    assert_eq!(count(kinds.head_forward), each, "head");
    assert_eq!(
        count(kinds.optimizer),
        u64::from(layout.world() * training.steps),
        "one update a rank"
    );
    let experts = if plan.model.has_experts() {
        layers * each
    } else {
        0
    };
    for kind in [kinds.experts_forward, kinds.experts_backward] {
        assert_eq!(count(kind), experts, "experts");
    }
    for kind in [
        kinds.dispatch_forward,
        kinds.combine_forward,
        kinds.dispatch_backward,
        kinds.combine_backward,
    ] {
        assert_eq!(count(kind), experts, "each expert layer exchanges twice each way");
    }
    assert_eq!(
        count(kinds.send_activation),
        count(kinds.receive_activation),
        "activations arrive"
    );
    assert_eq!(
        count(kinds.send_gradient),
        count(kinds.receive_gradient),
        "gradients arrive"
    );
    assert_eq!(
        count(kinds.send_activation),
        count(kinds.send_gradient),
        "as many ways back"
    );
    // A progress bar expects what is simulated; here every rank is, there only those that differ.
    let folded = if Folding::of(plan) == Folding::Replicas {
        layout.ranks_per_stage()
    } else {
        1
    };
    let expected = pipeline::expected_tasks(plan) * u64::from(folded);
    assert_eq!(outcome.totals.tasks, expected, "a progress bar ends at 100 %");
}

fn check(text: &str, settings: &[(&str, &str)]) {
    let plan = plan(text, settings);
    let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
    let outcome = run(&mut driver, &plan);
    assert_eq!(
        outcome.totals.steps.len(),
        plan.training.steps as usize,
        "every step ends"
    );
    time_adds_up(&driver, &outcome);
    memory_comes_back(&plan, &driver, &outcome);
    tasks_are_as_many_as_expected(&plan, &driver, &outcome);
}

#[test]
fn a_dense_step_keeps_its_invariants() {
    check(DENSE, &[]);
}

#[test]
fn an_interleaved_step_keeps_its_invariants() {
    check(DENSE, &[INTERLEAVED]);
}

#[test]
fn a_step_with_experts_keeps_its_invariants() {
    check(EXPERTS, &[]);
}

#[test]
fn a_dual_pipe_step_keeps_its_invariants() {
    check(EXPERTS, &[DUAL_PIPE]);
}

#[test]
fn a_step_with_split_backwards_keeps_its_invariants() {
    for kind in ["zb-h1", "zb-v", "dualpipe-v"] {
        let schedule = format!("{{ kind = \"{kind}\" }}");
        check(DENSE, &[("parallel.schedule", &schedule)]);
        check(EXPERTS, &[("parallel.schedule", &schedule)]);
    }
}
