//! `check`: parse and validate scenarios, run nothing.

use crate::exit::Exit;
use crate::{files, pipeline};
use orrery_scenario::{Diagnostic, Loaded};
use serde_json::json;

use super::output::print_values;
use super::{Console, Failure, Format, ScenarioArgs};

/// Checks every scenario and says every fault.
pub(crate) fn check(args: &ScenarioArgs, format: Format, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let mut faults: Vec<Diagnostic> = Vec::new();
    let mut valid = Vec::new();
    for file in &args.scenarios {
        let text = files::read_scenario(file).map_err(Failure::invalid)?;
        match pipeline::load_any(file, &text, &args.set) {
            Ok(Loaded::Training(plan)) => valid.push(format!("{file}: valid, {} ranks", plan.layout.world())),
            Ok(Loaded::Balancing(plan)) => {
                valid.push(format!("{file}: valid, {} policies", plan.policies().len()));
            }
            Err(found) => faults.extend(found),
        }
    }
    let text = match format {
        Format::Github => faults.iter().map(annotation).collect(),
        _ => {
            let values: Vec<_> = faults.iter().map(value).collect();
            print_values(&values, format, || {
                valid.iter().map(|line| format!("{line}\n")).collect()
            })
        }
    };
    write!(console.out, "{text}")?;
    if faults.is_empty() {
        return Ok(Exit::Success);
    }
    if format == Format::Human {
        writeln!(console.err, "{}", orrery_scenario::render(&faults).trim_end())?;
    }
    Ok(Exit::Invalid)
}

fn value(fault: &Diagnostic) -> serde_json::Value {
    json!({
        "code": fault.code, "file": fault.file, "line": fault.line, "column": fault.column,
        "message": fault.message, "label": fault.label, "notes": fault.notes, "help": fault.help,
    })
}

fn annotation(fault: &Diagnostic) -> String {
    let help = fault
        .help
        .as_ref()
        .map_or_else(String::new, |help| format!("%0A{help}"));
    format!(
        "::error file={},line={},col={},title={}::{}{help}\n",
        fault.file,
        fault.line,
        fault.column,
        fault.code,
        fault.message.replace('%', "%25").replace('\n', "%0A")
    )
}
