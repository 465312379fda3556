//! Measures the engine: programs that compute, meet in groups of 64 and overlap both on one device.
//!
//! Usage: `cargo run --release -p orrery-engine --example throughput [programs] [rounds]`.
//! Prints tasks, wall time, nanoseconds per task and the peak of resident memory.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program reads the clock and prints; the engine does neither"
)]

use std::time::Instant;

use orrery_engine::{Options, RunControl, run};
use orrery_taskgraph::{Demand, Driver, MemoryChange, Pulled, Resources, Sink, Task, Work};
use orrery_units::{Bytes, BytesPerSec, Flops, GroupId, KindId, LaneId, ProgramId, Seed, SimDuration};

/// Parties of a meeting.
const PARTIES: u32 = 64;
/// Tasks of a round: two microbatches with attention, dispatch, experts and combine each.
const ROUND: u64 = 8;

/// A driver whose programs are cursors of constant state.
struct Synthetic {
    resources: Resources,
    rounds: u32,
    at: Vec<u32>,
}

impl Synthetic {
    fn new(programs: u32, rounds: u32) -> Self {
        let mut resources = Resources::new();
        resources.causes = vec!["activations"];
        for rank in 0..programs {
            let program = resources.add_program(format!("rank {rank}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "compute");
            resources.add_lane(program, device, "exchange");
        }
        for _ in 0..programs.div_ceil(PARTIES) {
            resources.add_group(PARTIES.min(programs));
        }
        Self {
            resources,
            rounds,
            at: vec![0; programs as usize],
        }
    }
}

fn compute(program: ProgramId, kind: u32, round: u32, micros: f64) -> Task {
    let key = Seed::new(1).at(
        "t",
        &[u64::from(program.get()), u64::from(kind), u64::from(round)],
    );
    let work = Work::Compute {
        alone: SimDuration::from_secs(micros * 1e-6 * (0.95 + 0.1 * key.uniform())),
        demand: Demand {
            units: 1.0,
            bandwidth: 0.4,
        },
        flops: Flops::new(1e12),
    };
    let mut task = Task::new(LaneId::new(2 * program.get()), KindId::new(kind), work);
    task.launch = SimDuration::from_micros(5);
    task
}

fn exchange(program: ProgramId, kind: u32, number: u32) -> Task {
    let work = Work::Flow {
        latency: SimDuration::from_micros(20),
        bytes: Bytes::new(7_000_000),
        bound: BytesPerSec::new(45e9),
        path: Resources::PRIVATE,
        occupancy: Demand {
            units: 0.15,
            bandwidth: 0.1,
        },
    };
    let mut task = Task::new(LaneId::new(2 * program.get() + 1), KindId::new(kind), work);
    task.launch = SimDuration::from_micros(5);
    task.meeting(GroupId::new(program.get() / PARTIES), number)
}

fn memory(bytes: i64) -> MemoryChange {
    MemoryChange::new(0, bytes, bytes < 0)
}

impl Driver for Synthetic {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let round = self.at[program.index()];
        if round == self.rounds {
            return Pulled::Ended;
        }
        self.at[program.index()] += 1;
        let before = sink.next().checked_sub(4);
        for half in 0..2 {
            let mut attention = compute(program, half, round, 180.0);
            attention.memory.push(memory(1 << 20));
            // The combine of this half in the round before.
            if let Some(combine) = before {
                attention = attention.after(combine + 1 + 2 * half);
            }
            let attention = sink.push(attention);
            sink.push(exchange(program, 2 + half, 4 * round + half).after(attention));
        }
        let first = sink.next() - 4;
        for half in 0..2 {
            let mut experts = compute(program, 4 + half, round, 220.0).after(first + 1 + 2 * half);
            experts.memory.push(memory(-(1 << 20)));
            let experts = sink.push(experts);
            sink.push(exchange(program, 6 + half, 4 * round + 2 + half).after(experts));
        }
        Pulled::Tasks
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let programs = arguments.next().and_then(Result::ok).unwrap_or(2048);
    let rounds = arguments.next().and_then(Result::ok).unwrap_or(512);
    let lookahead = arguments.next().and_then(Result::ok).unwrap_or(64);
    let mut pulls_only = Synthetic::new(programs, rounds);
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for program in pulls_only.resources.programs.ids().collect::<Vec<_>>() {
        let mut next = 0;
        while pulls_only.pull(program, &mut Sink::new(next, &mut tasks)) == Pulled::Tasks {
            next += u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            tasks.clear();
        }
    }
    let pulling = begin.elapsed();
    let mut driver = Synthetic::new(programs, rounds);
    let options = Options {
        lookahead,
        ..Options::default()
    };
    let begin = Instant::now();
    let outcome =
        run(&mut driver, &options, &RunControl::default()).expect("the programs agree on their meetings");
    let wall = begin.elapsed();
    let tasks = u64::from(programs) * u64::from(rounds) * ROUND;
    assert_eq!(outcome.totals.tasks, tasks, "every task completes");
    let per_task = |nanos: u128| nanos / u128::from(tasks);
    println!("task size     {} B", size_of::<Task>());
    println!("tasks         {tasks}");
    println!("events        {}", outcome.totals.events);
    println!("simulated     {}", outcome.totals.steps[0].duration());
    println!("wall          {:.3} s", wall.as_secs_f64());
    println!(
        "per task      {} ns, of which the driver {} ns",
        per_task(wall.as_nanos()),
        per_task(pulling.as_nanos())
    );
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
            println!("{line}");
        }
    }
}
