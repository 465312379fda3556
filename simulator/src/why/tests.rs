//! Critical paths that a hand can follow.

use orrery_engine::{Options, RunControl};
use orrery_report::{CriticalPath, Hold};
use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_units::{Bytes, BytesPerSec, Flops, KindId, LaneId, SimDuration, SimTime};

use super::path::PathBuilder;
use super::witness::{Completed, Listener, Witness};

const MILLIS: fn(u64) -> SimDuration = SimDuration::from_millis;

/// Takes the path alone, and keeps it.
struct Taker {
    path: PathBuilder,
    taken: std::rc::Rc<std::cell::OnceCell<(CriticalPath, usize)>>,
}

impl Listener for Taker {
    fn completed(&mut self, completed: &Completed<'_>) -> u32 {
        self.path.completed(completed)
    }

    fn keep(&mut self, name: u32) {
        self.path.keep(name);
    }

    fn forgotten(&mut self, name: u32) {
        self.path.forget(name);
    }

    fn finished(&mut self) {
        let _first = self.taken.set((self.path.path(), self.path.most()));
    }
}

/// The critical path of `step` of the tasks of `driver`.
fn path_of(driver: StaticDriver, step: u16) -> CriticalPath {
    watched(driver, step).0
}

/// The same, and the most activities that were kept for it.
fn watched(driver: StaticDriver, step: u16) -> (CriticalPath, usize) {
    let taken = std::rc::Rc::default();
    let taker = Taker {
        path: PathBuilder::new(step),
        taken: std::rc::Rc::clone(&taken),
    };
    let mut witness = Witness::new(driver, taker);
    orrery_engine::run(&mut witness, &Options::default(), &RunControl::default()).unwrap();
    taken.get().cloned().expect("the run came to its end")
}

fn compute(lane: LaneId, kind: u32, length: SimDuration) -> Task {
    let work = Work::Compute {
        alone: length,
        demand: Demand::default(),
        flops: Flops::ZERO,
    };
    Task::new(lane, KindId::new(kind), work)
}

fn flow(lane: LaneId, kind: u32, length: SimDuration) -> Task {
    let work = Work::Flow {
        latency: length,
        bytes: Bytes::ZERO,
        bound: BytesPerSec::new(1e9),
        path: Resources::PRIVATE,
        occupancy: Demand::default(),
    };
    Task::new(lane, KindId::new(kind), work)
}

/// Kind (none for the host), rank, start and length in milliseconds of every piece.
fn pieces(path: &CriticalPath) -> Vec<(Option<u32>, u32, u64, u64)> {
    let millis = |picos: u64| picos / 1_000_000_000;
    path.pieces()
        .iter()
        .map(|piece| {
            let kind = match piece.hold {
                Hold::Running(kind) => Some(kind.get()),
                Hold::Host(_) | Hold::Unknown => None,
            };
            let (start, length) = (piece.start.as_picos(), piece.length.as_picos());
            (kind, piece.rank, millis(start), millis(length))
        })
        .collect()
}

/// Rank 0 computes 3 ms, rank 1 computes 5 ms; they meet for 2 ms; rank 0 goes on for 4 ms, rank 1 for 1 ms. The path is
/// rank 1's 5 ms, the meeting, rank 0's 4 ms: 11 ms.
#[test]
fn the_path_goes_through_the_last_to_arrive() {
    let mut resources = Resources::new();
    let group = resources.add_group(2);
    let lanes: Vec<LaneId> = (0..2)
        .map(|rank| {
            let program = resources.add_program(format!("rank {rank}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "compute")
        })
        .collect();
    let mut driver = StaticDriver::new(resources);
    for (lane, before, after) in [(lanes[0], 3, 4), (lanes[1], 5, 1)] {
        driver.push(compute(lane, 0, MILLIS(before)));
        driver.push(flow(lane, 1, MILLIS(2)).meeting(group, 0));
        driver.push(compute(lane, 2, MILLIS(after)));
    }
    let path = path_of(driver, 0);
    assert_eq!(
        pieces(&path),
        [(Some(0), 1, 0, 5), (Some(1), 1, 5, 2), (Some(2), 0, 7, 4)]
    );
    assert_eq!((path.hops(), path.length()), (1, MILLIS(11)));
}

/// The host takes 4 ms to issue each of three tasks of 1 ms: the path is the host's 4 ms and 1 ms, three times, but of
/// the second and third 1 ms of issuing passes while the task before runs.
#[test]
fn what_the_host_holds_back_is_its_own() {
    let mut resources = Resources::new();
    let program = resources.add_program("rank 0");
    let device = resources.add_device();
    let lane = resources.add_lane(program, device, "compute");
    let mut driver = StaticDriver::new(resources);
    for _ in 0..3 {
        driver.push(Task {
            launch: MILLIS(4),
            ..compute(lane, 0, MILLIS(1))
        });
    }
    let path = path_of(driver, 0);
    let run = Some(0);
    assert_eq!(
        pieces(&path),
        [
            (None, 0, 0, 4),
            (run, 0, 4, 1),
            (None, 0, 5, 3),
            (run, 0, 8, 1),
            (None, 0, 9, 3),
            (run, 0, 12, 1)
        ]
    );
}

/// A task of 6 ms on another lane, emitted first, releases the last one: the path goes by what is named, not by the lane.
/// Only the second step counts: the path begins where the first step ended.
#[test]
fn the_path_begins_with_its_step() {
    let mut resources = Resources::new();
    let program = resources.add_program("rank 0");
    let device = resources.add_device();
    let [lane, other] = ["compute", "data"].map(|name| resources.add_lane(program, device, name));
    let mut driver = StaticDriver::new(resources);
    driver.push(compute(lane, 0, MILLIS(2)));
    let second = |task: Task| Task { step: 1, ..task };
    let long = driver.push(second(flow(other, 1, MILLIS(6))));
    driver.push(second(compute(lane, 2, MILLIS(1))));
    driver.push(second(compute(lane, 3, MILLIS(1))).after(long));
    let path = path_of(driver, 1);
    assert_eq!(pieces(&path), [(Some(1), 0, 2, 4), (Some(3), 0, 6, 1)]);
    assert_eq!(path.start(), SimTime::from_picos(2_000_000_000));
}

/// Eight ranks compute and meet 5,000 times, each time another of them last: 80,000 tasks, of which the path has 10,000.
/// What no later task can reach is let go: the path, and what the ranks still remember, is all that is kept.
#[test]
fn nothing_is_kept_that_nobody_can_reach() {
    const ROUNDS: u32 = 5000;
    let mut resources = Resources::new();
    let group = resources.add_group(8);
    let lanes: Vec<LaneId> = (0..8)
        .map(|rank| {
            let program = resources.add_program(format!("rank {rank}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "compute")
        })
        .collect();
    let mut driver = StaticDriver::new(resources);
    for round in 0..ROUNDS {
        for (rank, &lane) in (0..8).zip(&lanes) {
            let last = round % 8 == rank;
            driver.push(compute(lane, 0, MILLIS(if last { 2 } else { 1 })));
            driver.push(flow(lane, 1, MILLIS(1)).meeting(group, round));
        }
    }
    let (path, most) = watched(driver, 0);
    assert_eq!(path.length(), MILLIS(3 * u64::from(ROUNDS)));
    assert_eq!(path.pieces().len(), 10_000);
    assert!(most < 10_000 + 8 * 1024, "{most}");
}
