//! Expectations of a plan held against the metrics of a run.

use orrery_report::{Check, Level, Metrics, Verdict};
use orrery_scenario::Plan;
use orrery_scenario::expect::{self, Expectation, Expr, MetricRef};
use orrery_scenario::plan::Price;
use orrery_timeline::find_metric;

use crate::baseline::Baseline;

/// Evaluates every expectation of `plan`.
#[must_use]
pub fn evaluate(plan: &Plan, metrics: &Metrics, baseline: Option<&Baseline>) -> Vec<Check> {
    evaluate_all(&plan.expectations, plan.price.as_ref(), metrics, baseline)
}

/// Evaluates every one of `expectations`; money is in the currency of `price`.
#[must_use]
pub fn evaluate_all(
    expectations: &[Expectation],
    price: Option<&Price>,
    metrics: &Metrics,
    baseline: Option<&Baseline>,
) -> Vec<Check> {
    expectations
        .iter()
        .map(|expectation| one(price, expectation, metrics, baseline))
        .collect()
}

/// Whether any expectation of `plan` compares with a baseline.
#[must_use]
pub fn needs_baseline(plan: &Plan) -> bool {
    names_a_baseline(&plan.expectations)
}

/// Whether any of `expectations` compares with a baseline.
#[must_use]
pub fn names_a_baseline(expectations: &[Expectation]) -> bool {
    expectations
        .iter()
        .flat_map(|expectation| match &expectation.check {
            expect::Check::Compare { left, right, .. } => vec![left, right],
            expect::Check::Range { value, low, high } => vec![value, low, high],
        })
        .any(names_baseline)
}

fn names_baseline(expr: &Expr) -> bool {
    match expr {
        Expr::Baseline(_) => true,
        Expr::Metric(_) | Expr::Constant(..) => false,
        Expr::Binary(left, _, right) => names_baseline(left) || names_baseline(right),
    }
}

fn one(
    price: Option<&Price>,
    expectation: &Expectation,
    metrics: &Metrics,
    baseline: Option<&Baseline>,
) -> Check {
    let current = |metric: &MetricRef| metrics.get(&metric.to_string());
    let stored = |metric: &MetricRef| baseline?.get(&metric.to_string());
    let outcome = expectation.evaluate(&current, &stored);
    Check {
        id: expectation.id.clone(),
        text: expectation.text.clone(),
        why: (!expectation.why.is_empty()).then(|| expectation.why.clone()),
        level: match expectation.level {
            expect::Level::Info => Level::Info,
            expect::Level::Warn => Level::Warn,
            expect::Level::Error => Level::Error,
        },
        verdict: match outcome.verdict {
            expect::Verdict::Pass => Verdict::Pass,
            expect::Verdict::Fail => Verdict::Fail,
            expect::Verdict::NoData => Verdict::NoData,
            expect::Verdict::NoBaseline => Verdict::NoBaseline,
            expect::Verdict::Skipped => Verdict::Skipped,
        },
        value: outcome.value,
        bounds: outcome.bounds,
        unit: unit(price, expectation),
        file: expectation.file.clone(),
        line: u32::try_from(expectation.line).unwrap_or(u32::MAX),
    }
}

/// The unit of the left side; none when it is more than one metric, whose unit may be another.
fn unit(price: Option<&Price>, expectation: &Expectation) -> String {
    let left = match &expectation.check {
        expect::Check::Compare { left, .. } => left,
        expect::Check::Range { value, .. } => value,
    };
    let Expr::Metric(metric) = left else {
        return String::new();
    };
    let unit = find_metric(&metric.name).map_or("", |metric| metric.unit);
    match (unit, price) {
        ("currency", Some(price)) => price.currency.clone(),
        _ => unit.to_owned(),
    }
}
