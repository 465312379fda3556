//! Changes to the text of a scenario that leave the rest as it stands: comments, blank lines, order.
//!
//! Forms, quick fixes and whoever writes a layout that a search found change one key at a time. A key is written as in
//! messages: `cluster.node.nics.count`, `load.phase[0].steps`.

use std::ops::Range;

use thiserror::Error;
use toml_edit::{Document, DocumentMut, InlineTable, Item, Key, Table, TableLike, Value};

/// A scenario's text that can be changed key by key.
#[derive(Clone, Debug)]
pub struct Draft(DocumentMut);

/// Why a text was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The text is no TOML, so that nothing in it can be found.
    #[error("the text is not TOML: {0}")]
    NotToml(String),
    /// The value is none.
    #[error("`{0}` is no value of TOML")]
    NoValue(String),
    /// What stands on the way to the key holds no keys.
    #[error("`{0}` holds no keys")]
    NoTable(String),
    /// There is nothing there.
    #[error("`{0}` is not in the text")]
    Absent(String),
    /// The new name is taken.
    #[error("`{0}` is in the text already")]
    Taken(String),
}

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    At(usize),
}

/// The steps of `load.phase[0].steps`.
fn steps(key: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in key.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        steps.push(Step::Key(name));
        while let Some((number, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            steps.extend(number.parse().map(Step::At));
            rest = after;
        }
    }
    steps
}

impl Draft {
    /// The text to change.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn new(text: &str) -> Result<Self, EditError> {
        let document = text.parse();
        document
            .map(Self)
            .map_err(|fault: toml_edit::TomlError| EditError::NotToml(fault.message().trim().to_owned()))
    }

    /// The value of `key` as it is written, without what stands around it; none if the key is not in this text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        let mut item = self.0.as_item();
        for step in steps(key) {
            item = match step {
                Step::Key(name) => item.as_table_like()?.get(name)?,
                Step::At(number) => item.get(number)?,
            };
        }
        match item {
            Item::Value(value) => Some(bare(value.clone()).to_string()),
            Item::Table(table) => Some(bare(table.clone().into_inline_table().into()).to_string()),
            Item::None | Item::ArrayOfTables(_) => None,
        }
    }

    /// Writes `value`, as TOML has it, at `key`; tables on the way are made. Where a table stands and a table is
    /// written, its keys are set one by one, so that comments stay.
    ///
    /// # Errors
    /// When `value` is none, or something on the way holds no keys; the text is then as it was.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), EditError> {
        let value: Value = value
            .parse()
            .map_err(|_fault| EditError::NoValue(value.to_owned()))?;
        let steps = steps(key);
        let (last, way) = steps.split_last().expect("a text has a first part");
        let parent =
            walk(self.0.as_item_mut(), way, true).ok_or_else(|| EditError::NoTable(key.to_owned()))?;
        match last {
            Step::Key(name) => {
                let table = parent
                    .as_table_like_mut()
                    .ok_or_else(|| EditError::NoTable(key.to_owned()))?;
                put(table, name, value);
            }
            Step::At(number) => {
                let place = parent.get_mut(*number).and_then(Item::as_value_mut);
                replace(place.ok_or_else(|| EditError::Absent(key.to_owned()))?, value);
            }
        }
        Ok(())
    }

    /// Writes `words` at `key`, quoted as TOML has it.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_text(&mut self, key: &str, words: &str) -> Result<(), EditError> {
        self.set(key, &Value::from(words).to_string())
    }

    /// Takes `key` out of the text, with what stands before it on its lines.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&mut self, key: &str) -> Result<(), EditError> {
        let absent = || EditError::Absent(key.to_owned());
        let steps = steps(key);
        let (last, way) = steps.split_last().expect("a text has a first part");
        let parent = walk(self.0.as_item_mut(), way, false).ok_or_else(absent)?;
        match last {
            Step::Key(name) => {
                let table = parent.as_table_like_mut().ok_or_else(absent)?;
                table.remove(name).map(drop).ok_or_else(absent)
            }
            Step::At(number) => {
                let array = parent.as_array_mut().ok_or_else(absent)?;
                if *number >= array.len() {
                    return Err(absent());
                }
                drop(array.remove(*number));
                Ok(())
            }
        }
    }

    /// Makes the lines of `key` a comment, below `why`. Inside an inline table, where there is no line of its own, it is
    /// taken out.
    ///
    /// # Errors
    /// When it is not there.
    pub fn comment_out(&mut self, key: &str, why: &str) -> Result<(), EditError> {
        let text = self.to_string();
        let Some(lines) = lines_of(&text, key) else {
            return self.remove(key);
        };
        let mut kept = text[..lines.start].to_owned();
        kept.push_str(&format!("# {why}\n"));
        for line in text[lines.clone()].lines() {
            let is_code = !line.is_empty() && !line.starts_with('#');
            kept.push_str(if is_code { "# " } else { "" });
            kept.push_str(line);
            kept.push('\n');
        }
        kept.push_str(&text[lines.end..]);
        *self = Self::new(&kept)?;
        Ok(())
    }

    /// Calls `key` `name` from now on, where it stands.
    ///
    /// # Errors
    /// When it is not there, or something is called `name` beside it.
    pub fn rename(&mut self, key: &str, name: &str) -> Result<(), EditError> {
        let absent = || EditError::Absent(key.to_owned());
        let steps = steps(key);
        let (Step::Key(old), way) = steps.split_last().expect("a text has a first part") else {
            return Err(absent());
        };
        let parent = walk(self.0.as_item_mut(), way, false).ok_or_else(absent)?;
        let table = parent.as_table_like_mut().ok_or_else(absent)?;
        if table.contains_key(name) {
            return Err(EditError::Taken(name.to_owned()));
        }
        // The order is kept by taking all out and putting them back.
        let mut held: Vec<(Key, Item)> = Vec::new();
        let names: Vec<String> = table.iter().map(|(known, _)| known.to_owned()).collect();
        if !names.iter().any(|known| known == old) {
            return Err(absent());
        }
        for known in names {
            let key = table.key(&known).cloned().expect("it was just listed");
            let item = table.remove(&known).expect("it was just listed");
            let key = if known == *old {
                let mut new = Key::new(name);
                *new.leaf_decor_mut() = key.leaf_decor().clone();
                *new.dotted_decor_mut() = key.dotted_decor().clone();
                new
            } else {
                key
            };
            held.push((key, item));
        }
        for (key, item) in held {
            table.entry_format(&key).or_insert(item);
        }
        Ok(())
    }
}

