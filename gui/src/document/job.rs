//! Long work on threads of its own; it reports by events and never sees a widget.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;
use std::{panic, thread};

use orrery::balancing::{self, Balanced, Tables};
use orrery::baseline::Baseline;
use orrery::outline::Outline;
use orrery::pipeline::{self, Simulation, Watch};
use orrery::{checks, files};
use orrery_report::BalancingReport;
use orrery_report::render::{self, headlines};
use orrery_scenario::plan::Identity;
use orrery_scenario::{BalancingPlan, Diagnostic, Loaded, Plan, Severity};

use super::calibrate::Judged;
use super::disk::Disk;
use super::explore::News as ExploreNews;
use super::measuring::News as MeasureNews;
use super::opening::News as OpeningNews;
use super::past::Told;
use super::sheets::News as SheetNews;
use super::{Document, Finished, Remedies, Wake, arranged};
use crate::words::grouped;
use crate::{ExpertsModel, LinksModel};

/// What a thread has to say.
#[derive(Debug)]
pub(crate) enum Event {
    /// A text was checked.
    Checked(Text, Result<Arc<Loaded>, Vec<Diagnostic>>),
    /// What can be done about the faults of a text.
    Remedied(Text, Arc<Remedies>),
    /// What is known of a text's plan before it is run.
    Outlined(Text, Arc<Outline>),
    /// The tasks of the run with this number were counted.
    Expected(u64, u64),
    /// The run with this number ended.
    Ended(u64, Result<Arc<Finished>, String>),
    /// Something about files.
    Disk(Disk),
    /// Something about what is opened.
    Opening(OpeningNews),
    /// Something about a search.
    Explored(ExploreNews),
    /// Something about a decision sheet.
    Sheet(SheetNews),
    /// A table of measurements was compared.
    Judged(Judged),
    /// Something about a calibration of this machine.
    Measuring(MeasureNews),
    /// A collector said how a metric went.
    Past(Told),
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
        let plan = guarded(|| pipeline::load_any(&file, &text, &[]).map(Arc::new));
        let plan = plan.unwrap_or_else(|words| Err(vec![bug(file.clone(), words)]));
        let checked = plan.as_ref().map(Arc::clone).map_err(Clone::clone);
        send(&out, &wake, Event::Checked(which, plan));
        match checked.as_deref() {
            Ok(Loaded::Training(plan)) => {
                if let Ok(outline) = guarded(|| Outline::of(plan)) {
                    send(&out, &wake, Event::Outlined(which, Arc::new(outline)));
                }
            }
            Ok(Loaded::Balancing(_)) => {}
            Err(faults) => {
                if let Ok(remedies) = guarded(|| Remedies::of(&file, &text, faults)) {
                    send(&out, &wake, Event::Remedied(which, Arc::new(remedies)));
                }
            }
        }
    });
}

impl Remedies {
    /// What can be done about `faults` of `text`, the text of `file`.
    fn of(file: &str, text: &str, faults: &[Diagnostic]) -> Self {
        let own = |fault: &Diagnostic| match fault.file == file {
            true => pipeline::fixes(text, fault),
            false => Vec::new(),
        };
        let job = pipeline::load_searchable(file, text, &[]);
        Self {
            job: job.map(Arc::new).map_err(|faults| {
                let first = faults.first().map_or("", |fault| &fault.message);
                format!("the scenario has an error that no layout mends: {first}")
            }),
            fixes: faults.iter().map(own).collect(),
        }
    }
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

/// How far a run is, and the way to stop it.
#[derive(Clone, Debug)]
pub(crate) enum RunWatch {
    Training(Watch),
    Balancing(Arc<balancing::Watch>),
}

impl RunWatch {
    /// Asks the run to stop soon.
    pub(crate) fn cancel(&self) {
        match self {
            Self::Training(watch) => watch.cancel(),
            Self::Balancing(watch) => watch.cancel(),
        }
    }

