//! Steps predicted by parameters that were fitted without them.

use std::collections::BTreeSet;

use super::{Step, fit};
use crate::pipeline;

/// What is left out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOut {
    /// Groups of model, device and stack, dealt into so many folds.
    Folds(u32),
    /// One model at a time.
    Model,
    /// One source at a time.
    Source,
    /// One generation of devices at a time.
    Generation,
}

impl LeaveOut {
    fn key(self, step: &Step) -> String {
        let facts: &[&str] = match self {
            Self::Folds(_) => &["model", "gpu", "stack"],
            Self::Model => &["model"],
            Self::Source => &["source"],
            Self::Generation => &["generation"],
        };
        facts
            .iter()
            .map(|fact| step.fact(fact))
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

/// Seconds of every step by the closed form, with parameters fitted on the steps that are not left out with it.
///
/// Groups are dealt by a hash of their names, so that a new row moves no other.
#[must_use]
pub fn held_out(steps: &[Step], leave_out: LeaveOut) -> Vec<f64> {
    let keys: Vec<String> = steps.iter().map(|step| leave_out.key(step)).collect();
    let names: BTreeSet<&String> = keys.iter().collect();
    let fold = |key: &String| match leave_out {
        LeaveOut::Folds(count) => hash(key) % count.max(2),
        _ => u32::try_from(names.iter().position(|name| *name == key).unwrap_or(0)).unwrap_or(0),
    };
    let folds: Vec<u32> = keys.iter().map(fold).collect();
    let different: Vec<u32> = folds
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let count = u32::try_from(different.len()).unwrap_or(u32::MAX);
    let answers = pipeline::in_parallel(count, |at| {
        let mine = different[at as usize];
        let rest: Vec<&Step> = steps
            .iter()
            .zip(&folds)
            .filter(|(_, fold)| **fold != mine)
            .map(|(step, _)| step)
            .collect();
        let set = fit(&rest);
        let held = steps.iter().enumerate().filter(|(at, _)| folds[*at] == mine);
        held.map(|(at, step)| (at, step.parts.step(&step.tuning(&set)).step))
            .collect::<Vec<_>>()
    });
    let mut seconds = vec![0.0; steps.len()];
    for (at, answer) in answers.into_iter().flatten() {
        seconds[at] = answer;
    }
    seconds
}

/// FNV-1a, 32 bits: deals groups into folds.
pub(super) fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
