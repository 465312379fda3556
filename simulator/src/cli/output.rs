//! Formats of standard output and looks of files.

use clap::ValueEnum;
use orrery_report::{BalancingReport, Report, render};

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

/// `reports` as `format` wants them.
pub(crate) fn print(reports: &[&Report], format: Format) -> String {
    match format {
        Format::Human => {
            let texts: Vec<String> = reports.iter().map(|report| render::text(report)).collect();
            texts.join("\n")
        }
        Format::Json => match reports {
            [report] => render::json_text(report),
            _ => {
                let all: serde_json::Value = reports.iter().map(|report| render::json(report)).collect();
                format!("{all:#}\n")
            }
        },
        Format::Jsonl => reports
            .iter()
            .map(|report| format!("{}\n", render::json(report)))
            .collect(),
        Format::Csv => render::csv(reports),
        Format::Github => render::github(reports),
    }
}

/// `reports` of training and of balancing as `format` wants them, those of training first.
pub(crate) fn print_with_balancing(
    reports: &[&Report],
    balancing: &[BalancingReport],
    format: Format,
) -> String {
    let values = || -> Vec<serde_json::Value> {
        let training = reports.iter().map(|report| render::json(report));
        training
            .chain(balancing.iter().map(render::balancing_json))
            .collect()
    };
    match format {
        Format::Human => {
            let training = reports.iter().map(|report| render::text(report));
            let texts: Vec<String> = training
                .chain(balancing.iter().map(render::balancing_text))
                .collect();
            texts.join("\n")
        }
        Format::Json => match values().as_slice() {
            [one] => format!("{one:#}\n"),
            all => format!("{:#}\n", serde_json::Value::from(all.to_vec())),
        },
        Format::Jsonl => values().iter().map(|value| format!("{value}\n")).collect(),
        Format::Csv => {
            let tables: Vec<String> = balancing.iter().map(super::balancing::csv).collect();
            format!(
                "{}{}",
                if reports.is_empty() {
                    String::new()
                } else {
                    render::csv(reports)
                },
                tables.join("")
            )
        }
        Format::Github => {
            let failed = balancing
                .iter()
                .flat_map(|report| &report.checks)
                .filter(|check| check.failed());
            let lines = failed.map(|check| {
                format!(
                    "::error file={},line={},title={}::{} {}\n",
                    check.file,
                    check.line,
                    check.id,
                    check.text,
                    check.outcome()
                )
            });
            render::github(reports) + &lines.collect::<String>()
        }
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
