//! What is known of the thing that is looked at: its figures, and where they come from. No widget is known here.

use orrery::sheet::Sheet;
use orrery_report::render::percent;
use orrery_units::significant;
use serde_json::Value;

use super::fleet::readings;
use super::{Device, Document, Item, Node, Of, Run, Standing};

/// What figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// They were read on a machine.
    Measured,
    /// They came out of an event simulation.
    Simulated,
    /// They came out of a closed form.
    Estimated,
    /// They were made up for a demonstration.
    Demo,
    /// They are what somebody wrote.
    Written,
}

impl Footing {
    /// Its name, as a mark.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "MEASURED",
            Self::Simulated => "SIMULATED",
            Self::Estimated => "ESTIMATED",
            Self::Demo => "DEMO",
            Self::Written => "WRITTEN",
        }
    }
}

/// A figure: what it is, and its value or why there is none. A second line of a value says how sure it is.
pub type Fact = (String, Result<String, String>);

/// Something that a thing has to do with.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// How, such as `released by`.
    pub how: &'static str,
    /// What it is called.
    pub words: String,
    /// The thing.
    pub item: Item,
}

/// What is known of a thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What it is, such as `span`.
    pub what: &'static str,
    /// What it is called.
    pub title: String,
    /// What its figures are.
    pub footing: Footing,
    /// A sentence to be read first; may be empty.
    pub verdict: String,
    /// Its figures.
    pub rows: Vec<Fact>,
    /// Where they come from, a sentence or a name each.
    pub basis: Vec<String>,
    /// What it has to do with.
    pub related: Vec<Related>,
}

impl Facts {
    /// Facts of a thing of which nothing more is known yet.
    #[must_use]
    pub fn new(what: &'static str, title: impl Into<String>, footing: Footing) -> Self {
        Self {
            what,
            title: title.into(),
            footing,
            verdict: String::new(),
            rows: Vec::new(),
            basis: Vec::new(),
            related: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn put(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.rows.push((name.into(), Ok(value.into())));
    }

    /// All of it as text, a figure a line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{}: {} ({})", self.what, self.title, self.footing.name())];
        lines.extend((!self.verdict.is_empty()).then(|| self.verdict.clone()));
        lines.extend(self.rows.iter().map(|(name, value)| match value {
            Ok(value) => format!("{name}: {}", value.replace('\n', ", ")),
            Err(why) => format!("{name}: n/a ({why})"),
        }));
        lines.extend(self.basis.iter().map(|basis| format!("from: {basis}")));
        lines.join("\n")
    }
}

impl Document {
    /// What is known of what is looked at; of the run in front where nothing is.
    #[must_use]
    pub fn facts(&self, now: f64) -> Option<Facts> {
        match &self.selection.item {
            None => self.facts_in_front(),
            Some(Item::Span(of, span)) => {
                let model = of.get()?;
                let mut facts = model.facts(*span);
                if self.timeline().is_some_and(|front| of.is(front)) {
                    self.put_waiting(&mut facts, model.group_of(*span));
                }
                Some(facts)
            }
            Some(Item::Link(of, place)) => {
                let model = of.get()?;
                let interval = self
                    .timeline()
                    .and_then(|timeline| self.selection.interval_of_run(timeline));
                Some(model.facts(*place, interval))
            }
            Some(Item::Load(of, load)) => of.get()?.facts(*load),
            Some(Item::Layout(of, place)) => of.get()?.facts(*place),
            Some(Item::Device(id)) => {
                let (node, device) = self.fleet.find(id)?;
                Some(self.facts_of_device(node, device, now))
            }
            Some(Item::Problem(revision, place)) => self.facts_of_problem(*revision, *place),
            Some(Item::Run(id)) => {
                let run = self.runs.kept.iter().find(|run| run.id == *id)?;
                Some(of_run(run))
            }
            Some(Item::Profile) => self.facts_of_profile(),
        }
    }

    /// Adds how far `rank` of the timeline in front is waited for, and whom the others wait for most.
    fn put_waiting(&self, facts: &mut Facts, rank: &str) {
        let Some(waited) = self.waited_for() else { return };
        if let Some(share) = waited.share_of(rank) {
            facts.put(
                "waiting that ends with this rank",
                format!("{} of all", percent(share)),
            );
        }
        if waited.to_look_at().name == rank {
            facts.verdict = waited.sentence();
        } else if let Some((model, span, look_at)) = self.span_to_look_at()
            && look_at.name != rank
        {
            facts.related.push(Related {
                how: match (waited.stands_out(), look_at.name == waited.first.name) {
                    (true, true) => "the others wait for",
                    (false, true) => "most of the waiting ends with",
                    (_, false) => "computes longest",
                },
                words: look_at.called(),
                item: Item::Span(Of::new(model), span),
            });
        }
    }

