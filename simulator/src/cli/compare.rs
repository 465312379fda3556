//! `compare`: two scenarios or stored runs, and what their difference is made of.

use std::path::Path;

use crate::compare::{Comparison, seconds, short, shown};
use crate::exit::Exit;
use crate::pipeline::{self, Watch};
use crate::{checks, files};
use orrery_report::render;
use serde_json::{Value, json};

use super::output::print_values;
use super::progress::{Job, Signals, watched};
use super::run::load_all;
use super::{CompareArgs, Console, Failure, Format, ScenarioArgs};
use crate::picture::why;

/// Kinds of the critical path that are shown, and keys of the configuration.
const SHOWN_KINDS: usize = 8;
const SHOWN_SETTINGS: usize = 40;

/// Compares A with B.
pub(crate) fn compare(args: &CompareArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let mut for_b = args.set.clone();
    for_b.extend(args.set_b.iter().cloned());
    let signals = Signals::listen()?;
    let a = side(&args.before, &args.set, args.seed, &signals, console)?;
    let b = side(&args.after, &for_b, args.seed, &signals, console)?;
    let (Some(a), Some(b)) = (a, b) else {
        return Ok(signals.received().unwrap_or(Exit::Interrupted));
    };
    let comparison = Comparison::of(&a, &b).map_err(|fault| Failure::missing(fault.to_string()))?;
    let text = match args.format.format {
        Format::Human => human(&comparison),
        Format::Json => format!("{:#}\n", comparison.json()),
        Format::Jsonl => format!("{}\n", comparison.json()),
        Format::Csv => print_values(&rows(&comparison), Format::Csv, String::new),
        Format::Github => github(&comparison),
    };
    write!(console.out, "{text}")?;
    if let Some(path) = &args.picture {
        crate::picture::draw(&why::difference(&comparison), path).map_err(Failure::invalid)?;
    }
    let over = args.fail_over.is_some_and(|bound| comparison.relative() > bound);
    Ok(if over {
        Exit::ExpectationFailed
    } else {
        Exit::Success
    })
}

/// `0.5%` or `0.005` as a share.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    number
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|share| share.is_finite())
        .map(|share| share * scale)
        .ok_or_else(|| format!("`{text}` is no share\n  = help: write `0.5%` or `0.005`"))
}

/// A stored run as it is; a scenario simulated. None when a signal came.
fn side(
    what: &str,
    set: &[(String, String)],
    seed: Option<u64>,
    signals: &Signals,
    console: &mut Console<'_>,
) -> anyhow::Result<Option<Value>> {
    let path = Path::new(what);
    if path.is_dir() || what.ends_with(".json") {
        let (_, value) = files::read_run(path).map_err(Failure::missing)?;
        if !set.is_empty() || seed.is_some() {
            return Err(Failure::invalid(format!(
                "a stored run cannot be changed: {what}\n  = help: name its scenario file, or leave `--set` and \
                 `--seed` out"
            )));
        }
        return Ok(Some(value));
    }
    let args = ScenarioArgs {
        scenarios: vec![what.to_owned()],
        set: set.to_vec(),
        power_limit: None,
        seed,
    };
    let plans = load_all(&args, console)?;
    let [plan] = plans.as_slice() else {
        return Err(Failure::invalid(""));
    };
    let watch = Watch::new(plan.run.replications);
    let job = Job {
        name: &plan.identity.name,
        expected_tasks: console.terminal.then(|| pipeline::expected_tasks(plan)),
    };
    let simulation = watched(job, &watch, signals, console, || {
        pipeline::simulate_explained(plan, &watch)
    })?;
    if signals.received().is_some() {
        return Ok(None);
    }
    let checks = match simulation.stopped {
        Some(_) => Vec::new(),
        None => checks::evaluate(plan, &simulation.report.metrics, None),
    };
    Ok(Some(render::json(&simulation.report.with_checks(checks))))
}

