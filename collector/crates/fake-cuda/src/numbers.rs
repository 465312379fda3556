//! The short floats that libraries multiply and add, as they lie in memory.

/// A bfloat.
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bfloat, ties to even; finite numbers alone.
pub(crate) const fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// An 8-bit float with 4 bits of exponent; finite numbers alone.
pub(crate) fn from_e4m3(bits: u8) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = if exponent == 0 {
        fraction * 2_f32.powi(-9)
    } else {
        (8.0 + fraction) * 2_f32.powi(exponent - 10)
    };
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}
