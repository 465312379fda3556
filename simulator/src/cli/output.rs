//! Formats of standard output and looks of files.

use clap::ValueEnum;
use orrery_report::{BalancingReport, Judged, Report, render};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    Human,
    /// One `result/1` object, an array for several scenarios.
    Json,
    /// One `result/1` object a line.
    Jsonl,
    /// One line per metric.
    Csv,
    /// Annotations for GitHub Actions.
    Github,
}

/// A file beside run.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Look {
    /// report.html, one page without any other file.
    Html,
    /// junit.xml, a case per expectation.
    Junit,
    /// trace.json, for ui.perfetto.dev and chrome://tracing.
    Trace,
    /// trace.pftrace, for ui.perfetto.dev: smaller, with units of counters.
    Perfetto,
    /// run.json, which is always written.
    Json,
    /// metrics.csv, one line per metric.
    Csv,
    /// links.csv and traffic.csv, every link and every pair of ranks, where transfers share links.
    Network,
}

/// The report of a run, of whatever kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ran<'a> {
    /// Of a training step, simulated or recorded.
    Step(&'a Report),
    /// Of policies over time.
    Balancing(&'a BalancingReport),
}

impl<'a> From<&'a Report> for Ran<'a> {
    fn from(report: &'a Report) -> Self {
        Self::Step(report)
    }
}

impl<'a> From<&'a BalancingReport> for Ran<'a> {
    fn from(report: &'a BalancingReport) -> Self {
        Self::Balancing(report)
    }
}

impl<'a> From<Ran<'a>> for Judged<'a> {
    fn from(ran: Ran<'a>) -> Self {
        match ran {
            Ran::Step(report) => report.into(),
            Ran::Balancing(report) => report.into(),
        }
    }
}

impl Ran<'_> {
    fn text(self) -> String {
        match self {
            Self::Step(report) => render::text(report),
            Self::Balancing(report) => render::balancing_text(report),
        }
    }

    fn json(self) -> serde_json::Value {
        match self {
            Self::Step(report) => render::json(report),
            Self::Balancing(report) => render::balancing_json(report),
        }
    }

    /// Whether any of its expectations fails the run.
    pub(crate) fn failed(self) -> bool {
        match self {
            Self::Step(report) => report.failed(),
            Self::Balancing(report) => report.failed(),
        }
    }

    /// Whether it ended early.
    pub(crate) const fn is_partial(self) -> bool {
        match self {
            Self::Step(report) => report.partial.is_some(),
            Self::Balancing(report) => report.partial.is_some(),
        }
    }
}

/// `reports` as `format` wants them.
pub(crate) fn print(reports: &[Ran<'_>], format: Format) -> String {
    match format {
        Format::Human => {
            let texts: Vec<String> = reports.iter().map(|report| report.text()).collect();
            texts.join("\n")
        }
        Format::Json => match reports {
            [report] => format!("{:#}\n", report.json()),
            _ => {
                let all: serde_json::Value = reports.iter().map(|report| report.json()).collect();
                format!("{all:#}\n")
            }
        },
        Format::Jsonl => reports
            .iter()
            .map(|report| format!("{}\n", report.json()))
            .collect(),
        Format::Csv => render::csv(reports.iter().copied()),
        Format::Github => render::github(reports.iter().copied()),
    }
}

/// Prints a list of objects as `format` wants it; `human` makes the text for people.
pub(crate) fn print_values(
    values: &[serde_json::Value],
    format: Format,
    human: impl Fn() -> String,
) -> String {
    match format {
        Format::Human | Format::Github => human(),
        Format::Json => format!("{:#}\n", serde_json::Value::from(values.to_vec())),
        Format::Jsonl => values.iter().map(|value| format!("{value}\n")).collect(),
        Format::Csv => csv(values),
    }
}

fn csv(values: &[serde_json::Value]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
            parts.join(" ")
        }
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    if let Some(header) = values.first().and_then(|value| value.as_object()) {
        writer
            .write_record(header.keys())
            .expect("writing to memory cannot fail");
    }
    for value in values.iter().filter_map(|value| value.as_object()) {
        writer
            .write_record(value.values().map(cell))
            .expect("writing to memory cannot fail");
    }
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("the fields are text")
}
