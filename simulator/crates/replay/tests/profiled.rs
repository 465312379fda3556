//! A public trace of eight ranks, replayed: the closed form and the engine give its step again.

use std::fs::File;

use flate2::read::GzDecoder;
use orrery_engine::{Options, RunControl, run};
use orrery_replay::{CauseKind, Ends, Graph, Timing, attribute, critical_path, totals, waits};
use orrery_trace::kineto::{join, read};
use orrery_trace::{NO_STEP, Operation, Recording};
use orrery_units::SimDuration;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/truth/traces/kineto/");

fn recorded(set: &str, ranks: u32) -> Recording {
    let rank = |number: u32| {
        let file = File::open(format!("{ROOT}{set}/rank-{number}.json.gz")).expect("it is shipped");
        read(GzDecoder::new(file)).expect("a trace")
    };
    join((0..ranks).map(rank).collect()).recording
}

fn recording() -> Recording {
    recorded("param_dlrm_8rank", 8)
}

/// The last end over all ranks, by the closed form and by the engine; picosecond for picosecond.
#[test]
fn the_engine_and_the_closed_form_agree() {
    let recording = recording();
    let graph = Graph::new(&recording).expect("an order");
    let measured = Timing::measured(&graph);
    for timing in [
        measured.clone(),
        measured.without_delays(&graph).begun_together(&graph),
    ] {
        let ends = graph.evaluate(&timing);
        let mut driver = graph.driver(&timing, None);
        let options = Options {
            lookahead: graph.most_tasks(),
            ..Options::default()
        };
        let outcome = run(&mut driver, &options, &RunControl::default()).expect("nothing blocks");
        let engine = outcome.totals.steps.iter().map(|step| step.end).max();
        assert_eq!(engine, ends.ends.iter().copied().max());
    }
}

/// Most of what the devices wait for is known: launches and the other streams. What is left of their delays is what a
/// launch takes to arrive, some 3 us each.
#[test]
fn the_step_is_reproduced_and_its_straggler_named() {
    let recording = recording();
    let graph = Graph::new(&recording).expect("an order");
    let job = attribute(&graph, &mut |_, _| true).expect("nobody stops it");
    let off = job.replayed.as_secs() / job.measured.as_secs() - 1.0;
    assert!(off.abs() < 0.02, "{off}");
    assert!(
        job.without_delays <= job.measured,
        "launches that are never late cost nothing: {job:?}"
    );
    let timing = Timing::measured(&graph);
    let on_devices = (0..)
        .zip(&recording.operations)
        .filter(|(_, operation)| !recording.lanes[operation.lane].is_host);
    let (delays, count) = on_devices.fold((0.0, 0.0), |(sum, count), (at, _): (usize, _)| {
        (sum + timing.delays[at].as_secs(), count + 1.0)
    });
    assert!(
        delays / count < 5e-6,
        "{} us a device operation",
        delays / count * 1e6
    );
    let waits = waits(&graph);
    let straggler = waits
        .iter_enumerated()
        .max_by_key(|(_, waits)| waits.caused)
        .expect("eight ranks");
    assert_eq!(recording.programs[straggler.0].name, "rank 7");
    // The straggler is the rank with the least time in collectives.
    let least = waits
        .iter_enumerated()
        .min_by_key(|(_, waits)| waits.meeting)
        .expect("eight ranks");
    assert_eq!(least.0, straggler.0);
    let first = &job.causes[0];
    assert_eq!(first.kind, CauseKind::LateStart, "{:?}", job.causes);
    assert!(first.evidence.starts_with("rank 7 began"), "{first:?}");
}

