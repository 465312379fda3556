//! Compared rows by group. No widget is known here.

use std::collections::BTreeMap;

use orrery::validate::{Outcome, Row, Summary, summary};

/// Rows of one group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    /// Measured and predicted.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) summary: Summary,
}

/// What came of a table.
#[derive(Debug)]
pub(super) struct JudgedModel {
    pub(super) rows: usize,
    pub(super) all: Summary,
    /// The largest first.
    pub(super) groups: Vec<Group>,
    /// Fields for want of which rows are left out, and how many, the most first.
    pub(super) skipped: Vec<(String, usize)>,
    /// Least and largest measurement, as powers of ten.
    pub(super) range: (f64, f64),
    pub(super) unit: &'static str,
}

impl JudgedModel {
    pub(super) fn new(outcome: &Outcome) -> Self {
        let mut by_group: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
        let mut range = (f64::INFINITY, f64::NEG_INFINITY);
        for row in &outcome.rows {
            match &row.result {
                Ok(compared) => {
                    let group = row.groups.last().map_or("all", String::as_str);
                    by_group.entry(group).or_default().push(row);
                    let power = compared.measured.log10();
                    range = (range.0.min(power), range.1.max(power));
                }
                Err(field) => *skipped.entry(field).or_default() += 1,
            }
        }
        let group = |(name, rows): (&str, Vec<&Row>)| Group {
            name: name.to_owned(),
            points: rows
                .iter()
                .filter_map(|row| row.result.as_ref().ok())
                .map(|compared| (compared.measured, compared.predicted))
                .collect(),
            summary: summary(rows.into_iter()),
        };
        let mut groups: Vec<Group> = by_group.into_iter().map(group).collect();
        groups.sort_by(|a, b| {
            b.points
                .len()
                .cmp(&a.points.len())
                .then_with(|| a.name.cmp(&b.name))
        });
        let mut skipped: Vec<(String, usize)> = skipped
            .into_iter()
            .map(|(field, count)| (field.to_owned(), count))
            .collect();
        skipped.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let of_memory = |row: &Row| row.facts.iter().any(|(_, value)| value == "memory_bytes");
        Self {
            rows: outcome.rows.len(),
            all: summary(outcome.rows.iter()),
            unit: if outcome.rows.iter().all(of_memory) {
                "bytes"
            } else {
                "s"
            },
            groups,
            skipped,
            range,
        }
    }
}
