//! Meetings: who waits, who is blamed, who is idle for whom.

use orrery_taskgraph::{Demand, StaticDriver};
use orrery_units::{ProgramId, SimDuration};

use crate::support::{NO_DEMAND, at, cluster, compute, compute_with, flow, kind, micros, run_all, spans_of};

/// Three ranks compute 10, 30 and 20 µs and then meet for a transfer of 5 µs.
///
/// All start at 30; the others waited 20 and 10, and rank 1 is charged 30. The transfers differ (5, 2, 3 µs
/// of bytes): all end with the slowest, at 35.
#[test]
fn the_last_to_arrive_is_charged_with_the_waits() {
    let (mut resources, lanes) = cluster(3, &["compute", "exchange"]);
    let group = resources.add_group(3);
    let mut driver = StaticDriver::new(resources);
    for ((own, compute_time), transfer) in lanes.iter().zip([10, 30, 20]).zip([5, 2, 3]) {
        let before = driver.push(compute(own[0], 0, micros(compute_time)));
        let met = driver.push(
            flow(own[1], 1, transfer, NO_DEMAND)
                .meeting(group, 0)
                .after(before),
        );
        driver.push(compute(own[0], 2, micros(1)).after(met));
    }
    let outcome = run_all(&mut driver);
    let step = &outcome.totals.steps[0];
    for own in &lanes {
        assert_eq!(spans_of(&outcome, own[1]), [(at(30), at(35))]);
    }
    let waited = |rank: usize| step.lanes[lanes[rank][1]].cell(kind(1)).expect("it met").waited;
    assert_eq!([0, 1, 2].map(waited), [micros(20), SimDuration::ZERO, micros(10)]);
    let caused = |rank: u32| step.programs[ProgramId::new(rank)].caused_wait;
    assert_eq!(
        [0, 1, 2].map(caused),
        [SimDuration::ZERO, micros(30), SimDuration::ZERO]
    );
    // The compute lane of rank 0 is idle 10–35: 20 µs for rank 1, 5 for the transfer.
    let idle = step.lanes[lanes[0][0]]
        .cell(kind(1))
        .expect("it released the last task");
    assert_eq!((idle.idle_waiting, idle.idle_running), (micros(20), micros(5)));
    // On the exchange lane of rank 0 itself: 10 µs for its own compute, 20 for the meeting.
    let exchange = &step.lanes[lanes[0][1]];
    assert_eq!(
        exchange
            .cell(kind(0))
            .expect("it released the exchange")
            .idle_running,
        micros(10)
    );
    assert_eq!(exchange.cell(kind(1)).expect("it met").idle_waiting, micros(20));
}

/// Of two that arrive last at one instant, the one handled last is charged; here rank 1, handed over later.
#[test]
fn of_equals_the_later_handled_is_charged() {
    let (mut resources, lanes) = cluster(3, &["exchange", "timer"]);
    let group = resources.add_group(3);
    let mut driver = StaticDriver::new(resources);
    for (own, late) in lanes.iter().zip([8, 8, 0]) {
        let before = driver.push(crate::support::delay(own[1], 0, micros(late)));
        driver.push(flow(own[0], 1, 4, NO_DEMAND).meeting(group, 0).after(before));
    }
    let step = run_all(&mut driver).totals.steps.remove(0);
    let caused = |rank: u32| step.programs[ProgramId::new(rank)].caused_wait;
    assert_eq!(
        [0, 1, 2].map(caused),
        [SimDuration::ZERO, micros(8), SimDuration::ZERO]
    );
}

/// Compute tasks and delays may meet too: they start together, and each ends on its own.
#[test]
fn compute_tasks_meet_and_part() {
    let (mut resources, lanes) = cluster(2, &["compute"]);
    let group = resources.add_group(2);
    let mut driver = StaticDriver::new(resources);
    driver.push(compute(lanes[0][0], 0, micros(7)));
    driver.push(compute(lanes[0][0], 0, micros(3)).meeting(group, 0));
    driver.push(crate::support::delay(lanes[1][0], 1, micros(9)).meeting(group, 0));
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(0), at(7)), (at(7), at(10))]);
    assert_eq!(spans_of(&outcome, lanes[1][0]), [(at(7), at(16))]);
}

/// A collective takes the slow-down of its most contended device, and every compute task only its own.
///
/// Rank 0 computes 100 µs at 1.0 units, rank 1 at 0.5; the collective of 20 µs asks 0.2 of each: slow-down
/// 1.2 for it, so 24 µs; rank 0 has done 20 µs of work by then and ends at 104, rank 1 is not slowed.
#[test]
fn a_collective_is_as_slow_as_its_worst_device() {
    let (mut resources, lanes) = cluster(2, &["compute", "exchange"]);
    let group = resources.add_group(2);
    let mut driver = StaticDriver::new(resources);
    let asks = |units: f32| Demand {
        units,
        bandwidth: 0.0,
    };
    for (own, units) in lanes.iter().zip([1.0, 0.5]) {
        driver.push(flow(own[1], 1, 20, asks(0.2)).meeting(group, 0));
        driver.push(compute_with(own[0], 0, micros(100), asks(units)));
    }
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, lanes[0][1]), [(at(0), at(24))]);
    assert_eq!(spans_of(&outcome, lanes[1][1]), [(at(0), at(24))]);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(0), at(104))]);
    assert_eq!(spans_of(&outcome, lanes[1][0]), [(at(0), at(100))]);
}

/// Meetings of one group may be reached out of order on different lanes.
#[test]
fn later_meetings_may_begin_first() {
    let (mut resources, lanes) = cluster(2, &["exchange", "other"]);
    let group = resources.add_group(2);
    let mut driver = StaticDriver::new(resources);
    for own in &lanes {
        let before = driver.push(flow(own[1], 0, 10, NO_DEMAND).meeting(group, 1));
        driver.push(flow(own[0], 0, 10, NO_DEMAND).meeting(group, 0).after(before));
        driver.push(flow(own[1], 0, 10, NO_DEMAND).meeting(group, 2));
    }
    let outcome = run_all(&mut driver);
    assert_eq!(outcome.totals.steps[0].duration(), micros(20));
    assert_eq!(outcome.totals.tasks, 6);
}
