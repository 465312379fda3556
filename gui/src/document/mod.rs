//! What the window shows: scenarios, their faults, their runs, and the fleet. No widget is known here.

mod feed;
mod fleet;
mod job;

use std::sync::Arc;
use std::time::Duration;

use orrery_report::Check;
use orrery_report::render::Headline;
use orrery_scenario::{Diagnostic, Plan};
use orrery_timeline::Timeline;

pub(crate) use feed::Feed;
pub use feed::{FleetEvent, News, collector_url};
pub use fleet::{Apart, Collector, Device, Fleet, FleetMetric, History, KEPT, Link, Node, Standing};
pub(crate) use job::{Event, Text, check, run};

/// Called from other threads when there is something new to draw.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A scenario that is open and not the one in front.
#[derive(Clone, Debug, Default)]
pub struct Shelved {
    /// Its file, as given.
    pub file: String,
    /// Its text, as edited.
    pub text: Arc<str>,
    /// The revision of the text.
    pub revision: u64,
    /// Its last run that ended with results.
    pub finished: Option<Arc<Finished>>,
    /// Why its last run ended without results.
    pub fault: Option<String>,
}

/// A snapshot of everything that panels read.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Every open scenario; the entry of the one in front is only as new as when it came there.
    pub shelf: Vec<Shelved>,
    /// The place on the shelf of the scenario in front.
    pub front: usize,
    /// The scenario's file, as given; what it refers to is found relative to it.
    pub file: String,
    /// The scenario's text, as edited.
    pub text: Arc<str>,
    /// The revision of the text; no two texts of a window have the same.
    pub revision: u64,
    /// Counts the texts that came from elsewhere than the editor.
    pub opened: u64,
    /// The faults of the text of [`checked`](Self::checked).
    pub diagnostics: Arc<Vec<Diagnostic>>,
    /// The revision that was last checked, if any was.
    pub checked: Option<u64>,
    /// The plan of the text, if it was checked and has no fault.
    pub plan: Option<Arc<Plan>>,
    /// The run under way.
    pub running: Option<Running>,
    /// The last run that ended with results.
    pub finished: Option<Arc<Finished>>,
    /// Why the last run ended without results.
    pub fault: Option<String>,
    /// The fleet.
    pub fleet: Fleet,
}

/// A run under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// The place of the scenario on the shelf.
    pub place: usize,
    /// The scenario's name.
    pub name: String,
    /// How long it runs.
    pub elapsed: Duration,
    /// Tasks completed.
    pub tasks_done: u64,
    /// Tasks of the whole run, once they are counted.
    pub tasks_expected: Option<u64>,
    /// Whether it was asked to stop.
    pub stopping: bool,
}

impl Running {
    /// The share of tasks that are done, once the tasks are counted.
    #[must_use]
    pub fn share(&self) -> Option<f32> {
        let expected = self.tasks_expected.filter(|&expected| expected > 0)?;
        Some((self.tasks_done as f32 / expected as f32).min(1.0))
    }

    /// Tasks a second since the start, once there are some.
    #[must_use]
    pub fn pace(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (self.tasks_done > 0 && seconds > 0.0).then(|| self.tasks_done as f64 / seconds)
    }

    /// What is left at that pace, in seconds, once the tasks are counted.
    #[must_use]
    pub fn remaining(&self) -> Option<f64> {
        let left = self.tasks_expected?.saturating_sub(self.tasks_done);
        Some(left as f64 / self.pace()?)
    }
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The scenario's name.
    pub name: String,
    /// The revision of the text that was run.
    pub revision: u64,
    /// The figures people look for first.
    pub headlines: Vec<Headline>,
    /// One sentence on what limits the run.
    pub verdict: String,
    /// The scenario's expectations, evaluated; empty when the run is partial.
    pub checks: Vec<Check>,
    /// Whether an expectation fails the run.
    pub failed: bool,
    /// Why the results are partial, if they are.
    pub partial: Option<String>,
    /// Tasks simulated.
    pub tasks: u64,
    /// Wall time of the simulation.
    pub wall: Duration,
    /// Spans for eyes, arranged by lane; none if the run kept none.
    pub timeline: Option<Arc<crate::TimelineModel>>,
}

impl Document {
    /// A document on `scenarios`, each a file and its text, with the first in front.
    #[must_use]
    pub fn open(scenarios: Vec<(String, String)>) -> Self {
        let shelved = |((file, text), revision): ((String, String), u64)| Shelved {
            file,
            text: text.into(),
            revision,
            ..Shelved::default()
        };
        let mut document = Self {
            shelf: scenarios.into_iter().zip(0..).map(shelved).collect(),
            ..Self::default()
        };
        document.take_from_shelf(0);
        document
    }

    /// Puts the scenario in front back, and the one at `place` in front.
    pub(crate) fn bring_to_front(&mut self, place: usize) {
        if place == self.front || place >= self.shelf.len() {
            return;
        }
        self.shelf[self.front] = Shelved {
            file: std::mem::take(&mut self.file),
            text: Arc::clone(&self.text),
            revision: self.revision,
            finished: self.finished.take(),
            fault: self.fault.take(),
        };
        self.take_from_shelf(place);
    }

    fn take_from_shelf(&mut self, place: usize) {
        let Some(shelved) = self.shelf.get(place).cloned() else {
            return;
        };
        self.front = place;
        self.file = shelved.file;
        self.text = shelved.text;
        self.revision = shelved.revision;
        self.finished = shelved.finished;
        self.fault = shelved.fault;
        self.opened += 1;
        self.checked = None;
        self.plan = None;
        self.diagnostics = Arc::default();
    }

    /// The text in front is now `text`.
    pub(crate) fn edit(&mut self, text: Arc<str>) {
        let revisions = self.shelf.iter().map(|shelved| shelved.revision);
        self.revision = revisions.max().unwrap_or_default().max(self.revision) + 1;
        self.text = text;
        // So that a revision is never given twice, whichever scenario comes to the front.
        if let Some(shelved) = self.shelf.get_mut(self.front) {
            shelved.revision = self.revision;
        }
    }

    /// The run of the scenario at `place` ended with `outcome`.
    pub(crate) fn end_run(&mut self, place: usize, outcome: Result<Arc<Finished>, String>) {
        let (finished, fault) = if place == self.front {
            (&mut self.finished, &mut self.fault)
        } else {
            let shelved = &mut self.shelf[place];
            (&mut shelved.finished, &mut shelved.fault)
        };
        *fault = outcome.as_ref().err().cloned();
        if let Ok(outcome) = outcome {
            *finished = Some(outcome);
        }
        self.running = None;
    }

    /// Why the scenario cannot be run now, if it cannot.
    #[must_use]
    pub fn run_refusal(&self) -> Option<&'static str> {
        if self.running.is_some() {
            return Some("a run is under way");
        }
        if self.checked != Some(self.revision) {
            return Some("the scenario is being checked");
        }
        self.plan.is_none().then_some("the scenario has errors")
    }
}

/// The timeline of a run arranged for the panel; `None` when nothing was recorded.
fn arranged(timeline: Option<Timeline>) -> Option<Arc<crate::TimelineModel>> {
    timeline.map(|timeline| Arc::new(crate::TimelineModel::new(timeline)))
}
