//! Where samples come from, and whether they come.

use serde::{Deserialize, Serialize};

/// What the numbers of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Read from devices of this machine.
    Live,
    /// Made up for a demonstration.
    Demo,
    /// Played by a stand-in for the driver, in tests.
    Fake,
}

/// Whether a source gives samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It gives measurements.
    Live,
    /// It gives demonstration data.
    Demo,
    /// It gives what a test script says.
    Fake,
    /// It gives nothing; the reason says why.
    Absent,
}

/// How a source does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The source, such as `nvml`.
    pub name: String,
    /// Whether it gives samples.
    pub state: SourceState,
    /// Why it gives none; empty while it does.
    pub reason: String,
    /// Samples that it took and nobody could receive.
    pub dropped: u64,
}

impl Origin {
    /// Its name in exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Demo => "demo",
            Self::Fake => "fake",
        }
    }
}

impl From<Origin> for SourceState {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Live => Self::Live,
            Origin::Demo => Self::Demo,
            Origin::Fake => Self::Fake,
        }
    }
}

impl SourceStatus {
    /// A source that gives nothing, because of `reason`.
    #[must_use]
    pub fn absent(name: &str, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: SourceState::Absent,
            reason: reason.into(),
            dropped: 0,
        }
    }

    /// Whether it gives samples.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state != SourceState::Absent
    }
}
