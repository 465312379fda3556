//! The sheet as a table.

use super::Sheet;

const HEADER: [&str; 7] = ["section", "name", "value", "unit", "low", "high", "shown"];

/// The rows of `sheet`, with a header.
pub(super) fn rows(sheet: &Sheet) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |cells: [&str; 7]| {
        writer.write_record(cells).expect("memory takes any row");
    };
    row(HEADER);
    row(["sheet", "title", "", "", "", "", &sheet.title]);
    row(["sheet", "what the figures are", "", "", "", "", sheet.mark()]);
    row(["sheet", "verdict", "", "", "", "", &sheet.verdict]);
    for (name, words) in &sheet.subject {
        row(["subject", name, "", "", "", "", words]);
    }
    for figure in &sheet.figures {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let value = number(figure.value.map(|(value, _)| value));
        let ends = figure.value.and_then(|(_, ends)| ends);
        let (low, high) = (number(ends.map(|ends| ends.0)), number(ends.map(|ends| ends.1)));
        row([
            "figure",
            &figure.label,
            &value,
            &figure.unit,
            &low,
            &high,
            &figure.shown,
        ]);
    }
    for part in &sheet.causes {
        let value = part.value.to_string();
        row(["step", &part.label, &value, "s", "", "", &part.shown]);
    }
    for stage in &sheet.memory {
        for part in &stage.parts {
            let name = format!("{}: {}", stage.label, part.label);
            row(["memory", &name, &part.value.to_string(), "B", "", "", &part.shown]);
        }
    }
    for swing in &sheet.swings {
        let (more, less) = (swing.more.to_string(), swing.less.to_string());
        let name = format!("step with 10 % more {}", swing.label);
        row(["sensitivity", &name, &more, "", "", "", ""]);
        let name = format!("step with 10 % less {}", swing.label);
        row(["sensitivity", &name, &less, "", "", "", ""]);
    }
    for expected in &sheet.expected {
        let verdict = if expected.pass { "holds" } else { "fails" };
        row([
            "expectation",
            &expected.id,
            "",
            "",
            "",
            "",
            &format!("{}: {verdict}", expected.check),
        ]);
    }
    for (evidence, share) in &sheet.provenance {
        row(["provenance", evidence, &share.to_string(), "", "", "", ""]);
    }
    for (name, words) in &sheet.origin {
        row(["origin", name, "", "", "", "", words]);
    }
    for [key, value, reason] in &sheet.assumptions {
        row(["assumption", key, "", "", "", "", &format!("{value} ({reason})")]);
    }
    let bytes = writer.into_inner().expect("memory takes any row");
    String::from_utf8(bytes).expect("cells are text")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::sheet::Sheet;

    /// The row of the cost of a day in the sheet of `run`.
    fn cost(run: &Value) -> String {
        let rows = Sheet::of(run).unwrap().csv();
        let row = rows.lines().find(|row| row.starts_with("figure,cost per day"));
        row.unwrap_or_default().to_owned()
    }

    #[test]
    fn money_has_its_currency_for_a_unit() {
        let mut run = json!({"scenario": "one", "currency": "EUR", "metrics": {"cost.per_day.mean": 1200.0}});
        assert_eq!(cost(&run), "figure,cost per day,1200,EUR,,,1200 EUR");
        run["currency"] = Value::Null;
        run["settings"] = json!({"cost.currency": "CHF"});
        assert_eq!(
            cost(&run),
            "figure,cost per day,1200,CHF,,,1200 CHF",
            "as older runs say it"
        );
    }
}
