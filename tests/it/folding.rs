//! Folding is exact: one rank per pipeline rank gives what all ranks give, to the picosecond.

use orrery_taskgraph::Driver as _;
use orrery_timeline::{Cell, StepTotals};
use orrery_units::{Flops, LaneId};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{DENSE, balanced_experts, compute_lanes, near, plan, run};

/// Times of a cell; counts and FLOPs carry multiplicities and are compared as sums.
fn times(cell: &Cell) -> [u64; 5] {
    [
        cell.busy,
        cell.alone,
        cell.waited,
        cell.idle_waiting,
        cell.idle_running,
    ]
    .map(|time| time.as_picos())
}

fn lane_times(step: &StepTotals, lane: LaneId) -> (Vec<(u32, [u64; 5])>, u64) {
    let lane = &step.lanes[lane];
    let mut cells: Vec<_> = lane
        .iter()
        .map(|(kind, cell)| (kind.get(), times(cell)))
        .collect();
    cells.retain(|(_, times)| times.iter().any(|&time| time > 0));
    cells.sort_unstable();
    (cells, lane.idle_host.as_picos())
}

fn work(step: &StepTotals) -> (u64, f64) {
    let cells = || {
        step.lanes
            .iter()
            .flat_map(|lane| lane.iter().map(|(_, cell)| cell))
    };
    (
        cells().map(|cell| cell.count).sum(),
        cells().map(|cell| cell.flops).sum::<Flops>().get(),
    )
}

/// Simulates `text` whole and folded and compares steps, idle times by cause of every rank, and work.
fn check(text: &str, settings: &[(&str, &str)]) {
    let plan = plan(text, settings);
    assert_eq!(Folding::of(&plan), Folding::Replicas, "this plan can be folded");
    let mut whole = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
    let mut folded = TrainingDriver::new(&plan, plan.run.seed, Folding::Replicas);
    assert_eq!(
        whole.resources().programs.len(),
        plan.layout.world() as usize,
        "all ranks"
    );
    assert_eq!(
        folded.resources().programs.len(),
        plan.layout.pp as usize,
        "one rank a stage"
    );
    let (all, one) = (run(&mut whole, &plan).totals, run(&mut folded, &plan).totals);
    assert_eq!(all.steps.len(), one.steps.len(), "as many steps");
    let folded_lanes = compute_lanes(folded.resources());
    for (all, one) in all.steps.iter().zip(&one.steps) {
        assert_eq!(
            (all.start, all.end),
            (one.start, one.end),
            "a step is as long either way"
        );
        for ((rank, pipeline), lane) in whole.ranks().zip(compute_lanes(whole.resources())) {
            let twin = folded_lanes[pipeline as usize];
            assert_eq!(
                lane_times(all, lane),
                lane_times(one, twin),
                "rank {rank} of pipeline rank {pipeline}"
            );
        }
        let (all, one) = (work(all), work(one));
        assert_eq!(all.0, one.0, "as many tasks are counted");
        assert!(near(one.1, all.1, 1e-12), "{} and {} FLOPs", one.1, all.1);
    }
    for (program, (_, pipeline)) in whole.resources().programs.ids().zip(whole.ranks()) {
        let twin = folded
            .resources()
            .programs
            .ids()
            .nth(pipeline as usize)
            .expect("one per pipeline rank");
        assert_eq!(
            all.memory[program].peak.bytes, one.memory[twin].peak.bytes,
            "as much memory"
        );
    }
}

#[test]
fn a_dense_plan_folds() {
    check(DENSE, &[]);
    check(
        DENSE,
        &[("parallel.schedule", "{ kind = \"interleaved\", chunks = 2 }")],
    );
}

#[test]
fn a_balanced_plan_with_experts_folds() {
    let text = balanced_experts();
    check(&text, &[]);
    check(
        &text,
        &[("parallel.schedule", "{ kind = \"interleaved\", chunks = 2 }")],
    );
    for kind in ["zb-h1", "zb-v", "dualpipe", "dualpipe-v"] {
        check(
            &text,
            &[("parallel.schedule", &format!("{{ kind = \"{kind}\" }}"))],
        );
    }
}
