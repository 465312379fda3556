//! What the window shows: scenarios, their faults, their runs, and the fleet. No widget is known here.

mod access;
mod calibrate;
mod disk;
mod explore;
mod facts;
mod feed;
mod fleet;
mod job;
mod keeping;
mod measuring;
mod opening;
mod past;
mod runs;
mod selection;
mod sheets;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use orrery::outline::Outline;
use orrery_report::render::Headline;
use orrery_report::{Check, RankPace, WaitedFor};
use orrery_scenario::{Diagnostic, Fix, Loaded, Searchable};
use orrery_timeline::{SpanId, Timeline};

pub use access::Access;
pub use calibrate::{Calibrate, Judging};
pub(crate) use calibrate::{JudgeWatch, Judged, judge};
pub(crate) use disk::{Disk, Entry, Expected, Refusal, Save, list, look, save};
pub use explore::{Explore, Job, Searching, Wanted, Weighed};
pub(crate) use explore::{News as ExploreNews, SearchWatch, search, weigh};
pub use facts::{Fact, Facts, Footing, Related};
pub(crate) use feed::Feed;
pub use feed::{FleetEvent, News, collector_url};
pub(crate) use fleet::readings;
pub use fleet::{Apart, Collector, Device, Fleet, FleetMetric, History, KEPT, Link, Node, Standing};
pub(crate) use job::{Event, RunWatch, Text, check, run};
pub(crate) use keeping::same;
pub use keeping::{Elsewhere, Home, Keeping, Scenario, short_name};
pub(crate) use measuring::{MeasureWatch, News as MeasureNews, calibrator, measure, plan as plan_measuring};
pub use measuring::{Measuring, UnderWay};
pub use opening::is_scenario;
pub(crate) use opening::{News as OpeningNews, arrange, open};
pub use past::{Asked, Course, CourseLine, Past, Reach};
pub(crate) use past::{Told, ask, in_words, shown};
pub use runs::{Opening, Run, Runs, SIDES, Side};
pub use selection::{DeviceId, Item, Load, Look, Of, Seen, Selection};
pub use sheets::{Export, Prepared, Sheets};
pub(crate) use sheets::{News as SheetNews, prepare, write};

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
    /// What is kept of it on disk; as new for the scenario in front as for the others.
    pub keeping: Keeping,
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
    /// The texts that were run, by their revisions.
    pub(crate) ran: Vec<(u64, Arc<str>)>,
    /// Counts the texts that came from elsewhere than the editor.
    pub opened: u64,
    /// The faults of the text of [`checked`](Self::checked).
    pub diagnostics: Arc<Vec<Diagnostic>>,
    /// What can be done about them, and the revision that it was found for.
    pub remedies: Option<(u64, Arc<Remedies>)>,
    /// The revision that was last checked, if any was.
    pub checked: Option<u64>,
    /// The plan of the text, if it was checked and has no fault.
    pub plan: Option<Arc<Loaded>>,
    /// What is known of a plan of this text before it is run, and the revision that it was found for.
    pub outline: Option<(u64, Arc<Outline>)>,
    /// The run under way.
    pub running: Option<Running>,
    /// The last run that ended with results.
    pub finished: Option<Arc<Finished>>,
    /// Why the last run ended without results.
    pub fault: Option<String>,
    /// The fleet.
    pub fleet: Fleet,
    /// Runs that can be compared.
    pub runs: Runs,
    /// Searches over layouts.
    pub explore: Explore,
    /// Decision sheets.
    pub sheets: Sheets,
    /// Predictions held against measurements.
    pub calibrate: Calibrate,
    /// Calibrations of this machine.
    pub measuring: Measuring,
    /// What is looked at.
    pub selection: Selection,
    /// The history of a device, if one was asked for.
    pub past: Option<Past>,
    /// The id that was given last.
    pub(crate) newest_id: u64,
}

