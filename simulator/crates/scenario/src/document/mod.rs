//! A scenario as a tree of values that know where they stand, whatever file they came from.

mod merge;
mod parse;

use std::ops::Range;

pub(crate) use merge::{merge, set};
pub(crate) use parse::parse;

/// The texts that a scenario is made of: the file, what it extends, and overrides.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<(String, String)>);

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index into [`Files`].
    pub(crate) file: usize,
    /// Bytes of it.
    pub(crate) span: Range<usize>,
}

/// A value, where it stands, and where its key stands.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Place,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Date(String),
    List(Vec<Item>),
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<(String, Item)>);

impl Files {
    /// Adds a text; its index.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        self.0.push((name.to_owned(), text.to_owned()));
        self.0.len() - 1
    }

    /// Name and text.
    pub(crate) fn get(&self, file: usize) -> (&str, &str) {
        let (name, text) = &self.0[file];
        (name, text)
    }
}

impl Node {
    /// What it is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// The value as canonical JSON, keys sorted: what the hash is taken of.
    pub(crate) fn canonical(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Text(text) | Self::Date(text) => Value::from(text.as_str()),
            Self::Integer(number) => Value::from(*number),
            Self::Float(number) => Value::from(*number),
            Self::Flag(flag) => Value::from(*flag),
            Self::List(items) => items.iter().map(|item| item.node.canonical()).collect(),
            Self::Table(table) => {
                let mut entries: Vec<_> = table.0.iter().map(|(key, item)| (key, item)).collect();
                entries.sort_by_key(|&(key, _)| key);
                let entries = entries.into_iter();
                Value::Object(
                    entries
                        .map(|(k, item)| (k.clone(), item.node.canonical()))
                        .collect(),
                )
            }
        }
    }
}

impl Table {
    /// The value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Item> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, item)| item)
    }

    /// Takes out every value that stands at one of `places`, or has a part that does; their paths.
    pub(crate) fn prune(&mut self, path: &str, places: &[Place]) -> Vec<String> {
        let mut removed = Vec::new();
        self.0.retain_mut(|(key, item)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let keep = match &mut item.node {
                Node::Table(table) if !places.contains(&item.place) => {
                    removed.extend(table.prune(&path, places));
                    true
                }
                Node::List(items) => {
                    let faulty = |item: &Item| places.contains(&item.place);
                    !items.iter().any(faulty) && !places.contains(&item.place)
                }
                _ => !places.contains(&item.place),
            };
            if !keep {
                removed.push(path);
            }
            keep
        });
        removed
    }

    /// The value of `key`, to change.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Item> {
        self.0
            .iter_mut()
            .find(|(name, _)| name == key)
            .map(|(_, item)| item)
    }
}
