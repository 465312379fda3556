//! `report`: a stored run, shown again.

use std::path::Path;

use crate::exit::Exit;
use crate::files;
use orrery_report::{State, quantity};
use orrery_timeline::find_metric;
use serde_json::{Value, json};

use super::output::print_values;
use super::{Console, Failure, Format};

/// Shows the run; to have shown it is a success, whatever it says.
pub(crate) fn report(run: &Path, format: Format, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let (_, value) = files::read_run(run).map_err(Failure::missing)?;
    let text = match format {
        Format::Json => format!("{value:#}\n"),
        Format::Jsonl => format!("{value}\n"),
        Format::Csv => print_values(&rows(&value), Format::Csv, String::new),
        Format::Human | Format::Github => human(&value),
    };
    write!(console.out, "{text}")?;
    Ok(Exit::Success)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn rows(run: &Value) -> Vec<Value> {
    let metrics = run["metrics"].as_object().into_iter().flatten();
    metrics
        .map(|(key, value)| json!({"metric": key, "value": value}))
        .collect()
}

/// The verdict, the means with their units, the step by state, and the checks.
fn human(run: &Value) -> String {
    let mut out = format!(
        "{}\n  scenario {}, seed {}, profile {}, orrery {}\n\n{}\n\n",
        text(run, "title"),
        text(run, "scenario"),
        run["seed"],
        text(run, "profile"),
        text(run, "version"),
        text(run, "verdict")
    );
    for (key, value) in run["metrics"].as_object().into_iter().flatten() {
        let Some(path) = key.strip_suffix(".mean") else {
            continue;
        };
        let unit = find_metric(path.split('{').next().unwrap_or(path)).map_or("", |metric| metric.unit);
        let value = quantity(value.as_f64().unwrap_or_default(), unit);
        out.push_str(&format!("  {path:<52} {value}\n"));
    }
    out.push_str("\nwhere the mean step goes\n");
    for state in State::ALL {
        let share = run["breakdown"][state.name()]["share"]
            .as_f64()
            .unwrap_or_default();
        if share > 0.0 {
            out.push_str(&format!("  {:<40} {:>6.2} %\n", state.title(), share * 100.0));
        }
    }
    for check in run["checks"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "{} {}  {}   {}\n",
            text(check, "verdict"),
            text(check, "id"),
            text(check, "check"),
            text(check, "at")
        ));
    }
    out
}
