//! The table of cells: kind of model, scale and routing, with empty ones printed as empty.

use std::fmt::Write as _;

use super::super::{Outcome, Row, Summary, summary};

/// What the groups of cells begin with.
const CELL: &str = "steps of ";
/// Rows from which a cell counts for the headline.
const ENOUGH: usize = 5;

const KINDS: [&str; 2] = ["dense", "MoE"];
pub(super) const SCALES: [&str; 4] = ["<= 64 GPUs", "65-512 GPUs", "513-2,048 GPUs", "> 2,048 GPUs"];
const ROUTINGS: [&str; 2] = ["forced", "natural"];

/// The group of a cell.
pub(super) fn name(kind: &str, scale: &str, routing: &str) -> String {
    format!("{CELL}{kind}, {scale}, {routing} routing")
}

/// Every cell in order, with the rows that were compared in it, if any.
fn cells(outcome: &Outcome) -> Vec<(String, Option<Summary>)> {
    let mut cells = Vec::new();
    for kind in KINDS {
        for scale in SCALES {
            for routing in ROUTINGS {
                let name = name(kind, scale, routing);
                let inside = |row: &&Row| row.groups.contains(&name);
                let summary = summary(outcome.rows.iter().filter(inside));
                cells.push((name, Some(summary).filter(|summary| summary.n > 0)));
            }
        }
    }
    cells
}

/// The worst filled cell, those that are empty, and the mean over rows that count once together; nothing without
/// training steps.
pub(in super::super) fn foot(outcome: &Outcome) -> String {
    let is_step = |row: &Row| row.groups.iter().any(|group| group.starts_with(CELL));
    if !outcome.rows.iter().any(is_step) {
        return String::new();
    }
    let cells = cells(outcome);
    let filled = cells.iter().filter_map(|(name, cell)| Some((name, (*cell)?)));
    let enough = filled.filter(|(_, cell)| cell.n >= ENOUGH);
    let worst = enough.max_by(|(_, a), (_, b)| a.mape.total_cmp(&b.mape));
    let mut text = String::new();
    if let Some((name, cell)) = worst {
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "\nworst cell of {ENOUGH} rows or more: {name}, {:.1} % over {} rows",
            cell.mape * 100.0,
            cell.n
        );
    }
    let empty: Vec<&str> = cells
        .iter()
        .filter(|(_, cell)| cell.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let (count, mean) = macro_average(outcome);
    let _written = writeln!(
        text,
        "empty cells: {}\neach source, model and device once: {:.1} % over {count}",
        if empty.is_empty() {
            "none".to_owned()
        } else {
            empty.join("; ")
        },
        mean * 100.0
    );
    text
}

/// How many sets of rows count once, and the mean of their mean errors.
fn macro_average(outcome: &Outcome) -> (usize, f64) {
    let mut names: Vec<&str> = outcome
        .rows
        .iter()
        .filter_map(|row| row.facts.iter().find(|(fact, _)| *fact == "macro"))
        .map(|(_, name)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let same = |row: &&Row| {
            row.facts
                .iter()
                .any(|(fact, own)| *fact == "macro" && own == name)
        };
        summary(outcome.rows.iter().filter(same))
    };
    let means: Vec<f64> = names
        .into_iter()
        .map(of)
        .filter(|summary| summary.n > 0)
        .map(|summary| summary.mape)
        .collect();
    let count = u32::try_from(means.len()).unwrap_or(u32::MAX);
    (means.len(), means.iter().sum::<f64>() / f64::from(count.max(1)))
}

#[cfg(test)]
mod tests {
    use super::super::super::Compared;
    use super::*;

    fn row(cell: String, set: &str, predicted: f64) -> Row {
        Row {
            id: "t/x".to_owned(),
            facts: vec![("macro", set.to_owned())],
            groups: vec![cell],
            result: Ok(Compared {
                measured: 1.0,
                predicted,
                low: 0.0,
                high: 2.0,
                evidence: "analytic",
            }),
        }
    }

    /// Five rows off by 10 % and one by 90 %: the one is too few to be the worst, and counts as much as the five.
    #[test]
    fn the_worst_cell_has_rows_enough_and_sets_count_once() {
        let mut rows: Vec<Row> = (0..5)
            .map(|_| row(name("dense", SCALES[0], "forced"), "a", 1.1))
            .collect();
        rows.push(row(name("MoE", SCALES[3], "natural"), "b", 1.9));
        let outcome = Outcome {
            rows,
            ..Outcome::default()
        };
        let foot = foot(&outcome);
        assert!(
            foot.contains("worst cell of 5 rows or more: steps of dense, <= 64 GPUs, forced routing, 10.0 %"),
            "{foot}"
        );
        assert!(
            foot.contains("each source, model and device once: 50.0 % over 2"),
            "{foot}"
        );
        assert_eq!(
            foot.matches("steps of MoE").count(),
            7,
            "all but one are empty: {foot}"
        );
        assert_eq!(
            super::foot(&Outcome::default()),
            "",
            "nothing without training steps"
        );
    }
}