impl std::fmt::Display for Draft {
    /// The text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the whole lines of `key` and of all below it are in `text`; none inside an inline table or a list.
fn lines_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut item = document.as_item();
    let mut own = None;
    for step in steps(key) {
        let Step::Key(name) = step else { return None };
        if item.is_inline_table() {
            return None;
        }
        let (key, below) = item.as_table_like()?.get_key_value(name)?;
        own = key.span();
        item = below;
    }
    let place = match item {
        Item::Table(_) => extent(item),
        _ => own.into_iter().chain(extent(item)).reduce(around),
    }?;
    let start = text[..place.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[place.end..]
        .find('\n')
        .map_or(text.len(), |at| place.end + at + 1);
    Some(start..end)
}

/// Where `item` and all below it are.
fn extent(item: &Item) -> Option<Range<usize>> {
    let below = item.as_table().into_iter().flat_map(Table::iter);
    let below = below.filter_map(|(_, item)| extent(item));
    item.span().into_iter().chain(below).reduce(around)
}

fn around(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// `value` without the blanks and comments around it.
fn bare(mut value: Value) -> Value {
    value.decor_mut().clear();
    value
}

/// What is at the end of `way`; missing tables are made if `make`.
fn walk<'a>(mut item: &'a mut Item, way: &[Step<'_>], make: bool) -> Option<&'a mut Item> {
    for step in way {
        item = match step {
            Step::At(number) => item.get_mut(*number)?,
            Step::Key(name) => {
                let is_inline = item.is_inline_table();
                let table = item.as_table_like_mut()?;
                if !table.contains_key(name) {
                    if !make {
                        return None;
                    }
                    let made = if is_inline {
                        Item::Value(InlineTable::new().into())
                    } else {
                        Item::Table(Table::new())
                    };
                    table.insert(name, made);
                }
                table.get_mut(name)?
            }
        };
    }
    Some(item)
}

/// Puts `value` at `name` of `table`.
fn put(table: &mut dyn TableLike, name: &str, value: Value) {
    match (table.get_mut(name), value) {
        (Some(old), Value::InlineTable(new)) if old.is_table_like() => {
            let old = old.as_table_like_mut().expect("it was just asked");
            let gone: Vec<String> = old
                .iter()
                .map(|(known, _)| known.to_owned())
                .filter(|known| !new.contains_key(known))
                .collect();
            for known in gone {
                drop(old.remove(&known));
            }
            for (known, value) in new {
                put(old, &known, value);
            }
        }
        (Some(Item::Value(old)), value) => replace(old, value),
        (_, value) => drop(table.insert(name, Item::Value(bare(value)))),
    }
}

/// `value` in place of `old`, with the blanks and comments that stand around that.
fn replace(old: &mut Value, value: Value) {
    let decor = old.decor().clone();
    *old = value;
    *old.decor_mut() = decor;
}

#[cfg(test)]
mod tests;
