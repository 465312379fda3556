//! `explain`: a code of an error, the defaults of a stored run, or what the step is sensitive to.

use std::path::Path;

use crate::exit::Exit;
use crate::files;
use crate::pipeline::Watch;
use crate::why::sensitivity::{self, CHANGE, Sensitivity, Tornado};
use orrery_scenario::Plan;
use orrery_units::{SimDuration, significant};
use serde_json::{Value, json};

use super::output::print_values;
use super::progress::{Job, Signals, watched};
use super::run::load_all;
use super::{Console, ExplainArgs, Failure, Format, ScenarioArgs};
use crate::picture::{self, why};

/// Explains what `args` name.
pub(crate) fn explain(args: &ExplainArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    if args.sensitivity {
        return sensitivity(args, console);
    }
    let what = &args.what;
    if let Some(text) = orrery_scenario::explain(what) {
        writeln!(console.out, "{}", text.trim_end())?;
        return Ok(Exit::Success);
    }
    let path = Path::new(what);
    if !path.exists() {
        return Err(Failure::with(
            Exit::NothingMatched,
            format!("`{what}` is neither a code nor a stored run\n  = help: codes look like S014"),
        ));
    }
    let (_, run) = files::read_run(path).map_err(Failure::missing)?;
    let none = Vec::new();
    let assumptions = run["assumptions"].as_array().unwrap_or(&none);
    let human = || {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut out = format!("{} keys were filled in:\n", assumptions.len());
        for assumption in assumptions {
            out.push_str(&format!(
                "  {} = {}\n      {}\n",
                text(&assumption["key"]),
                text(&assumption["value"]),
                text(&assumption["reason"])
            ));
        }
        out
    };
    write!(
        console.out,
        "{}",
        print_values(assumptions, args.format.format, human)
    )?;
    Ok(Exit::Success)
}

fn sensitivity(args: &ExplainArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let plan = plan_of(args, console)?;
    let tornado = if args.estimate {
        Some(sensitivity::estimated(&plan))
    } else {
        let signals = Signals::listen()?;
        let watch = Watch::new(plan.run.replications * sensitivity::num_runs(&plan));
        let job = Job {
            name: &plan.identity.name,
            expected_tasks: None,
        };
        let result = watched(job, &watch, &signals, console, || {
            sensitivity::simulated(&plan, &watch)
        })?;
        if let Some(exit) = signals.received() {
            return Ok(exit);
        }
        result
    };
    let Some(tornado) = tornado else {
        return Ok(Exit::LimitReached);
    };
    let text = match args.format.format {
        Format::Human | Format::Github => human(&plan, &tornado, args.estimate),
        Format::Json => format!("{:#}\n", document(&plan, &tornado, args.estimate)),
        Format::Jsonl => format!("{}\n", document(&plan, &tornado, args.estimate)),
        Format::Csv => print_values(&rows(&tornado), Format::Csv, String::new),
    };
    write!(console.out, "{text}")?;
    if let Some(path) = &args.picture {
        let drawing = why::tornado(&plan, &tornado, args.estimate);
        picture::draw(&drawing, path).map_err(Failure::invalid)?;
    }
    Ok(Exit::Success)
}

/// The plan of a scenario, or of the scenario that a stored run came from.
fn plan_of(args: &ExplainArgs, console: &mut Console<'_>) -> anyhow::Result<Plan> {
    let load = |file: &str, seed: Option<u64>, console: &mut Console<'_>| {
        let scenario = ScenarioArgs {
            scenarios: vec![file.to_owned()],
            set: args.set.clone(),
            power_limit: None,
            seed,
        };
        let mut plans = load_all(&scenario, console)?;
        plans.pop().ok_or_else(|| Failure::invalid(""))
    };
    let path = Path::new(&args.what);
    if !(path.is_dir() || args.what.ends_with(".json")) {
        return load(&args.what, None, console);
    }
    let (_, run) = files::read_run(path).map_err(Failure::missing)?;
    let file = run["file"].as_str().unwrap_or_default();
    for seed in [None, run["seed"].as_u64()] {
        let plan = load(file, seed, console)?;
        if run["hash"] == plan.identity.hash.as_str() {
            return Ok(plan);
        }
    }
    Err(Failure::missing(format!(
        "the scenario is not that of the run any more: {file}\n  = help: repeat the `--set` of the run, or name the \
         scenario instead"
    )))
}

fn share(of: SimDuration, step: SimDuration) -> f64 {
    (of.as_secs() / step.as_secs().max(f64::MIN_POSITIVE) - 1.0) * 100.0
}

/// A change of the step in percent, with its sign.
pub(crate) fn change(of: SimDuration, step: SimDuration) -> String {
    let percent = share(of, step);
    let sign = if percent > 0.0 { "+" } else { "" };
    format!("{sign}{} %", significant(percent, 3))
}

fn human(plan: &Plan, tornado: &Tornado, estimate: bool) -> String {
    let how = if estimate { "in closed form" } else { "simulated" };
    let much = significant(CHANGE * 100.0, 3);
    let mut out = format!(
        "{}, seed {}: a step of {}, {how}\n\n{:<24} {:>24} {:>24}\n",
        plan.identity.name,
        plan.run.seed.get(),
        tornado.step,
        "the step with",
        format!("{much} % better"),
        format!("{much} % worse"),
    );
    for entry in &tornado.resources {
        let Sensitivity { resource, more, less } = *entry;
        let cell = |step: SimDuration| format!("{step} ({})", change(step, tornado.step));
        out.push_str(&format!(
            "{:<24} {:>24} {:>24}\n",
            resource.title(),
            cell(more),
            cell(less)
        ));
    }
    for (resource, reason) in &tornado.left_out {
        out.push_str(&format!("{:<24} left out: {reason}\n", resource.title()));
    }
    out.push_str("\nbetter: a rate 10 % higher, a time 10 % shorter; the same random numbers throughout\n");
    out
}

fn rows(tornado: &Tornado) -> Vec<Value> {
    let row = |entry: &Sensitivity| {
        json!({
            "resource": entry.resource.name(), "step_s": tornado.step.as_secs(),
            "better_s": entry.more.as_secs(), "worse_s": entry.less.as_secs(),
        })
    };
    tornado.resources.iter().map(row).collect()
}

fn document(plan: &Plan, tornado: &Tornado, estimate: bool) -> Value {
    let left_out = tornado
        .left_out
        .iter()
        .map(|(resource, reason)| json!({"resource": resource.name(), "reason": reason}));
    json!({
        "schema": "sensitivity/1",
        "scenario": plan.identity.name,
        "seed": plan.run.seed.get(),
        "estimate": estimate,
        "change": CHANGE,
        "step_s": tornado.step.as_secs(),
        "resources": rows(tornado),
        "left_out": left_out.collect::<Value>(),
    })
}
