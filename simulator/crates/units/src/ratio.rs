//! Dimensionless numbers with a stated range.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of a whole, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(f64);

/// A positive multiplier.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Factor(f64);

impl Ratio {
    /// Nothing of the whole.
    pub const ZERO: Self = Self(0.0);
    /// The whole.
    pub const ONE: Self = Self(1.0);

    /// `value`, if it is a share.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// `value` brought into 0 to 1.
    ///
    /// # Panics
    /// When `value` is not a number.
    #[must_use]
    pub fn clamped(value: f64) -> Self {
        assert!(!value.is_nan(), "a share is a number");
        Self(value.clamp(0.0, 1.0))
    }

    /// The share as a float.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Factor {
    /// Leaves things as they are.
    pub const ONE: Self = Self(1.0);

    /// `value`, if it is positive and finite.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value > 0.0 && value.is_finite()).then_some(Self(value))
    }

    /// The factor as a float.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", crate::significant(self.0 * 100.0, 3))
    }
}
