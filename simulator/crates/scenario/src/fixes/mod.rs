//! What a message proposes, carried out.
//!
//! Messages end on a value that works, in the words of a scenario (`ep = 32`, `pp = one of 1 2 4`, ``use `tp` ``); each
//! of these becomes a text that has it. A proposal that is a sentence stays one. Every text is loaded before it is
//! offered ([`follow`]): where a change brings up the next fault, what that one proposes is carried out with it.

mod follow;

use std::ops::Range;

use crate::document::{Files, Item, Node, Table, parse};
use crate::edit::Draft;
use crate::source::LoadContext;
use crate::{Diagnostic, diagnostics::Faults};

/// Most values of a list that are offered.
const MOST_VALUES: usize = 6;
/// Codes of expectations whose proposal takes the place of what is marked.
const OF_METRICS: [&str; 3] = ["E003", "E004", "E005"];

/// A change that a message proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, such as `ep = 32`.
    pub title: String,
    /// The text with it.
    pub text: String,
    /// The fault that it leads to, if no change was found that leads to none.
    pub leads_to: Option<String>,
}

/// The changes that mend `fault` of the scenario `text`; none if its proposal is a sentence, or belongs to another file.
///
/// Each comes after a load of the text that it makes: changes that bring up no other fault stand first, those of one key
/// before those of several, and where there are any, no others are offered.
#[must_use]
pub fn fixes(text: &str, fault: &Diagnostic, context: &LoadContext<'_>) -> Vec<Fix> {
    follow::to_the_end(text, fault, context)
}

/// The changes that `fault` of `text` proposes, whatever they lead to.
fn proposed(text: &str, fault: &Diagnostic) -> Vec<Fix> {
    let Some(help) = &fault.help else {
        return Vec::new();
    };
    if OF_METRICS.contains(&fault.code) {
        return in_place(text, &fault.span, help).into_iter().collect();
    }
    let Ok(draft) = Draft::new(text) else {
        return Vec::new();
    };
    let mut files = Files::default();
    let tree = parse(files.add(&fault.file, text), text, &mut Faults::default());
    let at = locate(&tree, &fault.span);
    let proposals = help.split(", or ").flat_map(proposals);
    proposals
        .filter_map(|proposal| carry_out(&draft, &at, &proposal))
        .collect()
}

/// What a part of a message proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proposal {
    /// This key has this value.
    Set(String, String),
    /// The key at fault is called so.
    Rename(String),
    /// The key at fault, or this one beside it, is gone.
    Remove(Option<String>),
}

fn proposals(part: &str) -> Vec<Proposal> {
    let part = part.trim();
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    if part.starts_with("use `") || part.starts_with("name it `") {
        return quoted(part).map(Proposal::Rename).into_iter().collect();
    }
    if part == "remove it" {
        return vec![Proposal::Remove(None)];
    }
    if part.starts_with("remove `") {
        return vec![Proposal::Remove(quoted(part))];
    }
    let Some((key, value)) = part.split_once(" = ") else {
        return Vec::new();
    };
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !key.chars().all(is_key) {
        return Vec::new();
    }
    let values: Vec<&str> = match value.strip_prefix("one of ") {
        Some(values) => values
            .split([' ', ','])
            .filter(|value| !value.is_empty())
            .collect(),
        None => {
            let value = value.strip_suffix(" or fewer").unwrap_or(value);
            value.split(" or ").collect()
        }
    };
    let set = |value: &&str| Proposal::Set(key.to_owned(), (*value).to_owned());
    values.iter().take(MOST_VALUES).map(set).collect()
}

/// `draft` with `proposal` for what stands at `at`.
fn carry_out(draft: &Draft, at: &At, proposal: &Proposal) -> Option<Fix> {
    let mut draft = draft.clone();
    let title = match proposal {
        Proposal::Set(key, value) => {
            draft.set(&at.key(key), value).ok()?;
            format!("{key} = {value}")
        }
        Proposal::Rename(name) => {
            draft.rename(&at.path, name).ok()?;
            format!("call it {name}")
        }
        Proposal::Remove(None) => {
            draft.remove(&at.path).ok()?;
            "remove it".to_owned()
        }
        Proposal::Remove(Some(key)) => {
            draft.remove(&at.key(key)).ok()?;
            format!("remove {key}")
        }
    };
    let text = draft.to_string();
    Some(Fix::new(title, text))
}

/// `text` with `value` where `span` is, if that is not a sentence.
fn in_place(text: &str, span: &Range<usize>, value: &str) -> Option<Fix> {
    if value.contains(' ') || text.get(span.clone()).is_none_or(str::is_empty) {
        return None;
    }
    let text = format!("{}{value}{}", &text[..span.start], &text[span.end..]);
    let title = value.to_owned();
    Some(Fix::new(title, text))
}

impl Fix {
    const fn new(title: String, text: String) -> Self {
        Self {
            title,
            text,
            leads_to: None,
        }
    }
}

/// Where a fault stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct At {
    /// The key, as [`Draft`] names it; empty at the top.
    path: String,
    /// Whether keys stand below it.
    is_table: bool,
}

impl At {
    /// `key`, which is this key, or below it, or beside it.
    fn key(&self, key: &str) -> String {
        let name = self.path.rsplit('.').next().unwrap_or_default();
        if name == key {
            return self.path.clone();
        }
        let above = if self.is_table {
            self.path.as_str()
        } else {
            self.path.rsplit_once('.').map_or("", |(above, _)| above)
        };
        join(above, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The deepest key of `table` at which `span` stands.
fn locate(table: &Table, span: &Range<usize>) -> At {
    let top = At {
        path: String::new(),
        is_table: true,
    };
    let found = table.0.iter().filter_map(|(key, item)| in_item(key, item, span));
    found.max_by_key(|at| at.path.len()).unwrap_or(top)
}

fn in_item(path: &str, item: &Item, span: &Range<usize>) -> Option<At> {
    let holds = |place: &Range<usize>| place.start <= span.start && span.end <= place.end;
    let below = match &item.node {
        Node::Table(table) => {
            let found = table.0.iter();
            let found = found.filter_map(|(key, item)| in_item(&join(path, key), item, span));
            found.max_by_key(|at| at.path.len())
        }
        Node::List(items) => {
            let found = items.iter().enumerate();
            let found = found.filter_map(|(at, item)| in_item(&format!("{path}[{at}]"), item, span));
            found.max_by_key(|at| at.path.len())
        }
        _ => None,
    };
    below.or_else(|| {
        (holds(&item.key.span) || holds(&item.place.span)).then(|| At {
            path: path.to_owned(),
            is_table: matches!(item.node, Node::Table(_)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_are_read_from_messages() {
        let set = |key: &str, value: &str| Proposal::Set(key.to_owned(), value.to_owned());
        assert_eq!(proposals("ep = 32"), [set("ep", "32")]);
        assert_eq!(
            proposals("pp = one of 1 2 4"),
            [set("pp", "1"), set("pp", "2"), set("pp", "4")]
        );
        assert_eq!(proposals("nodes = 5 or fewer"), [set("nodes", "5")]);
        assert_eq!(proposals("pp = 5 or 6"), [set("pp", "5"), set("pp", "6")]);
        assert_eq!(proposals("use `tp`"), [Proposal::Rename("tp".to_owned())]);
        assert_eq!(proposals("remove it"), [Proposal::Remove(None)]);
        assert_eq!(proposals("paths are relative to the scenario file"), []);
    }
}
