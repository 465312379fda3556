//! Who measured what, and how well a curve fits it.

use serde::{Deserialize, Serialize};

/// Where the numbers of an entry come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Who measured it.
    pub measured_by: String,
    /// File with the measurements, from the root of the repository.
    pub source: String,
    /// Which of its rows.
    pub rows: String,
    /// When it was measured or published, ISO 8601, as far as known.
    pub date: String,
    /// Version of the software measured, with a commit where known.
    pub version: String,
    /// What was derived or assumed on the way from rows to curve.
    pub note: String,
}

/// How well a curve agrees with what it was fitted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// Measurements used.
    pub rows: u32,
    /// Mean of |predicted / measured − 1|.
    pub mape: f64,
    /// Standard deviation of ln(predicted / measured).
    pub spread: f64,
}