/// What can be done about the faults of a text.
#[derive(Clone, Debug)]
pub struct Remedies {
    /// Of each fault, the changes that mend it.
    pub fixes: Vec<Vec<Fix>>,
    /// The job whose layouts can be searched though the one that is written is illegal, or what stands in the way.
    pub job: Result<Arc<Searchable>, String>,
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
    /// What is counted: tasks, or steps of a laboratory.
    pub unit: &'static str,
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
    /// What was simulated, such as `2,048 tasks`.
    pub extent: String,
    /// Wall time of the simulation.
    pub wall: Duration,
    /// Spans for eyes, arranged by lane; none if the run kept none.
    pub timeline: Option<Arc<crate::TimelineModel>>,
    /// Every figure (`result/1`).
    pub result: Arc<serde_json::Value>,
    /// Whom its ranks wait for; none where nobody waits.
    pub waited_for: Option<WaitedFor>,
    /// Loads of experts under each policy; none of a training run.
    pub experts: Option<Arc<crate::ExpertsModel>>,
    /// What crossed the links of the cluster; none if none were shared.
    pub links: Option<Arc<crate::LinksModel>>,
}

impl Document {
    /// The run of the scenario at `place` ended with `outcome`.
    pub(crate) fn end_run(&mut self, place: usize, outcome: Result<Arc<Finished>, String>) {
        let (finished, fault) = if place == self.front {
            (&mut self.finished, &mut self.fault)
        } else {
            let shelved = &mut self.shelf[place];
            (&mut shelved.finished, &mut shelved.fault)
        };
        *fault = outcome.as_ref().err().cloned();
        self.runs.view(None);
        if let Ok(outcome) = outcome {
            *finished = Some(Arc::clone(&outcome));
            // A part of a run proves nothing beside another.
            if outcome.partial.is_none() && outcome.experts.is_none() {
                let (result, timeline) = (Arc::clone(&outcome.result), outcome.timeline.clone());
                let run = Run::new(self.file_of(place), result, timeline, Vec::new());
                self.runs.keep(run);
                // Whoever runs wants the sheet of that run, whatever was looked at before.
                self.sheets.picked = None;
            }
        }
        self.running = None;
    }

    /// The timeline in front: that of the run that was chosen, else that of the last run of the scenario in front.
    #[must_use]
    pub fn timeline(&self) -> Option<&Arc<crate::TimelineModel>> {
        let own = || {
            self.finished
                .as_ref()
                .and_then(|finished| finished.timeline.as_ref())
        };
        let chosen = self.runs.viewed().and_then(|run| run.whole.as_ref());
        chosen.or_else(own).filter(|model| !model.is_empty())
    }

    /// Whom the ranks of [`timeline`](Self::timeline) wait for; none where nobody waits, or nobody knows.
    #[must_use]
    pub fn waited_for(&self) -> Option<&WaitedFor> {
        match self.runs.viewed().filter(|run| run.whole.is_some()) {
            Some(run) => run.waited_for.as_ref(),
            None => self.finished.as_ref()?.waited_for.as_ref(),
        }
    }

    /// The longest computation of the rank to look at in [`timeline`](Self::timeline), with that timeline and the
    /// rank: of the one that is waited for or else of the one that computes longest, and of the other of the two where
    /// the timeline kept nothing of that.
    #[must_use]
    pub fn span_to_look_at(&self) -> Option<(&Arc<crate::TimelineModel>, SpanId, &RankPace)> {
        let model = self.timeline()?;
        let waited = self.waited_for()?;
        let ranks = [waited.to_look_at(), &waited.first, &waited.busiest];
        ranks
            .into_iter()
            .find_map(|rank| Some((model, model.longest_of(&rank.name)?, rank)))
    }

    /// Why nobody can be led to the rank that is waited for, if so.
    #[must_use]
    pub fn waited_for_refusal(&self) -> Option<&'static str> {
        if self.timeline().is_none() {
            return Some("no run with a timeline is in front");
        }
        if self.waited_for().is_none() {
            return Some("no rank of this run waits for another, as far as it says");
        }
        let kept = self.span_to_look_at().is_some();
        (!kept).then_some("the timeline of this run kept no span of the ranks that are named")
    }

    /// Why the scenario cannot be run now, if it cannot.
    #[must_use]
    pub fn run_refusal(&self) -> Option<&'static str> {
        if self.shelf.is_empty() {
            return Some("no scenario is open");
        }
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
