//! `[load]` into what experts are loaded with: phases, a workload of a benchmark, a router in training.

use std::collections::BTreeSet;

use super::balancing::Context;
use super::gate;
use super::popularity::{self, Parameter};
use crate::document::Place;
use crate::plan::{ExpertShape, Load, LoadBurst, LoadKind, LoadPhase, Popularity, Skew};
use crate::raw::{Given, RawLoad, RawPhase, RawSkew};

/// How experts are loaded.
pub(super) fn load(
    raw: &RawLoad,
    experts: ExpertShape,
    groups: Option<(u64, u64)>,
    context: &mut Context<'_, '_>,
) -> Option<Load> {
    let tokens = raw.tokens_per_step.as_ref()?.value;
    context.assignments_fit(raw, experts);
    one_kind(raw, context);
    if let Some(workload) = &raw.workload {
        let steps = context
            .assumed
            .or(raw.steps.as_ref(), "load.steps", 120, "ten rotations of W6");
        finds_its_experts(workload, experts, context);
        let number = workload.value.trim_start_matches('W').parse().ok()?;
        return Some(Load {
            tokens,
            is_expected: false,
            steps,
            kind: LoadKind::Workload(number),
        });
    }
    if let Some(router) = &raw.gate {
        let steps = context
            .assumed
            .or(raw.steps.as_ref(), "load.steps", 400, "long enough to settle");
        return Some(Load {
            tokens,
            is_expected: false,
            steps,
            kind: LoadKind::Gate(gate::gate(router, experts, groups, context)?),
        });
    }
    context.belongs(
        "S062",
        raw.steps.as_ref(),
        "steps",
        "a workload or a gate: phases have their own",
    );
    let phases: Vec<LoadPhase> = raw
        .phases
        .iter()
        .filter_map(|raw| phase(raw, experts, context))
        .collect();
    named_apart(&raw.phases, context);
    fades_from_something(&raw.phases, context);
    if phases.is_empty() {
        let start = context.start.clone();
        let help =
            "[[load.phase]]\nname = \"chat\"\nsteps = 1000\nskew = { kind = \"lognormal\", sigma = 0.7 }";
        context.fault("S062", &start, "a load has a phase at least, or a workload", help);
        return None;
    }
    Some(Load {
        tokens,
        is_expected: raw.noise.as_ref().is_some_and(|noise| noise.value == "expected"),
        steps: phases.iter().map(|phase| phase.steps).sum(),
        kind: LoadKind::Phases(phases),
    })
}

impl Context<'_, '_> {
    /// A key that stands beside what it does not belong to.
    pub(super) fn belongs<T>(&mut self, code: &'static str, given: Option<&Given<T>>, key: &str, to: &str) {
        if let Some(given) = given {
            self.fault(
                code,
                &given.place,
                format!("`{key}` belongs to {to}"),
                format!("remove `{key}`"),
            );
        }
    }

    /// Assignments of a step are counted in 31 bits.
    fn assignments_fit(&mut self, raw: &RawLoad, experts: ExpertShape) {
        let Some(tokens) = &raw.tokens_per_step else {
            return;
        };
        let most = ((1 << 31) - 1) / u64::from(experts.top_k.max(1));
        if tokens.value > most {
            let message = format!(
                "{} tokens of {} experts each are too many to count",
                tokens.value, experts.top_k
            );
            self.fault(
                "S062",
                &tokens.place,
                message,
                format!("tokens_per_step = {most}, or less"),
            );
        }
    }
}

/// A load is of one kind: phases, a workload or a gate.
fn one_kind(raw: &RawLoad, context: &mut Context<'_, '_>) {
    let mut two = |place: &Place, message: &str, help: &str| context.fault("S062", place, message, help);
    if let Some(workload) = &raw.workload {
        if !raw.phases.is_empty() {
            let help = "remove `workload`, or every `[[load.phase]]`";
            two(&workload.place, "a workload has no phases of its own", help);
        }
        if raw.gate.is_some() {
            let help = "remove `workload`, or `[load.gate]`";
            two(&workload.place, "a workload has no gate of its own", help);
        }
    } else if let Some(kind) = raw.gate.as_ref().and_then(|gate| gate.kind.as_ref())
        && !raw.phases.is_empty()
    {
        let help = "remove `[load.gate]`, or every `[[load.phase]]`";
        two(&kind.place, "a router in training has no phases of its own", help);
    }
    if raw.workload.is_some() || raw.gate.is_some() {
        context.belongs("S062", raw.noise.as_ref(), "noise", "phases");
    }
}

