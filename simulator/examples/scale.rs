//! Measures how large a step the event simulation takes, and how fast: tasks, spans, CPU time, memory.
//!
//! Usage: `cargo run --release -p orrery --example scale [case [1|2 [key=value]...]]`, by default every case on one
//! thread and on two; keys of the scenario make a case smaller, or another one.
//!
//! A case is one step of a shipped scenario, with the spans of all its ranks offered to the recorder, which keeps as
//! many as a run of `orrery` does and counts the rest. It runs in a process of its own, so that its peak of memory is
//! its own. Time is from the text of the scenario to totals and timeline: on the clock; of all threads on the processor,
//! so that other work on the machine counts as little as can be; and of the thread on which the engine runs. With two
//! threads the other one lowers, as in a run of `orrery`. The digest of all that a run gave tells whether
//! two versions of the program agree to the last bit.
#![expect(
    clippy::print_stdout,
    reason = "a measuring program prints; the engine does not"
)]

use std::fmt::Write as _;
use std::process::Command;

use orrery::ahead::Ahead;
use orrery::files::read_scenario;
use orrery::pipeline::{LOOKAHEAD, SPAN_BUDGET, load};
use orrery::scenario::{Plan, render};
use orrery_engine::{Options, Outcome, RecordPolicy, RunControl, run};
use orrery_taskgraph::Driver;
use orrery_timeline::KindTable;
use orrery_workload::lower::{Folding, TrainingDriver};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/training/");

type Fault = Box<dyn std::error::Error>;

/// A step to measure.
struct Case {
    name: &'static str,
    scenario: &'static str,
    /// Keys set in the scenario.
    settings: &'static [(&'static str, &'static str)],
    folding: Folding,
}

const DEEP_SEEK: &str = "deepseek-v3-2048-h800";
const QUIET: &[(&str, &str)] = &[
    ("noise.kernel", "0"),
    ("routing", "{ kind = \"balanced\", max_nodes = 4 }"),
];

const CASES: [Case; 5] = [
    Case {
        name: "deepseek-v3-folded",
        scenario: DEEP_SEEK,
        settings: QUIET,
        folding: Folding::Replicas,
    },
    Case {
        name: "deepseek-v3",
        scenario: DEEP_SEEK,
        settings: QUIET,
        folding: Folding::None,
    },
    Case {
        name: "deepseek-v3-noise",
        scenario: DEEP_SEEK,
        settings: &[],
        folding: Folding::None,
    },
    Case {
        name: "deepseek-v3-noise-links",
        scenario: DEEP_SEEK,
        settings: &[("cluster.fabric.contention", "\"links\"")],
        folding: Folding::None,
    },
    // "The Llama 3 Herd of Models", table 4, second row: twice the devices for the same batch.
    Case {
        name: "llama3-405b-16384",
        scenario: "llama3-405b-8192-h100",
        settings: &[("cluster.nodes", "2048")],
        folding: Folding::None,
    },
];

/// What every case sets: a single step, nothing to be checked.
const ONE_STEP: &[(&str, &str)] = &[("training.steps", "1"), ("training.warmup_steps", "0")];

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &String| CASES.iter().find(|case| case.name == *name);
    if let Some(name) = arguments.first() {
        let names = || CASES.map(|case| case.name).join(", ");
        let case = named(name).ok_or_else(|| format!("no case `{name}`: one of {}", names()))?;
        let beside = arguments.get(1).is_some_and(|threads| threads == "2");
        let changes = arguments.get(2..).unwrap_or_default();
        println!("{}", measure(case, beside, &settings(changes)?)?);
        return Ok(());
    }
    println!(
        "{:<24} {:>6} {:>10} {:>10} {:>8} {:>7} {:>8} {:>8} {:>8} {:>8} {:>9}  digest",
        "case",
        "ranks",
        "tasks",
        "spans",
        "kept",
        "threads",
        "clock s",
        "CPU s",
        "engine s",
        "ns/task",
        "peak MiB"
    );
    for case in &CASES {
        for threads in ["1", "2"] {
            let this = std::env::current_exe()?;
            let done = Command::new(this).args([case.name, threads]).output()?;
            print!(
                "{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
        }
    }
    Ok(())
}

