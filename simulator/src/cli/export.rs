//! `export`: a stored run in the formats of other programs.

use std::path::Path;

use crate::exit::Exit;
use crate::files;
use serde_json::{Value, json};

use super::output::print_values;
use super::{Console, ExportKind, Failure, Format};

/// Writes the run to `output`, or to standard output.
pub(crate) fn export(
    run: &Path,
    kind: ExportKind,
    output: Option<&Path>,
    console: &mut Console<'_>,
) -> anyhow::Result<Exit> {
    let (file, value) = files::read_run(run).map_err(Failure::missing)?;
    let text = match kind {
        ExportKind::Chrome => trace(&file)?,
        ExportKind::Csv => print_values(&metrics(&value), Format::Csv, String::new),
        ExportKind::Benchmark => format!("{:#}\n", Value::from(benchmark(&value))),
    };
    match output {
        Some(path) => files::write(path, text.as_bytes()).map_err(Failure::missing)?,
        None => write!(console.out, "{text}")?,
    }
    Ok(Exit::Success)
}

fn trace(file: &Path) -> anyhow::Result<String> {
    let trace = file.with_file_name("trace.json");
    files::read(&trace).map_err(|fault| {
        Failure::missing(format!(
            "{fault}\n  = help: run the scenario again with `--write trace`"
        ))
    })
}

fn metrics(run: &Value) -> Vec<Value> {
    let metrics = run["metrics"].as_object().into_iter().flatten();
    metrics
        .map(|(key, value)| {
            let interval = &run["intervals"][key];
            json!({
                "metric": key, "value": value, "low": bound(&interval[0]), "high": bound(&interval[1]),
            })
        })
        .collect()
}

/// A missing bound is an empty cell.
fn bound(value: &Value) -> Value {
    if value.is_null() { json!("") } else { value.clone() }
}

fn benchmark(run: &Value) -> Vec<Value> {
    let metrics = run["metrics"].as_object().into_iter().flatten();
    metrics
        .filter(|(key, _)| key.starts_with("train.") && key.ends_with(".mean"))
        .map(|(key, value)| {
            let name = key.trim_end_matches(".mean");
            let name = name.split('{').next().unwrap_or(name);
            let unit = orrery_timeline::find_metric(name).map_or("", |metric| metric.unit);
            json!({"name": key, "unit": unit, "value": value})
        })
        .collect()
}
