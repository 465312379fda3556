//! Long work on threads of its own; it reports by events and never sees a widget.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;
use std::{panic, thread};

use orrery::baseline::Baseline;
use orrery::pipeline::{self, Simulation, Watch};
use orrery::{checks, files};
use orrery_report::render::{self, headlines};
use orrery_scenario::{Diagnostic, Plan, Severity};

use super::disk::Disk;
use super::opening::News as OpeningNews;
use super::{Document, Finished, Wake, arranged};
use crate::LinksModel;

/// What a thread has to say.
#[derive(Debug)]
pub(crate) enum Event {
    /// A text was checked.
    Checked(Text, Result<Arc<Plan>, Vec<Diagnostic>>),
    /// The tasks of the run with this number were counted.
    Expected(u64, u64),
    /// The run with this number ended.
    Ended(u64, Result<Arc<Finished>, String>),
    /// Something about files.
    Disk(Disk),
    /// Something about what is opened.
    Opening(OpeningNews),
}

/// Which text: that of the scenario which came to the front as the `opened`-th, in its `revision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) opened: u64,
    pub(crate) revision: u64,
}

/// Where events go.
pub(crate) type Out = Sender<Event>;

/// Sends an event and wakes the window; when the window is gone nobody minds.
pub(super) fn send(out: &Out, wake: &Wake, event: Event) {
    drop(out.send(event));
    wake();
}

/// Checks the text of `document` on a thread of its own.
pub(crate) fn check(document: &Document, out: Out, wake: Wake) {
    let (file, text) = (document.file.clone(), Arc::clone(&document.text));
    let which = Text {
        opened: document.opened,
        revision: document.revision,
    };
    thread::spawn(move || {
        let plan = guarded(|| pipeline::load(&file, &text, &[]).map(Arc::new));
        let plan = plan.unwrap_or_else(|words| Err(vec![bug(file, words)]));
        send(&out, &wake, Event::Checked(which, plan));
    });
}

/// What `work` gives, or what to say when it panicked: a window must not wait for ever.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let words = "a bug in Orrery; standard error says where".to_owned();
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_reported| words)
}

/// A bug that a text brought up, as a fault of its first line.
fn bug(file: String, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "bug",
        file,
        line: 1,
        column: 1,
        span: 0..0,
        message,
        label: String::new(),
        notes: Vec::new(),
        help: None,
        snippet: String::new(),
    }
}

/// Simulates `plan` on a thread of its own, as run `number`; another thread counts its tasks meanwhile.
pub(crate) fn run(plan: Arc<Plan>, revision: u64, number: u64, out: Out, wake: Wake) -> Watch {
    let watch = Watch::new(plan.run.replications);
    let (counted, count_out, count_wake) = (Arc::clone(&plan), out.clone(), Arc::clone(&wake));
    let (ended, control) = (Arc::new(AtomicBool::new(false)), watch.clone());
    let run_ended = Arc::clone(&ended);
    thread::spawn(move || {
        // A run that is stopped, or over before its tasks are counted, wants no count.
        let wanted = || !control.is_cancelled() && !run_ended.load(Ordering::Relaxed);
        if let Some(tasks) = pipeline::expected_tasks_while(&counted, wanted) {
            send(&count_out, &count_wake, Event::Expected(number, tasks));
        }
    });
    let control = watch.clone();
    thread::spawn(move || {
        let began = Instant::now();
        let outcome = guarded(|| {
            let simulation = pipeline::simulate(&plan, &control).map_err(|fault| fault.to_string())?;
            Ok(Arc::new(finished(&plan, simulation, revision, began)))
        });
        let outcome = outcome.unwrap_or_else(Err);
        ended.store(true, Ordering::Relaxed);
        send(&out, &wake, Event::Ended(number, outcome));
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
        result: Arc::new(render::json(&report)),
        name: plan.identity.name.clone(),
        revision,
        headlines: headlines(&report),
        failed: report.failed(),
        // Counts are exact in the metrics up to 2^53.
        tasks: tasks as u64,
        wall: began.elapsed(),
        timeline: arranged(simulation.timeline),
        links: report
            .facts
            .networks
            .into_iter()
            .next()
            .map(LinksModel::new)
            .map(Arc::new),
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
