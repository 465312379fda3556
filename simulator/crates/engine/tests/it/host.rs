//! The host: issue times against the recurrence written out.

use orrery_engine::{Options, RunControl, run};
use orrery_taskgraph::StaticDriver;
use orrery_units::{Key, Seed, SimDuration, SimTime};

use crate::support::{at, cluster, compute, delay, micros, pick, recording, run_all, spans_of};

/// Claim: `issue(n) = max(max(issue(n − 1), end(n − 1) if it drains) + launch, end(n − run_ahead))`.
///
/// Launches 2 µs, run-ahead 2, tasks of 5 µs on a lane: issues 2, 4, 7 and, after a drain, max(17 + 2, 12); the
/// lane is idle for the first launch and for that one.
#[test]
fn run_ahead_and_drain_by_hand() {
    let (mut resources, lanes) = cluster(1, &["compute"]);
    resources.run_ahead = 2;
    let mut driver = StaticDriver::new(resources);
    for number in 0..4 {
        let mut task = compute(lanes[0][0], 0, micros(5));
        task.launch = micros(2);
        task.drains_host = number == 2;
        driver.push(task);
    }
    let outcome = run_all(&mut driver);
    assert_eq!(
        spans_of(&outcome, lanes[0][0]),
        [
            (at(2), at(7)),
            (at(7), at(12)),
            (at(12), at(17)),
            (at(19), at(24))
        ]
    );
    assert_eq!(outcome.totals.steps[0].lanes[lanes[0][0]].idle_host, micros(4));
}

/// Claim: tasks shorter than their launches leave the lane idle for the host, and it is charged to the host.
#[test]
fn a_slow_host_starves_its_lane() {
    let (resources, lanes) = cluster(1, &["compute"]);
    let mut driver = StaticDriver::new(resources);
    for _ in 0..4 {
        let mut task = compute(lanes[0][0], 0, micros(1));
        task.launch = micros(3);
        driver.push(task);
    }
    let outcome = run_all(&mut driver);
    assert_eq!(outcome.totals.steps[0].duration(), micros(13));
    assert_eq!(outcome.totals.steps[0].lanes[lanes[0][0]].idle_host, micros(9));
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    lane: usize,
    span: SimDuration,
    launch: SimDuration,
    drains: bool,
    after: Option<u32>,
}

fn plan(key: Key, number: u32) -> Planned {
    let before = u32::try_from(1 + pick(key.with(5), 6)).expect("a small number");
    Planned {
        lane: usize::from(pick(key.with(1), 3) == 0),
        span: SimDuration::from_picos(1 + pick(key.with(2), 9_000_000)),
        launch: SimDuration::from_picos(pick(key.with(3), 6_000_000)),
        drains: pick(key.with(4), 9) == 0,
        after: number.checked_sub(before),
    }
}

/// Start of every task, task by task in order of emission, from the recurrence as it is written.
fn obvious(plans: &[Planned], run_ahead: usize) -> Vec<(SimTime, SimTime)> {
    let mut spans: Vec<(SimTime, SimTime)> = Vec::new();
    let mut lane_free = [SimTime::ZERO; 2];
    let mut issue = SimTime::ZERO;
    for (number, plan) in plans.iter().enumerate() {
        if number > 0 && plans[number - 1].drains {
            issue = issue.max(spans[number - 1].1);
        }
        issue += plan.launch;
        if number >= run_ahead {
            issue = issue.max(spans[number - run_ahead].1);
        }
        let released = plan
            .after
            .map_or(SimTime::ZERO, |before| spans[before as usize].1);
        let start = issue.max(released).max(lane_free[plan.lane]);
        lane_free[plan.lane] = start + plan.span;
        spans.push((start, start + plan.span));
    }
    spans
}

/// Claim: on random programs of two lanes the engine starts every task when the obvious computation says,
/// whatever the run-ahead and even where it exceeds the lookahead.
#[test]
fn the_engine_equals_the_obvious_computation() {
    for seed in 0..60 {
        let key = Seed::new(seed).at("host", &[]);
        let run_ahead = u32::try_from(1 + pick(key.with(1), 150)).expect("a small number");
        let (mut resources, lanes) = cluster(1, &["compute", "other"]);
        resources.run_ahead = run_ahead;
        let mut driver = StaticDriver::new(resources);
        let plans: Vec<Planned> = (0..400)
            .map(|n| plan(key.with(2).with(u64::from(n)), n))
            .collect();
        for plan in &plans {
            let mut task = delay(lanes[0][plan.lane], 0, plan.span);
            task.launch = plan.launch;
            task.drains_host = plan.drains;
            task.after.extend(plan.after);
            driver.push(task);
        }
        let options = Options {
            // Wide enough that pulling never holds a task back.
            lookahead: 256,
            ..recording(orrery_taskgraph::Driver::resources(&driver))
        };
        let outcome = run(&mut driver, &options, &RunControl::default()).expect("it completes");
        let expected = obvious(&plans, run_ahead as usize);
        for (number, &lane) in lanes[0].iter().enumerate() {
            let on_lane: Vec<_> = plans
                .iter()
                .zip(&expected)
                .filter(|(p, _)| p.lane == number)
                .collect();
            let expected: Vec<_> = on_lane.into_iter().map(|(_, &span)| span).collect();
            assert_eq!(
                spans_of(&outcome, lane),
                expected,
                "seed {seed}, run-ahead {run_ahead}"
            );
        }
    }
}