/// The workloads let tokens pick from half of the experts.
fn finds_its_experts(workload: &Given<String>, experts: ExpertShape, context: &mut Context<'_, '_>) {
    if 2 * experts.top_k > experts.experts {
        let message = format!(
            "tokens of {} pick {} experts out of half of {}",
            workload.value, experts.top_k, experts.experts
        );
        let help = format!("[load] top_k = {}, or less", (experts.experts / 2).max(1));
        context.fault("S062", &workload.place, message, help);
    }
}

/// A phase fades in from the one before it, which the first has not.
fn fades_from_something(phases: &[RawPhase], context: &mut Context<'_, '_>) {
    let first = phases.first().and_then(|phase| phase.ramp.as_ref());
    if let Some(ramp) = first.filter(|ramp| ramp.value > 0) {
        context.fault(
            "S062",
            &ramp.place,
            "the first phase has no phase before it to fade from",
            "remove `ramp`, or put the `[[load.phase]]` that it fades from before this one",
        );
    }
}

/// Metrics are told apart by the names of phases.
fn named_apart(phases: &[RawPhase], context: &mut Context<'_, '_>) {
    let names = phases.iter().filter_map(|phase| phase.name.as_ref());
    context.named_apart(
        "phase",
        names,
        "phases of one `domain` have the same popular experts",
    );
}

impl Context<'_, '_> {
    /// Names that metrics and files carry: each once, of small letters, digits and hyphens.
    pub(super) fn named_apart<'n>(
        &mut self,
        of: &str,
        names: impl Iterator<Item = &'n Given<String>>,
        hint: &str,
    ) {
        let mut known = BTreeSet::new();
        for given in names {
            let name = &given.value;
            let plain: String = name
                .to_ascii_lowercase()
                .chars()
                .map(|letter| {
                    if letter.is_ascii_alphanumeric() {
                        letter
                    } else {
                        '-'
                    }
                })
                .collect();
            if name.is_empty() || plain != *name {
                let message = format!("`{name}` is no name of a {of}: small letters, digits and hyphens");
                let plain = if plain.is_empty() { "a" } else { &plain };
                self.fault("S067", &given.place, message, format!("\"{plain}\""));
            } else if !known.insert(name) {
                let message = format!("another {of} is called `{name}`");
                self.fault("S067", &given.place, message, format!("\"{name}-2\"; {hint}"));
            }
        }
    }
}

fn phase(raw: &RawPhase, experts: ExpertShape, context: &mut Context<'_, '_>) -> Option<LoadPhase> {
    let name = raw.name.as_ref()?.value.clone();
    let burst = raw.burst.as_ref().and_then(|burst| {
        Some(LoadBurst {
            every: burst.every.as_ref()?.value,
            steps: burst.steps.as_ref()?.value,
            share: burst.share.as_ref()?.value,
            skew: skew(&burst.skew, experts, context)?,
        })
    });
    Some(LoadPhase {
        steps: raw.steps.as_ref()?.value,
        skew: skew(&raw.skew, experts, context)?,
        domain: raw
            .domain
            .as_ref()
            .map_or_else(|| name.clone(), |given| given.value.clone()),
        ramp: raw.ramp.as_ref().map_or(0, |given| given.value),
        burst,
        name,
    })
}

/// A value that makes each law, for the help of a fault.
fn usual(kind: &str, parameter: Parameter) -> f64 {
    match (kind, parameter) {
        (_, Parameter::Sigma) => 0.73,
        ("zipf", Parameter::Exponent) => 0.55,
        ("power-law", Parameter::Exponent) => 1.01,
        (_, Parameter::Exponent) => 0.3,
        (_, Parameter::Span) => 100.0,
        ("dirichlet", Parameter::Concentration) => 1.0,
        (_, Parameter::Concentration) => 3.0,
    }
}

