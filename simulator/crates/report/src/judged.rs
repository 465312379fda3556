//! What reports of every kind have: who ran, the figures, and the expectations.

use crate::render::headlines;
use crate::{BalancingReport, Check, Identity, Metrics, Report};

/// What tables, annotations and suites of tests are made of, whatever the kind of the report.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// What the run was.
    pub identity: &'a Identity,
    /// Figures.
    pub metrics: &'a Metrics,
    /// Expectations, evaluated.
    pub checks: &'a [Check],
    /// Keys of the figures that come first.
    pub headlines: Vec<String>,
}

impl<'a> From<&'a Report> for Judged<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            identity: &report.facts.identity,
            metrics: &report.metrics,
            checks: &report.checks,
            headlines: headlines(report)
                .into_iter()
                .map(|headline| headline.key.to_owned())
                .collect(),
        }
    }
}

impl<'a> From<&'a BalancingReport> for Judged<'a> {
    fn from(report: &'a BalancingReport) -> Self {
        let total = |policy: &crate::PolicyReport| format!("moe.total_time{{policy='{}'}}.mean", policy.id);
        Self {
            identity: &report.identity,
            metrics: &report.metrics,
            checks: &report.checks,
            headlines: report.policies.iter().map(total).collect(),
        }
    }
}
