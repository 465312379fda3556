//! `baseline save`, `update` and `show`.

use std::path::{Path, PathBuf};

use crate::baseline::Baseline;
use crate::exit::Exit;
use crate::files;

use super::{Console, Failure, Format};

/// The baseline of a stored run, and where it belongs.
fn of_run(run: &Path, wanted: Option<&Path>) -> anyhow::Result<(Baseline, PathBuf)> {
    let (file, value) = files::read_run(run).map_err(Failure::missing)?;
    let baseline = Baseline::of_stored_run(&value)
        .ok_or_else(|| Failure::invalid(format!("not a complete stored run: {}", file.display())))?;
    let scenario = value["file"].as_str().unwrap_or_default();
    let path = wanted.map_or_else(
        || files::baseline_path(scenario, &baseline.scenario),
        Path::to_owned,
    );
    Ok((baseline, path))
}

fn load(path: &Path) -> anyhow::Result<Baseline> {
    let text = files::read(path).map_err(Failure::missing)?;
    Baseline::from_json(&text)
        .map_err(|fault| Failure::invalid(format!("not a baseline: {fault}: {}", path.display())))
}

/// Stores the metrics of a run.
pub(crate) fn save(run: &Path, wanted: Option<&Path>, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let (baseline, path) = of_run(run, wanted)?;
    files::write(&path, baseline.to_json().as_bytes()).map_err(Failure::missing)?;
    let count = baseline.metrics.len();
    writeln!(console.out, "saved {count} metrics: {}", path.display())?;
    Ok(Exit::Success)
}

/// Rewrites the entries that moved, and says old and new.
pub(crate) fn update(run: &Path, wanted: Option<&Path>, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let (new, path) = of_run(run, wanted)?;
    let old = load(&path)?;
    let changes = old.changes(&new);
    if changes.is_empty() {
        writeln!(
            console.out,
            "nothing moved by more than 0.5 %: {}",
            path.display()
        )?;
        return Ok(Exit::Success);
    }
    for change in &changes {
        let old = change
            .old
            .map_or_else(|| "none".to_owned(), |old| old.to_string());
        writeln!(console.out, "{}: {old} -> {}", change.key, change.new)?;
    }
    for (what, before, after) in [
        ("scenario hash", &old.hash, &new.hash),
        ("profile", &old.profile, &new.profile),
        ("version", &old.version, &new.version),
    ] {
        if before != after {
            writeln!(console.out, "the {what} changed: {before} -> {after}")?;
        }
    }
    let updated = old.updated(&changes, &new);
    files::write(&path, updated.to_json().as_bytes()).map_err(Failure::missing)?;
    writeln!(
        console.out,
        "updated {} metrics: {}",
        changes.len(),
        path.display()
    )?;
    Ok(Exit::Success)
}

/// Prints a baseline.
pub(crate) fn show(file: &Path, format: Format, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let baseline = load(file)?;
    if matches!(format, Format::Json | Format::Jsonl) {
        write!(console.out, "{}", baseline.to_json())?;
        return Ok(Exit::Success);
    }
    writeln!(
        console.out,
        "{}, seed {}, profile {}, orrery {}",
        baseline.scenario, baseline.seed, baseline.profile, baseline.version
    )?;
    for (key, value) in &baseline.metrics {
        writeln!(console.out, "  {key:<60} {value}")?;
    }
    Ok(Exit::Success)
}
