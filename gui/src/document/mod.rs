//! What the window shows: a scenario, its faults, its run, and the fleet. No widget is known here.

mod fleet;
mod job;

use std::sync::Arc;
use std::time::Duration;

use orrery_report::Check;
use orrery_report::render::Headline;
use orrery_scenario::{Diagnostic, Plan};
use orrery_timeline::Timeline;

pub(crate) use fleet::demo_feed;
pub use fleet::{Device, Fleet, FleetEvent, FleetMetric, FleetSnapshot, Node};
pub(crate) use job::{Event, check, run};

/// Called from other threads when there is something new to draw.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A snapshot of everything that panels read.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The scenario's file, as given; what it refers to is found relative to it.
    pub file: String,
    /// The scenario's text, as edited.
    pub text: Arc<str>,
    /// Counts the changes of the text.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The scenario's name.
    pub name: String,
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
