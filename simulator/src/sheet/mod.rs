//! The decision sheet of a run: one page that says what was asked, what came out, what limits it, what it costs, and what
//! it rests on. It is made of a `result/1` object, so that a stored run of somebody else has one too.

mod csv;
mod html;
mod picture;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;

use orrery_report::WaitedFor;
use orrery_units::{Bytes, SimDuration, significant};
use serde_json::Value;

use crate::compare;
use crate::why::sensitivity::Tornado;

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// The value for people.
    pub shown: String,
    /// The 80 % interval for people; empty when it has none.
    pub interval: String,
    /// The value in base units, with its interval.
    pub value: Option<(f64, Option<(f64, f64)>)>,
    /// The base unit; of money, its currency.
    pub unit: String,
}

/// A part of a whole, such as a cause of the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub label: String,
    /// How much: seconds, or bytes.
    pub value: f64,
    /// The same for people.
    pub shown: String,
    /// Its share of the whole.
    pub share: f64,
}

/// Memory of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub label: String,
    /// Bytes by cause, the largest first.
    pub parts: Vec<Part>,
    /// Bytes in all.
    pub bytes: f64,
}

/// What 10 % more and 10 % less of a resource does to the step, as shares of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Swing {
    /// The resource.
    pub label: String,
    /// The change with more of it.
    pub more: f64,
    /// The change with less of it.
    pub less: f64,
}

/// An expectation of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its id.
    pub id: String,
    /// What was expected.
    pub check: String,
    /// Whether it holds.
    pub pass: bool,
    /// What was found, for people; why there is nothing, where there is nothing.
    pub found: String,
    /// Why it is expected; may be empty.
    pub why: String,
}

impl Part {
    /// The part and its share of the whole, such as `452 ms · 9.91 %`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} · {}", self.shown, percent(self.share))
    }
}

impl Swing {
    /// What more and less of the resource do, such as `-4.1 % / +5.0 %`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{:+.1} % / {:+.1} %", self.more * 100.0, self.less * 100.0)
    }
}

impl Expected {
    /// Whether it holds, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        if self.pass { "holds" } else { "fails" }
    }

    /// What was found and why it is expected; empty where nobody said either.
    #[must_use]
    pub fn words(&self) -> String {
        let found = (!self.found.is_empty()).then(|| format!("found {}", self.found));
        let why = (!self.why.is_empty()).then(|| self.why.clone());
        found.into_iter().chain(why).collect::<Vec<_>>().join("; ")
    }
}

