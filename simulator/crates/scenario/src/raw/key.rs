//! The one description of a key: what checks, completes and documents it.

use orrery_units::Dimension;

/// The largest integer that a key takes unless it says otherwise: products of a few stay in range.
pub(crate) const MOST: i64 = 4_294_967_295;

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether it must be there.
    pub(crate) required: bool,
    /// What it means, for the schema and for people.
    pub(crate) about: &'static str,
    /// What others call it; for suggestions only.
    pub(crate) also: &'static [&'static str],
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A date.
    Date,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An integer, at least this and at most [`MOST`].
    Integer(i64),
    /// An integer of any size, at least this.
    Large(i64),
    /// A number, at least this.
    Number(f64),
    /// A number from 0 to 1, or a text such as `"1.5 %"`.
    Share,
    /// `true` or `false`.
    Flag,
    /// A text with a unit.
    Quantity(Dimension),
    /// A list.
    List(&'static Self),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table of tables, named by the user.
    Named(&'static [Key]),
    /// Any of these.
    Either(&'static [Self]),
}

impl Key {
    /// An optional key.
    pub(crate) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            required: false,
            about,
            also: &[],
        }
    }

    /// A key that must be there.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// A key with names that others use.
    pub(crate) const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }
}

impl Kind {
    /// What it holds, in words, and a value that works.
    pub(crate) fn describe(&self) -> (String, String) {
        let fixed = |words: &str, example: &str| (words.to_owned(), example.to_owned());
        match self {
            Self::Text => fixed("a text", "\"text\""),
            Self::Date => fixed("a date", "2026-09-01"),
            Self::Choice(names) => (
                format!("one of {}", quoted(names)),
                format!("\"{}\"", names.first().unwrap_or(&"")),
            ),
            Self::Integer(least) | Self::Large(least) => (
                format!("an integer of at least {least}"),
                (*least).max(1).to_string(),
            ),
            Self::Number(least) => (format!("a number of at least {least}"), format!("{least:?}")),
            Self::Share => fixed("a share", "0.01 or \"1 %\""),
            Self::Flag => fixed("true or false", "true"),
            Self::Quantity(dimension) => (
                format!("{} with its unit, as text", dimension.name()),
                format!("\"{}\"", dimension.example()),
            ),
            Self::List(of) => {
                let (words, example) = of.describe();
                (format!("a list, each entry {words}"), format!("[{example}]"))
            }
            Self::Table(_) | Self::Named(_) => fixed("a table", "{ … }"),
            Self::Either(kinds) => {
                let (words, examples): (Vec<_>, Vec<_>) = kinds.iter().map(Self::describe).unzip();
                (words.join(", or "), examples.join(" or "))
            }
        }
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}
