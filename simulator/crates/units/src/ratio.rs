//! Dimensionless numbers with a stated range.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Half the width of an 80 % interval of a normal law in standard deviations: a tenth lies above it, a tenth below its
/// negative.
pub const HALF_WIDTH_80: f64 = 1.281_551_565_544_6;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// The normal density summed from 0 to the half width by Simpson's rule is 0.4: four fifths lie between both ends.
    #[test]
    fn four_fifths_lie_within_the_half_width() {
        let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let (steps, mut sum) = (1000, density(0.0) + density(HALF_WIDTH_80));
        let width = HALF_WIDTH_80 / f64::from(steps);
        for at in 1..steps {
            let weight = if at % 2 == 1 { 4.0 } else { 2.0 };
            sum += weight * density(f64::from(at) * width);
        }
        let inside = 2.0 * sum * width / 3.0;
        assert!((inside - 0.8).abs() < 1e-12, "{inside}");
    }
}
