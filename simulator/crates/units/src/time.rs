//! Simulated time: integer picoseconds, so that equal means equal and no run depends on an epsilon.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// Picoseconds in one second.
const PICOS_PER_SEC: f64 = 1e12;

/// An instant of simulated time, in picoseconds since the run began (213 days fit).
///
/// Two instants cannot be added; their difference is a [`SimDuration`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(u64);

/// A span of simulated time, in picoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimDuration(u64);

impl SimTime {
    /// The beginning of a run.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `picos` picoseconds after the beginning.
    #[must_use]
    #[inline]
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// Picoseconds since the beginning.
    #[must_use]
    #[inline]
    pub const fn as_picos(self) -> u64 {
        self.0
    }

    /// Seconds since the beginning, for reports; arithmetic stays in picoseconds.
    #[must_use]
    #[inline]
    pub fn as_secs(self) -> f64 {
        SimDuration(self.0).as_secs()
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span.
    pub const MAX: Self = Self(u64::MAX);

    /// `picos` picoseconds.
    #[must_use]
    #[inline]
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos * 1_000)
    }

    /// `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000_000)
    }

    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000_000)
    }

    /// `secs` seconds, rounded **up** to a whole picosecond: the one place where a float becomes time.
    ///
    /// # Panics
    /// When `secs` is negative, not a number, or above 213 days: a cost model went wrong.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "range asserted; what is cut off is less than one, and nothing is from 2^53 on"
    )]
    #[inline]
    pub fn from_secs(secs: f64) -> Self {
        let picos = secs * PICOS_PER_SEC;
        assert!(
            picos > -1.0 && picos < 1.8e19,
            "{secs} s is no span of simulated time"
        );
        // As `f64::ceil`, which is a call into a library where the processor's own rounding is not assumed.
        let whole = picos as u64;
        Self(whole + u64::from((whole as f64) < picos))
    }

    /// Picoseconds.
    #[must_use]
    #[inline]
    pub const fn as_picos(self) -> u64 {
        self.0
    }

    /// Seconds, for cost models and reports.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53 ps = 2.5 h, 1e-16 relative above"
    )]
    #[inline]
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / PICOS_PER_SEC
    }

    /// `self` without `other`; zero when `other` is longer.
    #[must_use]
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self` times a dimensionless factor, rounded up.
    #[must_use]
    #[inline]
    pub fn scaled(self, factor: f64) -> Self {
        Self::from_secs(self.as_secs() * factor)
    }

    /// Whether this is no time at all.
    #[must_use]
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add<SimDuration> for SimTime {
    type Output = Self;
    #[inline]
    fn add(self, span: SimDuration) -> Self {
        Self(
            self.0
                .checked_add(span.0)
                .expect("simulated time stays below 213 days"),
        )
    }
}

impl AddAssign<SimDuration> for SimTime {
    #[inline]
    fn add_assign(&mut self, span: SimDuration) {
        *self = *self + span;
    }
}

impl Sub for SimTime {
    type Output = SimDuration;
    #[inline]
    fn sub(self, earlier: Self) -> SimDuration {
        SimDuration(
            self.0
                .checked_sub(earlier.0)
                .expect("the earlier instant is subtracted from the later"),
        )
    }
}

impl Add for SimDuration {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("a span stays below 213 days"))
    }
}

impl AddAssign for SimDuration {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for SimDuration {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(
            self.0
                .checked_sub(other.0)
                .expect("the shorter span is subtracted from the longer"),
        )
    }
}

impl SubAssign for SimDuration {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Mul<u64> for SimDuration {
    type Output = Self;
    #[inline]
    fn mul(self, times: u64) -> Self {
        Self(self.0.checked_mul(times).expect("a span stays below 213 days"))
    }
}

impl Div<u64> for SimDuration {
    type Output = Self;
    fn div(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl Sum for SimDuration {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::with_si_prefix(self.as_secs(), "s"))
    }
}

impl fmt::Debug for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ps", self.0)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SimDuration(self.0).fmt(f)
    }
}

impl fmt::Debug for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{} ps", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 2^64"
    )]
    fn a_float_becomes_time_by_rounding_up() {
        assert_eq!(SimDuration::from_secs(1e-12), SimDuration::from_picos(1));
        assert_eq!(SimDuration::from_secs(1.2e-12), SimDuration::from_picos(2));
        assert_eq!(SimDuration::from_secs(0.0), SimDuration::ZERO);
        assert_eq!(
            SimDuration::from_secs(-0.5e-12),
            SimDuration::ZERO,
            "a rounding error below zero"
        );
        let mut picos: f64 = 0.3;
        while picos < 1.7e19 {
            let secs = picos / PICOS_PER_SEC;
            let up = (secs * PICOS_PER_SEC).ceil() as u64;
            assert_eq!(SimDuration::from_secs(secs).as_picos(), up, "{picos}");
            picos *= 1.37;
        }
    }

    #[test]
    fn instants_differ_by_a_span() {
        let start = SimTime::from_picos(5);
        assert_eq!(
            (start + SimDuration::from_picos(7)) - start,
            SimDuration::from_picos(7)
        );
        assert_eq!(start.saturating_since(SimTime::from_picos(9)), SimDuration::ZERO);
    }
}
