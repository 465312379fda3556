//! Runs that can be held against each other: what was simulated here, and what was opened from disk.

use std::sync::Arc;

use orrery::compare::{Comparison, is_recorded};
use orrery::traces::Phase;
use orrery_report::WaitedFor;
use orrery_timeline::StepExtent;
use orrery_units::Bytes;
use serde_json::Value;

use crate::TimelineModel;

/// Runs that are kept; of more, the oldest that is on no side is let go.
const KEPT: usize = 12;
/// Sides of a comparison: what the others are held against, and two of these.
pub const SIDES: usize = 3;

/// A run that can be held against another.
#[derive(Clone, Debug)]
pub struct Run {
    /// Tells it from every other run of this window.
    pub id: u64,
    /// The scenario, or the name of the recording.
    pub name: String,
    /// The file of the scenario, or where it was opened from.
    pub source: String,
    /// Whether it was recorded rather than simulated.
    pub recorded: bool,
    /// Every figure of it (`result/1`).
    pub result: Arc<Value>,
    /// Whom its ranks wait for; none where nobody waits, or the run does not say it.
    pub waited_for: Option<WaitedFor>,
    /// Why a recorded step took longer than it had to, in a sentence; empty until it is known.
    pub explained: String,
    /// What was kept for eyes, if anything was.
    pub whole: Option<Arc<TimelineModel>>,
    /// What is to be known of it before it is believed.
    pub notes: Vec<String>,
    /// The files or folders that it was opened from; none of one that was simulated here.
    pub files: Vec<String>,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// The run.
    pub run: Option<Arc<Run>>,
    /// The step that is shown.
    pub step: Option<StepExtent>,
    /// That step for eyes; none until it is arranged.
    pub model: Option<Arc<TimelineModel>>,
    /// Whether a person chose the run: then newer ones do not replace it.
    picked: bool,
}

/// Something that is being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Tells it from all others.
    pub id: u64,
    /// What it is, for people.
    pub name: String,
    /// What is being done.
    pub phase: Phase,
    /// How much of that is done, and of how much; zero of zero where that is not counted.
    pub done: (u64, u64),
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// Runs, and what of them is compared.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The runs, the newest last.
    pub kept: Vec<Arc<Run>>,
    /// What is being opened.
    pub opening: Vec<Opening>,
    /// How much is opened after that: one after another, so that runs have the numbers in which they were named.
    pub to_come: usize,
    /// The sides of the comparison; the first is what the others are held against.
    pub sides: [Side; SIDES],
    /// The second and the third side against the first, where both are there, or why they cannot be compared.
    pub compared: [Option<Arc<Result<Comparison, String>>>; SIDES - 1],
    /// The run that a person chose to look at, by its id.
    viewed: Option<u64>,
    newest: u64,
    newest_opening: u64,
}

impl Run {
    /// A run from `source` with figures `result`; its id is given when it is kept.
    #[must_use]
    pub fn new(
        source: &str,
        result: Arc<Value>,
        whole: Option<Arc<TimelineModel>>,
        notes: Vec<String>,
    ) -> Self {
        Self {
            id: 0,
            name: result["scenario"].as_str().unwrap_or("run").to_owned(),
            source: source.to_owned(),
            recorded: is_recorded(&result),
            waited_for: WaitedFor::of(&result),
            explained: String::new(),
            whole: whole.filter(|model| !model.is_empty()),
            result,
            notes,
            files: Vec::new(),
        }
    }

    /// The same, opened from `files`.
    #[must_use]
    pub fn opened_from(self, files: Vec<String>) -> Self {
        Self { files, ..self }
    }

