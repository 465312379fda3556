//! Changes followed to where they lead: a text is loaded before it is offered.

use std::collections::VecDeque;

use super::{Fix, proposed};
use crate::Diagnostic;
use crate::load::load_any;
use crate::source::LoadContext;

/// Texts that are loaded at most.
const MOST_LOADS: usize = 32;
/// Changes that are made together at most.
const MOST_CHANGES: usize = 3;

/// A text on the way, and how many changes made it.
struct Step {
    fix: Fix,
    changes: usize,
}

/// The changes that mend `fault` of `text` and bring up no other; where none was found, those that it proposes, with what
/// they lead to. Texts of fewer changes come first.
pub(super) fn to_the_end(text: &str, fault: &Diagnostic, context: &LoadContext<'_>) -> Vec<Fix> {
    let known = faults_of(&fault.file, text, context);
    let first = |fix| Step { fix, changes: 1 };
    let mut steps: VecDeque<Step> = proposed(text, fault).into_iter().map(first).collect();
    let (mut sound, mut unsound): (Vec<Fix>, Vec<Fix>) = (Vec::new(), Vec::new());
    let mut loads = 0;
    while let Some(Step { mut fix, changes }) = steps.pop_front() {
        if loads == MOST_LOADS {
            break;
        }
        loads += 1;
        let left = faults_of(&fault.file, &fix.text, context);
        let is_new = |left: &&Diagnostic| !known.iter().any(|known| is_like(known, left));
        let Some(next) = left.iter().find(is_new) else {
            if !sound.iter().any(|other| other.text == fix.text) {
                sound.push(fix);
            }
            continue;
        };
        if changes < MOST_CHANGES {
            let further = proposed(&fix.text, next).into_iter().map(|more| Step {
                fix: Fix::new(format!("{}, {}", fix.title, more.title), more.text),
                changes: changes + 1,
            });
            steps.extend(further);
        }
        if changes == 1 {
            fix.leads_to = Some(next.message.clone());
            unsound.push(fix);
        }
    }
    if sound.is_empty() { unsound } else { sound }
}

fn faults_of(file: &str, text: &str, context: &LoadContext<'_>) -> Vec<Diagnostic> {
    load_any(file, text, context).err().unwrap_or_default()
}

/// Whether both say the same, wherever they stand.
fn is_like(one: &Diagnostic, other: &Diagnostic) -> bool {
    one.code == other.code && one.message == other.message
}
