//! The bars of a comparison sum to the difference of the steps, to the picosecond, whatever the two runs are.

use orrery::compare::Comparison;
use orrery_report::{
    DeviceFacts, Identity, ModelError, Rank, Report, RunFacts, StepWork, WorkShares, render,
};
use orrery_timeline::{KindTable, MemoryTotals, OpClass, StepTotals, Totals};
use orrery_units::{Bytes, Flops, FlopsPerSec, IndexVec, KindId, LaneId, SimDuration, SimTime};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Times of one cell: busy, of that alone, idle while others were waited for, idle while they ran; picoseconds.
type Times = (u64, u64, u64, u64);

/// A run: stages; for each step its length, and for each rank a cell of some kinds and the host's idle time; shares of work.
#[derive(Clone, Debug)]
struct Run {
    stages: usize,
    steps: Vec<(u64, Vec<RankStep>)>,
    shares: Vec<WorkShares>,
}

/// Cells of a rank in a step, by kind, and its idle time for the host.
type RankStep = (Vec<(usize, Times)>, u64);

fn times() -> impl Strategy<Value = Times> {
    let picos = || prop_oneof![0..10_u64, 0..3_000_000_000_000_u64];
    (picos(), picos(), picos(), picos()).prop_map(|(busy, alone, waiting, running)| {
        // Nothing runs faster beside others than alone.
        (busy.max(alone), busy.min(alone), waiting, running)
    })
}

fn run() -> impl Strategy<Value = Run> {
    let kinds = OpClass::ALL.len();
    let shares =
        (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64, any::<bool>()).prop_map(|(a, b, recomputed, known)| {
            let (low, high) = (a.min(b), a.max(b));
            let spent = [low, high - low, (1.0 - high) / 2.0, (1.0 - high) / 2.0];
            WorkShares {
                spent: if known { spent } else { [0.0; 4] },
                recomputed,
            }
        });
    let cells = prop::collection::vec((0..kinds, times()), 0..8);
    let rank = (cells, 0..1_000_000_000_000_u64).boxed();
    let shares = shares.boxed();
    (1..5_usize, 1..4_usize).prop_flat_map(move |(ranks, stages)| {
        let step = (
            1..20_000_000_000_000_u64,
            prop::collection::vec(rank.clone(), ranks),
        );
        (
            prop::collection::vec(step, 1..4),
            prop::collection::vec(shares.clone(), kinds),
        )
            .prop_map(move |(steps, shares)| Run {
                stages,
                steps,
                shares,
            })
    })
}

fn totals(run: &Run) -> Totals {
    let ranks = run.steps[0].1.len();
    let mut start = SimTime::ZERO;
    let step = |(length, of_ranks): &(u64, Vec<RankStep>)| {
        let mut step = StepTotals::new(start, ranks, ranks);
        step.end = start + SimDuration::from_picos(*length);
        start = step.end;
        for (lane, (cells, idle_host)) in (0..).zip(of_ranks) {
            let lane = &mut step.lanes[LaneId::new(lane)];
            lane.idle_host = SimDuration::from_picos(*idle_host);
            for &(kind, (busy, alone, waiting, running)) in cells {
                let cell = lane.cell_mut(KindId::new(u32::try_from(kind).expect("ten kinds")));
                cell.busy += SimDuration::from_picos(busy);
                cell.alone += SimDuration::from_picos(alone);
                cell.idle_waiting += SimDuration::from_picos(waiting);
                cell.idle_running += SimDuration::from_picos(running);
            }
        }
        step
    };
    Totals {
        steps: run.steps.iter().map(step).collect(),
        memory: IndexVec::filled(MemoryTotals::default(), ranks),
        ..Totals::default()
    }
}

fn facts(run: &Run) -> RunFacts {
    let mut kinds = KindTable::new();
    for class in OpClass::ALL {
        kinds.intern(class.name(), class);
    }
    let ranks = 0..run.steps[0].1.len();
    RunFacts {
        identity: Identity::default(),
        work: StepWork {
            tokens: 0.0,
            samples: 0.0,
            model_flops: Flops::default(),
            model_flops_full_attention: Flops::default(),
            hardware_flops: Flops::default(),
            weighted_ideal: SimDuration::ZERO,
        },
        device: DeviceFacts {
            name: String::new(),
            count: 1,
            peak: FlopsPerSec::new(1.0),
            memory: Bytes::ZERO,
            power_limit: orrery_units::Watts::default(),
        },
        kinds,
        shares: run.shares.clone(),
        causes: Vec::new(),
        stages: (0..run.stages).map(|stage| format!("stage {stage}")).collect(),
        ranks: ranks
            .map(|rank| Rank {
                name: format!("rank {rank}"),
                stage: rank % run.stages,
                node: None,
                compute_lane: LaneId::new(u32::try_from(rank).expect("few ranks")),
                stands_for: u32::try_from(rank % 3 + 1).expect("a few"),
            })
            .collect(),
        warmup_steps: run.steps.len() - 1,
        expert_imbalance: Vec::new(),
        networks: Vec::new(),
        model_error: ModelError::default(),
        power: None,
        price: None,
        assumptions: Vec::new(),
    }
}

#[test]
fn bars_sum_to_the_difference_in_a_thousand_pairs() {
    let mut runner = TestRunner::new(Config::with_cases(1000));
    let stored = |run: &Run| render::json(&Report::new(&[&totals(run)], facts(run)));
    runner
        .run(&(run(), run()), |(a, b)| {
            let (a, b) = (stored(&a), stored(&b));
            let comparison = Comparison::of(&a, &b).expect("both know their step by cause");
            let step = |run: &serde_json::Value| run["waterfall"]["step_ps"].as_i64().expect("a step");
            let bars: i64 = comparison.bars().iter().map(|(_, picos)| picos).sum();
            prop_assert_eq!(bars, step(&b) - step(&a));
            prop_assert_eq!(bars, comparison.difference());
            for run in [&a, &b] {
                let causes = run["waterfall"]["causes_ps"].as_object().expect("causes");
                let sum: i64 = causes.values().filter_map(serde_json::Value::as_i64).sum();
                prop_assert_eq!(sum, step(run), "causes sum to the step");
            }
            let back = Comparison::of(&b, &a).expect("both know their step by cause");
            let turned: Vec<_> = back
                .bars()
                .iter()
                .map(|&(cause, picos)| (cause, -picos))
                .collect();
            prop_assert_eq!(comparison.bars(), turned, "the other way round");
            Ok(())
        })
        .expect("bars sum to the difference");
}
