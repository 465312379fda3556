//! The 8-bit float of tensor cores, as the kernels round it.

/// An 8-bit float with 4 bits of exponent and 3 of fraction, no infinity and 448 at most (e4m3fn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct E4m3(u8);

impl E4m3 {
    /// The largest number.
    pub const MAX: f32 = 448.0;

    /// The number with these bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The 8 bits, as they lie in device memory.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// This number, exactly. Worked: bits `0x01` are `2^-9`, `0x38` are 1.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        let (exponent, fraction) = (i32::from(self.0 >> 3 & 15), f32::from(self.0 & 7));
        let magnitude = match (exponent, self.0 & 7) {
            (15, 7) => f32::NAN,
            (0, _) => fraction * 2_f32.powi(-9),
            _ => (8.0 + fraction) * 2_f32.powi(exponent - 10),
        };
        if self.0 & 0x80 == 0 { magnitude } else { -magnitude }
    }

    /// The nearest number, ties to even, 448 for all that is larger; a NaN stays one. Worked: 17 lies halfway between
    /// 16 and 18 and becomes 16.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        let sign = if value.is_sign_negative() { 0x80 } else { 0 };
        if value.is_nan() {
            return Self(sign | 0x7f);
        }
        let magnitude = value.abs().min(Self::MAX);
        // The spacing of numbers from 2^e on is 2^(e - 3), and below 2^-6 it is 2^-9.
        let exponent = if magnitude < 2_f32.powi(-6) {
            -6
        } else {
            (magnitude.to_bits() >> 23).cast_signed() - 127
        };
        let steps = (magnitude / 2_f32.powi(exponent - 3)).round_ties_even();
        // 8 to 15 steps from 2^e on; 16 of them are the next power, which is the next code.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 16 steps and 15 exponents"
        )]
        let code = ((exponent + 6) * 8 + steps as i32) as u8;
        Self(sign | code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: the nearest of all numbers; of two, the one with an even code.
    fn nearest(value: f32) -> u8 {
        let sign = if value.is_sign_negative() { 0x80 } else { 0 };
        let off = |code: u8| (f64::from(E4m3(code).to_f32()) - f64::from(value.abs())).abs();
        let best = (0..=0x7e_u8).min_by(|&a, &b| {
            let by_parity = (a & 1).cmp(&(b & 1));
            off(a).total_cmp(&off(b)).then(by_parity)
        });
        sign | best.unwrap()
    }

    #[test]
    fn every_number_is_itself_and_its_neighbours_round_as_the_twin_does() {
        for code in 0..=0x7e_u8 {
            let value = E4m3(code).to_f32();
            assert_eq!(E4m3::from_f32(value).to_bits(), code, "{value}");
            assert_eq!(E4m3::from_f32(-value).to_bits(), code | 0x80, "{value}");
            let next = E4m3(code + 1).to_f32();
            if next.is_nan() {
                continue;
            }
            for share in [0.25_f32, 0.499_99, 0.5, 0.500_01, 0.75] {
                let between = value + (next - value) * share;
                assert_eq!(E4m3::from_f32(between).to_bits(), nearest(between), "{between}");
            }
        }
    }

    #[test]
    fn worked_numbers_and_the_ends() {
        let round = |value: f32| E4m3::from_f32(value).to_f32();
        assert!((round(17.0) - 16.0).abs() < 1e-9 && (round(19.0) - 20.0).abs() < 1e-9);
        assert!((round(1e9) - 448.0).abs() < 1e-9 && (round(f32::NEG_INFINITY) + 448.0).abs() < 1e-9);
        assert!(round(f32::NAN).is_nan());
        assert_eq!(E4m3::from_f32(2_f32.powi(-11)).to_bits(), 0);
    }
}
