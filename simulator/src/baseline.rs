//! Baselines: stored metrics that expectations compare with (`baseline * 1.005`).
//!
//! A baseline is a small sorted file that people can read in a diff. A run is deterministic, so a change in
//! it is a change in the scenario, the profile or the program, all of which it names.

use std::collections::BTreeMap;

use orrery_report::Report;
use serde::{Deserialize, Serialize};

/// Statistics that are worth keeping; the others follow from few samples or say the same.
const KEPT: [&str; 5] = ["mean", "p50", "p95", "p99", "max"];
/// Families of metrics that describe the job and not the simulator.
const FAMILIES: [&str; 4] = ["train.", "mem.", "moe.", "cost."];

/// Stored metrics of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of this format: `baseline/1`.
    pub schema: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Hash of the resolved scenario that was run.
    pub hash: String,
    /// Seed of that run.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Profile of that run.
    pub profile: String,
    /// Values by key, in base units.
    pub metrics: BTreeMap<String, f64>,
}

/// One entry that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The stored value, if there was one.
    pub old: Option<f64>,
    /// The value of the run.
    pub new: f64,
}

impl Baseline {
    /// The version that this program reads and writes.
    pub const SCHEMA: &'static str = "baseline/1";
    /// Relative difference below which a value counts as unchanged.
    pub const TOLERANCE: f64 = 0.005;

    /// The baseline that `report` would be stored as.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let who = &report.facts.identity;
        Self {
            schema: Self::SCHEMA.to_owned(),
            scenario: who.scenario.clone(),
            hash: who.hash.clone(),
            seed: who.seed,
            version: who.version.clone(),
            profile: who.profile.clone(),
            metrics: kept(report.metrics.values()),
        }
    }

    /// The baseline of a stored run (`run.json`); none when the text is no run.
    #[must_use]
    pub fn of_stored_run(run: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| Some(run.get(key)?.as_str()?.to_owned());
        let metrics = run.get("metrics")?.as_object()?;
        let metrics = metrics
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)))
            .collect();
        (text("schema")? == "result/1").then_some(())?;
        Some(Self {
            schema: Self::SCHEMA.to_owned(),
            scenario: text("scenario")?,
            hash: text("hash")?,
            // A recording has none.
            seed: run.get("seed")?.as_u64().unwrap_or_default(),
            version: text("version")?,
            profile: text("profile")?,
            metrics: kept(&metrics),
        })
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// When the text is no baseline of this version.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let baseline: Self = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
        if baseline.schema != Self::SCHEMA {
            return Err(format!("schema `{}` is not `{}`", baseline.schema, Self::SCHEMA));
        }
        Ok(baseline)
    }

    /// The text of the file, sorted and indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a baseline has string keys only");
        text.push('\n');
        text
    }

    /// The stored value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        self.metrics.get(key).copied()
    }

    /// Entries of `new` that this baseline lacks or holds with another value.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        new.metrics
            .iter()
            .filter(|(key, value)| self.get(key).is_none_or(|old| differs(old, **value)))
            .map(|(key, value)| Change {
                key: key.clone(),
                old: self.get(key),
                new: *value,
            })
            .collect()
    }

    /// This baseline with `changes` taken over, and with the run they come from named.
    #[must_use]
    pub fn updated(mut self, changes: &[Change], new: &Self) -> Self {
        for change in changes {
            self.metrics.insert(change.key.clone(), change.new);
        }
        Self {
            metrics: self.metrics,
            ..new.clone()
        }
    }
}

fn kept(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    metrics
        .iter()
        .filter(|(key, _)| {
            let statistic = key.rsplit_once('.').map_or("", |(_, statistic)| statistic);
            KEPT.contains(&statistic) && FAMILIES.iter().any(|family| key.starts_with(family))
        })
        .map(|(key, value)| (key.clone(), *value))
        .collect()
}

fn differs(old: f64, new: f64) -> bool {
    (new - old).abs() > Baseline::TOLERANCE * old.abs().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(step: f64) -> Baseline {
        let run = serde_json::json!({
            "schema": "result/1", "scenario": "s", "hash": "h", "seed": 1, "version": "v", "profile": "p",
            "metrics": {
                "train.step_time.mean": step, "train.step_time.last": 1.0, "sim.tasks.mean": 3.0,
                "mem.hbm_peak.max": 5.0,
            },
        });
        Baseline::of_stored_run(&run).unwrap()
    }

    #[test]
    fn a_baseline_keeps_what_describes_the_job() {
        let keys: Vec<String> = baseline(2.0).metrics.into_keys().collect();
        assert_eq!(keys, ["mem.hbm_peak.max", "train.step_time.mean"]);
        assert_eq!(Baseline::of_stored_run(&serde_json::json!({})), None);
    }

    #[test]
    fn text_and_back() {
        let stored = baseline(2.0);
        assert_eq!(Baseline::from_json(&stored.to_json()), Ok(stored));
        assert!(
            Baseline::from_json("{}").is_err(),
            "an empty object is no baseline"
        );
    }

    #[test]
    fn only_entries_that_moved_are_rewritten() {
        let old = baseline(2.0);
        assert!(
            old.changes(&baseline(2.009)).is_empty(),
            "0.45 % is within tolerance"
        );
        let new = baseline(2.011);
        let changes = old.changes(&new);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].old, Some(2.0));
        let updated = old.updated(&changes, &new);
        assert_eq!(updated.get("train.step_time.mean"), Some(2.011));
        assert_eq!(updated.get("mem.hbm_peak.max"), Some(5.0));
    }
}
