//! A strict checker of OpenMetrics 1.0 text, as far as the collector uses it: gauges, counters and infos.
//!
//! Written from the specification, not from the encoder, so that it can find what the encoder does wrong.

use std::collections::BTreeSet;

/// One sample line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    /// As it is written.
    pub(crate) value: String,
}

#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
    num_rows: usize,
}

impl Row {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The sample lines of `text`, or what is wrong with it, with the number of the line.
pub(crate) fn check(text: &str) -> Result<Vec<Row>, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("it does not end with `# EOF` and a line end")?;
    let mut families: Vec<Family> = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for (line, number) in body.split_terminator('\n').zip(1..) {
        let fault = |words: String| format!("line {number}: {words}: {line}");
        if let Some(meta) = line.strip_prefix("# ") {
            check_meta(meta, &mut families).map_err(fault)?;
        } else {
            let row = read_row(line).map_err(|words| fault(words.to_owned()))?;
            let family = families
                .last_mut()
                .ok_or_else(|| fault("a row before any family".to_owned()))?;
            check_row(&row, family).map_err(fault)?;
            family.num_rows += 1;
            let same = |other: &Row| other.name == row.name && sorted(&other.labels) == sorted(&row.labels);
            if rows.iter().any(same) {
                return Err(fault("the same row twice".to_owned()));
            }
            rows.push(row);
        }
    }
    check_clashes(&families)?;
    Ok(rows)
}

fn sorted(labels: &[(String, String)]) -> BTreeSet<&(String, String)> {
    labels.iter().collect()
}

/// A line about a family: HELP, TYPE or UNIT, before its rows and each once.
fn check_meta(meta: &str, families: &mut Vec<Family>) -> Result<(), String> {
    let (word, rest) = meta.split_once(' ').ok_or("a word without a name")?;
    let (name, value) = rest.split_once(' ').ok_or("a name without a value")?;
    if !is_name(name) {
        return Err("no metric name".to_owned());
    }
    let is_current = families.last().is_some_and(|family| family.name == name);
    if !is_current {
        if families.iter().any(|family| family.name == name) {
            return Err("a family in two places".to_owned());
        }
        families.push(Family {
            name: name.to_owned(),
            kind: String::new(),
            unit: None,
            num_rows: 0,
        });
    }
    let family = families.last_mut().ok_or("no family")?;
    if family.num_rows > 0 {
        return Err("said of a family after its rows".to_owned());
    }
    match word {
        "HELP" if value.contains('\\') || value.contains('"') => Err("help that needs escapes".to_owned()),
        "HELP" => Ok(()),
        "TYPE" if !family.kind.is_empty() => Err("a second TYPE".to_owned()),
        "TYPE" if ["gauge", "counter", "info"].contains(&value) => {
            value.clone_into(&mut family.kind);
            Ok(())
        }
        "UNIT" if !name.ends_with(&format!("_{value}")) => {
            Err("a name that does not end in its unit".to_owned())
        }
        "UNIT" if family.unit.is_some() => Err("a second UNIT".to_owned()),
        "UNIT" => {
            family.unit = Some(value.to_owned());
            Ok(())
        }
        _ => Err("neither HELP, TYPE nor UNIT, or an unknown type".to_owned()),
    }
}

fn check_row(row: &Row, family: &Family) -> Result<(), String> {
    let suffix = match family.kind.as_str() {
        "gauge" => "",
        "counter" => "_total",
        "info" => "_info",
        _ => return Err("a row of a family without TYPE".to_owned()),
    };
    if row.name != format!("{}{suffix}", family.name) {
        return Err(format!("not `{}{suffix}`", family.name));
    }
    let number: f64 = row.value.parse().map_err(|_words| "no number")?;
    if !number.is_finite() {
        return Err("an absent reading that became a number".to_owned());
    }
    match family.kind.as_str() {
        "counter" if number < 0.0 => Err("a counter below zero".to_owned()),
        "info" if row.value != "1" => Err("an info that is not 1".to_owned()),
        "info" if family.unit.is_some() => Err("an info with a unit".to_owned()),
        _ => Ok(()),
    }
}

