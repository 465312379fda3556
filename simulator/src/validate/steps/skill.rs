//! What the simulator adds to knowing how fast such steps usually are.

use std::collections::BTreeMap;

use super::super::summary::{mean, median};
use super::case::StepCase;

/// Mean error beside that of the naive prediction, over the rows that both predict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Skill {
    /// Rows.
    pub(super) n: usize,
    /// Mean absolute error of the prediction.
    pub(super) mape: f64,
    /// That of the naive one.
    pub(super) naive: f64,
}

impl Skill {
    /// `1 − MAPE / MAPE of the naive prediction`: 0 adds nothing, 1 is perfect.
    ///
    /// Worked: 5 % against 20 %: 0.75.
    #[must_use]
    pub(super) fn value(&self) -> f64 {
        if self.naive > 0.0 {
            1.0 - self.mape / self.naive
        } else {
            0.0
        }
    }
}

/// The skill over `cases`. The naive prediction is the model FLOPs of a step on a device over the median rate of the
/// rows of the same device, number format and kind of model, those of its own model among them or not.
pub(super) fn skill(cases: &[&StepCase], own_model: bool) -> Skill {
    let mut rates: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    for case in cases {
        let rate = case.device_flops / case.compared.measured;
        rates.entry(&case.peers).or_default().push((&case.model, rate));
    }
    let naive = |case: &&StepCase| {
        let peers: Vec<f64> = rates[case.peers.as_str()]
            .iter()
            .filter(|(model, _)| own_model || *model != case.model)
            .map(|&(_, rate)| rate)
            .collect();
        let seconds = (!peers.is_empty()).then(|| case.device_flops / median(&peers))?;
        let naive = (seconds / case.compared.measured - 1.0).abs();
        Some((case.compared.error().abs(), naive))
    };
    let (errors, naive): (Vec<f64>, Vec<f64>) = cases.iter().filter_map(naive).unzip();
    Skill {
        n: errors.len(),
        mape: mean(&errors),
        naive: mean(&naive),
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::by_hand::case;
    use super::*;

    fn near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
    }

    /// One FLOP in 1, 2 and 4 s: rates 1, 1/2 and 1/4, the median 1/2 predicts 2 s: errors of 100 %, 0 and 50 %. The
    /// prediction is off by 10 % each: skill 1 − 0.1 / 0.5 = 0.8.
    #[test]
    fn worked_skill() {
        let cases = [
            case("a", "x", 1.0, 1.1),
            case("b", "x", 2.0, 2.2),
            case("c", "x", 4.0, 3.6),
        ];
        let all: Vec<&StepCase> = cases.iter().collect();
        let with_own = skill(&all, true);
        near(with_own.naive, 0.5);
        near(with_own.value(), 0.8);
        // Of 1/2 and 1/4 the median is 3/8, of 1 and 1/4 5/8, of 1 and 1/2 3/4: 8/3, 8/5 and 4/3 s.
        let without = skill(&all, false);
        near(without.naive, (5.0 / 3.0 + 1.0 / 5.0 + 2.0 / 3.0) / 3.0);
        let alone = skill(&all[..1], false);
        assert_eq!(alone.n, 0, "nobody else tells of it");
        near(alone.value(), 0.0);
    }
}
