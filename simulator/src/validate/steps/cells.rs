//! The table of cells: kind of model, scale and routing, with empty ones printed as empty.

use serde_json::{Value, json as object};

use super::super::render::shares;
use super::super::summary::mean;
use super::super::{Outcome, Row, Summary, summary};
use super::judge::sets;

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

/// The worst cell of enough rows.
fn worst(cells: &[(String, Option<Summary>)]) -> Option<(&str, Summary)> {
    let filled = cells
        .iter()
        .filter_map(|(name, cell)| Some((name.as_str(), (*cell)?)));
    let enough = filled.filter(|(_, cell)| cell.n >= ENOUGH);
    enough.max_by(|(_, a), (_, b)| a.mape.total_cmp(&b.mape))
}

fn has_steps(outcome: &Outcome) -> bool {
    let is_step = |row: &Row| row.groups.iter().any(|group| group.starts_with(CELL));
    outcome.rows.iter().any(is_step)
}

/// The headline, which is the worst filled cell; nothing without training steps.
pub(in super::super) fn headline(outcome: &Outcome) -> String {
    if !has_steps(outcome) {
        return String::new();
    }
    worst(&cells(outcome)).map_or_else(String::new, |(name, cell)| {
        format!(
            "worst cell of {ENOUGH} rows or more: {name}, {:.1} % over {} rows\n\n",
            cell.mape * 100.0,
            cell.n
        )
    })
}

/// The table of cells, and the mean over rows that count once together; nothing without training steps.
pub(in super::super) fn foot(outcome: &Outcome) -> String {
    if !has_steps(outcome) {
        return String::new();
    }
    let cells = cells(outcome);
    let width = 16;
    let mut text = format!("\n{:<width$}", "mean % (rows)");
    for scale in SCALES {
        text += &format!(" {scale:>width$}");
    }
    for kind in KINDS {
        for routing in ROUTINGS {
            text += &format!("\n{:<width$}", format!("{kind}, {routing}"));
            for scale in SCALES {
                let wanted = name(kind, scale, routing);
                let cell = cells.iter().find(|(name, _)| *name == wanted);
                let cell = cell.and_then(|(_, cell)| *cell).map_or_else(
                    || "empty".to_owned(),
                    |cell| format!("{:.1} ({})", cell.mape * 100.0, cell.n),
                );
                text += &format!(" {cell:>width$}");
            }
        }
    }
    let sets: Vec<f64> = sets(outcome).values().map(|set| set.mape).collect();
    text + &format!(
        "\n\neach source, model and device once: {:.1} % over {}\n",
        mean(&sets) * 100.0,
        sets.len()
    )
}

/// The headline and every cell, an empty one as `null`; nothing without training steps.
pub(in super::super) fn json(outcome: &Outcome) -> Option<(Value, Value)> {
    if !has_steps(outcome) {
        return None;
    }
    let cells = cells(outcome);
    let headline = worst(&cells).map_or(
        Value::Null,
        |(name, cell)| object!({"cell": name, "mape": cell.mape, "n": cell.n}),
    );
    let all = cells.into_iter().map(|(name, cell)| {
        let cell = cell.map_or(Value::Null, |cell| shares(&cell));
        (name, cell)
    });
    Some((headline, Value::Object(all.collect())))
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
        let headline = headline(&outcome);
        assert!(
            headline
                .contains("worst cell of 5 rows or more: steps of dense, <= 64 GPUs, forced routing, 10.0 %"),
            "{headline}"
        );
        let foot = foot(&outcome);
        assert!(
            foot.contains("each source, model and device once: 50.0 % over 2"),
            "{foot}"
        );
        assert_eq!(foot.matches("empty").count(), 14, "all but two are empty: {foot}");
        let (headline, cells) = json(&outcome).expect("there are steps");
        assert_eq!(headline["n"], 5);
        let cells = cells.as_object().expect("they have names");
        let empty = cells.values().filter(|cell| cell.is_null()).count();
        assert_eq!((cells.len(), empty), (16, 14));
        assert_eq!(
            super::foot(&Outcome::default()),
            "",
            "nothing without training steps"
        );
    }
}
