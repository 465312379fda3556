//! Measures how large a step the event simulation takes, and how fast: tasks, spans, CPU time, memory.
//!
//! Usage: `cargo run --release -p orrery --example scale [case]`, by default every case.
//!
//! A case is one step of a shipped scenario, with the spans of all its ranks offered to the recorder, which keeps as
//! many as a run of `orrery` does and counts the rest. It runs in a process of its own, so that its peak of memory is
//! its own, on one thread; time is that thread's time on the processor, from the text of the scenario to totals and
//! timeline, so that other work on the machine counts as little as can be.
#![expect(
    clippy::print_stdout,
    reason = "a measuring program prints; the engine does not"
)]

use std::process::Command;

use orrery::files::read_scenario;
use orrery::pipeline::{LOOKAHEAD, SPAN_BUDGET, load};
use orrery::scenario::{Plan, render};
use orrery_engine::{Options, Outcome, RecordPolicy, RunControl, run};
use orrery_taskgraph::Driver as _;
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
        println!("{}", measure(case)?);
        return Ok(());
    }
    println!(
        "{:<24} {:>6} {:>10} {:>10} {:>8} {:>8} {:>8} {:>9}",
        "case", "ranks", "tasks", "spans", "kept", "CPU s", "ns/task", "peak MiB"
    );
    for case in &CASES {
        let done = Command::new(std::env::current_exe()?).arg(case.name).output()?;
        print!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

/// One line on `case`.
fn measure(case: &Case) -> Result<String, Fault> {
    let plan = plan(case)?;
    let mut driver = TrainingDriver::new(&plan, plan.run.seed, case.folding);
    let ranks = driver.resources().programs.len();
    let outcome = simulate(&mut driver)?;
    let seconds = cpu_seconds()?;
    let tasks = outcome.totals.tasks;
    #[expect(clippy::cast_precision_loss, reason = "a step has far fewer than 2^53 tasks")]
    let nanos = seconds * 1e9 / tasks as f64;
    Ok(format!(
        "{:<24} {ranks:>6} {tasks:>10} {:>10} {:>8} {seconds:>8.2} {nanos:>8.0} {:>9.0}",
        case.name,
        outcome.timeline.len() as u64 + outcome.timeline.dropped,
        outcome.timeline.len(),
        peak_mebibytes()?
    ))
}

fn plan(case: &Case) -> Result<Plan, Fault> {
    let path = format!("{ROOT}{}.scenario.toml", case.scenario);
    let settings: Vec<(String, String)> = ONE_STEP
        .iter()
        .chain(case.settings)
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Ok(load(&path, &read_scenario(&path)?, &settings).map_err(|faults| render(&faults))?)
}

fn simulate(driver: &mut TrainingDriver<'_>) -> Result<Outcome, Fault> {
    let every_rank = driver.resources().programs.ids().collect();
    let options = Options {
        lookahead: LOOKAHEAD,
        record: RecordPolicy::of(every_rank, driver.kinds().table.clone(), SPAN_BUDGET),
        ..Options::default()
    };
    Ok(run(driver, &options, &RunControl::default())?)
}

/// Time that this process, which has one thread, has had on the processor.
fn cpu_seconds() -> Result<f64, Fault> {
    let times = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = times
        .split_whitespace()
        .next()
        .ok_or("no time in /proc/self/schedstat")?;
    Ok(nanos.parse::<f64>()? / 1e9)
}

/// The most memory that this process has held at once.
fn peak_mebibytes() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.ok_or("no VmHWM in /proc/self/status")?.parse::<f64>()? / 1024.0)
}