/// `share` as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// The sheet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// The headline.
    pub title: String,
    /// Words of whoever made it; may be empty.
    pub memo: String,
    /// Model, cluster, layout.
    pub subject: Vec<(&'static str, String)>,
    /// One sentence on what limits the run.
    pub verdict: String,
    /// Whom the ranks wait for, in a sentence or two; empty where nobody waits, or nobody knows.
    pub waiting: String,
    /// Why the figures cover a part of the run only, if they do.
    pub partial: Option<String>,
    /// Whether the run was recorded rather than simulated.
    pub recorded: bool,
    /// The figures that a decision rests on.
    pub figures: Vec<Figure>,
    /// Where the mean step goes, by cause, the largest first.
    pub causes: Vec<Part>,
    /// Memory at the peak of each stage.
    pub memory: Vec<Stage>,
    /// Memory of a device, in bytes; zero where nobody knows.
    pub capacity: f64,
    /// Sensitivities, the largest first; empty where there is no plan to vary.
    pub swings: Vec<Swing>,
    /// How they were found.
    pub swings_note: String,
    /// Expectations.
    pub expected: Vec<Expected>,
    /// Shares of simulated time by what they rest on.
    pub provenance: Vec<(String, f64)>,
    /// Scenario, hash, seed, version, profile, sources.
    pub origin: Vec<(&'static str, String)>,
    /// What was filled in: key, value, reason.
    pub assumptions: Vec<[String; 3]>,
}

impl Sheet {
    /// The sheet of a stored run.
    ///
    /// # Errors
    /// When it is no run of training, such as one that compared balancers.
    pub fn of(run: &Value) -> Result<Self, String> {
        let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
        if !run["metrics"].is_object() || run["policies"].is_array() {
            return Err("there is a sheet of training runs only".to_owned());
        }
        let recorded = compare::is_recorded(run);
        let title = match text("title") {
            title if title.is_empty() => text("scenario"),
            title => title,
        };
        let subject = [("model", "model"), ("cluster", "cluster"), ("layout", "layout")];
        let subject = subject.map(|(name, key)| (name, text(key)));
        let capacity = run["memory"]["capacity"].as_f64().unwrap_or(0.0);
        Ok(Self {
            title,
            memo: String::new(),
            subject: subject
                .into_iter()
                .filter(|(_, words)| !words.is_empty())
                .collect(),
            verdict: text("verdict"),
            waiting: WaitedFor::of(run).map_or_else(String::new, |waited| waited.sentence()),
            partial: run["partial"].as_str().map(str::to_owned),
            recorded,
            figures: read::figures(run, capacity),
            causes: read::causes(run),
            memory: read::memory(run),
            capacity,
            expected: read::expected(run),
            provenance: read::provenance(run),
            origin: read::origin(run, recorded),
            assumptions: read::assumptions(run),
            ..Self::default()
        })
    }

    /// The same with `tornado`, which was estimated in closed form or simulated.
    #[must_use]
    pub fn with_tornado(mut self, tornado: &Tornado, estimated: bool) -> Self {
        let step = tornado.step.as_secs();
        let change = |time: SimDuration| time.as_secs() / step - 1.0;
        let swings = tornado.resources.iter().map(|entry| Swing {
            label: entry.resource.title().to_owned(),
            more: change(entry.more),
            less: change(entry.less),
        });
        self.swings = swings.collect();
        let how = if estimated {
            "estimated in closed form"
        } else {
            "simulated"
        };
        self.swings_note =
            format!("change of the step with 10 % more and with 10 % less of a resource, {how}");
        for (resource, why) in &tornado.left_out {
            self.swings_note += &format!("; not {}: {why}", resource.title());
        }
        self
    }

    /// The sheet as a page that opens anywhere and prints on one side or two.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The sheet as rows `section,name,value,unit,low,high,shown`.
    #[must_use]
    pub fn csv(&self) -> String {
        csv::rows(self)
    }

    /// Writes the sheet to `path`, whose ending says how: html, csv, svg or png.
    ///
    /// # Errors
    /// When the ending is another one, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("html") => crate::files::write(path, self.html().as_bytes()),
            Some("csv") => crate::files::write(path, self.csv().as_bytes()),
            Some("svg" | "png") => crate::picture::draw(&picture::Page(self), path),
            _ => Err(format!(
                "a sheet is HTML, CSV, SVG or PNG\n  = help: end the name in `.html`, `.csv`, `.svg` or `.png`: {}",
                path.display()
            )),
        }
    }

    /// What the texts below figures are; none where no figure has an interval.
    #[must_use]
    pub fn interval_note(&self) -> Option<&'static str> {
        let any = self.figures.iter().any(|figure| !figure.interval.is_empty());
        any.then_some("Below a figure: its 80 % interval.")
    }

    /// What the line in the bars of memory is; none where nobody knows the memory of a device.
    #[must_use]
    pub fn capacity_note(&self) -> Option<String> {
        let bytes = (self.capacity > 0.0).then(|| Bytes::from_f64(self.capacity))?;
        Some(format!("the line is the memory of a device, {bytes}"))
    }

    /// Why the figures cover a part of the run only, as a sentence.
    #[must_use]
    pub fn partial_note(&self) -> Option<String> {
        let why = self.partial.as_ref()?;
        Some(format!("Partial results: {why}"))
    }

    /// The heading of what was filled in.
    #[must_use]
    pub fn assumptions_title(&self) -> String {
        match self.assumptions.len() {
            1 => "1 key that the scenario did not say".to_owned(),
            many => format!("{many} keys that the scenario did not say"),
        }
    }

    /// What the figures are: read off devices, or made by a model.
    #[must_use]
    pub const fn mark(&self) -> &'static str {
        if self.recorded {
            "recorded, not simulated"
        } else {
            "simulated, not measured"
        }
    }
}
