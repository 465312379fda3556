//! Numbers for people: three significant digits and the prefix that fits.

/// `value` with `digits` significant digits, trailing zeros dropped.
#[must_use]
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the exponent of a finite float is below 400"
    )]
    let magnitude = value.abs().log10().floor() as i64;
    let wanted = i64::try_from(digits).unwrap_or(3) - 1 - magnitude;
    let decimals = usize::try_from(wanted.max(0)).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `value` in `unit` with an SI prefix, such as `4.31 ms` or `385 TFLOP/s`.
#[must_use]
pub fn with_si_prefix(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 10] = [
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1.0, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
    ];
    if value == 0.0 {
        return format!("0 {unit}");
    }
    // Seconds never take a large prefix: 20.1 ks says nothing to anybody.
    let fits = |scale: f64| value.abs() >= scale * 0.999_5 && (scale <= 1.0 || unit != "s");
    let (scale, prefix) = PREFIXES
        .iter()
        .copied()
        .find(|&(scale, _)| fits(scale))
        .unwrap_or((1e-12, "p"));
    format!("{} {prefix}{unit}", significant(value / scale, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_no_trailing_zeros() {
        assert_eq!(significant(19.926, 3), "19.9");
        assert_eq!(significant(1541.7, 3), "1542");
        assert_eq!(significant(0.5, 3), "0.5");
        assert_eq!(with_si_prefix(0.004_31, "s"), "4.31 ms");
        assert_eq!(with_si_prefix(385e12, "FLOP/s"), "385 TFLOP/s");
        assert_eq!(with_si_prefix(2_000.0, "s"), "2000 s");
    }
}
