//! The `[expect]` tables of a file into expectations, all faults at once.

use super::lexer::Wrong;
use super::parser::parse;
use super::{Check, Expectation, Level};
use crate::diagnostics::{Fault, Faults};
use crate::document::{Files, Place};
use crate::raw::{Given, RawExpect};
use crate::source::MetricTable;

/// Every expectation, in the order of the file.
pub(crate) fn expectations(
    raw: &[RawExpect],
    metrics: &MetricTable,
    files: &Files,
    faults: &mut Faults,
) -> Vec<Expectation> {
    let parsed: Vec<Option<Check>> = raw
        .iter()
        .map(|entry| check(entry.check.as_ref()?, metrics, files, faults))
        .collect();
    let mut found = Vec::new();
    for (entry, check) in raw.iter().zip(&parsed) {
        let only_if = entry
            .only_if
            .as_ref()
            .and_then(|given| condition(given, raw, &parsed, metrics, files, faults));
        let (Some(check), Some(given)) = (check.clone(), &entry.check) else {
            continue;
        };
        let (file, text) = files.get(given.place.file);
        let start = given.place.span.start.min(text.len());
        found.push(Expectation {
            id: entry.id.clone(),
            check,
            text: given.value.clone(),
            level: match entry.level.as_ref().map(|level| level.value.as_str()) {
                Some("info") => Level::Info,
                Some("warn") => Level::Warn,
                _ => Level::Error,
            },
            why: entry
                .why
                .as_ref()
                .map_or_else(String::new, |why| why.value.clone()),
            only_if,
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
        });
    }
    found
}

fn check(given: &Given<String>, metrics: &MetricTable, files: &Files, faults: &mut Faults) -> Option<Check> {
    match parse(&given.value, metrics) {
        Ok(check) => Some(check),
        Err(wrong) => {
            faults.push(placed(wrong, given, files));
            None
        }
    }
}

/// A condition: the name of another expectation, or a check of its own.
fn condition(
    given: &Given<String>,
    raw: &[RawExpect],
    parsed: &[Option<Check>],
    metrics: &MetricTable,
    files: &Files,
    faults: &mut Faults,
) -> Option<Check> {
    if let Some(at) = raw.iter().position(|entry| entry.id == given.value) {
        return parsed[at].clone();
    }
    if given.value.contains(['<', '>', '=']) || given.value.contains(" in ") {
        return check(given, metrics, files, faults);
    }
    let names: Vec<&str> = raw.iter().map(|entry| entry.id.as_str()).collect();
    let fault = Fault::new("E005", &given.place, format!("no expectation `{}`", given.value));
    faults.push(
        fault
            .note(format!("expectations: {}", names.join(", ")))
            .help("name one of them, or write a check"),
    );
    None
}

/// The fault at its place in the file; a text without escapes stands there as it is, after its quote.
fn placed(wrong: Wrong, given: &Given<String>, files: &Files) -> Fault {
    let (_, text) = files.get(given.place.file);
    let span = &given.place.span;
    let plain = text.get(span.start + 1..span.start + 1 + given.value.len()) == Some(&given.value);
    let place = if plain {
        let start = span.start + 1;
        Place {
            file: given.place.file,
            span: start + wrong.span.start..start + wrong.span.end,
        }
    } else {
        given.place.clone()
    };
    let mut fault = Fault::new(wrong.code, &place, wrong.message);
    for note in wrong.notes {
        fault = fault.note(note);
    }
    match wrong.help {
        Some(help) => fault.help(help),
        None => fault,
    }
}
