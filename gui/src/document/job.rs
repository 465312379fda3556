//! Long work on threads of its own; it reports by events and never sees a widget.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use orrery::baseline::Baseline;
use orrery::pipeline::{self, Simulation, Watch};
use orrery::{checks, files};
use orrery_report::render::headlines;
use orrery_scenario::{Diagnostic, Plan};

use super::{Finished, Wake, arranged};

/// What a thread has to say.
#[derive(Debug)]
pub(crate) enum Event {
    /// A revision of the text was checked.
    Checked(u64, Result<Arc<Plan>, Vec<Diagnostic>>),
    /// The tasks of the run with this number were counted.
    Expected(u64, u64),
    /// The run with this number ended.
    Ended(u64, Result<Arc<Finished>, String>),
}

/// Where events go.
pub(crate) type Out = Sender<Event>;

/// Sends an event and wakes the window; when the window is gone nobody minds.
fn send(out: &Out, wake: &Wake, event: Event) {
    drop(out.send(event));
    wake();
}

/// Checks `text` on a thread of its own.
pub(crate) fn check(file: String, text: Arc<str>, revision: u64, out: Out, wake: Wake) {
    thread::spawn(move || {
        let plan = pipeline::load(&file, &text, &[]).map(Arc::new);
        send(&out, &wake, Event::Checked(revision, plan));
    });
}

/// Simulates `plan` on a thread of its own, as run `number`; another thread counts its tasks meanwhile.
pub(crate) fn run(plan: Arc<Plan>, revision: u64, number: u64, out: Out, wake: Wake) -> Watch {
    let watch = Watch::new(plan.run.replications);
    let (counted, count_out, count_wake) = (Arc::clone(&plan), out.clone(), Arc::clone(&wake));
    thread::spawn(move || {
        let tasks = pipeline::expected_tasks(&counted);
        send(&count_out, &count_wake, Event::Expected(number, tasks));
    });
    let control = watch.clone();
    thread::spawn(move || {
        let began = Instant::now();
        let ended = pipeline::simulate(&plan, &control)
            .map_err(|fault| fault.to_string())
            .map(|simulation| Arc::new(finished(&plan, simulation, revision, began)));
        send(&out, &wake, Event::Ended(number, ended));
    });
    watch
}

fn finished(plan: &Plan, simulation: Simulation, revision: u64, began: Instant) -> Finished {
    let report = match simulation.stopped {
        // Figures of a part of the run prove nothing, either way.
        Some(_) => simulation.report,
        None => {
            let checks = checks::evaluate(plan, &simulation.report.metrics, baseline(plan).as_ref());
            simulation.report.with_checks(checks)
        }
    };
    let tasks = report.metrics.get("sim.tasks.sum").unwrap_or(0.0);
    Finished {
        name: plan.identity.name.clone(),
        revision,
        headlines: headlines(&report),
        failed: report.failed(),
        // Counts are exact in the metrics up to 2^53.
        tasks: tasks as u64,
        wall: began.elapsed(),
        timeline: arranged(simulation.timeline),
        verdict: report.verdict,
        checks: report.checks,
        partial: report.partial,
    }
}

/// The stored baseline of `plan`, if there is a readable one; a check that wants it says when there is none.
fn baseline(plan: &Plan) -> Option<Baseline> {
    let path = files::baseline_path(&plan.identity.file, &plan.identity.name);
    let text = files::read(&path).ok()?;
    Baseline::from_json(&text).ok()
}
