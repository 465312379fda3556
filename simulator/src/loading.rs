//! From the text of a scenario to its plan, with files from disk and every metric that there is.

use orrery_scenario::{Diagnostic, Fix, LoadContext, Loaded, MetricEntry, MetricTable, Plan, Searchable};
use orrery_timeline::{Statistic, registry};

use crate::adapt::adapted;
use crate::files::DiskSource;

/// The plan of the scenario `text` in the file `file`, with `overrides` (`--set`) laid over it.
///
/// # Errors
/// Every fault of the scenario.
pub fn load(file: &str, text: &str, overrides: &[(String, String)]) -> Result<Plan, Vec<Diagnostic>> {
    let context = LoadContext {
        source: &DiskSource,
        metrics: &metric_table(),
        overrides,
    };
    orrery_scenario::load(file, text, &context).map(adapted)
}

/// What the scenario `text` in the file `file` describes, whatever its kind, with `overrides` laid over it.
///
/// # Errors
/// Every fault of the scenario.
pub fn load_any(file: &str, text: &str, overrides: &[(String, String)]) -> Result<Loaded, Vec<Diagnostic>> {
    let context = LoadContext {
        source: &DiskSource,
        metrics: &metric_table(),
        overrides,
    };
    let loaded = orrery_scenario::load_any(file, text, &context)?;
    Ok(match loaded {
        Loaded::Training(plan) => Loaded::Training(Box::new(adapted(*plan))),
        other @ Loaded::Balancing(_) => other,
    })
}

/// The job of the scenario `text` in the file `file`, with `overrides` laid over it, be its layout legal or not.
///
/// # Errors
/// The faults that no other layout mends.
pub fn load_searchable(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
) -> Result<Searchable, Vec<Diagnostic>> {
    let context = LoadContext {
        source: &DiskSource,
        metrics: &metric_table(),
        overrides,
    };
    let Searchable { plan, written } = orrery_scenario::load_searchable(file, text, &context)?;
    let plan = adapted(plan);
    Ok(Searchable { plan, written })
}

/// The changes that mend `fault` of the scenario `text`, each with where it leads.
#[must_use]
pub fn fixes(text: &str, fault: &Diagnostic) -> Vec<Fix> {
    let context = LoadContext {
        source: &DiskSource,
        metrics: &metric_table(),
        overrides: &[],
    };
    orrery_scenario::fixes(text, fault, &context)
}

/// The metric registry, as expectations are checked against it.
#[must_use]
pub fn metric_table() -> MetricTable {
    let statistics: Vec<String> = Statistic::ALL.iter().map(|s| s.name().to_owned()).collect();
    let entries = registry().iter().map(|metric| MetricEntry {
        name: metric.name.to_owned(),
        dimension: metric.dimension,
        labels: metric
            .labels
            .iter()
            .map(|label| {
                (
                    label.name.to_owned(),
                    label.values.iter().map(|&v| v.to_owned()).collect(),
                )
            })
            .collect(),
        statistics: statistics.clone(),
    });
    MetricTable(entries.collect())
}
