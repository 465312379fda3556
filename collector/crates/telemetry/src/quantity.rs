//! Quantities that only telemetry needs.

use serde::{Deserialize, Serialize};

/// A frequency, in hertz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hertz(u64);

/// A temperature, in degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Celsius(pub f64);

/// Time that a counter added up, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanoseconds(u64);

/// An instant of the wall clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl Hertz {
    /// `megahertz` MHz, the unit in which drivers report clocks.
    #[must_use]
    pub fn from_megahertz(megahertz: u32) -> Self {
        Self(u64::from(megahertz) * 1_000_000)
    }

    /// The frequency in hertz.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The frequency in hertz as a float, for exports.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "clocks are far below 2^53 Hz")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl Nanoseconds {
    /// `nanos` nanoseconds.
    #[must_use]
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time in nanoseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The time in seconds, for exports.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact for the first hundred days")]
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl UnixTime {
    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since the Unix epoch, for exports.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are below 2^53"
    )]
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}
