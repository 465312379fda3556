//! Memory: peak, when, in which step, and by what cause.

use orrery_taskgraph::{MemoryChange, StaticDriver};
use orrery_units::{Bytes, LaneId};

use crate::support::{at, cluster, compute, micros, run_all};

fn change(cause: u8, bytes: i64, at_end: bool) -> MemoryChange {
    MemoryChange::new(cause, bytes, at_end)
}

/// Weights 100 from the first task on; activations 30 at the start of each of three tasks of 10 µs, given back
/// by 20 at its end; the third belongs to step 1. Held: 130 | 110, 140 | 120, 150: the peak is at 20 µs.
#[test]
fn the_peak_says_when_and_what() {
    let (mut resources, lanes) = cluster(2, &["compute"]);
    resources.causes = vec!["weights", "activations"];
    let mut driver = StaticDriver::new(resources);
    for number in 0..3u16 {
        let mut task = compute(lanes[0][0], 0, micros(10));
        task.step = number / 2;
        if number == 0 {
            task.memory.push(change(0, 100, false));
        }
        task.memory.push(change(1, 30, false));
        task.memory.push(change(1, -20, true));
        driver.push(task);
    }
    let outcome = run_all(&mut driver);
    let memory = outcome.totals.memory.as_slice();
    let peak = &memory[0].peak;
    assert_eq!((peak.bytes, peak.at, peak.step), (Bytes::new(150), at(20), 1));
    assert_eq!(peak.by_cause, [Bytes::new(100), Bytes::new(50)]);
    assert_eq!(memory[0].held, [100, 30]);
    assert_eq!(memory[1].peak.bytes, Bytes::ZERO);
    // The counter has the values after each instant; what ends and begins at one instant is one point.
    let points = &outcome.timeline.counters[0].points;
    let expected = [(0, 130.0), (10, 140.0), (20, 150.0), (30, 130.0)].map(|(t, held)| (at(t), held));
    assert_eq!(points.as_slice(), expected);
    assert_eq!(outcome.timeline.lanes[LaneId::new(0)].program, "rank 0");
}
