//! What loading a scenario needs from outside: other files, and the names of metrics.

use std::collections::BTreeMap;

use orrery_units::Dimension;

/// Text of files that a scenario refers to. This crate reads no files itself.
pub trait Source {
    /// The text of `path`, which is relative to the file `from` unless it is absolute.
    ///
    /// # Errors
    /// Why it cannot be read, as a phrase.
    fn read(&self, from: &str, path: &str) -> Result<String, String>;
}

/// Files in memory, by their path relative to the scenario.
#[derive(Clone, Debug, Default)]
pub struct MemorySource(pub BTreeMap<String, String>);

impl Source for MemorySource {
    fn read(&self, _from: &str, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// One metric that expectations may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricEntry {
    /// Path, such as `train.step_time`.
    pub name: String,
    /// What it measures.
    pub dimension: Dimension,
    /// Labels it can carry, such as `op`, each with the values it takes.
    pub labels: Vec<(String, Vec<String>)>,
    /// Statistics that it has, such as `mean`.
    pub statistics: Vec<String>,
}

/// The metrics that exist.
#[derive(Clone, Debug, Default)]
pub struct MetricTable(pub Vec<MetricEntry>);

impl MetricTable {
    /// The metric called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&MetricEntry> {
        self.0.iter().find(|metric| metric.name == name)
    }

    /// The same with labels that have no values of their own taking these names.
    #[must_use]
    pub fn with_names(&self, names: &[(&str, Vec<String>)]) -> Self {
        let mut table = self.clone();
        let labels = table.0.iter_mut().flat_map(|metric| &mut metric.labels);
        for (label, values) in labels.filter(|(_, values)| values.is_empty()) {
            if let Some((_, given)) = names.iter().find(|(name, _)| name == label) {
                values.clone_from(given);
            }
        }
        table
    }
}

/// What [`load`](crate::load) needs beside the file.
#[expect(missing_debug_implementations, reason = "a source need not be printable")]
pub struct LoadContext<'a> {
    /// Where other files come from.
    pub source: &'a dyn Source,
    /// The metrics that expectations may name.
    pub metrics: &'a MetricTable,
    /// `--set path=value`, in order.
    pub overrides: &'a [(String, String)],
}
