//! The recipe of a shipped set: what is fitted to, and what its intervals rest on.

use orrery_profile::TuningSet;

use super::{LeaveOut, Step, fit, held_out, spread};

/// The parameters that bring `steps` closest to their measurements, with the spread of what nothing was fitted to: of
/// groups of model, device and stack among the complete rows (tier A), left out in five folds.
#[must_use]
pub fn fitted(steps: &[Step], notes: Vec<String>) -> TuningSet {
    let all: Vec<&Step> = steps.iter().collect();
    let mut set = fit(&all);
    set.notes = notes;
    let complete: Vec<Step> = steps
        .iter()
        .filter(|step| step.fact("tier") == "A")
        .cloned()
        .collect();
    let unseen = held_out(&complete, LeaveOut::Folds(5));
    for has_experts in [false, true] {
        let mine = complete
            .iter()
            .zip(&unseen)
            .filter(|(step, _)| step.has_experts() == has_experts);
        let errors: Vec<f64> = mine
            .map(|(step, seconds)| (seconds / step.measured).ln())
            .collect();
        let name = TuningSet::spread_name(TuningSet::UNSEEN, has_experts);
        set.spreads.extend(spread(&errors).map(|spread| (name, spread)));
    }
    set
}
