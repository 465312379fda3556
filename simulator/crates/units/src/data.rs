//! Amounts of data and the rates at which it moves.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

use crate::SimDuration;

/// An amount of data, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(u64);

/// A data rate, in bytes per second (1 GB/s is 1e9).
#[derive(Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BytesPerSec(f64);

impl Bytes {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `bytes` bytes.
    #[must_use]
    #[inline]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `bytes` bytes computed as a float, rounded up.
    ///
    /// # Panics
    /// When `bytes` is negative or not a number.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range asserted"
    )]
    #[inline]
    pub fn from_f64(bytes: f64) -> Self {
        assert!((0.0..1.8e19).contains(&bytes), "{bytes} is no amount of data");
        Self(bytes.ceil() as u64)
    }

    /// The number of bytes.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a float, for cost models.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact below 9 PB")]
    #[inline]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// GiB (2^30 bytes), for reports.
    #[must_use]
    pub fn as_gib(self) -> f64 {
        self.as_f64() / f64::from(1u32 << 30)
    }

    /// `self` without `other`; zero when `other` is more.
    #[must_use]
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl BytesPerSec {
    /// `rate` bytes per second.
    ///
    /// # Panics
    /// When `rate` is not a positive number.
    #[must_use]
    #[inline]
    pub fn new(rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "{rate} is no data rate");
        Self(rate)
    }

    /// Bytes per second.
    #[must_use]
    #[inline]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The rate times a dimensionless factor.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self::new(self.0 * factor)
    }
}

impl Add for Bytes {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(
            self.0
                .checked_add(other.0)
                .expect("an amount of data stays below 16 EiB"),
        )
    }
}

impl AddAssign for Bytes {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Bytes {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(
            self.0
                .checked_sub(other.0)
                .expect("no more data is taken away than there is"),
        )
    }
}

impl Mul<u64> for Bytes {
    type Output = Self;
    #[inline]
    fn mul(self, times: u64) -> Self {
        Self(
            self.0
                .checked_mul(times)
                .expect("an amount of data stays below 16 EiB"),
        )
    }
}

impl Div<u64> for Bytes {
    type Output = Self;
    /// One of `parts` equal parts, rounded up: a partition holds the remainder too.
    #[inline]
    fn div(self, parts: u64) -> Self {
        Self(self.0.div_ceil(parts))
    }
}

impl Div<BytesPerSec> for Bytes {
    type Output = SimDuration;
    #[inline]
    fn div(self, rate: BytesPerSec) -> SimDuration {
        SimDuration::from_secs(self.as_f64() / rate.0)
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXES: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut value = self.as_f64();
        let mut prefix = 0;
        while value >= 1024.0 && prefix + 1 < PREFIXES.len() {
            value /= 1024.0;
            prefix += 1;
        }
        write!(f, "{} {}", crate::significant(value, 3), PREFIXES[prefix])
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

impl fmt::Display for BytesPerSec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::with_si_prefix(self.0, "B/s"))
    }
}

impl fmt::Debug for BytesPerSec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_over_rate_is_time() {
        assert_eq!(
            Bytes::new(100) / BytesPerSec::new(50.0),
            SimDuration::from_secs(2.0)
        );
    }

    #[test]
    fn a_part_holds_the_remainder() {
        assert_eq!(Bytes::new(10) / 3, Bytes::new(4));
    }

    #[test]
    fn sizes_read_in_binary_prefixes() {
        assert_eq!(Bytes::new(76 << 30).to_string(), "76 GiB");
        assert_eq!(Bytes::new(1536).to_string(), "1.5 KiB");
    }
}
