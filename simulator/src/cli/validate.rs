//! `validate`: predicted against measured.

pub(super) mod parameters;
mod scatter;

use std::fmt::Write as _;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget};
use orrery_scenario::catalog;

use super::{Console, Failure, Format, ValidateArgs};
use crate::exit::Exit;
use crate::tuning::LeaveOut;
use crate::validate::{self, By, KernelsBy, Metric, Mode, Options, Outcome};

/// Compares the tables with what is predicted, prints it, and fails over the bound that was asked for.
pub(crate) fn validate(args: &ValidateArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    if args.parameters {
        let text = parameters::print(catalog::tuning(), args.format.format);
        write!(console.out, "{text}")?;
        return Ok(Exit::Success);
    }
    let paths: Vec<PathBuf> = args.truth.iter().chain(&args.nccl).cloned().collect();
    if paths.is_empty() {
        return Err(Failure::invalid(
            "nothing to compare with\n  = help: `--truth tests/truth/nccl`, or `--nccl DIR`",
        ));
    }
    let metric = match args.metric.as_deref() {
        None | Some("time" | "step_time") => Metric::StepTime,
        Some("memory") => Metric::Memory,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "`--metric {other}` is not compared\n  = help: use `step_time` or `memory`"
            )));
        }
    };
    let options = Options {
        leave_out: args.anchor_points.or(args.leave_one_out.then_some(0)),
        refit: args.refit,
        by: args.by,
        mode: mode(args),
        metric,
        kernels: match args.leave_out.as_deref() {
            Some("device") => KernelsBy::Device,
            _ => KernelsBy::Shape,
        },
        releases: args.release_factors,
        anchor_rows: args.anchor_rows,
    };
    let bar = bar(console.terminal);
    let outcome = validate::validate(&paths, options, &mut |done, all| {
        bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        true
    });
    bar.finish_and_clear();
    let outcome = outcome.map_err(Failure::missing)?;
    if outcome.rows.iter().all(|row| row.result.is_err()) {
        let reasons = outcome.refused.join("\n");
        return Err(Failure::missing(format!("no row could be read\n{reasons}")));
    }
    for reason in &outcome.refused {
        writeln!(console.err, "orrery: not read: {reason}")?;
    }
    if let Some(path) = &args.picture {
        crate::picture::draw(&scatter::Scatter::of(&outcome), path).map_err(Failure::invalid)?;
    }
    let text = if args.summaries {
        validate::summaries_csv(&outcome)
    } else {
        print(&outcome, args.format.format)
    };
    write!(console.out, "{text}")?;
    match args.fail_over {
        Some(bound) => judge(&outcome, bound, console),
        None => Ok(Exit::Success),
    }
}

/// How training steps are predicted.
fn mode(args: &ValidateArgs) -> Mode {
    let folds = args.folds.map(LeaveOut::Folds);
    let left = args.leave_out.as_deref().and_then(|name| match name {
        "model" => Some(LeaveOut::Model),
        "source" => Some(LeaveOut::Source),
        "generation" => Some(LeaveOut::Generation),
        // Kernels are left out by device, steps are not.
        _ => None,
    });
    match folds.or(left) {
        Some(leave_out) => Mode::HeldOut(leave_out),
        None if args.estimate || args.anchor_rows => Mode::Estimated,
        None => Mode::Simulated,
    }
}

fn bar(terminal: bool) -> ProgressBar {
    let target = if terminal {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(Some(1), target)
}

fn print(outcome: &Outcome, format: Format) -> String {
    match format {
        Format::Human | Format::Github => validate::human(outcome),
        Format::Json => format!("{:#}\n", validate::json(outcome)),
        Format::Jsonl => {
            let value = validate::json(outcome);
            let rows = value["rows"].as_array().cloned().unwrap_or_default();
            rows.iter().map(|row| format!("{row}\n")).collect()
        }
        Format::Csv => csv(outcome),
    }
}

fn csv(outcome: &Outcome) -> String {
    let of_memory = |row: &validate::Row| row.facts.iter().any(|(_, value)| value == "memory_bytes");
    let unit = if outcome.rows.iter().all(of_memory) {
        "bytes"
    } else {
        "s"
    };
    let mut text =
        format!("id,measured_{unit},predicted_{unit},error,low_{unit},high_{unit},evidence,skipped\n");
    for row in &outcome.rows {
        // Writing to memory cannot fail.
        let _written = match &row.result {
            Ok(c) => writeln!(
                text,
                "{},{:.6e},{:.6e},{:.4},{:.6e},{:.6e},{},",
                row.id,
                c.measured,
                c.predicted,
                c.error(),
                c.low,
                c.high,
                c.evidence
            ),
            // Reasons are sentences, and may hold commas.
            Err(field) => writeln!(text, "{},,,,,,,\"{}\"", row.id, field.replace('"', "\"\"")),
        };
    }
    text
}

/// Reads `gpu`, `arch` and so on.
pub(crate) fn parse_by(text: &str) -> Result<By, String> {
    let found = By::ALL.into_iter().find(|by| by.name() == text);
    found.ok_or_else(|| format!("use one of {}", By::ALL.map(By::name).join(", ")))
}

/// `mape=0.07`, or another share of the summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// On the mean absolute error.
    Mean(f64),
    /// On the median.
    Median(f64),
    /// On the ninth decile.
    P90(f64),
}

/// Reads `mape=0.07`.
pub(crate) fn parse_bound(text: &str) -> Result<Bound, String> {
    let help = "write `mape=0.07`, `median=0.05` or `p90=0.2`, a share";
    let (name, value) = text.split_once('=').ok_or(help)?;
    let value: f64 = value.parse().map_err(|_not_a_number| help.to_owned())?;
    if !value.is_finite() || value < 0.0 {
        return Err(help.to_owned());
    }
    match name {
        "mape" => Ok(Bound::Mean(value)),
        "median" => Ok(Bound::Median(value)),
        "p90" => Ok(Bound::P90(value)),
        _ => Err(help.to_owned()),
    }
}

fn judge(outcome: &Outcome, bound: Bound, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let summary = validate::summary(outcome.rows.iter());
    let (name, value, most) = match bound {
        Bound::Mean(most) => ("mean error", summary.mape, most),
        Bound::Median(most) => ("median error", summary.median, most),
        Bound::P90(most) => ("p90 of the error", summary.p90, most),
    };
    if value <= most {
        return Ok(Exit::Success);
    }
    writeln!(console.err, "orrery: {name} is {value:.4}, above {most}")?;
    Ok(Exit::ExpectationFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_share() {
        assert_eq!(parse_bound("mape=0.07"), Ok(Bound::Mean(0.07)));
        for text in ["mape=nan", "mape=inf", "mape=-1", "mape", "mean=0.1"] {
            assert!(parse_bound(text).is_err(), "{text}");
        }
    }
}
