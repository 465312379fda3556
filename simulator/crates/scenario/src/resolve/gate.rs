//! `[load.gate]` into the recipe of a router in training.

use orrery_experts::gate::{
    Activation, Balance, Capacity, DropPolicy, Gate, Groups, Recipe, ScoreFunction, Sinkhorn, SinkhornStop,
    Temperature, TopK, Trend,
};

use super::balancing::Context;
use crate::plan::{ExpertShape, GateLoad};
use crate::raw::{Given, RawCapacity, RawGate};

/// The recipe that the file describes for `experts`, whose gate may be limited to `groups` (used, of).
pub(super) fn gate(
    raw: &RawGate,
    experts: ExpertShape,
    groups: Option<(u64, u64)>,
    context: &mut Context<'_, '_>,
) -> Option<GateLoad> {
    let kind = raw.kind.as_ref()?;
    let top_k = experts.top_k as usize;
    let gate = rule(
        raw,
        &kind.value,
        top_k,
        groups.map(|groups| (groups, experts.experts)),
        context,
    );
    let activation = raw.active.as_ref().and_then(|active| {
        let start = active.start.as_ref()?;
        if start.value < gate.top_k() as u64 || start.value > u64::from(experts.experts) {
            let message = format!(
                "{} experts cannot start: a token picks {}",
                start.value,
                gate.top_k()
            );
            let help = format!("start = {}, up to {}", gate.top_k(), experts.experts);
            context.fault("S066", &start.place, message, help);
            return None;
        }
        Some(Activation {
            start: usize::try_from(start.value).unwrap_or(usize::MAX),
            steps: active.steps.as_ref()?.value,
        })
    });
    let temperature = raw.temperature.as_ref().and_then(|temperature| {
        let (start, end) = (temperature.start.as_ref()?, temperature.end.as_ref()?);
        for given in [start, end] {
            positive(given, "temperature", 1.0, context);
        }
        Some(Temperature {
            start: start.value,
            end: end.value,
            steps: temperature.steps.as_ref()?.value,
        })
    });
    fits(raw, &kind.value, gate, (top_k, experts.experts), context);
    let tokens = context.assumed.or(
        raw.sampled_tokens.as_ref(),
        "load.gate.sampled_tokens",
        1024,
        "enough for a share of an expert to about a tenth",
    );
    let stretch = context
        .assumed
        .or(raw.stretch.as_ref(), "load.gate.stretch", 10, "ten steps");
    Some(GateLoad {
        recipe: Recipe {
            gate,
            temperature,
            activation,
            capacity: raw.capacity.as_ref().and_then(|raw| capacity(raw, context)),
            balance: balance(raw),
            trend: trend(raw, context),
            experts: experts.experts as usize,
            tokens: usize::try_from(tokens).unwrap_or(usize::MAX),
        },
        stretch,
    })
}

/// The rule itself.
fn rule(
    raw: &RawGate,
    kind: &str,
    top_k: usize,
    groups: Option<((u64, u64), u32)>,
    context: &mut Context<'_, '_>,
) -> Gate {
    let groups = self::groups(raw, (kind, top_k), groups, context);
    let of_score = |score| Gate::TopK(TopK { top_k, score, groups });
    match kind {
        "sigmoid" => of_score(ScoreFunction::Sigmoid),
        "noisy" => Gate::Noisy {
            top_k,
            noise: context.assumed.or(
                raw.noise.as_ref(),
                "load.gate.noise",
                1.0,
                "as much as tokens differ",
            ) as f32,
        },
        "gshard" => Gate::GShard,
        "gumbel" => Gate::Gumbel {
            top_k,
            temperature: 1.0,
        },
        "hash" => Gate::Hash { top_k },
        "expert-choice" => Gate::ExpertChoice { top_k },
        "sinkhorn" => Gate::Sinkhorn(Sinkhorn {
            stop: SinkhornStop::MarginalError,
            tolerance: 0.01,
        }),
        _ => of_score(ScoreFunction::Softmax),
    }
}

