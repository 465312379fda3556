//! Arithmetic work and the rates at which it is done.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul};

use serde::{Deserialize, Serialize};

use crate::SimDuration;

/// Floating-point operations; a multiply-add counts as two.
#[derive(Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flops(f64);

/// Floating-point operations per second.
#[derive(Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlopsPerSec(f64);

impl Flops {
    /// No work.
    pub const ZERO: Self = Self(0.0);

    /// `flops` operations.
    ///
    /// # Panics
    /// When `flops` is negative or not a number.
    #[must_use]
    #[inline]
    pub fn new(flops: f64) -> Self {
        assert!(flops >= 0.0 && flops.is_finite(), "{flops} is no amount of work");
        Self(flops)
    }

    /// The number of operations.
    #[must_use]
    #[inline]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl FlopsPerSec {
    /// `rate` operations per second.
    ///
    /// # Panics
    /// When `rate` is not a positive number.
    #[must_use]
    #[inline]
    pub fn new(rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "{rate} is no arithmetic rate");
        Self(rate)
    }

    /// Operations per second.
    #[must_use]
    #[inline]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Add for Flops {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Flops {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Mul<f64> for Flops {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f64) -> Self {
        Self::new(self.0 * factor)
    }
}

impl Div<FlopsPerSec> for Flops {
    type Output = SimDuration;
    #[inline]
    fn div(self, rate: FlopsPerSec) -> SimDuration {
        SimDuration::from_secs(self.0 / rate.0)
    }
}

impl Sum for Flops {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::with_si_prefix(self.0, "FLOP"))
    }
}

impl fmt::Debug for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} FLOP", self.0)
    }
}

impl fmt::Display for FlopsPerSec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::with_si_prefix(self.0, "FLOP/s"))
    }
}

impl fmt::Debug for FlopsPerSec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} FLOP/s", self.0)
    }
}
