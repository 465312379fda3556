//! Where samples come from, and whether they come.

use serde::{Deserialize, Serialize};

use crate::UnixTime;

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
    /// What to do about the reason; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Samples that it took and nobody could receive.
    pub dropped: u64,
    /// When it is opened again: because it gives nothing, or to find a lost device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<UnixTime>,
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
            remedy: String::new(),
            dropped: 0,
            next_try: None,
        }
    }

    /// A source that gives samples whose numbers are what `origin` says.
    #[must_use]
    pub fn up(name: &str, origin: Origin) -> Self {
        Self {
            state: origin.into(),
            ..Self::absent(name, "")
        }
    }

    /// Whether it gives samples.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state != SourceState::Absent
    }
}