/// Keys of a scenario and their values.
type Settings = Vec<(String, String)>;

fn settings(arguments: &[String]) -> Result<Settings, Fault> {
    let setting = |argument: &String| {
        let (key, value) = argument
            .split_once('=')
            .ok_or_else(|| format!("`{argument}` is no key=value"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    arguments.iter().map(setting).collect()
}

/// One line on `case` with `changes` to it, lowered on a thread `beside` the engine's or on the same.
fn measure(case: &Case, beside: bool, changes: &[(String, String)]) -> Result<String, Fault> {
    let begun = std::time::Instant::now();
    let plan = plan(case, changes)?;
    let driver = TrainingDriver::new(&plan, plan.run.seed, case.folding);
    let ranks = driver.resources().programs.len();
    let kinds = driver.kinds().table.clone();
    let outcome = std::thread::scope(|scope| {
        if beside {
            simulate(&mut Ahead::new(scope, driver), kinds)
        } else {
            simulate(&mut { driver }, kinds)
        }
    })?;
    let (clock, all, engine) = (begun.elapsed().as_secs_f64(), cpu_seconds()?, engine_seconds()?);
    let tasks = outcome.totals.tasks;
    #[expect(clippy::cast_precision_loss, reason = "a step has far fewer than 2^53 tasks")]
    let nanos = all * 1e9 / tasks as f64;
    Ok(format!(
        "{:<24} {ranks:>6} {tasks:>10} {:>10} {:>8} {:>7} {clock:>8.2} {all:>8.2} {engine:>8.2} {nanos:>8.0} {:>9.0}  {:016x}",
        case.name,
        outcome.timeline.len() as u64 + outcome.timeline.dropped,
        outcome.timeline.len(),
        1 + u32::from(beside),
        peak_mebibytes()?,
        digest(&outcome)
    ))
}

/// A number that differs where anything in `outcome` does: FNV-1a of all of it as text.
fn digest(outcome: &Outcome) -> u64 {
    struct Hash(u64);
    impl std::fmt::Write for Hash {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    write!(hash, "{outcome:?}").expect("a hash takes any text");
    hash.0
}

fn plan(case: &Case, changes: &[(String, String)]) -> Result<Plan, Fault> {
    let path = format!("{ROOT}{}.scenario.toml", case.scenario);
    let settings: Settings = ONE_STEP
        .iter()
        .chain(case.settings)
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .chain(changes.iter().cloned())
        .collect();
    Ok(load(&path, &read_scenario(&path)?, &settings).map_err(|faults| render(&faults))?)
}

fn simulate(driver: &mut dyn Driver, kinds: KindTable) -> Result<Outcome, Fault> {
    let every_rank = driver.resources().programs.ids().collect();
    let options = Options {
        lookahead: LOOKAHEAD,
        record: RecordPolicy::of(every_rank, kinds, SPAN_BUDGET),
        ..Options::default()
    };
    Ok(run(driver, &options, &RunControl::default())?)
}

/// Time that the first thread of this process has had on the processor.
fn engine_seconds() -> Result<f64, Fault> {
    let times = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = times
        .split_whitespace()
        .next()
        .ok_or("no time in /proc/self/schedstat")?;
    Ok(nanos.parse::<f64>()? / 1e9)
}

/// Time that all threads of this process have had on the processor, those that have ended too, to a hundredth.
fn cpu_seconds() -> Result<f64, Fault> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // User and system time are the twelfth and thirteenth field after the name, which ends with the last bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// The most memory that this process has held at once.
fn peak_mebibytes() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.ok_or("no VmHWM in /proc/self/status")?.parse::<f64>()? / 1024.0)
}
