//! A search over the layouts of a scenario, and the same job on clusters of other sizes: worker threads and what they found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use orrery::outline::Outline;
use orrery::pipeline;
use orrery::sweep::{
    Axes, Candidate, Confirming, Degree, Found, Progress, Sizing, confirm, estimate, size, sizes_around,
};
use orrery::why::sensitivity::{Tornado, estimated};
use orrery_scenario::{Diagnostic, Fix, Loaded, Plan, Searchable};

use super::job::{Event, Out, guarded, send};
use super::{Document, Remedies, Wake};
use crate::ExploreModel;

/// What is asked of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What of a layout is varied.
    pub degrees: Vec<Degree>,
    /// How many of the best estimates are simulated.
    pub top: usize,
    /// Whether clusters of other sizes are looked at instead of other layouts of this one.
    pub sizes: bool,
    /// A size to look at besides, in nodes.
    pub nodes: Option<u32>,
}

/// A search under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searching {
    /// The scenario's name.
    pub name: String,
    /// Layouts that were estimated.
    pub estimated: usize,
    /// Layouts in all; zero where that is not known.
    pub of: usize,
    /// Layouts, or sizes, that were simulated.
    pub simulated: usize,
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// What was asked for, as it stood.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario's name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its text.
    pub text: Arc<str>,
    /// The revision of the text.
    pub revision: u64,
    /// The job, whatever its own layout.
    pub job: Arc<Searchable>,
    /// The number of the search, which tells it from all others of this window.
    pub number: u64,
    /// What was varied.
    pub degrees: Vec<Degree>,
    /// Whether all of it was known from the search before, which asked the same.
    pub known: bool,
}

impl Job {
    /// Whether `other` asks the same of the same text: what was found for one holds for the other.
    fn asks_the_same(&self, other: &Self) -> bool {
        self.file == other.file && self.text == other.text && self.degrees == other.degrees
    }

    /// The currency of its price, if it has one.
    #[must_use]
    pub fn price(&self) -> Option<&str> {
        let price = self.job.plan.price.as_ref()?;
        Some(&price.currency)
    }
}

/// What is known of a layout that was chosen.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// Its place among the layouts that the rules allow.
    pub at: usize,
    /// Memory by stage and cause, counts, cost.
    pub outline: Arc<Outline>,
    /// What 10 % more and less of each resource does to its step, in closed form.
    pub tornado: Arc<Tornado>,
}

/// Searches of the window: the one under way and what the last ones found.
#[derive(Clone, Debug, Default)]
pub struct Explore {
    /// The search under way.
    pub searching: Option<Searching>,
    /// The layouts of the last search, and of what.
    pub found: Option<(Job, Arc<ExploreModel>)>,
    /// Clusters of other sizes, and of what.
    pub sizes: Option<(Job, Arc<Vec<Sizing>>)>,
    /// The layout that was chosen last.
    pub weighed: Option<Weighed>,
    /// Why the last search found nothing.
    pub fault: Option<String>,
}

/// How far a search is, and the way to stop it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SearchWatch {
    progress: Arc<Progress>,
    confirming: Arc<Confirming>,
    of: usize,
}

/// What a search says.
#[derive(Debug)]
pub(crate) enum News {
    /// Layouts were estimated, and perhaps simulated.
    Found(Job, Arc<ExploreModel>),
    /// The sizes so far.
    Sized(Job, Arc<Vec<Sizing>>),
    /// It is over.
    Ended(Option<String>),
    /// A layout was looked at closely.
    Weighed(Weighed),
}

impl Default for Wanted {
    fn default() -> Self {
        let varied = |degree: &Degree| *degree != Degree::Zero;
        Self {
            degrees: Degree::ALL.into_iter().filter(varied).collect(),
            top: 10,
            sizes: false,
            nodes: None,
        }
    }
}

impl SearchWatch {
    /// Asks the search to stop soon.
    pub(crate) fn cancel(&self) {
        self.progress.cancelled.store(true, Ordering::Relaxed);
        self.confirming.cancel();
    }

