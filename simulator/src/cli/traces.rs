//! `import trace` and `replay`: what trainers recorded, as a run and explained.

use std::fmt::Write as _;
use std::path::Path;

use orrery_replay::Slowdown;
use orrery_report::render;
use orrery_timeline::write_chrome_trace;
use orrery_trace::kineto::ExchangeLoad;
use orrery_units::SimDuration;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::files;
use crate::traces::{self, Opened, Outcome, Replayed, TraceFault, TraceKind};

use super::output::{print, print_values};
use super::progress::{Job, Signals, watched};
use super::{Console, Failure, Format, ReplayArgs, TraceArgs};

/// Spans that are kept for eyes.
const SPANS: usize = 2_000_000;
/// Parts of the job that are shown of each kind.
const SHOWN: usize = 5;

/// Writes the recording as a run.
pub(crate) fn import(args: &TraceArgs, kind: TraceKind, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let name = args.name.clone().unwrap_or_else(|| {
        let folder = args.output.file_name();
        folder.map_or_else(
            || "recorded".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    });
    let signals = Signals::listen()?;
    let Some(opened) = while_watched(&signals, console, |watch| traces::open(&args.files, kind, watch))?
    else {
        return Ok(signals.received().unwrap_or(Exit::Interrupted));
    };
    say(&opened, console)?;
    let report = traces::measured(&opened, &name).map_err(Failure::missing)?;
    let timeline = opened.recording.timeline(SPANS);
    let run = args.output.join("run.json");
    files::write(&run, render::json_text(&report).as_bytes()).map_err(Failure::missing)?;
    let trace = args.output.join("trace.json");
    files::write_with(&trace, |file| write_chrome_trace(&timeline, file)).map_err(Failure::missing)?;
    for path in [&run, &trace] {
        writeln!(console.err, "wrote {}", path.display())?;
    }
    if !opened.loads.is_empty() {
        let path = args.output.join("expert-load.csv");
        files::write(&path, loads(&opened.loads).as_bytes()).map_err(Failure::missing)?;
        let shown = path.display();
        writeln!(
            console.err,
            "wrote {shown}; `orrery import routing` fits a law to it"
        )?;
    }
    if timeline.dropped > 0 {
        writeln!(
            console.err,
            "{} operations beyond the first {SPANS} are left out of {}; run.json counts all",
            timeline.dropped,
            trace.display()
        )?;
    }
    let text = print(&[(&report).into()], args.format.format);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(console.out, "{text}{end}")?;
    Ok(Exit::Success)
}

/// Loads of experts as a table that `import routing` reads. Experts are known by the rank of the group that holds them;
/// layers are the dispatches of a step, in order.
fn loads(loads: &[ExchangeLoad]) -> String {
    let mut table = "task,step,layer,expert,count\n".to_owned();
    for load in loads {
        for (rank, rows) in load.rows.iter().enumerate() {
            // Writing to a text cannot fail.
            let _written = writeln!(
                table,
                "{},{},{},{rank},{rows}",
                load.group.replace([',', '"', '\n'], " "),
                load.step,
                load.place
            );
        }
    }
    table
}

/// Replays the recording and explains it.
pub(crate) fn replay(args: &ReplayArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let signals = Signals::listen()?;
    let stopped = || Ok(signals.received().unwrap_or(Exit::Interrupted));
    let opened = while_watched(&signals, console, |watch| {
        traces::open(&args.files, TraceKind::Any, watch)
    })?;
    let Some(opened) = opened else { return stopped() };
    say(&opened, console)?;
    let replayed = while_watched(&signals, console, |watch| {
        traces::replay(&opened.recording, watch)
    })?;
    let Some(replayed) = replayed else {
        return stopped();
    };
    let outcomes = while_watched(&signals, console, |watch| {
        traces::what_if(&opened.recording, &args.what_if, watch)
    })?;
    let Some(outcomes) = outcomes else {
        return stopped();
    };
    let text = match args.format.format {
        Format::Human | Format::Github => human(&opened, &replayed) + &changed(&outcomes, &replayed),
        format => {
            let mut value = value(&opened, &replayed);
            value["what_if"] = outcomes
                .iter()
                .map(|outcome| json!({"change": outcome.change, "step_s": outcome.step.as_secs()}))
                .collect();
            print_values(&[value], format, String::new)
        }
    };
    write!(console.out, "{text}")?;
    Ok(Exit::Success)
}

/// What `work` gives while it is watched; none when a signal stopped it.
fn while_watched<T: Send>(
    signals: &Signals,
    console: &mut Console<'_>,
    work: impl FnOnce(&traces::Watch) -> Result<T, TraceFault> + Send,
) -> anyhow::Result<Option<T>> {
    let watch = traces::Watch::default();
    let job = Job {
        name: "recording",
        expected_tasks: None,
    };
    match watched(job, &watch, signals, console, || work(&watch)) {
        Ok(done) => Ok(Some(done)),
        Err(TraceFault::Cancelled(_)) => Ok(None),
        Err(TraceFault::Files(reason)) => Err(Failure::missing(reason)),
    }
}

/// What was read, and what about it is not whole.
fn say(opened: &Opened, console: &mut Console<'_>) -> anyhow::Result<()> {
    let err = &mut console.err;
    for (path, reason) in &opened.skipped {
        let reason = reason.lines().next().unwrap_or_default();
        writeln!(err, "{}: skipped: {reason}", path.display())?;
    }
    for file in &opened.files {
        let name = file.path.display();
        if let Some(stop) = &file.stopped {
            writeln!(
                err,
                "{name}: stopped at byte {}: {}; what lies before is used",
                stop.byte, stop.reason
            )?;
        }
        if let (count @ 1.., Some(first)) = &file.unreadable {
            let reason = &first.reason;
            writeln!(
                err,
                "{name}: {count} events could not be read, the first at byte {}: {reason}",
                first.byte
            )?;
        }
    }
    for note in &opened.notes {
        writeln!(err, "{note}")?;
    }
    let Some(report) = &opened.report else {
        return Ok(());
    };
    if let Some(reason) = &report.incomplete {
        writeln!(err, "incomplete: {reason}")?;
    }
    for refusal in &report.refusals {
        writeln!(err, "not matched: {refusal}")?;
    }
    for note in &report.notes {
        writeln!(err, "{note}")?;
    }
    if report.collectives > 0 {
        let turned = report.ahead.iter().filter(|&&by| by.abs() > 0.0).count();
        let clocks = match turned {
            0 if report.clocks_agree() => "clocks agree".to_owned(),
            0 => "no clock was turned".to_owned(),
            turned => format!("the clocks of {turned} ranks were turned"),
        };
        writeln!(
            err,
            "{} collectives matched across ranks; {clocks}, their ends lie within {}",
            report.collectives, report.residual_skew
        )?;
    }
    Ok(())
}

fn human(opened: &Opened, replayed: &Replayed) -> String {
    let recording = &opened.recording;
    let attribution = &replayed.attribution;
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!(
        "{} operations of {} ranks in {} steps; {} meetings",
        recording.operations.len(),
        recording.programs.len(),
        recording.steps.len(),
        recording.parties().len()
    ));
    line(attribution.verdict());
    line(String::new());
    let ideal = attribution.ideal.as_secs();
    for (name, time) in [
        ("as recorded", attribution.measured),
        ("replayed", attribution.replayed),
        ("without late launches", attribution.without_delays),
        ("every operation as its like mostly are", attribution.ideal),
    ] {
        line(format!(
            "  {name:<40} {:>12}   {:>6.3} x",
            time.to_string(),
            time.as_secs() / ideal
        ));
    }
    line(format!(
        "  through the engine: {} tasks, ends {} (closed form {})",
        replayed.engine.tasks,
        replayed
            .engine
            .engine
            .saturating_since(orrery_units::SimTime::ZERO),
        replayed
            .engine
            .closed_form
            .saturating_since(orrery_units::SimTime::ZERO)
    ));
    line(String::new());
    line("share of the loss that goes when a cause is removed (causes overlap)".to_owned());
    for cause in &attribution.causes {
        line(format!(
            "  {:<18} {:>6.1} %   {}",
            cause.kind.words(),
            cause.share * 100.0,
            cause.evidence
        ));
    }
    for (title, parts) in [
        ("kind", &attribution.by_kind),
        ("stage", &attribution.by_stage),
        ("data-parallel rank", &attribution.by_replica),
        ("rank", &attribution.by_rank),
    ] {
        if parts.len() > 1 {
            line(String::new());
            line(format!("slow-down when one {title} alone keeps its times"));
            for part in parts.iter().take(SHOWN) {
                line(format!("  {:<40} {:.4} x", part.part, part.factor));
            }
        }
    }
    text.push_str(&waiting(opened, replayed));
    text
}

