//! The sheet as a table.

use orrery_units::Bytes;

use super::{Sheet, percent};

const HEADER: [&str; 7] = ["section", "name", "value", "unit", "low", "high", "shown"];

/// The rows of `sheet`, with a header.
pub(super) fn rows(sheet: &Sheet) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |cells: [&str; 7]| {
        writer.write_record(cells).expect("memory takes any row");
    };
    row(HEADER);
    for (name, words) in about(sheet) {
        row(["sheet", name, "", "", "", "", &words]);
    }
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
        row(["step", &part.label, &value, "s", "", "", &part.words()]);
    }
    memory(sheet, &mut row);
    swings(sheet, &mut row);
    for expected in &sheet.expected {
        let words = format!("{}: {}; {}", expected.check, expected.word(), expected.words());
        let words = words.trim_end_matches("; ");
        row(["expectation", &expected.id, "", "", "", "", words]);
    }
    for (evidence, share) in &sheet.provenance {
        let words = format!("{} of simulated time is {evidence}", percent(*share));
        row(["provenance", evidence, &share.to_string(), "", "", "", &words]);
    }
    for (name, words) in &sheet.origin {
        row(["origin", name, "", "", "", "", words]);
    }
    for [key, value, reason] in &sheet.assumptions {
        row(["assumption", key, "", "", "", "", &format!("{value}: {reason}")]);
    }
    let bytes = writer.into_inner().expect("memory takes any row");
    String::from_utf8(bytes).expect("cells are text")
}

/// What is said of the whole sheet: names and words.
fn about(sheet: &Sheet) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("title", sheet.title.clone()),
        ("what the figures are", sheet.mark().to_owned()),
        ("verdict", sheet.verdict.clone()),
        ("waiting", sheet.waiting.clone()),
        ("partial", sheet.partial_note().unwrap_or_default()),
    ];
    let memo = sheet.memo.lines().filter(|line| !line.trim().is_empty());
    all.extend(memo.map(|line| ("memo", line.to_owned())));
    all.retain(|(_, words)| !words.is_empty());
    all
}

fn memory(sheet: &Sheet, row: &mut impl FnMut([&str; 7])) {
    for stage in &sheet.memory {
        let shown = Bytes::from_f64(stage.bytes).to_string();
        let name = format!("{}: all", stage.label);
        row(["memory", &name, &stage.bytes.to_string(), "B", "", "", &shown]);
        for part in &stage.parts {
            let name = format!("{}: {}", stage.label, part.label);
            row(["memory", &name, &part.value.to_string(), "B", "", "", &part.shown]);
        }
    }
    if !sheet.memory.is_empty() && sheet.capacity > 0.0 {
        let shown = Bytes::from_f64(sheet.capacity).to_string();
        let value = sheet.capacity.to_string();
        row(["memory", "memory of a device", &value, "B", "", "", &shown]);
    }
}

fn swings(sheet: &Sheet, row: &mut impl FnMut([&str; 7])) {
    if sheet.swings.is_empty() {
        return;
    }
    row(["sensitivity", "what it is", "", "", "", "", &sheet.swings_note]);
    for swing in &sheet.swings {
        for (word, share) in [("more", swing.more), ("less", swing.less)] {
            let name = format!("step with 10 % {word} {}", swing.label);
            let shown = format!("{:+.1} %", share * 100.0);
            row(["sensitivity", &name, &share.to_string(), "", "", "", &shown]);
        }
    }
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