/// No family may read like a row of another, and what ends in a known unit has to say so.
fn check_clashes(families: &[Family]) -> Result<(), String> {
    for family in families {
        if family.num_rows == 0 {
            return Err(format!("`{}` has no row", family.name));
        }
        for suffix in ["_total", "_created", "_info", "_count", "_sum", "_bucket"] {
            let Some(stem) = family.name.strip_suffix(suffix) else {
                continue;
            };
            if family.kind != "gauge" || families.iter().any(|other| other.name == stem) {
                return Err(format!("`{}` ends in `{suffix}`", family.name));
            }
        }
        let units = [
            "ratio", "bytes", "watts", "hertz", "celsius", "joules", "seconds", "second",
        ];
        let ends_in_unit = units
            .iter()
            .any(|unit| family.name.ends_with(&format!("_{unit}")));
        if ends_in_unit != family.unit.is_some() {
            return Err(format!("`{}` and its UNIT do not agree", family.name));
        }
    }
    Ok(())
}

/// `name{label="value",…} number`, with nothing else.
fn read_row(line: &str) -> Result<Row, &'static str> {
    let end = line.find(['{', ' ']).ok_or("a name alone")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no metric name");
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (key, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            if !is_name(key) || key.contains(':') || key.starts_with("__") {
                return Err("no label name");
            }
            let (value, after) = read_value(after)?;
            if labels.iter().any(|(known, _)| known == key) {
                return Err("a label twice");
            }
            labels.push((key.to_owned(), value));
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').ok_or("labels without a comma")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the number")?;
    if value.is_empty() || value.contains(' ') {
        return Err("something after the number");
    }
    Ok(Row {
        name: name.to_owned(),
        labels,
        value: value.to_owned(),
    })
}

/// A label's value up to its closing quote, its escapes undone, and what follows.
fn read_value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                _ => return Err("an unknown escape"),
            }),
            other => value.push(other),
        }
    }
    Err("a value without an end")
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let starts = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || "_:".contains(first));
    starts && characters.all(|later| later.is_ascii_alphanumeric() || "_:".contains(later))
}

#[test]
fn the_checker_knows_right_from_wrong() {
    let good =
        "# HELP a_bytes Bytes\n# TYPE a_bytes gauge\n# UNIT a_bytes bytes\na_bytes{l=\"x\\\\y\\\"\\n\"} 1\n";
    let rows = check(&format!("{good}# EOF\n")).unwrap();
    assert_eq!(rows[0].label("l"), Some("x\\y\"\n"));
    let bad = [
        ("a 1\n", "before any family"),
        ("# TYPE a counter\na 1\n", "not `a_total`"),
        (
            "# TYPE a gauge\n# UNIT a bytes\na 1\n",
            "does not end in its unit",
        ),
        ("# TYPE a_bytes gauge\na_bytes 1\n", "UNIT do not agree"),
        ("# TYPE a gauge\na NaN\n", "became a number"),
        ("# TYPE a gauge\na{l=\"x} 1\n", "without an end"),
        ("# TYPE a gauge\na{l=\"x\",l=\"y\"} 1\n", "a label twice"),
        (
            "# TYPE a gauge\na{l=\"x\"} 1\na{l=\"x\"} 2\n",
            "the same row twice",
        ),
        ("# TYPE a gauge\na 1\n# HELP a x\n", "after its rows"),
        (
            "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n",
            "in two places",
        ),
        ("# TYPE a info\na_info{l=\"x\"} 2\n", "not 1"),
        ("# TYPE a gauge\n", "no row"),
        ("# TYPE a gauge\na  1\n", "after the number"),
        ("# TYPE a_total counter\na_total_total 1\n", "ends in `_total`"),
        ("\n", "a name alone"),
    ];
    for (text, words) in bad {
        let fault = check(&format!("{text}# EOF\n")).unwrap_err();
        assert!(fault.contains(words), "{text:?}: {fault}");
    }
    assert!(check(good).is_err(), "the end is missing");
}
