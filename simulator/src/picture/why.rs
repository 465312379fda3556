//! Pictures of a stored run: waterfall, critical path, phases beside published ones.

use orrery_report::{Cause, Phase};
use orrery_scenario::Plan;
use orrery_timeline::OpClass;
use orrery_units::SimDuration;
use plotters::style::RGBColor;
use serde_json::Value;

use super::chart::{Bar, Chart, Row};
use super::route::{Route, Stretch};
use crate::compare::{self, Comparison, seconds, short, shown};
use crate::why::sensitivity::{Sensitivity, Tornado};

/// The colour of a cause: blues and greens compute, oranges travel, greys wait.
pub(crate) const fn colour_of(cause: Cause) -> RGBColor {
    match cause {
        Cause::Products => RGBColor(0x2f, 0x5d, 0x9e),
        Cause::Experts => RGBColor(0x3f, 0x83, 0xc9),
        Cause::Attention => RGBColor(0x6b, 0xae, 0xd6),
        Cause::Passes => RGBColor(0x2a, 0x9d, 0x8f),
        Cause::Compute => RGBColor(0x8f, 0xb8, 0xd8),
        Cause::Recompute => RGBColor(0x7f, 0xc4, 0xa0),
        Cause::Contention => RGBColor(0xb5, 0xcf, 0x6b),
        Cause::AllToAll => RGBColor(0xe3, 0x74, 0x2f),
        Cause::Tensor => RGBColor(0xf0, 0xa0, 0x30),
        Cause::Context => RGBColor(0xf5, 0xc2, 0x5b),
        Cause::Pipeline => RGBColor(0xc9, 0x4f, 0x4f),
        Cause::Data => RGBColor(0xcc, 0x79, 0xa7),
        Cause::Bubble => RGBColor(0x9a, 0xa5, 0xb1),
        Cause::ImbalanceWait => RGBColor(0x6f, 0x7b, 0x89),
        Cause::Host => RGBColor(0x7a, 0x5c, 0xa8),
        Cause::Optimizer => RGBColor(0x8c, 0x6d, 0x46),
        Cause::Idle => RGBColor(0xc5, 0xcc, 0xd4),
    }
}

const fn colour_of_class(class: OpClass) -> RGBColor {
    match class {
        OpClass::Compute => colour_of(Cause::Experts),
        OpClass::Dispatch => RGBColor(0xe3, 0x74, 0x2f),
        OpClass::Combine => RGBColor(0xf0, 0xa0, 0x30),
        OpClass::Tensor => RGBColor(0xf5, 0xc2, 0x5b),
        OpClass::Context => RGBColor(0x2a, 0x9d, 0x8f),
        OpClass::Pipeline => colour_of(Cause::Pipeline),
        OpClass::Data => colour_of(Cause::Data),
        OpClass::Optimizer => colour_of(Cause::Optimizer),
        OpClass::Host => colour_of(Cause::Host),
        OpClass::Other => colour_of(Cause::Bubble),
    }
}

/// Scenario, seed and what the figures rest on.
pub(crate) fn basis(run: &Value) -> String {
    let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
    let mut evidence: Vec<(f64, &String)> = run["provenance"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, share)| Some((share.as_f64()?, name)))
        .collect();
    evidence.sort_by(|a, b| b.0.total_cmp(&a.0));
    let parts: Vec<String> = evidence
        .iter()
        .map(|(share, name)| format!("{} % {name}", orrery_units::significant(share * 100.0, 2)))
        .collect();
    let (scenario, parts) = (text("scenario"), parts.join(", "));
    match compare::is_recorded(run) {
        true => format!("{scenario}; recorded; rests on {parts}"),
        false => format!("{scenario}, seed {}; simulated; rests on {parts}", run["seed"]),
    }
}

fn title(run: &Value) -> &str {
    run["title"]
        .as_str()
        .filter(|title| !title.is_empty())
        .unwrap_or("a run")
}

/// The mean step by cause.
///
/// # Errors
/// When the run does not know it.
pub(crate) fn waterfall(run: &Value) -> Result<Chart, compare::CompareError> {
    let waterfall = compare::waterfall(run)?;
    let step = waterfall.step().as_secs();
    let parts = waterfall.bars().map(|(cause, time)| {
        let share = orrery_units::significant(time.as_secs() / step * 100.0, 3);
        (
            cause.title().to_owned(),
            time.as_secs(),
            colour_of(cause),
            format!("{time}   {share} %"),
        )
    });
    Ok(Chart {
        title: format!("Where the step of {} goes", waterfall.step()),
        notes: vec![
            title(run).to_owned(),
            format!("{}; mean device, mean measured step", basis(run)),
        ],
        axis: "seconds".to_owned(),
        rows: Chart::running(
            None,
            parts,
            ("the step".to_owned(), step, waterfall.step().to_string()),
        ),
        ..Chart::default()
    })
}

