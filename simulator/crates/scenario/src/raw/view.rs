//! Reading values out of a checked tree. A value of the wrong type reads as absent: its fault is known.

use orrery_units::{Dimension, parse_quantity};

use crate::document::{Item, Node, Place, Table};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A table that may be absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a>(pub(crate) Option<&'a Table>);

impl<'a> View<'a> {
    fn item(self, key: &str) -> Option<&'a Item> {
        self.0?.get(key)
    }

    /// Whether `key` is written, whatever its value.
    pub(crate) fn has(self, key: &str) -> bool {
        self.item(key).is_some()
    }

    /// The table at `key`.
    pub(crate) fn table(self, key: &str) -> Self {
        Self(match self.item(key).map(|item| &item.node) {
            Some(Node::Table(table)) => Some(table),
            _ => None,
        })
    }

    /// Where `key` stands.
    pub(crate) fn key_place(self, key: &str) -> Option<&'a Place> {
        self.item(key).map(|item| &item.key)
    }

    pub(crate) fn text(self, key: &str) -> Option<Given<String>> {
        let item = self.item(key)?;
        match &item.node {
            Node::Text(text) | Node::Date(text) => Some(given(text.clone(), item)),
            _ => None,
        }
    }

    pub(crate) fn integer(self, key: &str) -> Option<Given<u64>> {
        let item = self.item(key)?;
        match item.node {
            Node::Integer(number) => u64::try_from(number).ok().map(|number| given(number, item)),
            _ => None,
        }
    }

    pub(crate) fn number(self, key: &str) -> Option<Given<f64>> {
        let item = self.item(key)?;
        match &item.node {
            #[expect(clippy::cast_precision_loss, reason = "numbers in files are small")]
            Node::Integer(number) => Some(given(*number as f64, item)),
            Node::Float(number) => Some(given(*number, item)),
            Node::Text(text) => parse_quantity(text, Dimension::Number)
                .ok()
                .map(|quantity| given(quantity.value, item)),
            _ => None,
        }
    }

    pub(crate) fn flag(self, key: &str) -> Option<Given<bool>> {
        let item = self.item(key)?;
        match item.node {
            Node::Flag(flag) => Some(given(flag, item)),
            _ => None,
        }
    }

    pub(crate) fn quantity(self, key: &str, dimension: Dimension) -> Option<Given<f64>> {
        let item = self.item(key)?;
        match &item.node {
            Node::Text(text) => parse_quantity(text, dimension)
                .ok()
                .map(|quantity| given(quantity.value, item)),
            _ => None,
        }
    }

    /// The tables of the list at `key`.
    pub(crate) fn tables(self, key: &str) -> Vec<Self> {
        match self.item(key).map(|item| &item.node) {
            Some(Node::List(items)) => items
                .iter()
                .filter_map(|item| match &item.node {
                    Node::Table(table) => Some(View(Some(table))),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Lists of numbers in a list.
    pub(crate) fn rows(self, key: &str) -> Option<Given<Vec<Vec<f64>>>> {
        let item = self.item(key)?;
        let Node::List(rows) = &item.node else {
            return None;
        };
        #[expect(clippy::cast_precision_loss, reason = "numbers in files are small")]
        let number = |item: &Item| match item.node {
            Node::Integer(number) => Some(number as f64),
            Node::Float(number) => Some(number),
            _ => None,
        };
        let row = |item: &Item| match &item.node {
            Node::List(items) => items.iter().map(number).collect(),
            _ => None,
        };
        let rows: Option<Vec<Vec<f64>>> = rows.iter().map(row).collect();
        Some(given(rows?, item))
    }

    pub(crate) fn texts(self, key: &str) -> Option<Given<Vec<Given<String>>>> {
        let item = self.item(key)?;
        let Node::List(items) = &item.node else {
            return None;
        };
        let texts = items.iter().filter_map(|entry| match &entry.node {
            Node::Text(text) => Some(given(text.clone(), entry)),
            _ => None,
        });
        Some(given(texts.collect(), item))
    }

    pub(crate) fn integers(self, key: &str) -> Option<Given<Vec<u64>>> {
        let item = self.item(key)?;
        let Node::List(items) = &item.node else {
            return None;
        };
        let numbers = items.iter().map(|entry| match entry.node {
            Node::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        });
        let numbers: Option<Vec<u64>> = numbers.collect();
        Some(given(numbers?, item))
    }
}

fn given<T>(value: T, item: &Item) -> Given<T> {
    Given {
        value,
        place: item.place.clone(),
    }
}
