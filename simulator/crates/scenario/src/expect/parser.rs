//! Tokens into a check: precedence, names and dimensions.

use std::ops::Range;

use orrery_units::Dimension;

use super::lexer::{Path, Token, Wrong, tokens};
use super::{Check, Comparison, Expr, MetricRef, Operator};
use crate::raw::nearest;
use crate::source::{MetricEntry, MetricTable};

/// A value with its dimension and where it stands.
struct Typed {
    expr: Expr,
    dimension: Dimension,
    span: Range<usize>,
}

struct Parser<'a> {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    length: usize,
    metrics: &'a MetricTable,
    /// The first metric, which `baseline` means.
    subject: Option<(MetricRef, Dimension)>,
}

/// The check that `text` says.
pub(super) fn parse(text: &str, metrics: &MetricTable) -> Result<Check, Wrong> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        length: text.len(),
        metrics,
        subject: None,
    };
    let left = parser.sum()?;
    let (sign, span) = parser.next();
    let check = match sign {
        Some(Token::Compare(comparison)) => parser.comparison(left, comparison)?,
        Some(Token::In) => parser.range(left)?,
        _ => {
            let wrong = Wrong::new("E001", span, "a comparison is missing");
            return Err(wrong.help("train.mfu.mean >= 0.35, or train.step_time.mean in 18 s .. 22 s"));
        }
    };
    match parser.next() {
        (None, _) if check.metric().is_none() => Err(Wrong::new(
            "E001",
            0..text.len(),
            "a check needs a metric of this run",
        )),
        (None, _) => Ok(check),
        (Some(_), span) => Err(Wrong::new("E001", span, "the check should end here")),
    }
}