/// From the step of A to the step of B, cause by cause.
pub(crate) fn difference(comparison: &Comparison) -> Chart {
    let [a, b] = &comparison.waterfalls;
    let sum = |label: &str, step: SimDuration| (label.to_owned(), step.as_secs(), step.to_string());
    let parts = comparison.bars().into_iter().map(|(cause, picos)| {
        (
            cause.title().to_owned(),
            seconds(picos),
            colour_of(cause),
            shown(picos),
        )
    });
    let [name_a, name_b] = &comparison.names;
    let mut notes = vec![format!("A: {name_a}"), format!("B: {name_b}")];
    let keys: Vec<String> = comparison
        .settings
        .iter()
        .take(3)
        .map(|setting| {
            let [a, b] = setting.values.each_ref().map(|value| short(value.as_deref()));
            format!("{} {a} -> {b}", setting.key)
        })
        .collect();
    if !keys.is_empty() {
        let more = comparison.settings.len().saturating_sub(3);
        let more = if more > 0 {
            format!(", and {more} keys more")
        } else {
            String::new()
        };
        notes.push(format!("differs in {}{more}", keys.join(", ")));
    }
    notes.push("mean device, mean measured step; simulated; the axis may begin beyond zero".to_owned());
    Chart {
        title: format!("From A to B: {} a step", shown(comparison.difference())),
        notes,
        axis: "seconds".to_owned(),
        rows: Chart::running(
            Some(sum("step of A", a.step())),
            parts,
            sum("step of B", b.step()),
        ),
        zoomed: true,
        ..Chart::default()
    }
}

/// The critical path, if the run knows it.
pub(crate) fn path(run: &Value) -> Option<Route> {
    let path = run["why"]["critical_path"].as_object()?;
    let seconds = |value: &Value| {
        value
            .as_u64()
            .map(|picos| SimDuration::from_picos(picos).as_secs())
    };
    let mut classes = Vec::new();
    let mut stages = 0;
    let mut stretches = Vec::new();
    for stroke in path["strokes"].as_array()? {
        let class = OpClass::ALL
            .into_iter()
            .find(|class| Some(class.name()) == stroke[3].as_str())?;
        let (from, length) = (seconds(&stroke[0])?, seconds(&stroke[1])?);
        let stage = u32::try_from(stroke[2].as_u64()?).ok()?;
        stages = stages.max(stage + 1);
        if !classes.contains(&class) {
            classes.push(class);
        }
        stretches.push(Stretch {
            from,
            to: from + length,
            stage,
            colour: colour_of_class(class),
        });
    }
    classes.sort();
    let mut kinds: Vec<String> = Vec::new();
    let step = seconds(&path["step_ps"])?;
    for kind in path["by_kind"].as_array()?.iter().take(5) {
        let share = orrery_units::significant(seconds(&kind["ps"])? / step * 100.0, 3);
        kinds.push(format!("{} {share} %", kind["kind"].as_str().unwrap_or_default()));
    }
    Some(Route {
        title: format!(
            "The critical path of the last step, {}",
            SimDuration::from_secs(step)
        ),
        notes: vec![
            title(run).to_owned(),
            format!(
                "{}; {} activities, {} changes of rank",
                basis(run),
                path["pieces"],
                path["hops"]
            ),
            format!("most of it: {}", kinds.join(", ")),
        ],
        legend: classes
            .into_iter()
            .map(|class| (class.name().to_owned(), colour_of_class(class)))
            .collect(),
        stretches,
        stages,
    })
}

/// A published part of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    pub(crate) part: String,
    pub(crate) seconds: f64,
}

/// A published part, and how far the simulated one is from it: `1.13 s (+19.9 %, +225 ms)`.
pub(crate) fn beside(simulated: f64, published: f64) -> String {
    let error = (simulated / published - 1.0) * 100.0;
    let sign = if simulated < published { "−" } else { "+" };
    let difference = SimDuration::from_secs((simulated - published).abs());
    let published = orrery_units::significant(published, 4);
    format!("{published} s ({error:+.1} %, {sign}{difference})")
}

