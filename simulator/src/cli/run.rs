//! `run`: scenarios in; reports, files and an exit code out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::baseline::Baseline;
use crate::exit::Exit;
use crate::pipeline::{self, Simulation, Stopped, Watch};
use crate::{checks, files};
use orrery_report::{BalancingReport, Report, render};
use orrery_scenario::plan::Identity;
use orrery_scenario::{Diagnostic, Loaded, Plan};
use orrery_units::{Bytes, Seed, with_si_prefix};
use serde_json::json;

use super::balancing;
use super::output::{Ran, print};
use super::progress::{Job, Signals, watched};
use super::{Console, Failure, Format, FormatArg, Look, RunArgs, ScenarioArgs};

/// Runs the scenario that ships with the program, with every look that a person wants.
pub(crate) fn run_default(console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let args = RunArgs {
        scenario: ScenarioArgs {
            scenarios: vec![files::DEFAULT_SCENARIO.to_owned()],
            set: Vec::new(),
            power_limit: None,
            seed: None,
        },
        out: None,
        write: vec![Look::Html, Look::Json, Look::Trace],
        format: FormatArg {
            format: Format::Human,
        },
        why: true,
        baseline: None,
        no_fail: false,
    };
    run(&args, console)
}

/// What came of the scenarios so far.
#[derive(Default)]
struct Done {
    reports: Vec<AnyReport>,
    written: Vec<PathBuf>,
    exit: Exit,
}

/// A report of whatever kind, in the order of the command line.
enum AnyReport {
    Step(Box<Report>),
    Balancing(Box<BalancingReport>),
}

impl AnyReport {
    fn ran(&self) -> Ran<'_> {
        match self {
            Self::Step(report) => Ran::Step(report),
            Self::Balancing(report) => Ran::Balancing(report),
        }
    }
}

/// Runs every scenario; nothing is run unless all of them are valid.
pub(crate) fn run(args: &RunArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let plans = load_any(&args.scenario, console)?;
    let signals = Signals::listen()?;
    let mut done = Done::default();
    for plan in &plans {
        match plan {
            Loaded::Training(plan) => run_training(plan, (args, plans.len()), &signals, console, &mut done)?,
            Loaded::Balancing(plan) => {
                let (report, written, exit) = balancing::run(plan, args, plans.len(), &signals, console)?;
                done.reports.push(AnyReport::Balancing(Box::new(report)));
                done.written.extend(written);
                done.exit = done.exit.and(exit);
            }
        }
        if signals.received().is_some() {
            break;
        }
    }
    print_all(&done, args.format.format, console)?;
    Ok(done.exit)
}

/// Runs a training scenario.
fn run_training(
    plan: &Plan,
    (args, scenarios): (&RunArgs, usize),
    signals: &Signals,
    console: &mut Console<'_>,
    done: &mut Done,
) -> anyhow::Result<()> {
    if args.write.contains(&Look::Network) && plan.cluster.fabric.contention.is_none() {
        say_no_links(plan, console)?;
    }
    let began = Instant::now();
    let (simulation, baseline) = simulate(plan, args, signals, console)?;
    let wall = began.elapsed();
    let missing = baseline.is_none() && checks::needs_baseline(plan);
    let report = simulation.report;
    let report = match &simulation.stopped {
        // Figures of a part of the run prove nothing, either way.
        Some(_) => report,
        None => {
            let checks = checks::evaluate(plan, &report.metrics, baseline.as_ref());
            report.with_checks(checks)
        }
    };
    let folder = folder(args, (&plan.identity, plan.run.seed), scenarios);
    let timeline = simulation.timeline.as_ref();
    done.written
        .extend(write(&folder, &report, timeline, &args.write, wall)?);
    say_speed(&report, wall, console)?;
    done.exit = done
        .exit
        .and(ending(&report, simulation.stopped, signals, args.no_fail));
    if missing && simulation.stopped.is_none() {
        done.exit = done.exit.and(Exit::DataMissing);
        say_missing_baseline(&plan.identity, args, console)?;
    }
    done.reports.push(AnyReport::Step(Box::new(report)));
    Ok(())
}

