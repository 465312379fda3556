//! `run` of a balancing scenario: policies compared, files, and an exit code out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::balancing::{self, Balanced};
use crate::exit::Exit;
use crate::{checks, files};
use orrery_report::{BalancingReport, render};
use orrery_scenario::BalancingPlan;
use serde_json::json;

use super::progress::Signals;
use super::{Console, Failure, Look, RunArgs};

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a plan and writes its folder; the report, what was written, and the exit code.
pub(super) fn run(
    plan: &BalancingPlan,
    args: &RunArgs,
    scenarios: usize,
    signals: &Signals,
    console: &mut Console<'_>,
) -> anyhow::Result<(BalancingReport, Vec<PathBuf>, Exit)> {
    let began = Instant::now();
    let Balanced { report, placements } = watched(plan, signals);
    let report = if report.partial.is_some() {
        // Figures of a part of the run prove nothing, either way.
        report
    } else {
        let checks = checks::evaluate_all(&plan.expectations, None, &report.metrics, None);
        report.with_checks(checks)
    };
    let folder = folder(args, plan, scenarios);
    let mut written = Vec::new();
    let mut put = |name: &str, text: &str| {
        let path = folder.join(name);
        files::write(&path, text.as_bytes()).map_err(Failure::missing)?;
        written.push(path);
        anyhow::Ok(())
    };
    put("run.json", &format!("{:#}\n", render::balancing_json(&report)))?;
    for (id, tables) in &placements {
        let placement = json!({
            "physical_to_logical_map": tables.phy2log,
            "logical_to_physical_map": tables.log2phy,
            "logical_replica_count": tables.logcnt,
        });
        put(&format!("placement-{id}.json"), &format!("{placement}\n"))?;
    }
    for look in &args.write {
        match look {
            Look::Html => put("report.html", &render::balancing_html(&report))?,
            Look::Csv => put("metrics.csv", &csv(&report))?,
            // There are no spans and no links; run.json is always written, and checks stand in it.
            Look::Json | Look::Trace | Look::Perfetto | Look::Network | Look::Junit => {}
        }
    }
    let layer_steps = plan.group.as_ref().map_or(0, |group| {
        group.load.steps * u64::from(group.experts.layers) * group.contenders.len() as u64
    }) * u64::from(plan.run.replications);
    writeln!(
        console.err,
        "{}: {layer_steps} layer-steps in {:.2} s of wall time",
        plan.identity.name,
        began.elapsed().as_secs_f64()
    )?;
    let exit = if report.partial.is_some() {
        signals.received().unwrap_or(Exit::Interrupted)
    } else if report.failed() && !args.no_fail {
        Exit::ExpectationFailed
    } else {
        Exit::Success
    };
    Ok((report, written, exit))
}

/// Runs the plan on another thread and stops it when a signal comes.
fn watched(plan: &BalancingPlan, signals: &Signals) -> Balanced {
    let cancelled = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let worker = scope.spawn(|| balancing::run(plan, &cancelled));
        while !worker.is_finished() {
            if signals.received().is_some() {
                cancelled.store(true, Ordering::Relaxed);
            }
            thread::park_timeout(LOOK);
        }
        worker.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn folder(args: &RunArgs, plan: &BalancingPlan, scenarios: usize) -> PathBuf {
    let own = format!("{}-{}", plan.identity.name, plan.run.seed.get());
    match &args.out {
        Some(folder) if scenarios == 1 => folder.clone(),
        Some(folder) => folder.join(own),
        None => Path::new("orrery-runs").join(own),
    }
}

/// One line per metric.
pub(super) fn csv(report: &BalancingReport) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fail = "writing to memory cannot fail";
    let who = &report.identity;
    writer
        .write_record(["scenario", "seed", "metric", "value", "low", "high"])
        .expect(fail);
    for (key, value) in report.metrics.values() {
        let (low, high) = report.metrics.interval(key).map_or_else(
            || (String::new(), String::new()),
            |(low, high)| (low.to_string(), high.to_string()),
        );
        let record = [
            who.scenario.clone(),
            who.seed.to_string(),
            key.clone(),
            value.to_string(),
            low,
            high,
        ];
        writer.write_record(record).expect(fail);
    }
    String::from_utf8(writer.into_inner().expect(fail)).expect("the fields are text")
}