fn skew(raw: &RawSkew, experts: ExpertShape, context: &mut Context<'_, '_>) -> Option<Skew> {
    let kind = raw.kind.as_ref()?;
    let mut asked = Vec::new();
    let law = popularity::law(&kind.value, |parameter| {
        asked.push(parameter);
        let (key, usual) = (parameter.key(), usual(&kind.value, parameter));
        let (place, message) = match given(raw, parameter) {
            Some(given) if given.value > 0.0 => return given.value,
            Some(given) => (&given.place, format!("`{key}` must be above 0")),
            None => (&kind.place, format!("`{}` needs `{key}`", kind.value)),
        };
        context.fault("S063", place, message, format!("{key} = {usual}"));
        usual
    });
    let of_kind = format!("another law than `{}`", kind.value);
    for parameter in Parameter::ALL
        .into_iter()
        .filter(|parameter| !asked.contains(parameter))
    {
        context.belongs("S063", given(raw, parameter), parameter.key(), &of_kind);
    }
    let Some(law) = law else {
        context.belongs(
            "S063",
            raw.per_layer_shuffle.as_ref(),
            "per_layer_shuffle",
            &of_kind,
        );
        return trace(raw, kind, experts, context);
    };
    for (key, given) in [("path", &raw.path), ("select", &raw.select)] {
        context.belongs("S063", given.as_ref(), key, "`trace`");
    }
    Some(Skew {
        popularity: Popularity::Law(law),
        layers_apart: raw.per_layer_shuffle.as_ref().is_none_or(|given| given.value),
    })
}

const fn given(raw: &RawSkew, parameter: Parameter) -> Option<&Given<f64>> {
    match parameter {
        Parameter::Sigma => raw.sigma.as_ref(),
        Parameter::Exponent => raw.exponent.as_ref(),
        Parameter::Span => raw.span.as_ref(),
        Parameter::Concentration => raw.concentration.as_ref(),
    }
}

/// The popularity that was recorded.
fn trace(
    raw: &RawSkew,
    kind: &Given<String>,
    experts: ExpertShape,
    context: &mut Context<'_, '_>,
) -> Option<Skew> {
    let counts = context.recorded(raw.path.as_ref(), raw.select.as_ref(), &kind.place)?;
    let counts = context.of_ranks(counts, experts);
    let is_of_model = counts.len() == experts.layers as usize
        && counts.iter().all(|layer| layer.len() == experts.experts as usize);
    if !is_of_model {
        let message = format!(
            "the recording has {} layers of {} experts, the model {} of {}",
            counts.len(),
            counts.first().map_or(0, Vec::len),
            experts.layers,
            experts.experts
        );
        let help = "record this model, or set its dimensions to these";
        context.fault("S064", &kind.place, message, help);
        return None;
    }
    Some(Skew {
        popularity: Popularity::Recorded(counts),
        layers_apart: true,
    })
}

impl Context<'_, '_> {
    /// Loads that were recorded by rank, as split sizes of a trace are, spread evenly over the experts of each rank.
    fn of_ranks(&mut self, counts: Vec<Vec<u64>>, experts: ExpertShape) -> Vec<Vec<u64>> {
        let (ranks, all) = (counts.first().map_or(0, Vec::len), experts.experts as usize);
        if ranks < 2 || ranks >= all || !all.is_multiple_of(ranks) {
            return counts;
        }
        let each = all / ranks;
        let reason =
            format!("{ranks} were recorded of {all} experts: loads of ranks, which hold {each} each");
        self.assumed.note("load.experts_of_a_rank", "alike", &reason);
        // All times as many: shares are what counts.
        let spread = |layer: Vec<u64>| layer.into_iter().flat_map(|rows| vec![rows; each]).collect();
        counts.into_iter().map(spread).collect()
    }

    /// Counts of a part of a recorded table; a file is read once.
    pub(super) fn recorded(
        &mut self,
        path: Option<&Given<String>>,
        select: Option<&Given<String>>,
        place: &Place,
    ) -> Option<Vec<Vec<u64>>> {
        let Some(path) = path else {
            self.fault("S064", place, "a recording needs `path`", "path = \"counts.csv\"");
            return None;
        };
        let (source, from) = self.files;
        let recording = self.recordings.entry(path.value.clone()).or_insert_with(|| {
            let text = source.read(from, &path.value)?;
            orrery_experts::record::read(&text).map_err(|fault| fault.to_string())
        });
        let counts = recording.as_ref().map_err(Clone::clone).and_then(|recording| {
            let select = select.map(|given| given.value.as_str());
            recording.counts(select).map_err(|fault| fault.to_string())
        });
        match counts {
            Ok(counts) => Some(counts),
            Err(why) => {
                let place = select.unwrap_or(path).place.clone();
                let (why, help) = why
                    .split_once("\n  = help: ")
                    .unwrap_or((&why, "a part of the table, such as `law` or `law/first-half`"));
                self.fault("S064", &place, format!("`{}`: {why}", path.value), help);
                None
            }
        }
    }
}