/// What is not explained by waits is one latency of launches, the same for every operation of every device: with the median
/// of what was measured in place of each delay, the step comes out within 0.1 %, as the end of each rank does.
#[test]
fn one_latency_of_launches_reproduces_the_step() {
    let recording = recording();
    let graph = Graph::new(&recording).expect("an order");
    let measured = Timing::measured(&graph);
    let launched = |at: u32, operation: &Operation| {
        !recording.lanes[operation.lane].is_host && !graph.waits(at).is_empty()
    };
    let of_launches = || {
        (0..)
            .zip(&recording.operations)
            .filter(|&(at, operation)| launched(at, operation))
    };
    let mut delays: Vec<SimDuration> = of_launches()
        .map(|(at, _)| measured.delays[at as usize])
        .collect();
    delays.sort_unstable();
    let latency = delays[delays.len() / 2];
    let mut timing = measured;
    for (at, _) in of_launches() {
        timing.delays[at as usize] = latency;
    }
    let ends = graph.evaluate(&timing);
    let recorded = Ends::recorded(&recording);
    let [again, known] = [&ends, &recorded].map(|ends| graph.step_times(ends)[0].as_secs());
    assert!(
        (again / known - 1.0).abs() < 0.001,
        "{again} s, recorded {known} s, at {latency}"
    );
    for (rank, program) in recording.programs.iter_enumerated() {
        let last = |ends: &Ends| {
            let mine = recording.operations.iter().zip(&ends.ends);
            let mine = mine.filter(|(operation, _)| recording.program_of(operation) == rank);
            mine.map(|(_, &end)| end).max().expect("it did something")
        };
        let [again, known] = [last(&ends), last(&recorded)].map(|end| end.as_secs());
        assert!(
            (again / known - 1.0).abs() < 0.001,
            "{}: {again} s, recorded {known} s",
            program.name
        );
    }
}

/// The path fills the last step, without a gap, from its beginning to its end.
#[test]
fn the_critical_path_fills_the_step() {
    for recording in [recording(), recorded("hta_2rank_args", 1)] {
        let graph = Graph::new(&recording).expect("an order");
        let (begin, path) = critical_path(&graph).expect("a step");
        let step = recording.steps.last().expect("a step");
        assert_eq!(begin, step.start);
        let mut at = begin;
        for stretch in &path {
            assert_eq!(stretch.start, at, "no gap");
            at += stretch.length;
        }
        assert_eq!(at, step.end);
        assert!(path.len() > 10, "{}", path.len());
    }
}

/// What the replay counts of a lane over all steps is its time: busy, waiting, and idle by cause. The second recording has
/// three steps, and a device that lags behind its host across their bounds.
#[test]
fn totals_account_for_every_lane() {
    for recording in [recording(), recorded("hta_2rank_args", 1)] {
        let graph = Graph::new(&recording).expect("an order");
        let totals = totals(&graph);
        let first = totals.steps[0].start;
        for pair in totals.steps.windows(2) {
            assert_eq!(
                pair[1].start, pair[0].end,
                "a step begins where the one before ended"
            );
        }
        let of_steps: Vec<SimDuration> = totals.steps.iter().map(|step| step.duration()).collect();
        assert_eq!(
            of_steps,
            graph.step_times(&Ends::recorded(&recording)),
            "import and replay agree"
        );
        for (id, lane) in recording.lanes.iter_enumerated() {
            let mine = || {
                let operations = recording.operations.iter();
                operations.filter(|operation| operation.lane == id)
            };
            let Some(last) = mine()
                .filter(|operation| operation.step != NO_STEP)
                .map(Operation::end)
                .max()
            else {
                continue;
            };
            let sum: SimDuration = totals
                .steps
                .iter()
                .flat_map(|step| {
                    let cells = step.lanes[id].iter();
                    let of_cells = cells.map(|(_, cell)| cell.busy + cell.idle_waiting + cell.idle_running);
                    of_cells.chain([step.lanes[id].idle_host])
                })
                .sum();
            // What belongs to no step is time of the lane that no step counts.
            let none = mine().filter(|operation| operation.step == NO_STEP);
            let none = none.filter(|operation| operation.end() > first && operation.end() <= last);
            let none: SimDuration = none
                .map(|operation| operation.end() - operation.start.max(first))
                .sum();
            assert!(none.is_zero() || lane.is_host, "{}", lane.name);
            assert_eq!(sum + none, last.saturating_since(first), "{}", lane.name);
        }
    }
}
