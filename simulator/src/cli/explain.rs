//! `explain`: a code of an error, or the defaults of a stored run.

use std::path::Path;

use crate::exit::Exit;
use crate::files;

use super::{Console, Failure};

/// Explains `what`.
pub(crate) fn explain(what: &str, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    if let Some(text) = orrery_scenario::explain(what) {
        writeln!(console.out, "{}", text.trim_end())?;
        return Ok(Exit::Success);
    }
    let path = Path::new(what);
    if !path.exists() {
        return Err(Failure::with(
            Exit::NothingMatched,
            format!("`{what}` is neither a code nor a stored run\n  = help: codes look like S014"),
        ));
    }
    let (_, run) = files::read_run(path).map_err(Failure::missing)?;
    let none = Vec::new();
    let assumptions = run["assumptions"].as_array().unwrap_or(&none);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(console.out, "{} keys were filled in:", assumptions.len())?;
    for assumption in assumptions {
        writeln!(
            console.out,
            "  {} = {}\n      {}",
            text(&assumption["key"]),
            text(&assumption["value"]),
            text(&assumption["reason"])
        )?;
    }
    Ok(Exit::Success)
}