/// The step under each change, beside the one without late launches.
fn changed(outcomes: &[Outcome], replayed: &Replayed) -> String {
    let mut text = String::new();
    let step = replayed.attribution.without_delays;
    for outcome in outcomes {
        let head = if text.is_empty() {
            "\nwhat if, beside the step without late launches\n"
        } else {
            ""
        };
        let relative = outcome.step.as_secs() / step.as_secs();
        // Writing to a text cannot fail.
        let _written = writeln!(
            text,
            "{head}  {:>12}   {relative:.4} x   {}",
            outcome.step.to_string(),
            outcome.change
        );
    }
    text
}

/// Who waited for whom.
fn waiting(opened: &Opened, replayed: &Replayed) -> String {
    let Some(straggler) = replayed.straggler() else {
        return String::new();
    };
    let programs = &opened.recording.programs;
    let mut text = format!(
        "\nstraggler: {} came last to {} of its meetings and made others wait {} in all; it waited {} itself\n",
        programs[straggler].name,
        replayed.waits[straggler].last,
        replayed.waits[straggler].caused,
        replayed.waits[straggler].waited,
    );
    let mut by_caused: Vec<_> = replayed.waits.iter_enumerated().collect();
    by_caused.sort_by_key(|(_, waits)| std::cmp::Reverse(waits.caused));
    for (program, waits) in by_caused.iter().take(SHOWN) {
        // Writing to a text cannot fail.
        let _written = writeln!(
            text,
            "  {:<12} made others wait {:>12}, waited {:>12} of {:>12} in meetings",
            programs[*program].name,
            waits.caused.to_string(),
            waits.waited.to_string(),
            waits.meeting.to_string()
        );
    }
    text
}

