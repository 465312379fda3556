//! How well a number is backed: every prediction carries one of these.

use serde::{Deserialize, Serialize};

/// Where a duration comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// This very shape was measured on this device and stack.
    Measured,
    /// Between measured points of one curve.
    Interpolated,
    /// From a formula with no measurement behind it.
    #[default]
    Analytic,
    /// Beyond the range that any measurement covers.
    Extrapolated,
}

impl Evidence {
    /// Every kind of evidence, best first.
    pub const ALL: [Self; 4] = [
        Self::Measured,
        Self::Interpolated,
        Self::Analytic,
        Self::Extrapolated,
    ];

    /// The name used in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Interpolated => "interpolated",
            Self::Analytic => "analytic",
            Self::Extrapolated => "extrapolated",
        }
    }

    /// What two pieces of evidence are worth together: the weaker one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}