/// Mean, least and most of a phase over pipeline ranks, in seconds.
pub(crate) fn phase_range(run: &Value, phase: Phase) -> Option<[f64; 3]> {
    let phases = &run["why"]["phases"];
    let mean = phases["mean_s"][phase.name()].as_f64()?;
    let stages = phases["by_stage_s"].as_array()?;
    let values = || stages.iter().filter_map(|stage| stage[phase.name()].as_f64());
    Some([
        mean,
        values().fold(f64::INFINITY, f64::min),
        values().fold(0.0, f64::max),
    ])
}

/// A phase of the ranks that a published timeline is read of: those of the first stage.
///
/// Timelines are of one rank, and rank 0 is the one that is logged. The table of DeepSeek-V3 says so by its 1W: DualPipe
/// defers `15 − d` gradients of weights at distance `d` from the nearer end of 16 ranks. 0.48 s are 32 ms each at the first
/// one, what the public trace shows of a chunk, and 34 to 60 ms at any other.
pub(crate) fn phase_as_published(run: &Value, phase: Phase) -> Option<f64> {
    run["why"]["phases"]["by_stage_s"].get(0)?[phase.name()].as_f64()
}

/// Phases of the schedule, beside published ones where there are any.
pub(crate) fn phases(run: &Value, published: &[Published], source: &str) -> Option<Chart> {
    const SIMULATED: RGBColor = RGBColor(0x3f, 0x83, 0xc9);
    const PRINTED: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
    const RANGE: RGBColor = RGBColor(0x22, 0x2a, 0x35);
    let mut rows = Vec::new();
    for phase in Phase::ALL {
        let [mean, least, most] = phase_range(run, phase)?;
        let printed = published.iter().find(|known| known.part == phase.name());
        if most <= 0.0 && printed.is_none() {
            continue;
        }
        let mut bars = Vec::new();
        let mut text = SimDuration::from_secs(mean).to_string();
        let mut shown = mean;
        if let Some(printed) = printed {
            shown = phase_as_published(run, phase)?;
            bars.push(Bar::new(0.0, printed.seconds, PRINTED));
            let first = SimDuration::from_secs(shown);
            text = format!("{first}, published {}", beside(shown, printed.seconds));
        }
        bars.push(Bar::new(0.0, shown, SIMULATED));
        bars.push(Bar {
            thin: true,
            ..Bar::new(least, most, RANGE)
        });
        rows.push(Row {
            label: phase.title().to_owned(),
            bars,
            text,
            total: false,
        });
    }
    let of = if published.is_empty() {
        "simulated, mean of all ranks"
    } else {
        "simulated, ranks of the first stage"
    };
    let mut legend = vec![
        (of.to_owned(), SIMULATED),
        ("least and most of a stage".to_owned(), RANGE),
    ];
    let mut notes = vec![title(run).to_owned(), basis(run)];
    if !published.is_empty() {
        legend.insert(0, ("published".to_owned(), PRINTED));
        notes.push(format!("published: {source}"));
    }
    let step = run["waterfall"]["step_ps"]
        .as_u64()
        .map(SimDuration::from_picos)?;
    Some(Chart {
        title: format!("The last step by phases of its schedule: {step}"),
        notes,
        axis: "seconds".to_owned(),
        rows,
        legend,
        ..Chart::default()
    })
}

/// The step with more and with less of each resource.
pub(crate) fn tornado(plan: &Plan, tornado: &Tornado, estimate: bool) -> Chart {
    const BETTER: RGBColor = RGBColor(0x2a, 0x9d, 0x8f);
    const WORSE: RGBColor = RGBColor(0xc9, 0x4f, 0x4f);
    let change = |step: SimDuration| (step.as_secs() / tornado.step.as_secs() - 1.0) * 100.0;
    let row = |entry: &Sensitivity| Row {
        label: entry.resource.title().to_owned(),
        bars: vec![
            Bar::new(0.0, change(entry.more), BETTER),
            Bar::new(0.0, change(entry.less), WORSE),
        ],
        text: format!("{} / {}", entry.more, entry.less),
        total: false,
    };
    let how = if estimate {
        "closed form"
    } else {
        "simulated, the same random numbers throughout"
    };
    Chart {
        title: format!("What 10 % of each resource changes of a step of {}", tornado.step),
        notes: vec![
            plan.identity.title.clone(),
            format!("{}, seed {}; {how}", plan.identity.name, plan.run.seed.get()),
        ],
        axis: "change of the step in %".to_owned(),
        rows: tornado.resources.iter().map(row).collect(),
        legend: vec![
            ("10 % better: a higher rate, a shorter time".to_owned(), BETTER),
            ("10 % worse".to_owned(), WORSE),
        ],
        mark: Some(0.0),
        ..Chart::default()
    }
}
