//! Holds a tree against the table of keys: unknown keys, wrong types, missing units, missing keys.

use orrery_units::{Dimension, ParseQuantityError, parse_quantity};

use super::key::{Key, Kind, MOST};
use crate::diagnostics::{Fault, Faults};
use crate::document::{Item, Node, Place, Table};

/// Checks `table`, found at `place` and called `path`, against `keys`.
pub(crate) fn check_table(path: &str, place: &Place, table: &Table, keys: &[Key], faults: &mut Faults) {
    for (name, item) in &table.0 {
        if name.starts_with("x-") {
            continue;
        }
        match keys.iter().find(|key| key.name == name) {
            Some(key) => {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                if let Err(fault) = check_item(&path, item, &key.kind, faults) {
                    faults.push(*fault);
                }
            }
            None => faults.push(unknown_key(path, name, item, keys)),
        }
    }
    for key in keys
        .iter()
        .filter(|key| key.required && table.get(key.name).is_none())
    {
        let (_, example) = key.kind.describe();
        let fault = Fault::new(
            "S004",
            place,
            format!("{} needs `{}`", table_name(path), key.name),
        );
        faults.push(fault.note(key.about).help(format!("{} = {example}", key.name)));
    }
}

fn table_name(path: &str) -> String {
    if path.is_empty() {
        "the scenario".to_owned()
    } else {
        format!("[{path}]")
    }
}

fn unknown_key(path: &str, name: &str, item: &Item, keys: &[Key]) -> Fault {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let by_other_name = keys.iter().find(|key| key.also.contains(&name));
    let suggestion = by_other_name
        .map(|key| key.name)
        .or_else(|| nearest(name, &names));
    let fault = Fault::new(
        "S014",
        &item.key,
        format!("unknown key `{name}` in {}", table_name(path)),
    );
    let fault = match suggestion {
        Some(near) => fault.label(format!("did you mean `{near}`?")).help(format!(
            "use `{near}`, or name it `x-{name}` to keep it as a note"
        )),
        None => fault.help(format!("remove it, or name it `x-{name}` to keep it as a note")),
    };
    fault.note(format!("valid keys: {}", names.join(", ")))
}

/// The name of `names` nearest to `name`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .map(|&candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Checks one value. Faults of the value itself are returned, so that [`Kind::Either`] can try the next;
/// faults inside a table go to `faults`.
fn check_item(path: &str, item: &Item, kind: &Kind, faults: &mut Faults) -> Result<(), Box<Fault>> {
    match (kind, &item.node) {
        (Kind::Text, Node::Text(_)) | (Kind::Flag, Node::Flag(_)) => Ok(()),
        (Kind::Date, Node::Date(_) | Node::Text(_)) => Ok(()),
        (Kind::Choice(names), Node::Text(text)) => check_choice(path, item, names, text),
        (Kind::Integer(least), &Node::Integer(number)) => {
            in_range(path, item, (*least..=MOST).contains(&number), kind)
        }
        (Kind::Large(least), &Node::Integer(number)) => in_range(path, item, number >= *least, kind),
        (Kind::Number(least), &Node::Float(number)) => in_range(path, item, number >= *least, kind),
        #[expect(clippy::cast_precision_loss, reason = "compared with a small bound only")]
        (Kind::Number(least), &Node::Integer(number)) => in_range(path, item, number as f64 >= *least, kind),
        (Kind::Share, &Node::Float(number)) => in_range(path, item, (0.0..=1.0).contains(&number), kind),
        (Kind::Share, &Node::Integer(number)) => in_range(path, item, (0..=1).contains(&number), kind),
        (Kind::Share, Node::Text(text)) => check_quantity(path, item, text, Dimension::Number),
        (Kind::Quantity(dimension), Node::Text(text)) => check_quantity(path, item, text, *dimension),
        (Kind::Quantity(dimension), Node::Integer(_) | Node::Float(_)) => {
            Err(Box::new(bare_number(path, item, *dimension)))
        }
        (Kind::List(of), Node::List(items)) => {
            for (at, entry) in items.iter().enumerate() {
                check_item(&format!("{path}[{at}]"), entry, of, faults)?;
            }
            Ok(())
        }
        (Kind::Table(keys), Node::Table(table)) => {
            check_table(path, &item.key, table, keys, faults);
            Ok(())
        }
        (Kind::Named(keys), Node::Table(tables)) => {
            check_named(path, tables, keys, faults);
            Ok(())
        }
        (Kind::Either(kinds), _) => check_either(path, item, kinds, faults),
        _ => Err(Box::new(wrong_type(path, item, kind))),
    }
}

