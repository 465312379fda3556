//! The one registry of metrics: names, units, labels and definitions.
//!
//! Checks, reports, axes and docs all read this table; a metric that is not here does not exist.

use orrery_units::Dimension;

/// A statistic over the samples of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum.
    Sum,
    /// The last sample.
    Last,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Path, such as `train.step_time`.
    pub name: &'static str,
    /// What it measures, in base SI units.
    pub dimension: Dimension,
    /// Unit for people.
    pub unit: &'static str,
    /// Labels it can carry, such as `op`.
    pub labels: &'static [&'static str],
    /// One-line definition.
    pub definition: &'static str,
    /// Scenario kinds it exists for.
    pub kinds: &'static [&'static str],
}

/// Every metric, sorted by name.
#[must_use]
pub fn registry() -> &'static [Metric] {
    &[]
}
