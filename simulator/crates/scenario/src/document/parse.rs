//! TOML text into the tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Item, Node, Place, Table};
use crate::diagnostics::{Fault, Faults};

/// The tree of `text`, which is file number `file`; syntax faults go to `faults` and what can be read is.
pub(crate) fn parse(file: usize, text: &str, faults: &mut Faults) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = format!("not TOML: {}", error.message().trim());
        faults.push(Fault::new("S001", &Place { file, span }, message));
    }
    table(file, document.get_ref())
}

fn table(file: usize, entries: &DeTable<'_>) -> Table {
    let mut entries: Vec<(String, Item)> = entries
        .iter()
        .map(|(key, value)| {
            let mut item = item(file, value);
            item.key = Place {
                file,
                span: key.span(),
            };
            (key.get_ref().to_string(), item)
        })
        .collect();
    // The parser sorts by name; people read from top to bottom.
    entries.sort_by_key(|(_, item)| item.key.span.start);
    Table(entries)
}

fn item(file: usize, value: &Spanned<DeValue<'_>>) -> Item {
    let place = Place {
        file,
        span: value.span(),
    };
    let node = match value.get_ref() {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_not_a_float| Node::Text(number.as_str().to_owned()), Node::Float),
        DeValue::Boolean(flag) => Node::Flag(*flag),
        DeValue::Datetime(date) => Node::Date(date.to_string()),
        DeValue::Array(items) => Node::List(items.iter().map(|value| item(file, value)).collect()),
        DeValue::Table(entries) => Node::Table(table(file, entries)),
    };
    Item {
        key: place.clone(),
        place,
        node,
    }
}

/// An integer, or its text where it does not fit 64 bits (and then fails the check of its type).
fn integer(text: &str, radix: u32) -> Node {
    i64::from_str_radix(text, radix).map_or_else(|_too_large| Node::Text(text.to_owned()), Node::Integer)
}
