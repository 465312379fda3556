//! A variant, never the default: what one factor per release of a stack would still explain.

use std::collections::{BTreeMap, BTreeSet};

use super::super::summary::median;
use super::case::StepCase;

/// Models that a factor must rest on.
const MODELS: usize = 2;

/// A factor on every step of one release.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReleaseFactor {
    /// The stack and its release.
    pub(super) release: String,
    /// Measured over predicted, the median.
    pub(super) factor: f64,
    /// Rows that it rests on.
    pub(super) rows: usize,
    /// Models among them.
    pub(super) models: usize,
}

/// The factors of the releases of `cases` that rest on two models or more.
///
/// Worked: two models measured at 1.21 and 1.00 of their predictions: 1.1.
pub(super) fn factors(cases: &[&StepCase]) -> Vec<ReleaseFactor> {
    let mut releases: BTreeMap<&str, Vec<&StepCase>> = BTreeMap::new();
    for case in cases.iter().filter(|case| !case.release.is_empty()) {
        releases.entry(&case.release).or_default().push(case);
    }
    let factor = |(release, mine): (&str, Vec<&StepCase>)| {
        let models: BTreeSet<&str> = mine.iter().map(|case| case.model.as_str()).collect();
        (models.len() >= MODELS).then(|| ReleaseFactor {
            release: release.to_owned(),
            factor: middle(&mine),
            rows: mine.len(),
            models: models.len(),
        })
    };
    releases.into_iter().filter_map(factor).collect()
}

/// The median of measured over predicted, as logarithms: a release whose rows scatter is not moved by the worst of them.
fn middle(cases: &[&StepCase]) -> f64 {
    let logs: Vec<f64> = cases
        .iter()
        .map(|case| (case.compared.measured / case.compared.predicted).ln())
        .collect();
    median(&logs).exp()
}

/// The case as the factor of its release has it; as it was without one.
pub(super) fn with_factor(case: &StepCase, factors: &[ReleaseFactor]) -> StepCase {
    let found = factors.iter().find(|factor| factor.release == case.release);
    let factor = found.map_or(1.0, |factor| factor.factor);
    let mut case = case.clone();
    case.compared.predicted *= factor;
    case.compared.low *= factor;
    case.compared.high *= factor;
    case
}

#[cfg(test)]
mod tests {
    use super::super::case::by_hand::case;
    use super::*;

    fn of_release(release: &str, model: &str, measured: f64) -> StepCase {
        let mut case = case(model, "x", measured, 1.0);
        case.release = release.to_owned();
        case
    }

    #[test]
    fn worked_factor_and_what_has_none() {
        let cases = [
            of_release("nemo 25.02", "a", 1.21),
            of_release("nemo 25.02", "b", 1.0),
            of_release("nemo 25.04", "a", 2.0),
            of_release("nemo 25.04", "a", 2.0),
            of_release("", "c", 3.0),
        ];
        let all: Vec<&StepCase> = cases.iter().collect();
        let factors = factors(&all);
        assert_eq!(factors.len(), 1, "one release rests on two models: {factors:?}");
        assert!((factors[0].factor - 1.1).abs() < 1e-12);
        assert_eq!((factors[0].rows, factors[0].models), (2, 2));
        let predicted = |at: usize| with_factor(&cases[at], &factors).compared.predicted;
        assert!((predicted(0) - 1.1).abs() < 1e-12);
        assert!(
            (predicted(2) - 1.0).abs() < 1e-12,
            "that release keeps its prediction"
        );
    }
}