    /// Its name among the runs of the window.
    #[must_use]
    pub fn title(&self) -> String {
        let origin = if self.recorded { "recorded" } else { "simulated" };
        format!("#{} {}, {origin}", self.id, self.name)
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[StepExtent] {
        self.whole.as_ref().map_or(&[], |model| model.steps())
    }

    /// The step of median length; the shorter one of two.
    #[must_use]
    pub fn typical(&self) -> Option<StepExtent> {
        let mut steps = self.steps().to_vec();
        steps.sort_by_key(|step| (step.length(), step.number));
        steps.get(steps.len().saturating_sub(1) / 2).copied()
    }

    /// The step for eyes: all of a run of one step, a part of another.
    #[must_use]
    pub fn model_of(&self, step: StepExtent) -> Option<Arc<TimelineModel>> {
        let whole = self.whole.as_ref()?;
        Some(match self.steps() {
            [_] => Arc::clone(whole),
            _ => Arc::new(whole.of_step(step)),
        })
    }
}

impl Opening {
    /// What is being done, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let Self {
            name,
            done: (done, all),
            ..
        } = self;
        match self.phase {
            _ if self.stopping => format!("stopping to open {name}"),
            Phase::Read if *all > 0 => {
                let share = *done as f64 / *all as f64 * 100.0;
                format!("reading {name}: {share:.0} % of {}", Bytes::new(*all))
            }
            Phase::Read => format!("reading {name}"),
            Phase::Join | Phase::Attribute | Phase::Engine => format!("arranging {name}"),
        }
    }
}

impl Runs {
    /// Whether nothing is being opened or arranged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let waits = |side: &Side| side.step.is_some() && side.model.is_none();
        self.opening.is_empty() && self.to_come == 0 && !self.sides.iter().any(waits)
    }

    /// A new id of something to open.
    pub(crate) fn next_opening(&mut self) -> u64 {
        self.newest_opening += 1;
        self.newest_opening
    }

    /// The run that a person chose to look at, rather than the last one of the scenario in front.
    #[must_use]
    pub fn viewed(&self) -> Option<&Arc<Run>> {
        self.kept.iter().find(|run| Some(run.id) == self.viewed)
    }

    /// Looks at the run with `id`, or at the last one of the scenario in front.
    pub(crate) fn view(&mut self, id: Option<u64>) {
        self.viewed = id;
    }

    /// Lets go the run with `id`, on whichever side of the comparison it is.
    pub(crate) fn forget(&mut self, id: u64) {
        self.kept.retain(|run| run.id != id);
        for side in 0..SIDES {
            if self.sides[side].shows(id) {
                self.put(side, None);
            }
        }
    }

    /// Why the steps of the newest run that was opened from `files` took longer than they had to.
    pub(crate) fn explain(&mut self, files: &[String], words: &str) {
        if let Some(run) = self.kept.iter_mut().rev().find(|run| run.files == files) {
            Arc::make_mut(run).explained = words.to_owned();
        }
    }

    /// Keeps `run` as the newest, returns its id, and puts it on a side unless a person chose otherwise: what was recorded is what simulated runs are
    /// held against, and of simulated ones the newest is held against the first.
    pub(crate) fn keep(&mut self, run: Run) -> u64 {
        self.newest += 1;
        let run = Arc::new(Run {
            id: self.newest,
            ..run
        });
        self.kept.push(Arc::clone(&run));
        let first = &self.sides[0];
        match &first.run {
            None => self.put(0, Some(run)),
            Some(old) if run.recorded && !first.picked && !old.recorded => {
                let old = Arc::clone(old);
                self.put(0, Some(run));
                if self.sides[1].run.is_none() {
                    self.put(1, Some(old));
                }
            }
            Some(_) if !self.sides[1].picked => self.put(1, Some(run)),
            Some(_) => {}
        }
        while self.kept.len() > KEPT {
            let shown = |run: &Arc<Run>| self.sides.iter().any(|side| side.shows(run.id));
            let Some(at) = self.kept.iter().position(|run| !shown(run)) else {
                break;
            };
            self.kept.remove(at);
        }
        self.newest
    }

    /// Has `side` show the run with `id`, or none, because a person chose it.
    pub(crate) fn pick(&mut self, side: usize, id: Option<u64>) {
        let run = id.and_then(|id| self.kept.iter().find(|run| run.id == id).cloned());
        let picked = run.is_some();
        self.put(side, run);
        self.sides[side].picked = picked;
    }

    /// The first side becomes the second.
    pub(crate) fn swap(&mut self) {
        self.sides.swap(0, 1);
        self.compare();
    }

    /// Has `side` show the step of number `step`.
    pub(crate) fn show_step(&mut self, side: usize, step: u16) {
        let side = &mut self.sides[side];
        let steps = side.run.as_ref().map_or(&[][..], |run| run.steps());
        if let Some(&step) = steps.iter().find(|other| other.number == step) {
            side.step = Some(step);
            side.model = None;
        }
    }

    /// The arranged `step` of the run with `id`, for every side that waits for it.
    pub(crate) fn arranged(&mut self, id: u64, step: StepExtent, model: &Arc<TimelineModel>) {
        for side in &mut self.sides {
            if side.shows(id) && side.step == Some(step) {
                side.model = Some(Arc::clone(model));
            }
        }
    }

    fn put(&mut self, side: usize, run: Option<Arc<Run>>) {
        let step = run.as_ref().and_then(|run| run.typical());
        self.sides[side] = Side {
            run,
            step,
            ..Side::default()
        };
        self.compare();
    }

    fn compare(&mut self) {
        let result = |side: &Side| side.run.as_ref().map(|run| Arc::clone(&run.result));
        let first = result(&self.sides[0]);
        for (compared, side) in self.compared.iter_mut().zip(&self.sides[1..]) {
            *compared = first.as_ref().zip(result(side)).map(|(first, other)| {
                Arc::new(Comparison::of(first, &other).map_err(|fault| fault.to_string()))
            });
        }
    }
}