    /// How far it is.
    pub(crate) fn read(&self, searching: &mut Searching) {
        searching.estimated = self.progress.done.load(Ordering::Relaxed);
        searching.simulated = self.confirming.done.load(Ordering::Relaxed);
        searching.of = self.of;
    }
}

impl Document {
    /// The training plan of the text in front, if it was checked and is one.
    #[must_use]
    pub fn training_plan(&self) -> Option<&Plan> {
        match self.plan.as_deref()? {
            Loaded::Training(plan) => Some(plan),
            Loaded::Balancing(_) => None,
        }
    }

    /// The changes that mend `fault` of the text in front, as far as they are known.
    #[must_use]
    pub fn fixes(&self, fault: &Diagnostic) -> &[Fix] {
        let known = self.known_remedies();
        let at = self.diagnostics.iter().position(|known| known == fault);
        known
            .zip(at)
            .and_then(|(remedies, at)| remedies.fixes.get(at))
            .map_or(&[], Vec::as_slice)
    }

    fn known_remedies(&self) -> Option<&Remedies> {
        let (revision, remedies) = self.remedies.as_ref()?;
        (*revision == self.revision).then_some(&**remedies)
    }

    /// Why no search can begin now, if none can.
    #[must_use]
    pub fn search_refusal(&self) -> Option<&str> {
        if self.shelf.is_empty() {
            return Some("no scenario is open");
        }
        if self.explore.searching.is_some() {
            return Some("a search is under way");
        }
        if self.checked != Some(self.revision) {
            return Some("the scenario is being checked");
        }
        match self.plan.as_deref() {
            Some(Loaded::Balancing(_)) => Some("a scenario of kind \"balancing\" has no layout to search"),
            Some(Loaded::Training(_)) => None,
            None => match self.known_remedies().map(|remedies| &remedies.job) {
                None => Some("the scenario is being checked"),
                Some(Ok(_)) => None,
                Some(Err(why)) => Some(why),
            },
        }
    }

    /// The job whose layouts can be searched: of a layout that is illegal too, where another may be legal.
    fn searchable(&self) -> Option<Arc<Searchable>> {
        match self.plan.as_deref() {
            Some(Loaded::Training(plan)) => Some(Arc::new(Searchable::of((**plan).clone()))),
            Some(Loaded::Balancing(_)) => None,
            None => self.known_remedies()?.job.as_ref().ok().map(Arc::clone),
        }
    }

    /// The job of search `number` for what is `wanted`, of the text in front.
    fn job(&self, job: Arc<Searchable>, wanted: &Wanted, number: u64) -> Job {
        let mut degrees = wanted.degrees.clone();
        degrees.sort_unstable();
        Job {
            name: job.plan.identity.name.clone(),
            file: self.file.clone(),
            text: Arc::clone(&self.text),
            revision: self.revision,
            job,
            number,
            degrees,
            known: false,
        }
    }
}

/// Searches what is `wanted` of the scenario in front of `document`, as search `number`, on a thread of its own.
pub(crate) fn search(
    document: &Document,
    wanted: &Wanted,
    number: u64,
    (out, wake): (Out, Wake),
) -> Option<SearchWatch> {
    let searchable = document.searchable()?;
    let job = document.job(Arc::clone(&searchable), wanted, number);
    let before = Before::of(document, &job);
    let wanted = wanted.clone();
    let axes = Axes::of(&searchable.plan).varying(&wanted.degrees, &searchable.written);
    let watch = SearchWatch {
        of: if wanted.sizes { 0 } else { axes.len() },
        ..SearchWatch::default()
    };
    let control = watch.clone();
    thread::spawn(move || {
        let say = |news| send(&out, &wake, Event::Explored(news));
        let outcome = guarded(|| {
            if wanted.sizes {
                other_sizes(&job, &wanted, &before.sizes, &control, &say)
            } else {
                let plan = searchable.plan.clone();
                layouts(
                    job.clone(),
                    (plan, &axes, wanted.top),
                    before.found,
                    (&control, &say),
                )
            }
        });
        say(News::Ended(outcome.unwrap_or_else(Err).err()));
    });
    Some(watch)
}

