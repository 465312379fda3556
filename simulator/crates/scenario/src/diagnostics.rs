//! Faults in a scenario: where, what, and a value that works. All of them at once, never the first alone.

use std::fmt;
use std::ops::Range;

use crate::document::{Files, Place};

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is run.
    Error,
    /// Worth knowing; the scenario still runs.
    Warning,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable code, such as `S014`; [`explain`](crate::explain) has a paragraph on each.
    pub code: &'static str,
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the file that are at fault.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to say under the marked text; may be empty.
    pub label: String,
    /// Arithmetic and lists, one line each.
    pub notes: Vec<String>,
    /// A value that works, if one can be named.
    pub help: Option<String>,
    /// The line of text at fault.
    pub snippet: String,
}

/// A fault that has not yet been given a file and a line.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    code: &'static str,
    place: Place,
    message: String,
    label: String,
    notes: Vec<String>,
    help: Option<String>,
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Fault {
    /// A fault at `place`.
    pub(crate) fn new(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            place: place.clone(),
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// With a text under the mark.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a line below.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With a value that works.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Where values stand that cannot be used, whatever else is right.
    pub(crate) fn unusable(&self) -> Vec<Place> {
        const OF_VALUES: [&str; 5] = ["S003", "S005", "S006", "S007", "S008"];
        let of_values = self.0.iter().filter(|fault| OF_VALUES.contains(&fault.code));
        of_values.map(|fault| fault.place.clone()).collect()
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults with file and line, in order of place, each said once.
    pub(crate) fn into_diagnostics(self, files: &Files) -> Vec<Diagnostic> {
        let mut faults = self.0;
        faults.sort_by_key(|fault| (fault.place.file, fault.place.span.start, fault.code));
        let mut diagnostics: Vec<Diagnostic> =
            faults.into_iter().map(|fault| located(fault, files)).collect();
        diagnostics.dedup();
        diagnostics
    }
}

fn located(fault: Fault, files: &Files) -> Diagnostic {
    let (name, text) = files.get(fault.place.file);
    let start = fault.place.span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    Diagnostic {
        severity: Severity::Error,
        code: fault.code,
        file: name.to_owned(),
        line: text[..line_start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        span: fault.place.span,
        message: fault.message,
        label: fault.label,
        notes: fault.notes,
        help: fault.help,
        snippet: text[line_start..line_end].trim_end().to_owned(),
    }
}

impl fmt::Display for Diagnostic {
    /// One line, as compilers print it: `file:line:column: error[code]: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (file, line, column) = (&self.file, self.line, self.column);
        write!(
            f,
            "{file}:{line}:{column}: {severity}[{}]: {}",
            self.code, self.message
        )
    }
}
