//! The decision sheet of a run: one page that says what was asked, what came out, what limits it, what it costs, and what
//! it rests on. It is made of a `result/1` object, so that a stored run of somebody else has one too.

mod csv;
mod html;
mod picture;

use std::path::Path;

use orrery_report::{WaitedFor, render};
use orrery_timeline::find_metric;
use orrery_units::{Bytes, Evidence, SimDuration, significant, with_si_prefix};
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

/// Figures of every sheet, as far as a run has them: what they are called, and their metrics.
const FIGURES: [(&str, &str); 11] = [
    ("step", "train.step_time.mean"),
    ("step, p95", "train.step_time.p95"),
    ("tokens/s", "train.tokens_per_s.mean"),
    ("tokens/s/GPU", "train.tokens_per_gpu_s.mean"),
    ("MFU", "train.mfu.mean"),
    ("pipeline bubble", "train.bubble_ratio.mean"),
    ("exposed communication", "train.exposed_comm_ratio.mean"),
    ("peak memory, worst rank", "mem.hbm_peak.max"),
    ("cost per million tokens", "cost.per_mtok.mean"),
    ("cost per day", "cost.per_day.mean"),
    ("power per node", "power.node.mean"),
];

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
        let mut figures = device_figures(run);
        figures.extend(FIGURES.iter().filter_map(|(label, key)| figure(run, label, key)));
        figures.extend(headroom(run, capacity));
        figures.extend(days(run));
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
            figures,
            causes: causes(run),
            memory: memory(run),
            capacity,
            expected: expected(run),
            provenance: provenance(run),
            origin: origin(run, recorded),
            assumptions: assumptions(run),
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

fn figure(run: &Value, label: &str, key: &str) -> Option<Figure> {
    let value = run["metrics"][key].as_f64()?;
    let metric = find_metric(key.rsplit_once('.')?.0)?;
    let interval = run["intervals"][key].as_array();
    let interval = interval.and_then(|ends| Some((ends.first()?.as_f64()?, ends.get(1)?.as_f64()?)));
    let currency = compare::currency(run);
    let show = |value| render::figure(key, value, currency).unwrap_or_default();
    Some(Figure {
        label: label.to_owned(),
        shown: show(value),
        interval: interval.map_or_else(String::new, |(low, high)| {
            format!("{} … {}", show(low), show(high))
        }),
        value: Some((value, interval)),
        unit: match metric.unit {
            "currency" => currency.to_owned(),
            unit => unit.to_owned(),
        },
    })
}

fn plain(label: &str, shown: String, value: f64, unit: &str) -> Figure {
    Figure {
        label: label.to_owned(),
        shown,
        interval: String::new(),
        value: Some((value, None)),
        unit: unit.to_owned(),
    }
}

/// Devices and the most that they draw together.
fn device_figures(run: &Value) -> Vec<Figure> {
    let device = &run["device"];
    let Some(count) = device["count"].as_f64().filter(|count| *count > 0.0) else {
        return Vec::new();
    };
    let name = device["name"].as_str().unwrap_or_default();
    let mut figures = vec![plain("GPUs", format!("{count} x {name}"), count, "")];
    if let Some(watts) = device["power_limit_w"].as_f64() {
        let all = watts * count;
        figures.push(plain(
            "power limit of all GPUs",
            with_si_prefix(all, "W"),
            all,
            "W",
        ));
    }
    figures
}

fn headroom(run: &Value, capacity: f64) -> Option<Figure> {
    let peak = run["metrics"]["mem.hbm_peak.max"]
        .as_f64()
        .filter(|_| capacity > 0.0)?;
    let room = capacity - peak;
    let shown = if room < 0.0 {
        format!("{} too much", Bytes::from_f64(-room))
    } else {
        let share = significant(room / capacity * 100.0, 3);
        format!("{} ({share} %)", Bytes::from_f64(room))
    };
    Some(plain("memory headroom", shown, room, "B"))
}

/// Days for a trillion tokens at the mean rate.
fn days(run: &Value) -> Option<Figure> {
    let rate = run["metrics"]["train.tokens_per_s.mean"].as_f64()?;
    let days = 1e12 / rate / 86_400.0;
    let shown = format!("{} days", significant(days, 3));
    Some(plain("time for 1 T tokens", shown, days * 86_400.0, "s"))
}

fn causes(run: &Value) -> Vec<Part> {
    let Ok(waterfall) = compare::waterfall(run) else {
        return Vec::new();
    };
    let step = waterfall.step().as_secs();
    let mut parts: Vec<Part> = waterfall
        .bars()
        .map(|(cause, time)| Part {
            label: cause.title().to_owned(),
            value: time.as_secs(),
            shown: time.to_string(),
            share: time.as_secs() / step,
        })
        .filter(|part| part.value > 0.0)
        .collect();
    parts.sort_by(|a, b| b.value.total_cmp(&a.value));
    parts
}

fn memory(run: &Value) -> Vec<Stage> {
    let stages = run["memory"]["stages"].as_array().into_iter().flatten();
    stages
        .map(|stage| {
            let bytes = stage["bytes"].as_f64().unwrap_or(0.0);
            let causes = stage["by_cause"].as_object().into_iter().flatten();
            let mut parts: Vec<Part> = causes
                .filter_map(|(cause, value)| {
                    let value = value.as_f64().filter(|value| *value > 0.0)?;
                    Some(Part {
                        label: cause.clone(),
                        value,
                        shown: Bytes::from_f64(value).to_string(),
                        share: value / bytes,
                    })
                })
                .collect();
            parts.sort_by(|a, b| b.value.total_cmp(&a.value));
            let label = match &stage["stage"] {
                Value::String(name) => name.clone(),
                number => format!("stage {number}"),
            };
            Stage { label, parts, bytes }
        })
        .collect()
}

fn expected(run: &Value) -> Vec<Expected> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = run["checks"].as_array().into_iter().flatten();
    checks
        .map(|check| Expected {
            id: text(&check["id"]),
            check: text(&check["check"]),
            pass: check["pass"].as_bool().unwrap_or(false),
        })
        .collect()
}

fn provenance(run: &Value) -> Vec<(String, f64)> {
    let share = |evidence: &Evidence| {
        Some((
            evidence.name().to_owned(),
            run["provenance"][evidence.name()].as_f64()?,
        ))
    };
    Evidence::ALL.iter().filter_map(share).collect()
}

fn origin(run: &Value, recorded: bool) -> Vec<(&'static str, String)> {
    let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![(if recorded { "recording" } else { "scenario" }, text("scenario"))];
    if !recorded {
        lines.push(("hash", text("hash").chars().take(12).collect()));
        lines.push(("seed", run["seed"].to_string()));
        lines.push(("profile", text("profile")));
    }
    lines.push(("orrery", text("version")));
    let sources = run["profile_sources"].as_array().into_iter().flatten();
    lines.extend(sources.filter_map(|source| Some(("source", source.as_str()?.to_owned()))));
    lines.retain(|(_, words)| !words.is_empty());
    lines
}

fn assumptions(run: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = run["assumptions"].as_array().into_iter().flatten();
    all.map(|one| ["key", "value", "reason"].map(|key| text(&one[key])))
        .collect()
}
