//! `report`: a stored run, shown again, and its pictures.

use std::path::Path;

use crate::compare;
use crate::exit::Exit;
use crate::files;
use crate::sheet::Sheet;
use clap::ValueEnum;
use orrery_report::{Phase, quantity};
use orrery_timeline::find_metric;
use orrery_units::SimDuration;
use serde_json::{Value, json};

use super::output::print_values;
use super::{Console, Failure, Format, ReportArgs};
use crate::picture::why::{self, Published};

/// Kinds of the critical path that are shown.
const SHOWN_KINDS: usize = 8;

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// The mean step by cause.
    Waterfall,
    /// The critical path from stage to stage.
    CriticalPath,
    /// The last step by phases of its schedule.
    Phases,
}

/// Published parts of a step, and where they come from.
#[derive(Debug, Default)]
struct Beside {
    parts: Vec<Published>,
    source: String,
}

/// Shows the run; to have shown it is a success, whatever it says.
pub(crate) fn report(args: &ReportArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let (_, value) = files::read_run(&args.run).map_err(Failure::missing)?;
    let beside = match &args.beside {
        Some(path) => read_beside(path, &value)?,
        None => Beside::default(),
    };
    let text = match args.format.format {
        Format::Json => format!("{value:#}\n"),
        Format::Jsonl => format!("{value}\n"),
        Format::Csv => print_values(&rows(&value), Format::Csv, String::new),
        Format::Human | Format::Github => human(&value, &beside),
    };
    write!(console.out, "{text}")?;
    if !args.sheet.is_empty() {
        let sheet = Sheet::of(&value).map_err(Failure::invalid)?;
        for path in &args.sheet {
            sheet.write(path).map_err(Failure::invalid)?;
            writeln!(console.err, "wrote {}", path.display())?;
        }
    }
    if let Some(path) = &args.picture {
        draw(args.view, &value, &beside, path)?;
    }
    Ok(Exit::Success)
}

fn draw(view: View, run: &Value, beside: &Beside, path: &Path) -> anyhow::Result<()> {
    let unknown = || {
        Failure::missing(
            "this run does not know its critical path\n  = help: run the scenario again with `--why`, to its end",
        )
    };
    let drawn = match view {
        View::Waterfall => {
            let chart = why::waterfall(run).map_err(|fault| Failure::missing(fault.to_string()))?;
            crate::picture::draw(&chart, path)
        }
        View::CriticalPath => crate::picture::draw(&why::path(run).ok_or_else(unknown)?, path),
        View::Phases => {
            let chart = why::phases(run, &beside.parts, &beside.source).ok_or_else(unknown)?;
            crate::picture::draw(&chart, path)
        }
    };
    drawn.map_err(Failure::invalid)
}

