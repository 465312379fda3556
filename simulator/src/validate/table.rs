//! Tables of measurements: comma-separated, `#` lines on top, plain or compressed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;

/// A table with what its `#` lines say.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The `#` lines as `key: value`; lines without a key under an empty one.
    pub(super) facts: Vec<(String, String)>,
    /// Names of the columns.
    pub(super) columns: Vec<String>,
    /// Rows by column.
    pub(super) rows: Vec<BTreeMap<String, String>>,
}

impl Table {
    /// The value of the `#` line `key`, empty where there is none.
    pub(super) fn fact(&self, key: &str) -> &str {
        self.facts
            .iter()
            .find(|(name, _)| name == key)
            .map_or("", |(_, value)| value)
    }

    /// Everything that the `#` lines say, in lower case.
    pub(super) fn remarks(&self) -> String {
        let lines: Vec<String> = self.facts.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        lines.join("\n").to_ascii_lowercase()
    }

    /// Whether it has every one of `columns`.
    pub(super) fn has(&self, columns: &[&str]) -> bool {
        columns
            .iter()
            .all(|wanted| self.columns.iter().any(|column| column == wanted))
    }
}

/// The text of a file, unpacked where its name ends in `.gz`.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let fail = |fault: std::io::Error| format!("cannot read: {fault}: {}", path.display());
    let mut file = File::open(path).map_err(fail)?;
    let mut text = String::new();
    if path.extension().is_some_and(|end| end == "gz") {
        GzDecoder::new(file).read_to_string(&mut text).map_err(fail)?;
    } else {
        file.read_to_string(&mut text).map_err(fail)?;
    }
    Ok(text)
}

/// The table in `text`.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let is_remark = |line: &&str| line.trim_start_matches('"').starts_with('#');
    let facts = text
        .lines()
        .filter(is_remark)
        .map(|line| {
            let line = line.trim_matches('"').trim_start_matches('#').trim();
            line.split_once(':').map_or_else(
                || (String::new(), line.to_owned()),
                |(key, value)| (key.trim().to_owned(), value.trim().to_owned()),
            )
        })
        .collect();
    let body: Vec<&str> = text.lines().filter(|line| !is_remark(line)).collect();
    let joined = body.join("\n");
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(joined.as_bytes());
    let headers = reader.headers().map_err(|fault| fault.to_string())?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|fault| fault.to_string())?;
        let cells = headers.iter().zip(&record);
        rows.push(cells.map(|(h, c)| (h.to_owned(), c.to_owned())).collect());
    }
    Ok(Table {
        facts,
        columns: headers.iter().map(str::to_owned).collect(),
        rows,
    })
}

/// The number in `column`.
pub(super) fn number(row: &BTreeMap<String, String>, column: &str) -> Option<f64> {
    row.get(column)?
        .trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

/// The text in `column`, empty where there is none.
pub(super) fn field<'a>(row: &'a BTreeMap<String, String>, column: &str) -> &'a str {
    row.get(column).map_or("", String::as_str)
}
