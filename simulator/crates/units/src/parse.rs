//! Text with units into quantities: `"400 Gbit/s"`, `"80 GiB"`, `"1.1 us"`. A bare number is an error.

use thiserror::Error;

/// What a quantity measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// A plain number or a share; the one dimension that takes no unit (`%` is allowed).
    Number,
    /// Seconds.
    Time,
    /// Bytes.
    Data,
    /// Bytes per second.
    DataRate,
    /// Floating-point operations per second.
    FlopRate,
    /// Tokens (or another count) per second.
    Rate,
    /// Watts.
    Power,
    /// Joules.
    Energy,
    /// An amount of money, in the scenario's currency.
    Money,
}

/// A parsed quantity: a value in the base unit of its dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The value in base units: seconds, bytes, bytes per second, FLOP/s, 1/s, watts, joules.
    pub value: f64,
    /// What it measures.
    pub dimension: Dimension,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseQuantityError {
    /// The text does not begin with a number.
    #[error("`{0}` does not begin with a number")]
    NoNumber(String),
    /// A number stands alone where a unit is needed.
    #[error("`{0}` needs a unit")]
    NoUnit(String),
    /// The unit is not known.
    #[error("unknown unit `{0}`")]
    UnknownUnit(String),
    /// The unit is known but measures something else.
    #[error("`{text}` is {found}, not {wanted}")]
    WrongDimension {
        /// The whole text.
        text: String,
        /// What the unit measures.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
}

impl Dimension {
    /// The dimension in words, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "a plain number",
            Self::Time => "a time",
            Self::Data => "an amount of data",
            Self::DataRate => "a data rate",
            Self::FlopRate => "an arithmetic rate",
            Self::Rate => "a rate",
            Self::Power => "a power",
            Self::Energy => "an energy",
            Self::Money => "an amount of money",
        }
    }

    /// A value that is always right for this dimension, for messages.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Number => "0.5",
            Self::Time => "1.1 us",
            Self::Data => "80 GiB",
            Self::DataRate => "400 Gbit/s",
            Self::FlopRate => "989 TFLOP/s",
            Self::Rate => "1500 /s",
            Self::Power => "700 W",
            Self::Energy => "3.6 MJ",
            Self::Money => "2.00 USD",
        }
    }
}

/// Reads `text` as a quantity of dimension `wanted`.
///
/// # Errors
/// When the text has no number, no unit, an unknown unit, or a unit of another dimension.
pub fn parse_quantity(text: &str, wanted: Dimension) -> Result<Quantity, ParseQuantityError> {
    let trimmed = text.trim();
    let split = trimmed
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_digit() || "+-._".contains(c) || is_exponent(trimmed, at)))
        .map_or(trimmed.len(), |(at, _)| at);
    let (number, unit) = (trimmed[..split].replace('_', ""), trimmed[split..].trim());
    let number: f64 = number
        .parse()
        .map_err(|_source| ParseQuantityError::NoNumber(text.to_owned()))?;
    if unit.is_empty() {
        if wanted != Dimension::Number {
            return Err(ParseQuantityError::NoUnit(trimmed.to_owned()));
        }
        return Ok(Quantity {
            value: number,
            dimension: Dimension::Number,
        });
    }
    let (scale, found) = unit_scale(unit).ok_or_else(|| ParseQuantityError::UnknownUnit(unit.to_owned()))?;
    if found != wanted {
        return Err(ParseQuantityError::WrongDimension {
            text: trimmed.to_owned(),
            found: found.name(),
            wanted: wanted.name(),
        });
    }
    Ok(Quantity {
        value: number * scale,
        dimension: found,
    })
}

/// Whether the `e` at `at` belongs to the number, as in `1e9`, rather than to a unit.
fn is_exponent(text: &str, at: usize) -> bool {
    let rest = &text.as_bytes()[at..];
    let digit = |i: usize| rest.get(i).is_some_and(u8::is_ascii_digit);
    matches!(rest[0], b'e' | b'E')
        && at > 0
        && (digit(1) || (matches!(rest.get(1), Some(b'+' | b'-')) && digit(2)))
}