/// The groups that limit the gate's choice, where it can be limited and they divide experts and choices.
fn groups(
    raw: &RawGate,
    (kind, top_k): (&str, usize),
    groups: Option<((u64, u64), u32)>,
    context: &mut Context<'_, '_>,
) -> Option<Groups> {
    let ((used, of), experts) = groups?;
    if !matches!(kind, "softmax" | "sigmoid") {
        let reason = format!("`{kind}` is not limited to groups");
        context.assumed.note("load.gate.groups", 1, &reason);
        return None;
    }
    if raw.active.is_some() {
        let reason = "experts that join one by one make no whole groups";
        context.assumed.note("load.gate.groups", 1, reason);
        return None;
    }
    let divides = used > 0
        && used <= of
        && u64::from(experts).is_multiple_of(of)
        && (top_k as u64).is_multiple_of(used)
        && top_k as u64 / used <= u64::from(experts) / of;
    if !divides {
        let place = raw
            .kind
            .as_ref()
            .map_or_else(|| context.start.clone(), |given| given.place.clone());
        let message = format!("{used} of {of} groups do not share out {top_k} of {experts} experts evenly");
        let help = format!("[load] top_k = {used}, or a multiple of it, and experts in {of} equal groups");
        context.fault("S066", &place, message, help);
        return None;
    }
    Some(Groups {
        num: usize::try_from(of).ok()?,
        top_k: usize::try_from(used).ok()?,
    })
}

/// What belongs to one kind of gate stands with no other, and a gate of a fixed number of experts per token is
/// given to a model of that number.
fn fits(
    raw: &RawGate,
    kind: &str,
    gate: Gate,
    (top_k, experts): (usize, u32),
    context: &mut Context<'_, '_>,
) {
    let Some(given) = &raw.kind else { return };
    if gate.top_k() != top_k {
        let message = format!(
            "`{kind}` gives a token {} experts, the model {top_k}",
            gate.top_k()
        );
        context.fault(
            "S066",
            &given.place,
            message,
            format!("[load] top_k = {}", gate.top_k()),
        );
    }
    if let Some(noise) = raw.noise.as_ref().filter(|_| kind != "noisy") {
        let help = "kind = \"noisy\", or remove `noise`";
        context.fault(
            "S066",
            &noise.place,
            format!("`noise` belongs to `noisy`, not `{kind}`"),
            help,
        );
    }
    if raw.temperature.is_some() && kind != "gumbel" {
        let help = "kind = \"gumbel\", or remove `temperature`";
        context.fault(
            "S066",
            &given.place,
            format!("`temperature` belongs to `gumbel`, not `{kind}`"),
            help,
        );
    }
    if let Some(quantile) = raw.balance.quantile.as_ref().filter(|quantile| quantile.value)
        && gate.top_k() >= experts as usize
    {
        let message = format!("a token picks all {experts} experts: no bias steers it");
        context.fault("S066", &quantile.place, message, "quantile = false");
    }
    let has_bias = raw.balance.bias_rate.is_some() || raw.balance.quantile.is_some();
    if has_bias && !matches!(gate, Gate::TopK(_)) {
        let help = "kind = \"sigmoid\", or remove the bias";
        context.fault(
            "S066",
            &given.place,
            format!("a bias steers no choice of `{kind}`"),
            help,
        );
    }
}

fn capacity(raw: &RawCapacity, context: &mut Context<'_, '_>) -> Option<Capacity> {
    let factor = raw.factor.as_ref()?;
    positive(factor, "factor", 1.25, context);
    Some(Capacity {
        factor: factor.value,
        policy: match raw.drop.as_ref().map(|given| given.value.as_str()) {
            Some("position") => DropPolicy::Position,
            _ => DropPolicy::Probability,
        },
        pad: raw.pad.as_ref().is_some_and(|given| given.value),
    })
}

fn positive(given: &Given<f64>, name: &str, usual: f64, context: &mut Context<'_, '_>) {
    if given.value <= 0.0 {
        context.fault(
            "S066",
            &given.place,
            format!("`{name}` is positive"),
            format!("{name} = {usual}"),
        );
    }
}

fn balance(raw: &RawGate) -> Balance {
    let value = |given: &Option<Given<f64>>| given.as_ref().map_or(0.0, |given| given.value);
    let raw = &raw.balance;
    Balance {
        auxiliary: value(&raw.auxiliary),
        z: value(&raw.z),
        importance: value(&raw.importance),
        bias_rate: value(&raw.bias_rate),
        quantile: raw.quantile.as_ref().is_some_and(|given| given.value),
    }
}

fn trend(raw: &RawGate, context: &mut Context<'_, '_>) -> Trend {
    const ASSUMED: &str = "assumed: no published router tells it";
    let usual = Trend::default();
    let mut value = |given: &Option<Given<f64>>, name: &str, usual: f64| {
        context
            .assumed
            .or(given.as_ref(), &format!("load.gate.trend.{name}"), usual, ASSUMED)
    };
    let raw = &raw.trend;
    Trend {
        spread: value(&raw.spread, "spread", usual.spread),
        scatter: value(&raw.scatter, "scatter", usual.scatter),
        gain: value(&raw.gain, "gain", usual.gain),
        learning_rate: value(&raw.learning_rate, "learning_rate", usual.learning_rate),
        learning_steps: value(&raw.learning_steps, "learning_steps", usual.learning_steps),
    }
}