/// The published parts of the scenario of `run` in the table at `path`.
fn read_beside(path: &Path, run: &Value) -> anyhow::Result<Beside> {
    let bad = |what: String| {
        Failure::missing(format!(
            "{what}: {}\n  = help: the columns are scenario, part, seconds, source",
            path.display()
        ))
    };
    let text = files::read(path).map_err(Failure::missing)?;
    let mut beside = Beside::default();
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    for row in reader.deserialize::<std::collections::BTreeMap<String, String>>() {
        let row = row.map_err(|fault| bad(fault.to_string()))?;
        let cell = |name: &str| {
            row.get(name)
                .cloned()
                .ok_or_else(|| bad(format!("no column `{name}`")))
        };
        if run["scenario"].as_str() == Some(cell("scenario")?.as_str()) {
            let (part, seconds) = (cell("part")?, cell("seconds")?);
            let seconds = seconds
                .parse()
                .map_err(|fault| bad(format!("`{seconds}`: {fault}")))?;
            beside.parts.push(Published { part, seconds });
            beside.source = cell("source")?;
        }
    }
    if beside.parts.is_empty() {
        return Err(bad(format!(
            "nothing is published there of `{}`",
            text_of(run, "scenario")
        )));
    }
    Ok(beside)
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn rows(run: &Value) -> Vec<Value> {
    let metrics = run["metrics"].as_object().into_iter().flatten();
    metrics
        .map(|(key, value)| json!({"metric": key, "value": value}))
        .collect()
}

/// The verdict, the means with their units, the step by state, and the checks.
fn human(run: &Value, beside: &Beside) -> String {
    let [title, scenario, profile, version, verdict] =
        ["title", "scenario", "profile", "version", "verdict"].map(|key| text_of(run, key));
    let source = match compare::is_recorded(run) {
        true => format!("recording {scenario}, read by orrery {version}"),
        false => format!(
            "scenario {scenario}, seed {}, profile {profile}, orrery {version}",
            run["seed"]
        ),
    };
    let partial = run["partial"].as_str();
    let partial = partial.map_or_else(String::new, |reason| format!("PARTIAL RESULT: {reason}.\n"));
    let mut out = format!("{title}\n  {source}\n\n{partial}{verdict}\n\n");
    for (key, value) in run["metrics"].as_object().into_iter().flatten() {
        let Some(path) = key.strip_suffix(".mean") else {
            continue;
        };
        let unit = find_metric(path.split('{').next().unwrap_or(path)).map_or("", |metric| metric.unit);
        let value = quantity(value.as_f64().unwrap_or_default(), unit);
        out.push_str(&format!("  {path:<52} {value}\n"));
    }
    if let Ok(waterfall) = compare::waterfall(run) {
        out.push_str("\nwhere the mean step goes\n");
        for (cause, time) in waterfall.bars() {
            let share = time.as_secs() / waterfall.step().as_secs() * 100.0;
            let time = time.to_string();
            out.push_str(&format!("  {:<40} {time:>10} {share:>8.2} %\n", cause.title()));
        }
    }
    critical_path(&mut out, run);
    phases(&mut out, run, beside);
    for check in run["checks"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "{} {}  {}   {}\n",
            text_of(check, "verdict"),
            text_of(check, "id"),
            text_of(check, "check"),
            text_of(check, "at")
        ));
    }
    out
}

fn critical_path(out: &mut String, run: &Value) {
    let path = &run["why"]["critical_path"];
    let Some(step) = path["step_ps"].as_u64() else {
        return;
    };
    out.push_str(&format!(
        "\nthe critical path of the last step: {} activities, {} changes of rank\n",
        path["pieces"], path["hops"]
    ));
    for kind in path["by_kind"].as_array().into_iter().flatten().take(SHOWN_KINDS) {
        let time = SimDuration::from_picos(kind["ps"].as_u64().unwrap_or_default());
        let share = time.as_secs() / SimDuration::from_picos(step).as_secs() * 100.0;
        let time = time.to_string();
        out.push_str(&format!(
            "  {:<40} {time:>10} {share:>8.2} %\n",
            text_of(kind, "kind")
        ));
    }
}

/// Phases in the mean of all ranks and by stage; those of the first stage beside published ones, and by how much they
/// differ.
fn phases(out: &mut String, run: &Value, beside: &Beside) {
    if run["why"]["phases"].is_null() {
        return;
    }
    out.push_str("\nthe last step by phases of its schedule          mean   least … most of a stage\n");
    for phase in Phase::ALL {
        let Some([mean, least, most]) = why::phase_range(run, phase) else {
            continue;
        };
        let printed = beside.parts.iter().find(|known| known.part == phase.name());
        if most <= 0.0 && printed.is_none() {
            continue;
        }
        let [mean_text, least, most] =
            [mean, least, most].map(|part| SimDuration::from_secs(part).to_string());
        out.push_str(&format!(
            "  {:<40} {mean_text:>10}   {least:>8} … {most:<8}",
            phase.title()
        ));
        if let Some((printed, first)) = printed.zip(why::phase_as_published(run, phase)) {
            let difference = why::beside(first, printed.seconds);
            let first = SimDuration::from_secs(first);
            out.push_str(&format!("   first stage {first}, published {difference}"));
        }
        out.push('\n');
    }
    if !beside.parts.is_empty() {
        out.push_str(&format!("  published: {}\n", beside.source));
    }
}
