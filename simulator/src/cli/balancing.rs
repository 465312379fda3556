//! `run` of a balancing scenario: policies compared, files, and an exit code out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::balancing::{self, Balanced, Watch};
use crate::exit::Exit;
use crate::{checks, files};
use orrery_report::{BalancingReport, render};
use orrery_scenario::BalancingPlan;

use super::progress::{Job, Signals, Watched, watched};
use super::run::{folder, load_baseline, meta, say_missing_baseline};
use super::{Console, Failure, Look, RunArgs};

impl Watched for Watch {
    fn cancel(&self) {
        Self::cancel(self);
    }

    fn done(&self) -> u64 {
        self.progress().0
    }

    fn told(&self) -> String {
        let (done, all) = self.progress();
        format!("{done} of {all} steps of all replications")
    }
}

/// Runs a plan and writes its folder; the report, what was written, and the exit code.
pub(super) fn run(
    plan: &BalancingPlan,
    args: &RunArgs,
    scenarios: usize,
    signals: &Signals,
    console: &mut Console<'_>,
) -> anyhow::Result<(BalancingReport, Vec<PathBuf>, Exit)> {
    let baseline = load_baseline(&plan.identity, args)?;
    say_what_there_is_not(plan, args, console)?;
    let began = Instant::now();
    let watch = Watch::new(plan);
    let job = Job {
        name: &plan.identity.name,
        expected_tasks: console.terminal.then(|| watch.progress().1),
    };
    let Balanced { report, placements } =
        watched(job, &watch, signals, console, || balancing::run(plan, &watch));
    let wall = began.elapsed();
    let report = if report.partial.is_some() {
        // Figures of a part of the run prove nothing, either way.
        report
    } else {
        let checks = checks::evaluate_all(&plan.expectations, None, &report.metrics, baseline.as_ref());
        report.with_checks(checks)
    };
    let mut written = Vec::new();
    let folder = folder(args, (&plan.identity, plan.run.seed), scenarios);
    for (name, text) in looks(&report, &placements, args, (layer_steps(plan), wall)) {
        let path = folder.join(name);
        files::write(&path, text.as_bytes()).map_err(Failure::missing)?;
        written.push(path);
    }
    writeln!(
        console.err,
        "{}: {} layer-steps in {:.2} s of wall time",
        plan.identity.name,
        layer_steps(plan),
        wall.as_secs_f64()
    )?;
    let mut exit = if report.partial.is_some() {
        signals.received().unwrap_or(Exit::Interrupted)
    } else if report.failed() && !args.no_fail {
        Exit::ExpectationFailed
    } else {
        Exit::Success
    };
    let missing = baseline.is_none() && checks::names_a_baseline(&plan.expectations);
    if missing && report.partial.is_none() {
        exit = exit.and(Exit::DataMissing);
        say_missing_baseline(&plan.identity, args, console)?;
    }
    Ok((report, written, exit))
}

/// Says which looks that were asked for a balancing run has not.
fn say_what_there_is_not(
    plan: &BalancingPlan,
    args: &RunArgs,
    console: &mut Console<'_>,
) -> std::io::Result<()> {
    let name = &plan.identity.name;
    for (look, lacking) in [
        (Look::Trace, "no spans to write: its layers are a closed form"),
        (Look::Perfetto, "no spans to write: its layers are a closed form"),
        (Look::Network, "no links to write: its exchanges are ports"),
    ] {
        if args.write.contains(&look) {
            writeln!(console.err, "orrery: {name} compares policies and has {lacking}")?;
        }
    }
    Ok(())
}

/// The files of a run: names and texts.
fn looks(
    report: &BalancingReport,
    placements: &[(String, orrery_balance::placement::Tables)],
    args: &RunArgs,
    (layer_steps, wall): (u64, Duration),
) -> Vec<(String, String)> {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
    let count = layer_steps as f64;
    let mut files = vec![
        (
            "run.json".to_owned(),
            format!("{:#}\n", render::balancing_json(report)),
        ),
        (
            "meta.json".to_owned(),
            meta(("layer_steps", "layer_step"), count, wall),
        ),
    ];
    for (id, tables) in placements {
        let placement = balancing::placement_json(tables);
        files.push((format!("placement-{id}.json"), format!("{placement}\n")));
    }
    for look in &args.write {
        let (name, text) = match look {
            Look::Html => ("report.html", render::balancing_html(report)),
            Look::Csv => ("metrics.csv", render::csv([report])),
            Look::Junit => ("junit.xml", render::junit([report])),
            // The first is always written; of the others there is nothing.
            Look::Json | Look::Trace | Look::Perfetto | Look::Network => continue,
        };
        files.push((name.to_owned(), text));
    }
    files
}

/// Layers of all steps, policies, replications and points of sweeps.
fn layer_steps(plan: &BalancingPlan) -> u64 {
    let points = plan.sweeps.iter().flat_map(|sweep| &sweep.points);
    let groups = plan.group.iter().chain(points.map(|point| &point.group));
    let of_group = |group: &orrery_scenario::plan::ExpertGroup| {
        group.load.steps * u64::from(group.experts.layers) * group.contenders.len() as u64
    };
    groups.map(of_group).sum::<u64>() * u64::from(plan.run.replications)
}