    /// Whether it goes on no more, whatever is still made of what it gave.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Training(watch) => watch.is_over(),
            Self::Balancing(_) => false,
        }
    }

    /// How much is done.
    pub(crate) fn done(&self) -> u64 {
        match self {
            Self::Training(watch) => watch.progress().iter().map(|progress| progress.tasks_done).sum(),
            Self::Balancing(watch) => watch.progress().0,
        }
    }

    /// What is counted.
    pub(crate) const fn unit(&self) -> &'static str {
        match self {
            Self::Training(_) => "tasks",
            Self::Balancing(_) => "steps",
        }
    }
}

/// Simulates `loaded` on a thread of its own, as run `number`.
pub(crate) fn run(loaded: Arc<Loaded>, revision: u64, number: u64, out: Out, wake: Wake) -> RunWatch {
    match &*loaded {
        Loaded::Training(plan) => RunWatch::Training(train(plan.clone(), revision, number, out, wake)),
        Loaded::Balancing(plan) => RunWatch::Balancing(balance(plan.clone(), revision, number, out, wake)),
    }
}

/// Compares the policies of `plan`.
fn balance(
    plan: Box<BalancingPlan>,
    revision: u64,
    number: u64,
    out: Out,
    wake: Wake,
) -> Arc<balancing::Watch> {
    let watch = Arc::new(balancing::Watch::new(&plan));
    send(&out, &wake, Event::Expected(number, watch.progress().1));
    let control = Arc::clone(&watch);
    thread::spawn(move || {
        let began = Instant::now();
        let outcome = guarded(|| {
            let Balanced { report, placements } = balancing::run(&plan, &control);
            let report = match report.partial {
                Some(_) => report,
                None => {
                    let baseline = baseline(&plan.identity);
                    let checks =
                        checks::evaluate_all(&plan.expectations, None, &report.metrics, baseline.as_ref());
                    report.with_checks(checks)
                }
            };
            let steps = control.progress().0;
            Arc::new(balanced(report, placements, revision, (steps, began)))
        });
        send(&out, &wake, Event::Ended(number, outcome));
    });
    watch
}

fn balanced(
    report: BalancingReport,
    placements: Vec<(String, Tables)>,
    revision: u64,
    (steps, began): (u64, Instant),
) -> Finished {
    Finished {
        result: Arc::default(),
        name: report.identity.scenario.clone(),
        revision,
        headlines: Vec::new(),
        waited_for: None,
        failed: report.failed(),
        extent: format!("{} steps of all replications", grouped(steps)),
        wall: began.elapsed(),
        timeline: None,
        links: None,
        verdict: render::balancing_verdict(&report),
        checks: report.checks.clone(),
        partial: report.partial.clone(),
        experts: Some(Arc::new(ExpertsModel::new(report, placements))),
    }
}

/// Simulates `plan`; another thread counts its tasks meanwhile.
fn train(plan: Box<Plan>, revision: u64, number: u64, out: Out, wake: Wake) -> Watch {
    let watch = Watch::new(plan.run.replications);
    let (counted, count_out, count_wake) = (plan.clone(), out.clone(), Arc::clone(&wake));
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
            let checks = checks::evaluate(
                plan,
                &simulation.report.metrics,
                baseline(&plan.identity).as_ref(),
            );
            simulation.report.with_checks(checks)
        }
    };
    // Counts are exact in the metrics up to 2^53.
    let tasks = report.metrics.get("sim.tasks.sum").unwrap_or(0.0) as u64;
    Finished {
        result: Arc::new(render::json(&report)),
        name: plan.identity.name.clone(),
        revision,
        headlines: headlines(&report),
        waited_for: report.ranks.waited_for(),
        failed: report.failed(),
        extent: format!("{} tasks", grouped(tasks)),
        experts: None,
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

/// The stored baseline of a scenario, if there is a readable one; a check that wants it says when there is none.
fn baseline(who: &Identity) -> Option<Baseline> {
    let path = files::baseline_path(&who.file, &who.name);
    let text = files::read(&path).ok()?;
    Baseline::from_json(&text).ok()
}
