//! A field for money: whatever is typed is taken, or refused with the reason.

use std::cell::{Cell, RefCell};

use eframe::egui::{DragValue, Response, Ui};
use orrery_scenario::Money;

/// Draws a field for an amount in `currency`, by `speed` when dragged; its response, and the amount with its currency once it
/// was changed. Why what was typed is no such amount stands in `fault` until something else is typed.
pub(crate) fn money(
    ui: &mut Ui,
    (amount, currency): (f64, &str),
    speed: f64,
    fault: &mut Option<String>,
) -> (Response, Option<(f64, String)>) {
    let named: Cell<Option<&'static str>> = Cell::new(None);
    let refused: RefCell<Option<Option<String>>> = RefCell::new(None);
    let mut value = amount;
    let field = DragValue::new(&mut value)
        .range(0.0..=f64::MAX)
        .speed(speed)
        .max_decimals(4)
        // Half a word is no amount yet.
        .update_while_editing(false)
        .custom_parser(|text| match Money::parse(text) {
            Ok(money) => {
                named.set(money.currency);
                refused.replace(Some(None));
                Some(money.amount)
            }
            Err(why) => {
                refused.replace(Some(Some(why)));
                None
            }
        })
        .custom_formatter(|value, _decimals| shown(value))
        .suffix(format!(" {currency}"));
    let response = ui.add(field);
    let typed = refused.into_inner();
    if let Some(typed) = typed {
        *fault = typed;
    }
    let other = named.get().filter(|named| *named != currency);
    let is_changed = value.to_bits() != amount.to_bits() || other.is_some();
    if is_changed {
        *fault = None;
    }
    let changed = is_changed.then(|| (value, other.unwrap_or(currency).to_owned()));
    (response, changed)
}

/// `value` with as many digits as it has, thousands apart, cents where there are any.
pub(crate) fn shown(value: f64) -> String {
    let plain = written(value);
    let (whole, cents) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = whole
        .parse()
        .map_or_else(|_huge| whole.to_owned(), crate::words::grouped);
    match cents.is_empty() {
        true => whole,
        false => format!("{whole}.{cents}"),
    }
}

/// `value` as a file has it: two digits of cents, or none, or as many as it has.
pub(crate) fn written(value: f64) -> String {
    let cents = value * 100.0;
    if value.fract().abs() < 1e-12 {
        format!("{value:.0}")
    } else if (cents - cents.round()).abs() < 1e-9 {
        format!("{value:.2}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_and_written_with_the_digits_that_they_have() {
        let all = [2.0, 2.5, 1_500_000.0, 12_345.67, 0.125].map(|value| (shown(value), written(value)));
        let texts = all
            .each_ref()
            .map(|(shown, written)| (shown.as_str(), written.as_str()));
        let expected = [
            ("2", "2"),
            ("2.50", "2.50"),
            ("1,500,000", "1500000"),
            ("12,345.67", "12345.67"),
            ("0.125", "0.125"),
        ];
        assert_eq!(texts, expected);
    }
}