/// Prints what came of all scenarios.
fn print_all(done: &Done, format: Format, console: &mut Console<'_>) -> anyhow::Result<()> {
    let reports: Vec<Ran<'_>> = done.reports.iter().map(AnyReport::ran).collect();
    write!(console.out, "{}", print(&reports, format))?;
    if format == Format::Human {
        close(&reports, &done.written, console)?;
    }
    Ok(())
}

/// Loads every scenario of whatever kind, or says every fault of all of them.
fn load_any(args: &ScenarioArgs, console: &mut Console<'_>) -> anyhow::Result<Vec<Loaded>> {
    loaded(args, console, pipeline::load_any)
}

/// Loads every training scenario, or says every fault of all of them.
pub(crate) fn load_all(args: &ScenarioArgs, console: &mut Console<'_>) -> anyhow::Result<Vec<Plan>> {
    loaded(args, console, pipeline::load)
}

fn loaded<T>(
    args: &ScenarioArgs,
    console: &mut Console<'_>,
    load: impl Fn(&str, &str, &[(String, String)]) -> Result<T, Vec<Diagnostic>>,
) -> anyhow::Result<Vec<T>> {
    let mut overrides = args.set.clone();
    if let Some(limit) = &args.power_limit {
        overrides.push(("cluster.node.power_limit".to_owned(), format!("\"{limit}\"")));
    }
    if let Some(seed) = args.seed {
        overrides.push(("run.seed".to_owned(), seed.to_string()));
    }
    let mut plans = Vec::new();
    let mut faults = Vec::new();
    for file in &args.scenarios {
        let text = files::read_scenario(file).map_err(Failure::invalid)?;
        match load(file, &text, &overrides) {
            Ok(plan) => plans.push(plan),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() {
        return Ok(plans);
    }
    writeln!(console.err, "{}", orrery_scenario::render(&faults).trim_end())?;
    Err(Failure::invalid(""))
}

fn simulate(
    plan: &Plan,
    args: &RunArgs,
    signals: &Signals,
    console: &mut Console<'_>,
) -> anyhow::Result<(Simulation, Option<Baseline>)> {
    let baseline = load_baseline(&plan.identity, args)?;
    let watch = Watch::new(plan.run.replications);
    let job = Job {
        name: &plan.identity.name,
        expected_tasks: console.terminal.then(|| pipeline::expected_tasks(plan)),
    };
    let simulation = watched(job, &watch, signals, console, || {
        if args.why {
            pipeline::simulate_explained(plan, &watch)
        } else {
            pipeline::simulate(plan, &watch)
        }
    })?;
    Ok((simulation, baseline))
}

fn baseline_file(who: &Identity, args: &RunArgs) -> PathBuf {
    args.baseline
        .clone()
        .unwrap_or_else(|| files::baseline_path(&who.file, &who.name))
}

/// The baseline, when there is one; one that was named must be there.
pub(super) fn load_baseline(who: &Identity, args: &RunArgs) -> anyhow::Result<Option<Baseline>> {
    let path = baseline_file(who, args);
    if args.baseline.is_none() && !path.exists() {
        return Ok(None);
    }
    let text = files::read(&path).map_err(Failure::missing)?;
    let baseline = Baseline::from_json(&text)
        .map_err(|fault| Failure::invalid(format!("not a baseline: {fault}: {}", path.display())))?;
    Ok(Some(baseline))
}

pub(super) fn say_missing_baseline(
    who: &Identity,
    args: &RunArgs,
    console: &mut Console<'_>,
) -> std::io::Result<()> {
    writeln!(
        console.err,
        "orrery: a check compares with a baseline and there is none: {}\n  = help: `orrery baseline save` \
         on the folder of a run stores one",
        baseline_file(who, args).display()
    )
}

fn say_no_links(plan: &Plan, console: &mut Console<'_>) -> std::io::Result<()> {
    writeln!(
        console.err,
        "orrery: {} has every transfer on a path of its own: there are no links to write\n  = help: \
         `--set cluster.fabric.contention=links` lets transfers share those of the cluster",
        plan.identity.name
    )
}

/// The folder of a run of `who`.
pub(super) fn folder(args: &RunArgs, (who, seed): (&Identity, Seed), scenarios: usize) -> PathBuf {
    let own = format!("{}-{}", who.name, seed.get());
    match &args.out {
        Some(folder) if scenarios == 1 => folder.clone(),
        Some(folder) => folder.join(own),
        None => Path::new("orrery-runs").join(own),
    }
}

/// Writes the folder of a run and returns what was written.
fn write(
    folder: &Path,
    report: &Report,
    timeline: Option<&orrery_timeline::Timeline>,
    looks: &[Look],
    wall: Duration,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        files::write(&path, bytes).map_err(Failure::missing)?;
        written.push(path);
        anyhow::Ok(())
    };
    put("run.json", render::json_text(report).as_bytes())?;
    let tasks = report.metrics.get("sim.tasks.sum").unwrap_or(0.0);
    put("meta.json", meta(("tasks", "task"), tasks, wall).as_bytes())?;
    for look in looks {
        match look {
            Look::Html => put("report.html", render::html(report).as_bytes())?,
            Look::Junit => put("junit.xml", render::junit([report]).as_bytes())?,
            Look::Csv => put("metrics.csv", render::csv([report]).as_bytes())?,
            Look::Trace => {
                let empty = orrery_timeline::Timeline::default();
                let mut bytes = Vec::new();
                orrery_timeline::write_chrome_trace(timeline.unwrap_or(&empty), &mut bytes)?;
                put("trace.json", &bytes)?;
            }
            Look::Perfetto => {
                let empty = orrery_timeline::Timeline::default();
                let mut bytes = Vec::new();
                orrery_trace::write_perfetto(timeline.unwrap_or(&empty), &mut bytes)?;
                put("trace.pftrace", &bytes)?;
            }
            Look::Network => {
                if let Some(network) = report.network() {
                    put("links.csv", render::links_csv(network).as_bytes())?;
                    put("traffic.csv", render::traffic_csv(network).as_bytes())?;
                }
            }
            // Always written, above.
            Look::Json => {}
        }
    }
    Ok(written)
}

/// What differs from run to run of the same scenario: the wall clock and the machine.
/// How many of what was simulated is said as `(many, one)`.
pub(super) fn meta((many, one): (&str, &str), count: f64, wall: Duration) -> String {
    let wall = wall.as_secs_f64();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let meta = json!({
        "schema": "meta/1",
        "finished_unix_s": now,
        "wall_s": wall,
        many: format!("{count}").parse::<u64>().unwrap_or_default(),
        (format!("wall_ns_per_{one}")): if count > 0.0 { wall / count * 1e9 } else { 0.0 },
        "peak_memory_bytes": peak_memory().map(Bytes::get),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    });
    format!("{meta:#}\n")
}

/// The most memory this process held, where the system tells.
fn peak_memory() -> Option<Bytes> {
    let status = files::read(Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes::new(kibibytes * 1024))
}

fn say_speed(report: &Report, wall: Duration, console: &mut Console<'_>) -> std::io::Result<()> {
    let tasks = report.metrics.get("sim.tasks.sum").unwrap_or(0.0);
    let wall = wall.as_secs_f64();
    let memory = peak_memory().map_or_else(String::new, |bytes| format!(", {bytes} at most"));
    writeln!(
        console.err,
        "{}: {tasks} tasks in {} of wall time, {} a task{memory}",
        report.facts.identity.scenario,
        with_si_prefix(wall, "s"),
        with_si_prefix(wall / tasks.max(1.0), "s")
    )
}

fn ending(report: &Report, stopped: Option<Stopped>, signals: &Signals, no_fail: bool) -> Exit {
    match stopped {
        Some(Stopped::Cancelled) => signals.received().unwrap_or(Exit::Interrupted),
        Some(Stopped::EventLimit) => Exit::LimitReached,
        None if report.failed() && !no_fail => Exit::ExpectationFailed,
        None => Exit::Success,
    }
}

fn close(reports: &[Ran<'_>], written: &[PathBuf], console: &mut Console<'_>) -> std::io::Result<()> {
    writeln!(console.out)?;
    for path in written {
        writeln!(console.out, "wrote {}", path.display())?;
    }
    let failed = reports.iter().filter(|report| report.failed()).count();
    let partial = reports.iter().filter(|report| report.is_partial()).count();
    let passed = reports.len() - failed - partial;
    let partial = if partial > 0 {
        format!(", {partial} ended early")
    } else {
        String::new()
    };
    writeln!(
        console.out,
        "scenarios: {passed} passed, {failed} failed{partial}"
    )
}
