//! What an import read, derived and assumed, so that nobody has to trust it.

use std::fmt;

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was set or seen.
    pub field: String,
    /// Its value.
    pub value: String,
    /// The key it came from, or why this value.
    pub from: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Taken from a key as it stands.
    pub read: Vec<Line>,
    /// Computed from keys.
    pub derived: Vec<Line>,
    /// Not in the input.
    pub assumed: Vec<Line>,
    /// In the input, without effect on a simulated step; with the reason.
    pub ignored: Vec<Line>,
    /// In the input, and not understood.
    pub unknown: Vec<Line>,
}

impl Line {
    /// A line.
    pub(crate) fn new(field: &str, value: impl fmt::Display, from: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            value: value.to_string(),
            from: from.into(),
        }
    }
}

impl Report {
    /// Share of the input's keys that were read or are known to have no effect; 1 for an empty input.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an input has far fewer than 2^53 keys")]
    pub fn understood(&self) -> f64 {
        let known = self.read.len() + self.ignored.len();
        let all = known + self.unknown.len();
        if all == 0 { 1.0 } else { known as f64 / all as f64 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("read", &self.read),
            ("derived", &self.derived),
            ("assumed", &self.assumed),
            ("without effect on a step", &self.ignored),
            ("not understood", &self.unknown),
        ];
        for (title, lines) in parts.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, "{title}:")?;
            for line in lines {
                writeln!(f, "  {} = {}   ({})", line.field, line.value, line.from)?;
            }
        }
        write!(f, "understood: {:.1} % of the input", self.understood() * 100.0)
    }
}
