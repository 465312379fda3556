//! The 16-bit bfloat as the kernels round it.

/// A 16-bit bfloat: the upper half of a 32-bit float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// The nearest bfloat, ties to even; a NaN stays a quiet NaN.
    /// Worked: 1.00390625 lies halfway between 1 and 1.0078125 and becomes 1.
    #[must_use]
    pub const fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        if value.is_nan() {
            return Self((bits >> 16) as u16 | 0x40);
        }
        Self(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }

    /// This number, exactly.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// The 16 bits, as they lie in device memory.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even() {
        let rounded = |value: f32| Bf16::from_f32(value).to_f32().to_bits();
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0_f32.to_bits());
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.015_625_f32.to_bits());
        assert_eq!(rounded(1.003_906_4), 1.007_812_5_f32.to_bits());
        assert_eq!(rounded(-2.5), (-2.5_f32).to_bits());
        assert_eq!(rounded(f32::MAX), f32::INFINITY.to_bits());
        assert!(Bf16::from_f32(f32::from_bits(0x7f80_0001)).to_f32().is_nan());
    }
}
