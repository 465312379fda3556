//! Whether the fastest of several layouts is known: regret, and Kendall's rank correlation.

use std::collections::BTreeMap;

use super::super::summary::{mean, median};
use super::case::StepCase;

/// How layouts of one model on one machine were ranked, over all groups of two or more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ranking {
    /// Groups of layouts.
    pub(super) groups: usize,
    /// Layouts in them.
    pub(super) layouts: usize,
    /// Median of the regrets, a share.
    pub(super) regret_median: f64,
    /// Mean of them.
    pub(super) regret_mean: f64,
    /// Median of the rank correlations.
    pub(super) tau_median: f64,
    /// Mean of them.
    pub(super) tau_mean: f64,
}

/// The ranking of `cases`, which count in the contest that they share.
pub(super) fn ranking<'c>(cases: impl Iterator<Item = &'c StepCase>) -> Ranking {
    let mut contests: BTreeMap<&str, BTreeMap<&str, Vec<&StepCase>>> = BTreeMap::new();
    for case in cases {
        let layouts = contests.entry(&case.contest).or_default();
        layouts.entry(&case.layout).or_default().push(case);
    }
    let mut ranking = Ranking::default();
    let (mut regrets, mut taus) = (Vec::new(), Vec::new());
    for layouts in contests.values().filter(|layouts| layouts.len() > 1) {
        let times: Vec<(f64, f64)> = layouts.values().map(|same| times(same)).collect();
        ranking.groups += 1;
        ranking.layouts += times.len();
        regrets.push(regret(&times));
        taus.extend(kendall(&times));
    }
    Ranking {
        regret_median: median(&regrets),
        regret_mean: mean(&regrets),
        tau_median: median(&taus),
        tau_mean: mean(&taus),
        ..ranking
    }
}

/// Measured and predicted seconds of one layout, which may have been run more than once.
fn times(same: &[&StepCase]) -> (f64, f64) {
    let of = |seconds: fn(&StepCase) -> f64| {
        let all: Vec<f64> = same.iter().map(|case| seconds(case)).collect();
        mean(&all)
    };
    (
        of(|case| case.compared.measured),
        of(|case| case.compared.predicted),
    )
}

/// What it costs to run the layout that is predicted fastest: its measured time over the least measured, less one.
///
/// Worked: measured 1.0, 1.1 and 1.2 s, predicted 1.2, 1.0 and 1.4 s: the second is chosen, a regret of 10 %.
fn regret(times: &[(f64, f64)]) -> f64 {
    let chosen = times.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let best = times.iter().map(|(measured, _)| *measured).min_by(f64::total_cmp);
    match (chosen, best) {
        (Some((measured, _)), Some(best)) => measured / best - 1.0,
        _ => 0.0,
    }
}

/// Kendall's tau-b: pairs in the same order less those in the other, over the root of the pairs that measurement tells
/// apart times those that prediction does; none where either tells none apart.
///
/// Worked: the times above: of three pairs two agree, 1/3.
fn kendall(times: &[(f64, f64)]) -> Option<f64> {
    let (mut agreed, mut by_measurement, mut by_prediction) = (0.0, 0.0, 0.0);
    for (at, a) in times.iter().enumerate() {
        for b in &times[at + 1..] {
            let measured = order(a.0, b.0);
            let predicted = order(a.1, b.1);
            agreed += measured * predicted;
            by_measurement += measured.abs();
            by_prediction += predicted.abs();
        }
    }
    let pairs = f64::sqrt(by_measurement * by_prediction);
    (pairs > 0.0).then(|| agreed / pairs)
}

/// −1, 0 or 1.
fn order(a: f64, b: f64) -> f64 {
    match a.total_cmp(&b) {
        std::cmp::Ordering::Less => -1.0,
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::by_hand::case;
    use super::*;

    fn near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
    }

    #[test]
    fn worked_regret_and_tau() {
        let times = [(1.0, 1.2), (1.1, 1.0), (1.2, 1.4)];
        near(regret(&times), 0.1);
        near(kendall(&times).expect("they differ"), 1.0 / 3.0);
        // One pair is a tie by prediction: of two pairs that it tells apart both agree, of three by measurement.
        let tied = [(1.0, 1.0), (1.1, 1.0), (1.2, 2.0)];
        near(kendall(&tied).expect("they differ"), 2.0 / f64::sqrt(6.0));
        assert_eq!(
            kendall(&[(1.0, 1.0), (2.0, 1.0)]),
            None,
            "nothing is predicted apart"
        );
    }

    /// Three groups: one ranked right, one wrong with a regret of 25 %, one of a layout alone, which is no choice. A
    /// layout that ran twice counts once, with the mean of its times.
    #[test]
    fn groups_count_once_and_layouts_too() {
        let cases = [
            case("a", "x", 1.0, 1.0),
            case("a", "x", 3.0, 1.0),
            case("a", "y", 4.0, 2.0),
            case("b", "x", 1.25, 1.0),
            case("b", "y", 1.0, 2.0),
            case("c", "x", 9.0, 1.0),
        ];
        let ranking = ranking(cases.iter());
        assert_eq!((ranking.groups, ranking.layouts), (2, 4));
        near(ranking.regret_median, 0.125);
        near(ranking.regret_mean, 0.125);
        near(ranking.tau_mean, 0.0);
    }
}