impl Side {
    /// Whether it shows the run with `id`.
    #[must_use]
    pub fn shows(&self, id: u64) -> bool {
        self.run.as_ref().is_some_and(|run| run.id == id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run whose step takes `bubble` picoseconds of waiting and 100 of products.
    fn run(name: &str, recorded: bool, bubble: u64) -> Run {
        let result = json!({
            "schema": "result/1", "scenario": name, "seed": 1, "metrics": {},
            "origin": if recorded { "recorded" } else { "simulated" },
            "waterfall": {"step_ps": 100 + bubble, "causes_ps": {"products": 100, "bubble": bubble}},
        });
        Run::new("file", Arc::new(result), None, Vec::new())
    }

    fn names(runs: &Runs) -> [Option<&str>; SIDES] {
        runs.sides
            .each_ref()
            .map(|side| side.run.as_ref().map(|run| run.name.as_str()))
    }

    #[test]
    fn the_newest_run_is_held_against_the_first_and_recorded_ones_come_first() {
        let mut runs = Runs::default();
        runs.keep(run("a", false, 10));
        assert_eq!(names(&runs), [Some("a"), None, None]);
        runs.keep(run("b", false, 30));
        assert_eq!(names(&runs), [Some("a"), Some("b"), None]);
        let compared = runs.compared[0].as_deref().unwrap().as_ref().unwrap();
        assert_eq!(compared.difference(), 20);
        runs.keep(run("c", false, 20));
        assert_eq!(names(&runs), [Some("a"), Some("c"), None]);
        let mut other = Runs::default();
        other.keep(run("simulated", false, 10));
        other.keep(run("measured", true, 10));
        assert_eq!(names(&other), [Some("measured"), Some("simulated"), None]);
    }

    #[test]
    fn what_a_person_chose_stays_and_is_never_let_go() {
        let mut runs = Runs::default();
        runs.keep(run("a", false, 10));
        runs.keep(run("b", false, 20));
        let id = runs.kept[1].id;
        runs.pick(1, Some(id));
        runs.swap();
        assert_eq!(names(&runs), [Some("b"), Some("a"), None]);
        runs.pick(1, runs.sides[1].run.as_ref().map(|run| run.id));
        for number in 0..2 * KEPT as u64 {
            runs.keep(run("more", number % 2 == 0, number));
        }
        assert_eq!(names(&runs), [Some("b"), Some("a"), None]);
        assert_eq!(runs.kept.len(), KEPT);
        assert!(runs.kept.iter().any(|run| run.id == id), "it is shown");
        runs.pick(2, Some(runs.kept[KEPT - 1].id));
        assert!(runs.compared[1].is_some(), "a third side is compared as well");
        runs.pick(0, None);
        assert_eq!(names(&runs), [None, Some("a"), Some("more")]);
        assert!(runs.compared.iter().all(Option::is_none), "against nothing");
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let mut runs = Runs::default();
        runs.keep(run("a", false, 10));
        let mut partial = run("b", true, 10);
        Arc::make_mut(&mut partial.result)["partial"] = "two of eight ranks".into();
        runs.keep(partial);
        let why = runs.compared[0].as_deref().unwrap().as_ref().unwrap_err();
        assert!(why.contains("two of eight ranks"), "{why}");
    }
}