/// What the searches before found for the same question.
#[derive(Default)]
struct Before {
    found: Option<Arc<ExploreModel>>,
    sizes: Vec<Sizing>,
}

impl Before {
    fn of(document: &Document, job: &Job) -> Self {
        let explore = &document.explore;
        let found = explore
            .found
            .as_ref()
            .filter(|(other, model)| job.asks_the_same(other) && model.found.estimated.is_whole);
        let sizes = explore
            .sizes
            .as_ref()
            .filter(|(other, _)| job.asks_the_same(other));
        Self {
            found: found.map(|(_, model)| Arc::clone(model)),
            sizes: sizes.map_or_else(Vec::new, |(_, sizes)| sizes.to_vec()),
        }
    }
}

fn layouts(
    mut job: Job,
    (plan, axes, top): (Plan, &Axes, usize),
    before: Option<Arc<ExploreModel>>,
    (control, say): (&SearchWatch, &impl Fn(News)),
) -> Result<(), String> {
    let (estimated, mut confirmed) = match before {
        Some(before) => {
            let found = &before.found;
            job.known = true;
            control.progress.done.store(axes.len(), Ordering::Relaxed);
            (found.estimated.clone(), found.confirmed.clone())
        }
        None => (estimate(&plan, axes, (0, 1), &control.progress), Vec::new()),
    };
    let unconfirmed = Found::new(plan.clone(), estimated.clone(), confirmed.clone());
    say(News::Found(job.clone(), Arc::new(ExploreModel::new(unconfirmed))));
    let top = top.min(estimated.fitting.len());
    let missing: Vec<usize> = (0..top)
        .filter(|&at| confirmed.get(at).copied().flatten().is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let best: Vec<Candidate> = missing.iter().map(|&at| estimated.fitting[at].clone()).collect();
    confirmed.resize(confirmed.len().max(top), None);
    for (at, known) in missing
        .into_iter()
        .zip(confirm(&plan, &best, &control.confirming)?)
    {
        confirmed[at] = known;
    }
    let found = Found::new(plan, estimated, confirmed);
    say(News::Found(job, Arc::new(ExploreModel::new(found))));
    Ok(())
}

fn other_sizes(
    job: &Job,
    wanted: &Wanted,
    before: &[Sizing],
    control: &SearchWatch,
    say: &impl Fn(News),
) -> Result<(), String> {
    let mut asked = sizes_around(job.job.plan.cluster.num_nodes);
    asked.extend(wanted.nodes);
    // What was looked at before stays: a size of one's own is added to the others.
    asked.extend(before.iter().map(|known| known.nodes));
    asked.sort_unstable();
    asked.dedup();
    let mut sizes: Vec<Sizing> = Vec::new();
    for nodes in asked {
        if let Some(known) = before.iter().find(|known| known.nodes == nodes) {
            sizes.push(known.clone());
            say(News::Sized(job.clone(), Arc::new(sizes.clone())));
            continue;
        }
        if control.confirming.is_cancelled() {
            break;
        }
        let watch = (&*control.progress, &*control.confirming);
        let sized = size((&job.file, &job.text), nodes, &wanted.degrees, watch)?;
        // Of a size that was stopped nothing is known.
        if !control.confirming.is_cancelled() {
            sizes.push(sized);
            say(News::Sized(job.clone(), Arc::new(sizes.clone())));
        }
    }
    Ok(())
}

/// Looks closely at layout `at` of `model`, on a thread of its own.
pub(crate) fn weigh(job: &Job, model: &ExploreModel, at: usize, out: Out, wake: Wake) {
    let Some(choice) = model.layouts.get(at).map(|layout| layout.choice.clone()) else {
        return;
    };
    let job = job.clone();
    thread::spawn(move || {
        let weighed = guarded(|| {
            let plan = pipeline::load(&job.file, &job.text, &choice.settings()).ok()?;
            Some(Weighed {
                at,
                outline: Arc::new(Outline::of(&plan)),
                tornado: Arc::new(estimated(&plan)),
            })
        });
        if let Ok(Some(weighed)) = weighed {
            send(&out, &wake, Event::Explored(News::Weighed(weighed)));
        }
    });
}
