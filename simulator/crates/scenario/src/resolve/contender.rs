//! `[[policy]]` into a contender: a balancer, when it is asked, with what, and how replicas travel.

use orrery_balance::lab::{Contender, Control, Estimator, Migration};
use orrery_balance::placement::{Algorithm, Dispatch, ExpertCost, Shape};
use orrery_units::SimDuration;

use super::balancing::Context;
use crate::raw::RawPolicy;

/// The balancer called `name`; one that needs costs takes `cost`.
pub(super) fn algorithm(name: &str, threshold: f64, cost: ExpertCost) -> Option<Algorithm> {
    Algorithm::all(cost, threshold)
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
}

pub(super) fn contender(
    raw: &RawPolicy,
    (shape, steps): (Shape, u64),
    cost: ExpertCost,
    context: &mut Context<'_, '_>,
) -> Option<Contender> {
    let id = raw.id.as_ref()?;
    let threshold = raw.threshold.as_ref().map_or(1.0, |given| given.value);
    let algorithm = algorithm(&raw.kind.as_ref()?.value, threshold, cost)?;
    let dispatch = raw.dispatch.as_ref().and_then(|given| {
        let at = Dispatch::NAMES.iter().position(|name| *name == given.value)?;
        Some(Dispatch::ALL[at])
    });
    let shape = match &raw.redundant {
        None => shape,
        Some(given) => {
            let slots = shape.experts + usize::try_from(given.value).unwrap_or(usize::MAX / 2);
            match Shape::new(shape.experts, slots, shape.groups, shape.nodes, shape.devices) {
                Ok(shape) => shape,
                Err(fault) => {
                    context.placement_fault(&given.place, &fault.to_string());
                    shape
                }
            }
        }
    };
    // A shadow is there so that tokens need not travel.
    let usual = match algorithm {
        Algorithm::Shadow(_) => Dispatch::Nearest,
        _ => Dispatch::RoundRobin,
    };
    Some(Contender {
        id: id.value.clone(),
        shape,
        algorithm,
        dispatch: dispatch.unwrap_or(usual),
        control: control(raw, algorithm, steps, context),
    })
}

fn control(raw: &RawPolicy, algorithm: Algorithm, steps: u64, context: &mut Context<'_, '_>) -> Control {
    keys_belong(raw, algorithm, context);
    if !algorithm.follows_loads() {
        return Control::never();
    }
    let id = raw
        .id
        .as_ref()
        .map_or("", |given| given.value.as_str())
        .to_owned();
    let key = |name: &str| format!("policy.{id}.{name}");
    let interval = context.assumed.or(
        raw.interval.as_ref(),
        &key("interval"),
        3000,
        "vLLM's default number of steps between plans",
    );
    let is_mean = raw.estimator.as_ref().is_none_or(|given| given.value == "mean");
    let window = match &raw.window {
        None if !is_mean => interval,
        given => context.assumed.or(
            given.as_ref(),
            &key("window"),
            interval.min(1000),
            "vLLM's default window, within the interval",
        ),
    };
    if interval >= steps {
        let reason = format!("{interval} steps between plans are no fewer than the {steps} of the run");
        context.assumed.note(&key("plans"), 0, &reason);
    }
    if let Some(given) = raw
        .window
        .as_ref()
        .filter(|given| interval > 0 && given.value > interval)
    {
        let message =
            format!("a window of {window} steps reaches back beyond the plan before, {interval} steps ago");
        context.fault("S065", &given.place, message, format!("window = {interval}"));
    }
    let estimator = match raw.estimator.as_ref().map(|given| given.value.as_str()) {
        Some("ewma") => Estimator::Ewma {
            half_life: context.assumed.or(
                raw.half_life.as_ref(),
                &key("estimator.half_life"),
                500.0,
                "half a window of vLLM's",
            ),
        },
        Some("oracle") => Estimator::Oracle,
        _ => Estimator::Mean,
    };
    Control {
        interval,
        window,
        estimator,
        trigger: raw.threshold.as_ref().map_or(1.0, |given| given.value),
        layers_per_chunk: raw.layers_per_chunk.as_ref().map_or(usize::MAX, |given| {
            usize::try_from(given.value).unwrap_or(usize::MAX)
        }),
        migration: migration(raw, &key("migration.bandwidth_share"), context),
        plan_time: raw
            .plan_time
            .as_ref()
            .map_or(SimDuration::ZERO, |given| SimDuration::from_secs(given.value)),
    }
}

/// What belongs to another policy, estimator or migration stands with none.
fn keys_belong(raw: &RawPolicy, algorithm: Algorithm, context: &mut Context<'_, '_>) {
    const CODE: &str = "S065";
    if !algorithm.follows_loads() {
        let follows = format!("policies that follow loads, not `{}`", algorithm.name());
        context.belongs(CODE, raw.window.as_ref(), "window", &follows);
        context.belongs(CODE, raw.interval.as_ref(), "interval", &follows);
        context.belongs(CODE, raw.layers_per_chunk.as_ref(), "layers_per_chunk", &follows);
        context.belongs(CODE, raw.threshold.as_ref(), "threshold", &follows);
        context.belongs(CODE, raw.estimator.as_ref(), "estimator", &follows);
        context.belongs(CODE, raw.migration.as_ref(), "migration", &follows);
        context.belongs(CODE, raw.plan_time.as_ref(), "plan_time", &follows);
        return;
    }
    let estimator = raw
        .estimator
        .as_ref()
        .map_or("mean", |given| given.value.as_str());
    if estimator != "mean" {
        context.belongs(CODE, raw.window.as_ref(), "window", "the estimator `mean`");
    }
    if estimator != "ewma" {
        context.belongs(CODE, raw.half_life.as_ref(), "half_life", "the estimator `ewma`");
    }
    if raw
        .migration
        .as_ref()
        .is_none_or(|given| given.value == "blocking")
    {
        let to = "the migration `overlapped`";
        context.belongs(CODE, raw.bandwidth_share.as_ref(), "bandwidth_share", to);
    }
}

fn migration(raw: &RawPolicy, key: &str, context: &mut Context<'_, '_>) -> Migration {
    if raw
        .migration
        .as_ref()
        .is_none_or(|given| given.value == "blocking")
    {
        return Migration::Blocking;
    }
    let given = raw.bandwidth_share.as_ref();
    let share = context.assumed.or(given, key, 0.25, "a quarter of the links");
    if !(share > 0.0 && share < 1.0) {
        let place = given.map_or_else(|| context.start.clone(), |given| given.place.clone());
        let message = "replicas and exchanges both need a share of the links";
        context.fault("S065", &place, message, "bandwidth_share = 0.25");
        return Migration::Overlapped { share: 0.25 };
    }
    Migration::Overlapped { share }
}