/// The base-unit scale and the dimension of `unit`.
fn unit_scale(unit: &str) -> Option<(f64, Dimension)> {
    let fixed = match unit {
        "%" => Some((0.01, Dimension::Number)),
        "min" => Some((60.0, Dimension::Time)),
        "h" => Some((3600.0, Dimension::Time)),
        "d" => Some((86_400.0, Dimension::Time)),
        "/s" | "tokens/s" | "req/s" => Some((1.0, Dimension::Rate)),
        "Wh" => Some((3600.0, Dimension::Energy)),
        "kWh" => Some((3.6e6, Dimension::Energy)),
        "USD" | "EUR" | "CNY" => Some((1.0, Dimension::Money)),
        _ => None,
    };
    fixed.or_else(|| {
        [
            ("FLOP/s", 1.0, Dimension::FlopRate),
            ("FLOPS", 1.0, Dimension::FlopRate),
            ("bit/s", 0.125, Dimension::DataRate),
            ("b/s", 0.125, Dimension::DataRate),
            ("B/s", 1.0, Dimension::DataRate),
            ("B", 1.0, Dimension::Data),
            ("s", 1.0, Dimension::Time),
            ("W", 1.0, Dimension::Power),
            ("J", 1.0, Dimension::Energy),
        ]
        .into_iter()
        .find_map(|(base, scale, dimension)| {
            let factor = prefix(unit.strip_suffix(base)?, dimension)?;
            Some((factor * scale, dimension))
        })
    })
}

/// The factor of an SI or IEC prefix; IEC prefixes belong to data only, small prefixes never to data.
fn prefix(prefix: &str, dimension: Dimension) -> Option<f64> {
    let data = matches!(dimension, Dimension::Data | Dimension::DataRate);
    match prefix {
        "" => Some(1.0),
        "k" => Some(1e3),
        "M" => Some(1e6),
        "G" => Some(1e9),
        "T" => Some(1e12),
        "P" => Some(1e15),
        "E" => Some(1e18),
        "Ki" if data => Some(1024.0),
        "Mi" if data => Some(1024.0 * 1024.0),
        "Gi" if data => Some(1024.0 * 1024.0 * 1024.0),
        "Ti" if data => Some(1024.0 * 1024.0 * 1024.0 * 1024.0),
        "m" if !data => Some(1e-3),
        "u" | "µ" if !data => Some(1e-6),
        "n" if !data => Some(1e-9),
        "p" if !data => Some(1e-12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, dimension: Dimension, value: f64) {
        let parsed = parse_quantity(text, dimension).unwrap();
        assert!(
            (parsed.value - value).abs() <= value.abs() * 1e-12,
            "{text}: {} is not {value}",
            parsed.value
        );
    }

    #[test]
    fn units_scale_to_base_units() {
        check("400 Gbit/s", Dimension::DataRate, 50e9);
        check("3.35 TB/s", Dimension::DataRate, 3.35e12);
        check("80 GiB", Dimension::Data, 80.0 * 1024.0 * 1024.0 * 1024.0);
        check("1.1 us", Dimension::Time, 1.1e-6);
        check("30min", Dimension::Time, 1800.0);
        check("989 TFLOP/s", Dimension::FlopRate, 989e12);
        check("1e3 GB/s", Dimension::DataRate, 1e12);
        check("12 %", Dimension::Number, 0.12);
        check("0.35", Dimension::Number, 0.35);
    }

    #[test]
    fn a_bare_number_is_refused_where_a_unit_is_needed() {
        assert_eq!(
            parse_quantity("3350", Dimension::DataRate),
            Err(ParseQuantityError::NoUnit("3350".to_owned()))
        );
    }

    #[test]
    fn a_unit_of_another_dimension_is_named() {
        let error = parse_quantity("80 GiB", Dimension::Time).unwrap_err();
        assert_eq!(error.to_string(), "`80 GiB` is an amount of data, not a time");
        assert!(parse_quantity("5 parsec", Dimension::Time).is_err());
    }
}