fn check_named(path: &str, tables: &Table, keys: &'static [Key], faults: &mut Faults) {
    for (name, entry) in &tables.0 {
        let path = format!("{path}.{name}");
        if let Err(fault) = check_item(&path, entry, &Kind::Table(keys), faults) {
            faults.push(*fault);
        }
    }
}

fn check_either(
    path: &str,
    item: &Item,
    kinds: &'static [Kind],
    faults: &mut Faults,
) -> Result<(), Box<Fault>> {
    let right_type = |kind: &&Kind| match kind {
        Kind::Text | Kind::Choice(_) => matches!(item.node, Node::Text(_)),
        Kind::Integer(_) | Kind::Large(_) => matches!(item.node, Node::Integer(_)),
        Kind::List(_) => matches!(item.node, Node::List(_)),
        Kind::Table(_) | Kind::Named(_) => matches!(item.node, Node::Table(_)),
        _ => true,
    };
    // The kind of the value's own type says best what is wrong with it.
    kinds.iter().find(right_type).map_or_else(
        || Err(Box::new(wrong_type(path, item, &Kind::Either(kinds)))),
        |kind| check_item(path, item, kind, faults),
    )
}

fn key_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn check_choice(path: &str, item: &Item, names: &[&str], text: &str) -> Result<(), Box<Fault>> {
    if names.contains(&text) {
        return Ok(());
    }
    let fault = Fault::new(
        "S005",
        &item.place,
        format!("`{}` cannot be \"{text}\"", key_of(path)),
    );
    let fault = match nearest(text, names) {
        Some(near) => fault
            .label(format!("did you mean \"{near}\"?"))
            .help(format!("{} = \"{near}\"", key_of(path))),
        None => fault.help(format!("{} = \"{}\"", key_of(path), names[0])),
    };
    Err(Box::new(
        fault.note(format!("values that work: {}", names.join(", "))),
    ))
}

fn in_range(path: &str, item: &Item, holds: bool, kind: &Kind) -> Result<(), Box<Fault>> {
    if holds {
        return Ok(());
    }
    let (words, example) = kind.describe();
    let fault = Fault::new("S006", &item.place, format!("`{}` must be {words}", key_of(path)));
    Err(Box::new(fault.help(format!("{} = {example}", key_of(path)))))
}

fn bare_number(path: &str, item: &Item, dimension: Dimension) -> Fault {
    let unit = match dimension {
        Dimension::Number => "",
        Dimension::Time => "us",
        Dimension::Data => "GiB",
        Dimension::DataRate => "GB/s",
        Dimension::FlopRate => "TFLOP/s",
        Dimension::Rate => "/s",
        Dimension::Power => "W",
        Dimension::Energy => "J",
        Dimension::Money => "USD",
    };
    let number = match &item.node {
        Node::Text(text) => text.trim().to_owned(),
        Node::Integer(number) => number.to_string(),
        Node::Float(number) => number.to_string(),
        Node::Flag(_) | Node::Date(_) | Node::List(_) | Node::Table(_) => "1".to_owned(),
    };
    Fault::new("S007", &item.place, format!("`{}` needs a unit", key_of(path)))
        .label(format!("write \"{number} {unit}\", if that is what it means"))
        .help(format!("{} = \"{number} {unit}\"", key_of(path)))
}

fn check_quantity(path: &str, item: &Item, text: &str, dimension: Dimension) -> Result<(), Box<Fault>> {
    let value = match parse_quantity(text, dimension) {
        Ok(quantity) if quantity.value >= 0.0 && quantity.value.is_finite() => return Ok(()),
        Ok(_) => "a quantity is not negative".to_owned(),
        Err(ParseQuantityError::NoUnit(_)) => return Err(Box::new(bare_number(path, item, dimension))),
        Err(error) => error.to_string(),
    };
    let fault = Fault::new("S008", &item.place, format!("`{}`: {value}", key_of(path)));
    Err(Box::new(fault.help(format!(
        "{} = \"{}\"",
        key_of(path),
        dimension.example()
    ))))
}

fn wrong_type(path: &str, item: &Item, kind: &Kind) -> Fault {
    let (words, example) = kind.describe();
    let (name, found) = (key_of(path), item.node.kind());
    Fault::new(
        "S003",
        &item.place,
        format!("`{name}` must be {words}, not {found}"),
    )
    .help(format!("{name} = {example}"))
}