fn human(comparison: &Comparison) -> String {
    let [a, b] = &comparison.names;
    let mut out = format!("{}\n  A  {a}\n  B  {b}\n\n", comparison.verdict());
    out.push_str(&format!(
        "{:<40} {:>18} {:>18} {:>22}\n",
        "figure", "A", "B", "B − A"
    ));
    for figure in &comparison.figures {
        let (a, b, change) = (figure.shown(0), figure.shown(1), figure.change());
        out.push_str(&format!("{:<40} {a:>18} {b:>18} {change:>22}\n", figure.label));
    }
    out.push_str(&format!(
        "\n{:<40} {:>18} {:>18} {:>22}\n",
        "where the mean step goes", "A", "B", "B − A"
    ));
    let [a, b] = &comparison.waterfalls;
    for (cause, picos) in a.difference(b) {
        if !(a.time(cause).is_zero() && b.time(cause).is_zero()) {
            let (from, to) = (a.time(cause).to_string(), b.time(cause).to_string());
            out.push_str(&format!(
                "{:<40} {from:>18} {to:>18} {:>22}\n",
                cause.title(),
                shown(picos)
            ));
        }
    }
    let (from, to) = (a.step().to_string(), b.step().to_string());
    let whole = shown(comparison.difference());
    out.push_str(&format!("{:<40} {from:>18} {to:>18} {whole:>22}\n", "the step"));
    changed_kinds(&mut out, comparison);
    changed_settings(&mut out, comparison);
    out
}

fn changed_kinds(out: &mut String, comparison: &Comparison) {
    if comparison.kinds.is_empty() {
        return;
    }
    out.push_str(&format!(
        "\n{:<40} {:>18} {:>18} {:>22}\n",
        "critical path, most changed", "A", "B", "B − A"
    ));
    for kind in comparison.kinds.iter().take(SHOWN_KINDS) {
        let [a, b] = kind.picos;
        let [from, to] = [a, b].map(|picos| shown(picos).trim_start_matches('+').to_owned());
        out.push_str(&format!(
            "{:<40} {from:>18} {to:>18} {:>22}\n",
            kind.kind,
            shown(b - a)
        ));
    }
}

fn changed_settings(out: &mut String, comparison: &Comparison) {
    if comparison.settings.is_empty() {
        out.push_str("\nno key of the configuration differs\n");
        return;
    }
    out.push_str("\nwhat differs in the configuration\n");
    for setting in comparison.settings.iter().take(SHOWN_SETTINGS) {
        let [a, b] = setting.values.each_ref().map(|value| short(value.as_deref()));
        out.push_str(&format!("  {}: {a} -> {b}\n", setting.key));
    }
    if comparison.settings.len() > SHOWN_SETTINGS {
        let more = comparison.settings.len() - SHOWN_SETTINGS;
        out.push_str(&format!("  {more} more; `--format json` lists them all\n"));
    }
}

fn rows(comparison: &Comparison) -> Vec<Value> {
    let figures = comparison.figures.iter().map(|figure| {
        let [a, b] = figure.values;
        row(
            "metric",
            figure.key,
            a,
            b,
            a.zip(b).map(|(a, b)| b - a),
            figure.unit,
        )
    });
    let [a, b] = &comparison.waterfalls;
    let causes = a.difference(b).into_iter().map(|(cause, picos)| {
        let times = [a, b].map(|waterfall| Some(waterfall.time(cause).as_secs()));
        row(
            "cause",
            cause.name(),
            times[0],
            times[1],
            Some(seconds(picos)),
            "s",
        )
    });
    let kinds = comparison.kinds.iter().map(|kind| {
        let [a, b] = kind.picos;
        row(
            "critical_path",
            &kind.kind,
            Some(seconds(a)),
            Some(seconds(b)),
            Some(seconds(b - a)),
            "s",
        )
    });
    let settings = comparison.settings.iter().map(|setting| {
        let [a, b] = setting
            .values
            .each_ref()
            .map(|value| value.clone().unwrap_or_default());
        json!({"what": "setting", "name": setting.key, "a": a, "b": b, "difference": "", "unit": ""})
    });
    figures.chain(causes).chain(kinds).chain(settings).collect()
}

fn row(what: &str, name: &str, a: Option<f64>, b: Option<f64>, difference: Option<f64>, unit: &str) -> Value {
    let cell = |value: Option<f64>| value.map_or_else(|| json!(""), |value| json!(value));
    json!({"what": what, "name": name, "a": cell(a), "b": cell(b), "difference": cell(difference), "unit": unit})
}

/// One annotation, and a table for the summary of a job.
fn github(comparison: &Comparison) -> String {
    let level = if comparison.difference() > 0 {
        "warning"
    } else {
        "notice"
    };
    let escape = |text: &str| text.replace('%', "%25").replace('\n', "%0A");
    let mut out = format!(
        "::{level} title=orrery compare::{}\n",
        escape(&comparison.verdict())
    );
    for (cause, picos) in comparison.bars() {
        out.push_str(&format!(
            "::notice title={}::{}\n",
            cause.title(),
            escape(&shown(picos))
        ));
    }
    out
}