    fn facts_in_front(&self) -> Option<Facts> {
        if let Some(run) = self.runs.viewed() {
            return Some(of_run(run));
        }
        let finished = self.finished.as_deref()?;
        // Policies are compared by a closed form.
        let footing = match finished.experts {
            Some(_) => Footing::Estimated,
            None => Footing::Simulated,
        };
        let mut facts = of_result(&finished.result, finished.name.clone(), footing);
        if facts.verdict.is_empty() {
            facts.verdict.clone_from(&finished.verdict);
        }
        facts.put(
            "computed",
            format!("{} in {:.1} s", finished.extent, finished.wall.as_secs_f64()),
        );
        if self.is_edited_since(self.front, finished.revision) {
            facts.basis.push("the text was edited since".to_owned());
        }
        Some(facts)
    }

    fn facts_of_device(&self, node: &Node, device: &Device, now: f64) -> Facts {
        let identity = &device.sample.identity;
        let footing = if node.is_demo() {
            Footing::Demo
        } else {
            Footing::Measured
        };
        let title = format!("{} device {}", node.name, identity.index);
        let mut facts = Facts::new("device", title, footing);
        facts.put("model", &identity.model);
        let rows = readings(&device.sample).into_iter();
        facts
            .rows
            .extend(rows.map(|(name, value)| (name.to_owned(), value)));
        let age = node.age(now).floor();
        let standing = match self.fleet.standing(node, now) {
            Standing::Live => format!("heard {age:.0} s ago"),
            Standing::Stale => format!("late: heard {age:.0} s ago"),
            Standing::Gone(why) => format!("{why}; heard {age:.0} s ago"),
        };
        facts.basis.push(standing);
        facts.basis.push(format!("read by the source `{}`", node.source));
        let collector = &self.fleet.collectors[node.collector];
        facts.basis.push(format!("collector {}", collector.url));
        facts.basis.push(identity.uuid.clone());
        facts
    }

    fn facts_of_problem(&self, revision: u64, place: usize) -> Option<Facts> {
        let known = self
            .diagnostics
            .get(place)
            .filter(|_| self.checked == Some(revision))?;
        let mut facts = Facts::new("problem", known.message.clone(), Footing::Written);
        facts.put(
            "where",
            format!("{}, line {}:{}", known.file, known.line, known.column),
        );
        facts.put("code", known.code);
        if let Some(meaning) = orrery_scenario::explain(known.code) {
            facts.verdict = meaning.to_owned();
        }
        facts.basis.extend(known.notes.iter().cloned());
        facts
            .basis
            .extend(known.help.iter().map(|help| format!("help: {help}")));
        Some(facts)
    }

    fn facts_of_profile(&self) -> Option<Facts> {
        let plan = self.training_plan()?;
        let profile = &plan.profile;
        let mut facts = Facts::new("profile", profile.name.clone(), Footing::Measured);
        facts.put("device", &profile.device);
        facts.put("software", profile.stacks.join(", "));
        facts.put("newest measurement", &profile.date);
        facts.put("kernel curves", profile.kernels.len().to_string());
        facts.put("collective curves", profile.collectives.len().to_string());
        facts.put("expert exchanges", profile.exchanges.len().to_string());
        facts.basis.extend(profile.notes.iter().cloned());
        Some(facts)
    }
}

/// What is known of a run that is kept.
fn of_run(run: &Run) -> Facts {
    let footing = if run.recorded {
        Footing::Measured
    } else {
        Footing::Simulated
    };
    let mut facts = of_result(&run.result, run.title(), footing);
    if !run.explained.is_empty() {
        facts.verdict = format!("{}\n{}", run.explained, facts.verdict);
    }
    facts.basis.push(format!("from {}", run.source));
    facts.basis.extend(run.notes.iter().cloned());
    facts
}

/// What a `result/1` object says: the figures of its decision sheet, and what they rest on.
fn of_result(result: &Value, title: String, footing: Footing) -> Facts {
    let mut facts = Facts::new("run", title, footing);
    let Ok(sheet) = Sheet::of(result) else {
        return facts;
    };
    facts.verdict = [sheet.verdict, sheet.waiting].join("\n").trim_end().to_owned();
    facts.rows.extend(sheet.figures.into_iter().map(|figure| {
        let shown = match figure.interval.as_str() {
            "" => figure.shown,
            interval => format!("{}\n{interval}", figure.shown),
        };
        (figure.label, Ok(shown))
    }));
    facts
        .basis
        .extend(sheet.partial.map(|why| format!("a part of the run only: {why}")));
    let shares: Vec<String> = sheet
        .provenance
        .iter()
        .filter(|(_, share)| *share > 0.0)
        .map(|(name, share)| format!("{} % {name}", significant(share * 100.0, 2)))
        .collect();
    if !shares.is_empty() {
        facts
            .basis
            .push(format!("simulated time rests on: {}", shares.join(", ")));
    }
    let origin = sheet.origin.into_iter().filter(|(_, value)| !value.is_empty());
    facts
        .basis
        .extend(origin.map(|(name, value)| format!("{name}: {value}")));
    facts
}
