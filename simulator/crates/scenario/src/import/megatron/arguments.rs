//! Command-line arguments as a map: from text as typed, or from a JSON object.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::import::{Line, Report};

/// Arguments by name, without values for flags; and which were read.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    values: BTreeMap<String, Option<String>>,
    used: Vec<String>,
    pub(super) report: Report,
}

impl Arguments {
    /// Reads `text`: a JSON object of arguments, or a command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return Self::from_json(text);
        }
        let mut arguments = Self::default();
        let mut current: Option<String> = None;
        for word in words(text) {
            if let Some(name) = word.strip_prefix("--") {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (name, None),
                };
                arguments.values.insert(name.to_owned(), value);
                current = Some(name.to_owned());
            } else if let Some(slot) = current.as_ref().and_then(|name| arguments.values.get_mut(name)) {
                // Several words after a name are a list.
                *slot = Some(
                    slot.take()
                        .map_or_else(|| word.clone(), |old| format!("{old} {word}")),
                );
            }
        }
        if arguments.values.is_empty() {
            return Err("no argument begins with `--`".to_owned());
        }
        Ok(arguments)
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(object) = value else {
            return Err("arguments are a JSON object".to_owned());
        };
        let mut arguments = Self::default();
        for (name, value) in object {
            let value = match value {
                Value::Bool(false) | Value::Null => continue,
                Value::Bool(true) => None,
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
            arguments
                .values
                .insert(name.trim_start_matches('-').to_owned(), value);
        }
        Ok(arguments)
    }

    /// Whether the flag `name` is there, marked as read.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let there = self.values.contains_key(name);
        if there {
            self.mark(name, "set");
        }
        there
    }

    /// The text of `name`, marked as read.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.values.get(name).cloned().flatten()?;
        self.mark(name, &value);
        Some(value)
    }

    /// The integer of `name`, marked as read.
    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Whether `name` is there, without reading it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn mark(&mut self, name: &str, value: &str) {
        if !self.used.iter().any(|used| used == name) {
            self.used.push(name.to_owned());
            let shown: String = value.chars().take(60).collect();
            self.report
                .read
                .push(Line::new(&format!("--{name}"), shown, "read"));
        }
    }

    /// Notes what was assumed.
    pub(super) fn assume(&mut self, field: &str, value: impl std::fmt::Display, why: &str) {
        self.report.assumed.push(Line::new(field, value, why));
    }

    /// The report, every argument in it once.
    pub(super) fn close(mut self) -> Report {
        for (name, value) in &self.values {
            if self.used.contains(name) {
                continue;
            }
            let field = format!("--{name}");
            let shown: String = value.as_deref().unwrap_or("set").chars().take(60).collect();
            match super::irrelevant::reason(name) {
                Some(why) => self.report.ignored.push(Line::new(&field, shown, why)),
                None => self
                    .report
                    .unknown
                    .push(Line::new(&field, shown, "no rule for this argument")),
            }
        }
        self.report
    }
}

/// Words of a command line; quotes and brackets hold blanks together, backslashes at line ends join lines.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    for c in text.replace("\\\n", " ").chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            None => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
