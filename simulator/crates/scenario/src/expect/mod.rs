//! Expectations: `[expect.<id>]` tables parsed into checks on metrics that must exist.
//!
//! ```text
//! check  = expr cmp expr | expr "in" expr ".." expr
//! cmp    = "<" | "<=" | ">" | ">=" | "==" | "!="
//! expr   = term (("*" | "/" | "+" | "-") term)*
//! term   = metric | quantity | "baseline"
//! metric = path [ "{" label "=" "'" value "'" , ... "}" ] "." statistic
//! ```
//!
//! Names and dimensions are checked before anything runs; a metric without data fails its check.

mod evaluate;
mod lexer;
mod parser;
mod resolve;

use std::fmt;

use orrery_units::Dimension;

pub use evaluate::{Outcome, Verdict};
pub(crate) use resolve::expectations;

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Its name, unique in the file.
    pub id: String,
    /// What must hold.
    pub check: Check,
    /// The check as it was written.
    pub text: String,
    /// What a failure means.
    pub level: Level,
    /// Where the bound comes from.
    pub why: String,
    /// A check that must hold for this one to count.
    pub only_if: Option<Check>,
    /// The file that it stands in.
    pub file: String,
    /// The line of the check in it, from 1.
    pub line: usize,
}

/// What a failed expectation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is reported.
    Info,
    /// It is reported as a warning.
    Warn,
    /// The run fails.
    Error,
}

/// Something that holds or does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Two values compared.
    Compare {
        /// Left of the sign.
        left: Expr,
        /// The sign.
        comparison: Comparison,
        /// Right of it.
        right: Expr,
    },
    /// A value between two others, both included.
    Range {
        /// The value.
        value: Expr,
        /// The least that it may be.
        low: Expr,
        /// The most that it may be.
        high: Expr,
    },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`, to one part in 10^9.
    Equal,
    /// `!=`, by the same measure.
    Differs,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A metric of this run.
    Metric(MetricRef),
    /// The same metric in the stored baseline.
    Baseline(MetricRef),
    /// A constant, in the base unit of its dimension.
    Constant(f64, Dimension),
    /// Two values and a sign.
    Binary(Box<Self>, Operator, Box<Self>),
}

/// A sign between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A statistic of a metric, perhaps of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricRef {
    /// Path, such as `train.step_time`.
    pub name: String,
    /// Labels and values, sorted by label.
    pub labels: Vec<(String, String)>,
    /// Statistic, such as `mean`.
    pub statistic: String,
}

impl fmt::Display for MetricRef {
    /// As in results: `train.exposed_comm_ratio{op='all_to_all'}.mean`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.labels.is_empty() {
            let labels: Vec<String> = self.labels.iter().map(|(k, v)| format!("{k}='{v}'")).collect();
            write!(f, "{{{}}}", labels.join(","))?;
        }
        write!(f, ".{}", self.statistic)
    }
}

impl Check {
    /// Whether it tells what was found of one run (a range, an equality, a baseline) rather than what is demanded of any
    /// (a bound to one side).
    #[must_use]
    pub fn is_finding(&self) -> bool {
        match self {
            Self::Range { .. } => true,
            Self::Compare {
                left,
                comparison,
                right,
            } => {
                let is_bound = !matches!(comparison, Comparison::Equal | Comparison::Differs);
                !is_bound || left.has_baseline() || right.has_baseline()
            }
        }
    }

    /// The metric that the check is about: the first on its left.
    #[must_use]
    pub fn metric(&self) -> Option<&MetricRef> {
        match self {
            Self::Compare { left, right, .. } => left.metric().or_else(|| right.metric()),
            Self::Range { value, .. } => value.metric(),
        }
    }
}

impl Expr {
    fn has_baseline(&self) -> bool {
        match self {
            Self::Baseline(_) => true,
            Self::Metric(_) | Self::Constant(..) => false,
            Self::Binary(left, _, right) => left.has_baseline() || right.has_baseline(),
        }
    }

    /// The first metric in it.
    #[must_use]
    pub fn metric(&self) -> Option<&MetricRef> {
        match self {
            Self::Metric(metric) => Some(metric),
            Self::Baseline(_) | Self::Constant(..) => None,
            Self::Binary(left, _, right) => left.metric().or_else(|| right.metric()),
        }
    }
}
