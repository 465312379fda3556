//! Whether an expectation holds.

use super::{Check, Comparison, Expectation, Expr, MetricRef, Operator};

/// How an expectation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// A metric in it has no data; that is no pass.
    NoData,
    /// It compares with a baseline and there is none; that is no pass.
    NoBaseline,
    /// Its condition does not hold, so it does not count.
    Skipped,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// The left side, in base units, if it has data.
    pub value: Option<f64>,
    /// The least and the most that the value may be, in base units, where there is such a bound.
    pub bounds: (Option<f64>, Option<f64>),
}

/// Why an expression has no value.
enum Missing {
    Data,
    Baseline,
}

type LookUp<'a> = &'a dyn Fn(&MetricRef) -> Option<f64>;

impl Outcome {
    /// Whether nothing is wrong: it holds, or does not count.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self.verdict, Verdict::Pass | Verdict::Skipped)
    }
}

impl Expectation {
    /// Holds the expectation against `metrics` of this run and of the `baseline`, both in base units.
    ///
    /// A metric without data never passes; neither does a baseline that is not there.
    #[must_use]
    pub fn evaluate(&self, metrics: LookUp<'_>, baseline: LookUp<'_>) -> Outcome {
        if let Some(condition) = &self.only_if {
            let outcome = condition.evaluate(metrics, baseline);
            if outcome.verdict != Verdict::Pass {
                return Outcome {
                    verdict: Verdict::Skipped,
                    value: None,
                    bounds: (None, None),
                };
            }
        }
        self.check.evaluate(metrics, baseline)
    }
}

impl Check {
    /// Holds the check against the metrics of this run and of the baseline.
    #[must_use]
    pub fn evaluate(&self, metrics: LookUp<'_>, baseline: LookUp<'_>) -> Outcome {
        let value_of = |expr: &Expr| value(expr, metrics, baseline);
        match self {
            Self::Compare {
                left,
                comparison,
                right,
            } => {
                let sides = (value_of(left), value_of(right));
                outcome(sides.0, sides.1, |value, bound| {
                    (compare(value, *comparison, bound), bounds(*comparison, bound))
                })
            }
            Self::Range { value, low, high } => {
                let ends = value_of(low).and_then(|low| value_of(high).map(|high| (low, high)));
                outcome(value_of(value), ends, |value, (low, high)| {
                    ((low..=high).contains(&value), (Some(low), Some(high)))
                })
            }
        }
    }
}

fn outcome<B>(
    value: Result<f64, Missing>,
    bound: Result<B, Missing>,
    judge: impl Fn(f64, B) -> (bool, (Option<f64>, Option<f64>)),
) -> Outcome {
    let missing = |missing: &Missing| match missing {
        Missing::Data => Verdict::NoData,
        Missing::Baseline => Verdict::NoBaseline,
    };
    match (value, bound) {
        (Ok(value), Ok(bound)) => {
            let (holds, bounds) = judge(value, bound);
            Outcome {
                verdict: if holds { Verdict::Pass } else { Verdict::Fail },
                value: Some(value),
                bounds,
            }
        }
        (Err(why), _) => Outcome {
            verdict: missing(&why),
            value: None,
            bounds: (None, None),
        },
        (Ok(value), Err(why)) => Outcome {
            verdict: missing(&why),
            value: Some(value),
            bounds: (None, None),
        },
    }
}

fn value(expr: &Expr, metrics: LookUp<'_>, baseline: LookUp<'_>) -> Result<f64, Missing> {
    match expr {
        Expr::Metric(metric) => metrics(metric)
            .filter(|value| value.is_finite())
            .ok_or(Missing::Data),
        Expr::Baseline(metric) => baseline(metric)
            .filter(|value| value.is_finite())
            .ok_or(Missing::Baseline),
        Expr::Constant(value, _) => Ok(*value),
        Expr::Binary(left, operator, right) => {
            let (left, right) = (value(left, metrics, baseline)?, value(right, metrics, baseline)?);
            let result = match operator {
                Operator::Add => left + right,
                Operator::Subtract => left - right,
                Operator::Multiply => left * right,
                Operator::Divide => left / right,
            };
            if result.is_finite() {
                Ok(result)
            } else {
                Err(Missing::Data)
            }
        }
    }
}

fn compare(left: f64, comparison: Comparison, right: f64) -> bool {
    let equal = (left - right).abs() <= 1e-9 * left.abs().max(right.abs());
    match comparison {
        Comparison::Less => left < right,
        Comparison::AtMost => left <= right,
        Comparison::Greater => left > right,
        Comparison::AtLeast => left >= right,
        Comparison::Equal => equal,
        Comparison::Differs => !equal,
    }
}

const fn bounds(comparison: Comparison, bound: f64) -> (Option<f64>, Option<f64>) {
    match comparison {
        Comparison::Less | Comparison::AtMost => (None, Some(bound)),
        Comparison::Greater | Comparison::AtLeast => (Some(bound), None),
        Comparison::Equal => (Some(bound), Some(bound)),
        Comparison::Differs => (None, None),
    }
}
