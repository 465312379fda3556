//! What the window shows: scenarios, their faults, their runs, and the fleet. No widget is known here.

mod access;
mod calibrate;
mod disk;
mod explore;
mod feed;
mod fleet;
mod job;
mod keeping;
mod opening;
mod runs;
mod sheets;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use orrery::outline::Outline;
use orrery_report::Check;
use orrery_report::render::Headline;
use orrery_scenario::{Diagnostic, Loaded};
use orrery_timeline::Timeline;

pub use access::Access;
pub use calibrate::{Calibrate, Judging};
pub(crate) use calibrate::{JudgeWatch, Judged, judge};
pub(crate) use disk::{Disk, Entry, Expected, Refusal, Save, list, look, save};
pub use explore::{Explore, Job, Searching, Wanted, Weighed};
pub(crate) use explore::{News as ExploreNews, SearchWatch, search, weigh};
pub(crate) use feed::Feed;
pub use feed::{FleetEvent, News, collector_url};
pub use fleet::{Apart, Collector, Device, Fleet, FleetMetric, History, KEPT, Link, Node, Standing};
pub(crate) use job::{Event, RunWatch, Text, check, run};
pub(crate) use keeping::same;
pub use keeping::{Elsewhere, Home, Keeping, Scenario, short_name};
pub use opening::is_scenario;
pub(crate) use opening::{News as OpeningNews, arrange, open};
pub use runs::{Opening, Run, Runs, SIDES, Side};
pub(crate) use sheets::{News as SheetNews, prepare, write};
pub use sheets::{Prepared, Sheets};

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
    /// Counts the texts that came from elsewhere than the editor.
    pub opened: u64,
    /// The faults of the text of [`checked`](Self::checked).
    pub diagnostics: Arc<Vec<Diagnostic>>,
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
    /// The id that was given last.
    pub(crate) newest_id: u64,
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
    /// Loads of experts under each policy; none of a training run.
    pub experts: Option<Arc<crate::ExpertsModel>>,
    /// What crossed the links of the cluster; none if none were shared.
    pub links: Option<Arc<crate::LinksModel>>,
}

impl Document {
    /// A document on `scenarios`, with the first in front.
    #[must_use]
    pub fn open(scenarios: Vec<Scenario>) -> Self {
        let mut document = Self::default();
        for scenario in scenarios {
            document.shelve(scenario);
        }
        document.take_from_shelf(0);
        document
    }

    /// Puts `scenario` on the shelf and returns its place.
    fn shelve(&mut self, scenario: Scenario) -> usize {
        let Scenario { file, text, home } = scenario;
        let text: Arc<str> = text.into();
        self.newest_id += 1;
        let revision = self.next_revision();
        self.shelf.push(Shelved {
            file,
            text: Arc::clone(&text),
            revision,
            keeping: Keeping {
                id: self.newest_id,
                home,
                original: text,
                elsewhere: None,
            },
            ..Shelved::default()
        });
        self.shelf.len() - 1
    }

    /// Opens `scenario` in front; if its file is open already that one comes to the front as it is.
    pub(crate) fn bring_in(&mut self, scenario: Scenario) {
        let open = (0..self.shelf.len()).find(|&place| same(self.file_of(place), &scenario.file));
        let place = open.unwrap_or_else(|| self.shelve(scenario));
        if self.shelf.len() == 1 {
            self.take_from_shelf(0);
        } else {
            self.bring_to_front(place);
        }
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
            keeping: std::mem::take(&mut self.shelf[self.front].keeping),
        };
        self.take_from_shelf(place);
    }

    /// Takes the scenario at `place` off the shelf; its neighbour comes to the front if it was there.
    pub(crate) fn close(&mut self, place: usize) {
        if place >= self.shelf.len() {
            return;
        }
        if place == self.front {
            let neighbour = if place + 1 < self.shelf.len() {
                place + 1
            } else {
                place.saturating_sub(1)
            };
            self.bring_to_front(neighbour);
        }
        self.shelf.remove(place);
        if self.front > place {
            self.front -= 1;
        }
        if let Some(running) = self.running.take() {
            // What is left of a run whose scenario is gone is of use to nobody.
            self.running = (running.place != place).then(|| Running {
                place: running.place - usize::from(running.place > place),
                ..running
            });
        }
        if self.shelf.is_empty() {
            *self = Self {
                fleet: std::mem::take(&mut self.fleet),
                runs: std::mem::take(&mut self.runs),
                explore: std::mem::take(&mut self.explore),
                sheets: std::mem::take(&mut self.sheets),
                calibrate: std::mem::take(&mut self.calibrate),
                newest_id: self.newest_id,
                opened: self.opened + 1,
                ..Self::default()
            };
        }
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
        self.begin_anew();
    }

    /// What was known of the text in front is not so any more.
    fn begin_anew(&mut self) {
        self.opened += 1;
        self.checked = None;
        self.plan = None;
        self.outline = None;
        self.diagnostics = Arc::default();
    }

    /// The text in front is now `text`, typed in the editor.
    pub(crate) fn edit(&mut self, text: Arc<str>) {
        self.revision = self.next_revision();
        self.text = text;
        // So that a revision is never given twice, whichever scenario comes to the front.
        if let Some(shelved) = self.shelf.get_mut(self.front) {
            shelved.revision = self.revision;
        }
    }

    fn next_revision(&self) -> u64 {
        let revisions = self.shelf.iter().map(|shelved| shelved.revision);
        revisions.max().unwrap_or_default().max(self.revision) + 1
    }

    /// The place of the scenario with `id`, if it is still open.
    #[must_use]
    pub fn place_of(&self, id: u64) -> Option<usize> {
        self.shelf.iter().position(|shelved| shelved.keeping.id == id)
    }

    /// The file of the scenario at `place`; an empty name if there is none.
    #[must_use]
    pub fn file_of(&self, place: usize) -> &str {
        if place == self.front {
            return &self.file;
        }
        self.shelf.get(place).map_or("", |shelved| &shelved.file)
    }

    /// The text of the scenario at `place`, as edited.
    #[must_use]
    pub fn text_of(&self, place: usize) -> &Arc<str> {
        match self.shelf.get(place) {
            Some(shelved) if place != self.front => &shelved.text,
            _ => &self.text,
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
            *finished = Some(Arc::clone(&outcome));
            // A part of a run proves nothing beside another.
            if outcome.partial.is_none() && outcome.experts.is_none() {
                let (result, timeline) = (Arc::clone(&outcome.result), outcome.timeline.clone());
                let run = Run::new(self.file_of(place), result, timeline, Vec::new());
                self.runs.keep(run);
            }
        }
        self.running = None;
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
