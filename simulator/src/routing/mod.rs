//! Recorded loads of experts as scenarios: whether a balancer pays for what was recorded.

mod known;
mod scenario;
#[cfg(test)]
mod tests;

use std::path::Path;

use orrery_experts::record::{self, Part, RecordError, Recording};

use crate::files;

/// The recording in `path`: a table of counts or of routed tokens (CSV, also `.gz`; Parquet), or a dump of a serving stack.
///
/// # Errors
/// Why it cannot be read, or is none, with the path last.
pub fn read(path: &Path) -> Result<Recording, String> {
    let text = files::read_recording(path)?;
    let told = |fault: RecordError| format!("no recorded load of experts: {fault}: {}", path.display());
    record::read(&text).map_err(told)
}

/// Whether `path` holds a recorded load, as far as its beginning tells.
#[must_use]
pub fn is_recorded(path: &Path) -> bool {
    record::begins(&files::head_of_recording(path))
}

/// The name of `part` as names of phases are: small letters, digits and hyphens.
#[must_use]
pub fn phase_name(part: &str) -> String {
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_lowercase(),
        false => '-',
    };
    match part {
        "" => "recorded".to_owned(),
        part => part.chars().map(plain).collect(),
    }
}

/// A scenario that compares balancers on `recording`, which its text names by `path`: what the recording says is taken
/// from it, what it does not say is assumed and marked as yours to change.
///
/// # Errors
/// When no part of it has a layer of two experts or more.
pub fn scenario(recording: &Recording, path: &str) -> Result<String, String> {
    let groups = of_one_model(recording);
    let most = groups
        .iter()
        .max_by_key(|parts| parts.iter().map(|part| assignments(part)).sum::<u64>());
    let parts = most.ok_or_else(|| format!("nothing to balance: no layer of two experts or more: {path}"))?;
    let left_out = recording.parts.len() - parts.len();
    Ok(scenario::written(parts, left_out, path))
}

/// Parts by the layers and experts that they have: a file may hold loads of several models.
fn of_one_model(recording: &Recording) -> Vec<Vec<&Part>> {
    let mut groups: Vec<Vec<&Part>> = Vec::new();
    let shape = |part: &Part| (part.layer_numbers.len(), part.num_experts());
    for part in recording.parts.iter().filter(|part| part.num_experts() > 1) {
        match groups.iter_mut().find(|group| shape(group[0]) == shape(part)) {
            Some(group) => group.push(part),
            None => groups.push(vec![part]),
        }
    }
    groups
}

/// Assignments that were counted.
fn assignments(part: &Part) -> u64 {
    part.layers().iter().flatten().sum()
}
