//! `export`: a stored run in the formats of other programs.

use std::io;
use std::path::Path;

use crate::exit::Exit;
use crate::files;
use orrery_timeline::{Timeline, read_chrome_trace};
use orrery_trace::kineto::{Ranks, write_rank};
use orrery_trace::{write_perfetto, write_spans};
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
    let bytes = match kind {
        ExportKind::Chrome => trace(&file)?.into_bytes(),
        ExportKind::Perfetto => written(&file, write_perfetto)?,
        ExportKind::Parquet => written(&file, write_spans)?,
        ExportKind::Kineto => return kineto(&file, output, console),
        ExportKind::Csv => print_values(&metrics(&value), Format::Csv, String::new).into_bytes(),
        ExportKind::Benchmark => format!("{:#}\n", Value::from(benchmark(&value))).into_bytes(),
    };
    match output {
        Some(path) => files::write(path, &bytes).map_err(Failure::missing)?,
        None => console.out.write_all(&bytes)?,
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

/// The timeline of the run whose `run.json` is `file`.
fn timeline(file: &Path) -> anyhow::Result<Timeline> {
    read_chrome_trace(&trace(file)?).map_err(|fault| {
        let path = file.with_file_name("trace.json");
        Failure::missing(format!("{fault}: {}", path.display()))
    })
}

/// The timeline of the run, as `write` writes it.
fn written(
    file: &Path,
    write: impl Fn(&Timeline, &mut Vec<u8>) -> io::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(&timeline(file)?, &mut bytes)?;
    Ok(bytes)
}

/// A file for each rank in the folder `output`.
fn kineto(file: &Path, output: Option<&Path>, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(folder) = output else {
        return Err(Failure::invalid(
            "traces of ranks are a file each\n  = help: name a folder for them with `-o`",
        ));
    };
    let timeline = timeline(file)?;
    let ranks = Ranks::of(&timeline);
    for number in ranks.numbers() {
        let path = folder.join(format!("rank-{number}.json"));
        files::write_with(&path, |out| write_rank(&ranks, number, out)).map_err(Failure::missing)?;
        writeln!(console.err, "wrote {}", path.display())?;
    }
    Ok(Exit::Success)
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
