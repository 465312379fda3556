//! Tables: comma-separated, with `#` lines on top, plain or compressed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use orrery_units::SimDuration;

use super::Fault;

/// One row by column name.
#[derive(Debug)]
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    /// The text in `column`, empty where there is none.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// The number in `column`.
    pub(crate) fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }

    /// The whole number in `column`.
    pub(crate) fn count(&self, column: &str) -> Option<u64> {
        self.text(column).parse().ok()
    }

    /// The number of microseconds in `column`.
    pub(crate) fn micros(&self, column: &str) -> Option<SimDuration> {
        self.number(column).map(|us| SimDuration::from_secs(us * 1e-6))
    }
}

/// Every row of `name` in `truth`.
pub(crate) fn rows(truth: &Path, name: &str) -> Result<Vec<Row>, Fault> {
    let path = truth.join(name);
    let mut file = File::open(&path).map_err(|fault| format!("{fault}: {}", path.display()))?;
    let mut text = String::new();
    if name.ends_with(".gz") {
        GzDecoder::new(file).read_to_string(&mut text)?;
    } else {
        file.read_to_string(&mut text)?;
    }
    let body: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start_matches('"').starts_with('#'))
        .collect();
    let joined = body.join("\n");
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(joined.as_bytes());
    let headers = reader.headers()?.clone();
    let mut table = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cells = headers.iter().zip(&record);
        table.push(Row(cells.map(|(h, c)| (h.to_owned(), c.to_owned())).collect()));
    }
    Ok(table)
}