impl Parser<'_> {
    /// The next token and its span; at the end, none and the end.
    fn next(&mut self) -> (Option<Token>, Range<usize>) {
        let (token, span) = self.peek();
        self.at += usize::from(token.is_some());
        (token, span)
    }

    fn peek(&self) -> (Option<Token>, Range<usize>) {
        match self.tokens.get(self.at) {
            Some((token, span)) => (Some(token.clone()), span.clone()),
            None => (None, self.length..self.length),
        }
    }

    fn comparison(&mut self, left: Typed, comparison: Comparison) -> Result<Check, Wrong> {
        let right = self.sum()?;
        agree(&left, &right)?;
        Ok(Check::Compare {
            left: left.expr,
            comparison,
            right: right.expr,
        })
    }

    fn range(&mut self, value: Typed) -> Result<Check, Wrong> {
        let low = self.sum()?;
        let (token, span) = self.next();
        if token != Some(Token::To) {
            return Err(Wrong::new("E001", span, "a range is written low .. high").help("in 18 s .. 22 s"));
        }
        let high = self.sum()?;
        agree(&value, &low)?;
        agree(&value, &high)?;
        if let (Expr::Constant(least, _), Expr::Constant(most, _)) = (&low.expr, &high.expr)
            && least > most
        {
            return Err(Wrong::new(
                "E001",
                low.span.start..high.span.end,
                "the range is empty",
            ));
        }
        Ok(Check::Range {
            value: value.expr,
            low: low.expr,
            high: high.expr,
        })
    }

    fn sum(&mut self) -> Result<Typed, Wrong> {
        let mut left = self.product()?;
        while let (Some(Token::Operator(operator @ (Operator::Add | Operator::Subtract))), _) = self.peek() {
            self.at += 1;
            let right = self.product()?;
            agree(&left, &right)?;
            let dimension = left.dimension;
            left = binary(left, operator, right, dimension);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Typed, Wrong> {
        let mut left = self.term()?;
        while let (Some(Token::Operator(operator @ (Operator::Multiply | Operator::Divide))), _) = self.peek()
        {
            self.at += 1;
            let right = self.term()?;
            let dimension = match (left.dimension, right.dimension, operator) {
                (left, Dimension::Number, _) => left,
                (Dimension::Number, right, Operator::Multiply) => right,
                (left, right, Operator::Divide) if left == right => Dimension::Number,
                (a, b, _) => {
                    let span = left.span.start..right.span.end;
                    let message = format!("{} and {} have no such product here", a.name(), b.name());
                    return Err(Wrong::new("E002", span, message).help("multiply by plain numbers only"));
                }
            };
            left = binary(left, operator, right, dimension);
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Typed, Wrong> {
        let (token, span) = self.next();
        let (expr, dimension) = match token {
            Some(Token::Constant(value, dimension)) => (Expr::Constant(value, dimension), dimension),
            Some(Token::Path(path)) => {
                let (metric, dimension) = look_up(&path, &span, self.metrics)?;
                self.subject.get_or_insert_with(|| (metric.clone(), dimension));
                (Expr::Metric(metric), dimension)
            }
            Some(Token::Baseline) => {
                let Some((metric, dimension)) = self.subject.clone() else {
                    let wrong = Wrong::new("E006", span, "`baseline` stands after the metric that it is of");
                    return Err(wrong.help("train.step_time.p50 <= baseline * 1.005"));
                };
                (Expr::Baseline(metric), dimension)
            }
            _ => return Err(Wrong::new("E001", span, "a metric or a quantity is missing here")),
        };
        Ok(Typed {
            expr,
            dimension,
            span,
        })
    }
}

fn binary(left: Typed, operator: Operator, right: Typed, dimension: Dimension) -> Typed {
    Typed {
        span: left.span.start..right.span.end,
        expr: Expr::Binary(Box::new(left.expr), operator, Box::new(right.expr)),
        dimension,
    }
}

fn agree(left: &Typed, right: &Typed) -> Result<(), Wrong> {
    if left.dimension == right.dimension {
        return Ok(());
    }
    let message = format!(
        "{} cannot be compared with {}",
        left.dimension.name(),
        right.dimension.name()
    );
    Err(Wrong::new("E002", right.span.clone(), message).help(format!(
        "write {}, such as {}",
        left.dimension.name(),
        left.dimension.example()
    )))
}

/// The metric that `path` names.
fn look_up(path: &Path, span: &Range<usize>, metrics: &MetricTable) -> Result<(MetricRef, Dimension), Wrong> {
    let (name, statistic) = match (&path.tail, path.head.rsplit_once('.')) {
        (Some(tail), _) => (path.head.as_str(), tail.as_str()),
        (None, Some((name, statistic))) if path.labels.is_empty() => (name, statistic),
        _ => (path.head.as_str(), ""),
    };
    let Some(entry) = metrics.get(name) else {
        return Err(no_such_metric(&path.head, span, metrics));
    };
    if !entry.statistics.iter().any(|known| known == statistic) {
        let known = entry.statistics.join(", ");
        let wrong = Wrong::new(
            "E003",
            span.clone(),
            format!("no statistic `{statistic}` of `{name}`"),
        );
        return Err(wrong
            .note(format!("statistics: {known}"))
            .help(format!("{name}.{}", first_statistic(entry))));
    }
    for (label, value) in &path.labels {
        check_label(entry, label, value, statistic, span)?;
    }
    let metric = MetricRef {
        name: name.to_owned(),
        labels: path.labels.clone(),
        statistic: statistic.to_owned(),
    };
    Ok((metric, entry.dimension))
}

/// Whether `entry` carries `label`, and the label takes `value`; the help repeats `statistic`.
fn check_label(
    entry: &MetricEntry,
    label: &str,
    value: &str,
    statistic: &str,
    span: &Range<usize>,
) -> Result<(), Wrong> {
    let name = &entry.name;
    let wrong = |message: String| Wrong::new("E004", span.clone(), message);
    let Some((_, values)) = entry.labels.iter().find(|(known, _)| known == label) else {
        let known: Vec<&str> = entry.labels.iter().map(|(label, _)| label.as_str()).collect();
        let note = if known.is_empty() {
            "it has none".to_owned()
        } else {
            format!("labels: {}", known.join(", "))
        };
        let wrong = wrong(format!("`{name}` has no label `{label}`")).note(note);
        return Err(wrong.help(format!("{name}.{statistic}")));
    };
    if values.iter().any(|known| known == value) {
        return Ok(());
    }
    let known: Vec<&str> = values.iter().map(String::as_str).collect();
    let wrong = wrong(format!("label `{label}` of `{name}` is never `{value}`"));
    let wrong = wrong.note(format!("values: {}", known.join(", ")));
    match nearest(value, &known).or_else(|| known.first().copied()) {
        Some(near) => Err(wrong.help(format!("{name}{{{label}='{near}'}}.{statistic}"))),
        None => Err(wrong),
    }
}

fn first_statistic(entry: &MetricEntry) -> &str {
    entry.statistics.first().map_or("mean", String::as_str)
}

fn no_such_metric(head: &str, span: &Range<usize>, metrics: &MetricTable) -> Wrong {
    let wrong = Wrong::new("E003", span.clone(), format!("no metric `{head}`"));
    let metric = |name: &str| metrics.get(name);
    if let Some(entry) = metric(head) {
        let statistic = first_statistic(entry);
        return wrong
            .note("a statistic follows a dot")
            .help(format!("{head}.{statistic}"));
    }
    if let Some((name, statistic)) = head.rsplit_once('_')
        && metric(name).is_some_and(|entry| entry.statistics.iter().any(|known| known == statistic))
    {
        return wrong
            .note("a statistic follows a dot")
            .help(format!("{name}.{statistic}"));
    }
    let names: Vec<&str> = metrics.0.iter().map(|entry| entry.name.as_str()).collect();
    let mut near = names.clone();
    near.sort_by(|a, b| {
        strsim::jaro_winkler(head, b)
            .total_cmp(&strsim::jaro_winkler(head, a))
            .then(a.cmp(b))
    });
    near.truncate(3);
    let wrong = wrong.note(format!("nearest: {}", near.join(", ")));
    let base = head.rsplit_once('.').map_or(head, |(name, _)| name);
    match nearest(base, &names)
        .or_else(|| near.first().copied())
        .and_then(metric)
    {
        Some(entry) => wrong.help(format!("{}.{}", entry.name, first_statistic(entry))),
        None => wrong,
    }
}
