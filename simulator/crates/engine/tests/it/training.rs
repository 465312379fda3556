//! One static step of a training job, with times computed by hand.

use orrery_taskgraph::StaticDriver;
use orrery_units::{LaneId, SimDuration};

use crate::support::{NO_DEMAND, at, cluster, compute, flow, kind, micros, run_all, spans_of};

const FORWARD: u32 = 0;
const BACKWARD: u32 = 1;
const SEND: u32 = 2;

/// Two stages, two microbatches, GPipe order. Forward 100 µs, backward 200 µs, a transfer 10 µs.
///
/// Stage 0: F0 0–100, F1 100–200. Transfers of activations 100–110, 200–210.
/// Stage 1: F0 110–210, F1 210–310, B0 310–510, B1 510–710. Gradients 510–520, 710–720.
/// Stage 0: B0 520–720, B1 720–920.
#[test]
fn a_pipeline_of_two_stages_equals_its_hand_computation() {
    let (mut resources, lanes) = cluster(2, &["compute", "exchange"]);
    let group = resources.add_group(2);
    let mut driver = StaticDriver::new(resources);
    let transfer = |driver: &mut StaticDriver, from: u32, to: usize, number: u32| {
        let party = |lane: LaneId| flow(lane, SEND, 10, NO_DEMAND).meeting(group, number);
        driver.push(party(lanes[1 - to][1]).after(from));
        driver.push(party(lanes[to][1]))
    };
    let f0 = driver.push(compute(lanes[0][0], FORWARD, micros(100)));
    let f1 = driver.push(compute(lanes[0][0], FORWARD, micros(100)));
    let r0 = transfer(&mut driver, f0, 1, 0);
    let r1 = transfer(&mut driver, f1, 1, 1);
    driver.push(compute(lanes[1][0], FORWARD, micros(100)).after(r0));
    driver.push(compute(lanes[1][0], FORWARD, micros(100)).after(r1));
    let b0 = driver.push(compute(lanes[1][0], BACKWARD, micros(200)));
    let b1 = driver.push(compute(lanes[1][0], BACKWARD, micros(200)));
    let g0 = transfer(&mut driver, b0, 0, 2);
    let g1 = transfer(&mut driver, b1, 0, 3);
    driver.push(compute(lanes[0][0], BACKWARD, micros(200)).after(g0));
    driver.push(compute(lanes[0][0], BACKWARD, micros(200)).after(g1));
    let outcome = run_all(&mut driver);

    let micro = |spans: &[(u64, u64)]| spans.iter().map(|&(s, e)| (at(s), at(e))).collect::<Vec<_>>();
    assert_eq!(
        spans_of(&outcome, lanes[0][0]),
        micro(&[(0, 100), (100, 200), (520, 720), (720, 920)])
    );
    assert_eq!(
        spans_of(&outcome, lanes[1][0]),
        micro(&[(110, 210), (210, 310), (310, 510), (510, 710)])
    );
    let step = &outcome.totals.steps[0];
    assert_eq!(step.duration(), micros(920));
    // Stage 1 idles 110 µs at first: 100 for the sender (stage 0 has not arrived), 10 for the transfer.
    let cell = *step.lanes[lanes[1][0]]
        .cell(kind(SEND))
        .expect("idle time is charged to transfers");
    assert_eq!((cell.idle_waiting, cell.idle_running), (micros(100), micros(10)));
    // Stage 0 idles from 200 to 520: to 210 its second transfer runs, to 510 it waits for B0 of stage 1, then
    // the gradient moves.
    let cell = *step.lanes[lanes[0][0]]
        .cell(kind(SEND))
        .expect("idle time is charged to transfers");
    assert_eq!((cell.idle_waiting, cell.idle_running), (micros(300), micros(20)));
    assert_eq!(step.lanes[lanes[0][0]].idle_host, SimDuration::ZERO);
    assert_eq!(step.lanes[lanes[0][0]].busy(), micros(600));
}

/// Claim: a step begins when the one before ends, and totals are kept apart.
#[test]
fn steps_follow_each_other() {
    let (resources, lanes) = cluster(1, &["compute"]);
    let mut driver = StaticDriver::new(resources);
    for step in 0..3 {
        let mut task = compute(lanes[0][0], FORWARD, micros(10 + u64::from(step)));
        task.step = step;
        task.multiplicity = 4;
        driver.push(task);
    }
    let totals = run_all(&mut driver).totals;
    let durations: Vec<_> = totals
        .steps
        .iter()
        .map(orrery_timeline::StepTotals::duration)
        .collect();
    assert_eq!(durations, [micros(10), micros(11), micros(12)]);
    assert_eq!(totals.steps[2].start, at(21));
    let cell = totals.steps[1].lanes[lanes[0][0]]
        .cell(kind(FORWARD))
        .expect("it ran");
    assert_eq!(cell.count, 4);
    assert!(
        (cell.flops.get() - 4e9).abs() < 1.0,
        "operations are counted by multiplicity"
    );
    assert_eq!(cell.busy, micros(11));
    assert_eq!(
        totals.steps[1].backed_by(orrery_units::Evidence::Analytic),
        micros(11)
    );
}
