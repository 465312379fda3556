//! The fitted parameters of a set, with what each rests on.

use std::fmt::Write as _;

use orrery_profile::{Term, TuningSet};

use super::super::Format;

/// The parameters of `set`, a line each, or the set itself as JSON.
pub(in super::super) fn print(set: &TuningSet, format: Format) -> String {
    match format {
        Format::Json | Format::Jsonl => set.to_json(),
        Format::Csv => {
            let mut text = "term,scope,value,rows,models\n".to_owned();
            for known in &set.parameters {
                let (term, scope) = (name(known.term), &known.scope);
                // Writing to memory cannot fail.
                let _written = writeln!(
                    text,
                    "{term},{scope},{},{},{}",
                    known.value, known.rows, known.models
                );
            }
            text
        }
        Format::Human | Format::Github => {
            let mut text = format!(
                "{:<17} {:<36} {:>10} {:>6} {:>7}\n",
                "term", "shared by", "value", "rows", "models"
            );
            for known in &set.parameters {
                let scope = if known.scope.is_empty() {
                    "all"
                } else {
                    &known.scope
                };
                let _written = writeln!(
                    text,
                    "{:<17} {scope:<36} {:>10} {:>6} {:>7}",
                    name(known.term),
                    known.value,
                    known.rows,
                    known.models
                );
            }
            text
        }
    }
}

/// The name of a term in files.
fn name(term: Term) -> String {
    let value = serde_json::to_value(term).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use orrery_profile::TuningParameter;

    use super::*;

    #[test]
    fn a_line_says_what_a_parameter_rests_on() {
        let set = TuningSet {
            schema: TuningSet::SCHEMA.to_owned(),
            parameters: vec![TuningParameter {
                term: Term::SmallKernels,
                scope: String::new(),
                value: 51.0,
                rows: 99,
                models: 9,
            }],
            ..TuningSet::default()
        };
        assert_eq!(
            print(&set, Format::Csv),
            "term,scope,value,rows,models\nsmall_kernels,,51,99,9\n"
        );
        let human = print(&set, Format::Human);
        let line: Vec<&str> = human
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(line, ["small_kernels", "all", "51", "99", "9"]);
        assert_eq!(TuningSet::from_json(&print(&set, Format::Json)), Ok(set));
    }
}
