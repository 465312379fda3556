//! The text of a check into tokens that know where they stand.

use std::ops::Range;

use orrery_units::{Dimension, parse_quantity};

use super::{Comparison, Operator};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A path with labels, its statistic included: `a.b{op='x'}.mean`.
    Path(Path),
    /// A constant in base units.
    Constant(f64, Dimension),
    Compare(Comparison),
    Operator(Operator),
    In,
    To,
    Baseline,
}

/// A metric as written, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Everything before the labels; without labels, everything.
    pub(super) head: String,
    pub(super) labels: Vec<(String, String)>,
    /// What follows the labels, without its dot.
    pub(super) tail: Option<String>,
}

/// What is wrong with a text, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) notes: Vec<String>,
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            span,
            message: message.into(),
            notes: Vec::new(),
            help: None,
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Every dimension that a constant may have.
const DIMENSIONS: &[Dimension] = &[
    Dimension::Number,
    Dimension::Time,
    Dimension::Data,
    Dimension::DataRate,
    Dimension::FlopRate,
    Dimension::Rate,
    Dimension::Power,
    Dimension::Energy,
    Dimension::Money,
];

const SIGNS: &[(&str, Token)] = &[
    ("..", Token::To),
    ("<=", Token::Compare(Comparison::AtMost)),
    (">=", Token::Compare(Comparison::AtLeast)),
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::Differs)),
    ("<", Token::Compare(Comparison::Less)),
    (">", Token::Compare(Comparison::Greater)),
    ("*", Token::Operator(Operator::Multiply)),
    ("/", Token::Operator(Operator::Divide)),
    ("+", Token::Operator(Operator::Add)),
    ("-", Token::Operator(Operator::Subtract)),
];

/// The tokens of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Wrong> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first.is_ascii_digit() {
            quantity(rest, at)?
        } else if first.is_ascii_alphabetic() {
            word(rest, at)?
        } else if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            (token.clone(), sign.len())
        } else {
            return Err(Wrong::new(
                "E001",
                at..at + first.len_utf8(),
                format!("`{first}` has no meaning here"),
            ));
        };
        found.push((token, at..at + length));
        at += length;
    }
    Ok(found)
}

/// A number and its unit.
fn quantity(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let bytes = rest.as_bytes();
    let mut end = 0;
    while end < bytes.len() {
        let dot = bytes[end] == b'.' && bytes.get(end + 1) != Some(&b'.');
        let exponent =
            matches!(bytes[end], b'e' | b'E') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !(bytes[end].is_ascii_digit() || bytes[end] == b'_' || dot || exponent) {
            break;
        }
        end += 1;
    }
    let end = end + unit(&rest[end..]);
    let text = rest[..end].trim_end();
    DIMENSIONS
        .iter()
        .find_map(|&dimension| parse_quantity(text, dimension).ok())
        .map(|quantity| (Token::Constant(quantity.value, quantity.dimension), text.len()))
        .ok_or_else(|| {
            Wrong::new("E001", at..at + text.len(), format!("`{text}` is no quantity"))
                .help("quantities look like 76 GiB, 20 s, 12 %, 0.35")
        })
}

/// Length of the unit at the start of `rest`, blanks before it included; 0 when there is none.
fn unit(rest: &str) -> usize {
    let blanks = rest.len() - rest.trim_start().len();
    let body = &rest[blanks..];
    let letters = body
        .find(|c: char| !(c.is_alphabetic() || c == '%'))
        .unwrap_or(body.len());
    let word = &body[..letters];
    let rate = body[letters..].starts_with("/s")
        && !body[letters + 2..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    match (word, rate) {
        ("in", _) | ("", false) => 0,
        (_, true) => blanks + letters + 2,
        (_, false) => blanks + letters,
    }
}

/// A word: `in`, `baseline`, or a metric.
fn word(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let end = path_end(rest);
    let head = &rest[..end];
    if head == "in" {
        return Ok((Token::In, end));
    }
    if head == "baseline" {
        return Ok((Token::Baseline, end));
    }
    let mut path = Path {
        head: head.to_owned(),
        labels: Vec::new(),
        tail: None,
    };
    if !rest[end..].starts_with('{') {
        return Ok((Token::Path(path), end));
    }
    let close = rest[end..].find('}').ok_or_else(|| {
        Wrong::new("E001", at + end..at + rest.len(), "labels are not closed").help("{op='all_to_all'}")
    })?;
    for pair in rest[end + 1..end + close].split(',') {
        let pair = pair
            .split_once('=')
            .map(|(label, value)| (label.trim(), value.trim()));
        let quoted = |value: &str| Some(value.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
        let labelled = pair.and_then(|(label, value)| Some((label.to_owned(), quoted(value)?)));
        let wrong = || {
            Wrong::new(
                "E001",
                at + end..at + end + close + 1,
                "a label is written label='value'",
            )
        };
        path.labels
            .push(labelled.ok_or_else(|| wrong().help("{op='all_to_all'}"))?);
    }
    path.labels.sort();
    let after = end + close + 1;
    let tail = path_end(&rest[after..]);
    path.tail = rest[after..after + tail].strip_prefix('.').map(str::to_owned);
    Ok((Token::Path(path), after + tail))
}

/// Length of the path at the start of `rest`; two dots end it.
fn path_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    (0..bytes.len())
        .find(|&at| {
            let single_dot = bytes[at] == b'.' && bytes.get(at + 1) != Some(&b'.');
            !(bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || single_dot)
        })
        .unwrap_or(bytes.len())
}
