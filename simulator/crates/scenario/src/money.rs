//! Amounts of money as people type them: `2.5`, `$2.50/h`, `2,50 €`, `1.5M EUR`.

/// Currencies that a scenario can have, and what people write for them.
const CURRENCIES: [(&str, &[&str]); 3] = [
    ("USD", &["usd", "$", "us$", "dollar", "dollars"]),
    ("EUR", &["eur", "€", "euro", "euros"]),
    ("CNY", &["cny", "rmb", "yuan"]),
];
/// What people write for an hour of a device.
const HOURS: [&str; 8] = [
    "h", "hr", "hour", "gpu-hour", "gpu hour", "gpu-h", "gpuh", "gpu/h",
];
/// What people write for powers of ten.
const POWERS: [(&str, f64); 6] = [
    ("million", 1e6),
    ("billion", 1e9),
    ("thousand", 1e3),
    ("bn", 1e9),
    ("k", 1e3),
    ("m", 1e6),
];

/// An amount, and its currency where one is named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Money {
    /// The amount.
    pub amount: f64,
    /// The currency, as scenarios write it.
    pub currency: Option<&'static str>,
}

impl Money {
    /// The amount in `text`: a number with a currency before or behind it, or none; thousands may be apart by commas,
    /// spaces or underscores, and `k` and `M` multiply. A price may say that it is of an hour.
    ///
    /// # Errors
    /// Why it is none, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.trim().to_lowercase();
        let (plain, per) = match plain.split_once('/').or_else(|| plain.split_once(" per ")) {
            Some((amount, per)) => (amount.trim().to_owned(), Some(per.trim().to_owned())),
            None => (plain, None),
        };
        if let Some(per) = per.filter(|per| !HOURS.contains(&per.as_str())) {
            return Err(format!("a price is that of one GPU-hour, not of one `{per}`"));
        }
        let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let begin = plain
            .find(is_number)
            .ok_or_else(|| format!("there is no number in `{}`", text.trim()))?;
        let (before, rest) = plain.split_at(begin);
        let end = rest
            .find(|letter: char| !(is_number(letter) || " ,_'\u{a0}".contains(letter)))
            .unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(end);
        if before.contains('-') {
            return Err("an amount of money is not less than nothing".to_owned());
        }
        let amount = number(digits).ok_or_else(|| format!("`{}` is no number", digits.trim()))?;
        let (power, behind) = power(behind.trim());
        let named = [currency(before.trim())?, currency(behind)?];
        if let [Some(one), Some(other)] = named
            && one != other
        {
            return Err(format!("`{}` names both {one} and {other}", text.trim()));
        }
        Ok(Self {
            amount: amount * power,
            currency: named.into_iter().flatten().next(),
        })
    }
}

/// The number in `digits`: of commas and dots, the last is the decimal mark if it can be one.
fn number(digits: &str) -> Option<f64> {
    let digits: String = digits
        .chars()
        .filter(|letter| letter.is_ascii_digit() || ".,".contains(*letter))
        .collect();
    let digits = digits.trim_end_matches(',');
    let (commas, dots) = (digits.matches(',').count(), digits.matches('.').count());
    let behind = |mark: char| digits.rsplit(mark).next().map_or(0, str::len);
    let mark = match (commas, dots) {
        (1, 0) => (behind(',') != 3).then_some(','),
        (0, 1) => Some('.'),
        (_, 0) | (0, _) => None,
        _ => digits.chars().rev().find(|letter| ".,".contains(*letter)),
    };
    let plain: String = digits
        .chars()
        .filter_map(|letter| match letter {
            letter if Some(letter) == mark => Some('.'),
            '.' | ',' => None,
            digit => Some(digit),
        })
        .collect();
    plain.parse().ok()
}

/// The power of ten that `words` begin with, and what is left of them.
fn power(words: &str) -> (f64, &str) {
    for (name, power) in POWERS {
        if let Some(rest) = words.strip_prefix(name)
            && !rest.starts_with(|letter: char| letter.is_alphabetic())
        {
            return (power, rest.trim());
        }
    }
    (1.0, words)
}

/// The currency of `words`; none of nothing.
fn currency(words: &str) -> Result<Option<&'static str>, String> {
    if words.is_empty() {
        return Ok(None);
    }
    let known = CURRENCIES.iter().find(|(_, names)| names.contains(&words));
    let unknown = || format!("`{words}` is no currency that a scenario can have: USD, EUR or CNY");
    known.map(|(name, _)| Some(*name)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, amount: f64, currency: Option<&str>) {
        let money = Money::parse(text).unwrap();
        assert!((money.amount - amount).abs() < 1e-9, "{text}: {money:?}");
        assert_eq!(money.currency, currency, "{text}");
    }

    #[test]
    fn people_write_money_in_many_ways() {
        check("2.5", 2.5, None);
        check("2.50 USD", 2.5, Some("USD"));
        check("$2.50/h", 2.5, Some("USD"));
        check("2,50 € per hour", 2.5, Some("EUR"));
        check("EUR 1.99 / GPU-hour", 1.99, Some("EUR"));
        check("1,500,000", 1_500_000.0, None);
        check("1,500 usd", 1500.0, Some("USD"));
        check("1.234.567,5 eur", 1_234_567.5, Some("EUR"));
        check("1 500 000 CNY", 1_500_000.0, Some("CNY"));
        check("1.5M", 1_500_000.0, None);
        check("2 million usd", 2e6, Some("USD"));
        check("$300k", 300_000.0, Some("USD"));
        check(".5", 0.5, None);
    }

    #[test]
    fn what_is_no_price_says_why() {
        let why = |text: &str| Money::parse(text).unwrap_err();
        assert_eq!(
            why("2 GBP"),
            "`gbp` is no currency that a scenario can have: USD, EUR or CNY"
        );
        assert_eq!(
            why("60 USD/day"),
            "a price is that of one GPU-hour, not of one `day`"
        );
        assert_eq!(why("cheap"), "there is no number in `cheap`");
        assert_eq!(why("-2"), "an amount of money is not less than nothing");
        assert_eq!(why("$2 EUR"), "`$2 EUR` names both USD and EUR");
    }
}
