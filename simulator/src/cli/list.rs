//! `metrics`, `schema` and `completions`: what there is.

use crate::exit::Exit;
use clap::CommandFactory as _;
use orrery_timeline::{Metric, OPERATIONS, Statistic, registry};
use serde_json::json;

use super::output::print_values;
use super::{Cli, Console, Failure, Format};

/// Lists the metric registry.
pub(crate) fn metrics(kind: Option<&str>, format: Format, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let chosen: Vec<_> = registry()
        .iter()
        .filter(|metric| kind.is_none_or(|kind| metric.kinds.contains(&kind)))
        .collect();
    if chosen.is_empty() {
        let kind = kind.unwrap_or_default();
        return Err(Failure::with(
            Exit::NothingMatched,
            format!("no metric for scenarios of kind `{kind}`\n  = help: kinds are training, balancing"),
        ));
    }
    let values: Vec<_> = chosen
        .iter()
        .map(|metric| {
            json!({
                "name": metric.name, "unit": metric.unit, "labels": label_names(metric), "kinds": metric.kinds,
                "definition": metric.definition,
            })
        })
        .collect();
    let human = || {
        let mut text = String::new();
        for metric in &chosen {
            let labels = match label_names(metric).as_slice() {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(", ")),
            };
            text.push_str(&format!(
                "{}{labels}  [{}]\n    {}\n",
                metric.name, metric.unit, metric.definition
            ));
        }
        let statistics: Vec<&str> = Statistic::ALL.iter().map(|s| s.name()).collect();
        text.push_str(&format!(
            "\nA check names a metric and a statistic: train.step_time.mean. Statistics: {}.\n\
             Labels: op='{}'.\n",
            statistics.join(" "),
            OPERATIONS.join("', '")
        ));
        text
    };
    write!(console.out, "{}", print_values(&values, format, human))?;
    Ok(Exit::Success)
}

fn label_names(metric: &Metric) -> Vec<&'static str> {
    metric.labels.iter().map(|label| label.name).collect()
}

/// Prints the schema of scenario files.
pub(crate) fn schema(console: &mut Console<'_>) -> anyhow::Result<Exit> {
    write!(console.out, "{}", orrery_scenario::schema_json())?;
    Ok(Exit::Success)
}

/// Prints completions.
pub(crate) fn completions(shell: clap_complete::Shell, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    clap_complete::generate(shell, &mut Cli::command(), "orrery", &mut console.out);
    Ok(Exit::Success)
}
