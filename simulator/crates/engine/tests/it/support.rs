//! Shorthands for tasks and runs.

use orrery_engine::{Options, Outcome, RecordPolicy, RunControl, run};
use orrery_taskgraph::{Demand, Driver, Resources, StaticDriver, Task, Work};
use orrery_timeline::{KindTable, OpClass, Span};
use orrery_units::{
    Bytes, BytesPerSec, DeviceId, Flops, Key, KindId, LaneId, PathId, ProgramId, Seed, SimDuration, SimTime,
};

pub(crate) const NO_DEMAND: Demand = Demand {
    units: 0.0,
    bandwidth: 0.0,
};

pub(crate) fn micros(micros: u64) -> SimDuration {
    SimDuration::from_micros(micros)
}

pub(crate) fn at(micros: u64) -> SimTime {
    SimTime::from_picos(micros * 1_000_000)
}

pub(crate) fn kind(number: u32) -> KindId {
    KindId::new(number)
}

/// A compute task of `alone` that fills the units.
pub(crate) fn compute(lane: LaneId, kind: u32, alone: SimDuration) -> Task {
    let demand = Demand {
        units: 1.0,
        bandwidth: 0.4,
    };
    compute_with(lane, kind, alone, demand)
}

pub(crate) fn compute_with(lane: LaneId, kind: u32, alone: SimDuration, demand: Demand) -> Task {
    let work = Work::Compute {
        alone,
        demand,
        flops: Flops::new(1e9),
    };
    Task::new(lane, KindId::new(kind), work)
}

/// A flow on a private path: a byte takes a nanosecond, so that `transfer` µs are as many thousand bytes.
pub(crate) fn flow(lane: LaneId, kind: u32, transfer_micros: u64, occupancy: Demand) -> Task {
    let work = Work::Flow {
        latency: SimDuration::ZERO,
        bytes: Bytes::new(transfer_micros * 1000),
        bound: BytesPerSec::new(1e9),
        path: Resources::PRIVATE,
        occupancy,
    };
    Task::new(lane, KindId::new(kind), work)
}

pub(crate) fn over(path: PathId, mut task: Task) -> Task {
    if let Work::Flow { path: taken, .. } = &mut task.work {
        *taken = path;
    }
    task
}

pub(crate) fn delay(lane: LaneId, kind: u32, span: SimDuration) -> Task {
    Task::new(lane, KindId::new(kind), Work::Delay(span))
}

/// `programs` programs with a device each, and on it a lane for each of `names`.
pub(crate) fn cluster(programs: u32, names: &[&'static str]) -> (Resources, Vec<Vec<LaneId>>) {
    let mut resources = Resources::new();
    let mut lanes = Vec::new();
    for number in 0..programs {
        let program = resources.add_program(format!("rank {number}"));
        let device = resources.add_device();
        lanes.push(
            names
                .iter()
                .map(|name| resources.add_lane(program, device, name))
                .collect(),
        );
    }
    (resources, lanes)
}

/// Options that record everything.
pub(crate) fn recording(resources: &Resources) -> Options {
    let mut kinds = KindTable::new();
    for number in 0..16 {
        kinds.intern(&format!("kind {number}"), OpClass::Other);
    }
    Options {
        record: RecordPolicy::of(resources.programs.ids().collect(), kinds, usize::MAX),
        ..Options::default()
    }
}

/// Runs with everything recorded.
pub(crate) fn run_all(driver: &mut dyn Driver) -> Outcome {
    let options = recording(driver.resources());
    run(driver, &options, &RunControl::default()).expect("the tasks of this test complete")
}

/// Spans of one lane in order, as (start, end).
pub(crate) fn spans_of(outcome: &Outcome, lane: LaneId) -> Vec<(SimTime, SimTime)> {
    let on_lane = |span: &Span| span.lane == lane;
    outcome
        .timeline
        .spans()
        .filter(on_lane)
        .map(|span| (span.start, span.start + span.duration))
        .collect()
}

/// A number below `below` at `key`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
pub(crate) fn pick(key: Key, below: u64) -> u64 {
    (key.uniform() * f64::from(u32::try_from(below).expect("a small number"))) as u64
}

/// Thousandths as a float, for shares.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn thousandths(number: u64) -> f32 {
    number as f32 / 1000.0
}

/// What a random graph may contain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    pub(crate) launches: bool,
    pub(crate) delays: bool,
}

/// A random static graph: a few programs with a compute and an exchange lane each; programs meet on their
/// exchange lanes in one order; tasks wait for random earlier ones.
pub(crate) fn random_graph(seed: u64, rounds: u64, traits: Traits) -> StaticDriver {
    let key = Seed::new(seed).at("graph", &[]);
    let programs = 2 + u32::try_from(pick(key.with(1), 3)).expect("a small number");
    let (mut resources, lanes) = cluster(programs, &["compute", "exchange"]);
    // Two programs may share a device now and then.
    if pick(key.with(2), 3) == 0 {
        for lane in lanes[1].clone() {
            resources.lanes[lane].device = DeviceId::new(0);
        }
    }
    let group = resources.add_group(programs);
    if traits.launches {
        resources.run_ahead = 4 + u32::try_from(pick(key.with(3), 8)).expect("a small number");
    }
    let mut driver = StaticDriver::new(resources);
    let mut met = 0;
    for round in 0..rounds {
        let meets = pick(key.with(10).with(round), 3) > 0;
        for (program, own) in (0u64..).zip(&lanes) {
            let key = key.with(20).with(round).with(program);
            let mut task = random_task(key, own, meets, traits);
            if meets {
                task = task.meeting(group, met);
            }
            if traits.launches {
                task.launch = SimDuration::from_picos(1 + pick(key.with(7), 60_000_000));
                task.drains_host = pick(key.with(8), 12) == 0;
            }
            for place in 0..pick(key.with(5), 3) {
                if let Some(before) = round.checked_sub(1 + pick(key.with(6).with(place), 4)) {
                    task = task.after(u32::try_from(before).expect("a small number"));
                }
            }
            driver.push(task);
        }
        met += u32::from(meets);
    }
    driver
}

fn random_task(key: Key, lanes: &[LaneId], meets: bool, traits: Traits) -> Task {
    let span = SimDuration::from_picos(1_000_000 + pick(key.with(1), 200_000_000));
    let share = |place: u64, most: u64| thousandths(pick(key.with(2).with(place), most));
    if meets {
        let occupancy = Demand {
            units: share(0, 250),
            bandwidth: share(1, 300),
        };
        let work = Work::Flow {
            latency: SimDuration::from_picos(pick(key.with(3), 9_000_000)),
            bytes: Bytes::new(1 + pick(key.with(4), 200_000)),
            bound: BytesPerSec::new(1e9),
            path: Resources::PRIVATE,
            occupancy,
        };
        return Task {
            spins: pick(key.with(10), 2) == 0,
            ..Task::new(lanes[1], KindId::new(1), work)
        };
    }
    if traits.delays && pick(key.with(9), 4) == 0 {
        return delay(lanes[0], 2, span);
    }
    let demand = Demand {
        units: share(0, 1001),
        bandwidth: share(1, 1001),
    };
    compute_with(lanes[0], 0, span, demand)
}

/// The number of programs of a driver.
pub(crate) fn programs_of(driver: &dyn Driver) -> impl Iterator<Item = ProgramId> + use<> {
    driver.resources().programs.ids()
}