fn value(opened: &Opened, replayed: &Replayed) -> Value {
    let attribution = &replayed.attribution;
    let parts = |parts: &[Slowdown]| -> Value {
        parts
            .iter()
            .map(|part| json!({"part": part.part, "factor": part.factor}))
            .collect()
    };
    let seconds = |time: SimDuration| json!(time.as_secs());
    let programs = &opened.recording.programs;
    json!({
        "schema": "replay/1",
        "files": opened.files.iter().map(|file| path(&file.path)).collect::<Vec<_>>(),
        "incomplete": opened.report.as_ref().and_then(|report| report.incomplete.clone()),
        "measured_s": seconds(attribution.measured),
        "replayed_s": seconds(attribution.replayed),
        "without_delays_s": seconds(attribution.without_delays),
        "ideal_s": seconds(attribution.ideal),
        "slowdown": attribution.slowdown(),
        "causes": attribution.causes.iter().map(|cause| json!({
            "cause": cause.kind.words(), "share": cause.share, "evidence": cause.evidence,
        })).collect::<Vec<_>>(),
        "by_kind": parts(&attribution.by_kind),
        "by_stage": parts(&attribution.by_stage),
        "by_replica": parts(&attribution.by_replica),
        "by_rank": parts(&attribution.by_rank),
        "straggler": replayed.straggler().map(|program| programs[program].name.clone()),
        "waits": replayed.waits.iter_enumerated().map(|(program, waits)| json!({
            "rank": programs[program].name, "waited_s": waits.waited.as_secs(), "caused_s": waits.caused.as_secs(),
            "last": waits.last,
        })).collect::<Vec<_>>(),
    })
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
