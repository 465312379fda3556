//! `[experts]`, and how tokens find them, into what a group's layers cost.

use orrery_balance::placement::ExpertCost;
use orrery_operation::Precision;
use orrery_units::SimDuration;

use super::balancing::Context;
use super::model::Resolved;
use super::narrow;
use crate::catalog::{ExpertLaw, expert_laws};
use crate::cluster::devices_per_domain;
use crate::plan::{Cluster, Dispatcher, ExpertExchange, ExpertShape, ExpertTraining, expert_format};
use crate::raw::RawBalancing;

/// What training adds to a step, if it is one of training.
pub(super) fn training(raw: &RawBalancing, context: &mut Context<'_, '_>) -> Option<ExpertTraining> {
    let step = context.assumed.or(
        raw.step.as_ref(),
        "experts.step",
        "inference".to_owned(),
        "a step runs every layer once",
    );
    if step != "training" {
        context.belongs(
            "S060",
            raw.steps_per_update.as_ref(),
            "steps_per_update",
            "`step = \"training\"`",
        );
        return None;
    }
    let steps_per_update = context.assumed.or(
        raw.steps_per_update.as_ref(),
        "experts.steps_per_update",
        1,
        "parameters are updated after every step",
    );
    Some(ExpertTraining { steps_per_update })
}

/// How tokens find the devices of their experts.
pub(super) fn exchange(
    raw: &RawBalancing,
    resolved: &Resolved,
    cluster: &Cluster,
    context: &mut Context<'_, '_>,
) -> ExpertExchange {
    let name = context.assumed.or(
        raw.placement.dispatcher.as_ref(),
        "placement.dispatcher",
        "deepep".to_owned(),
        "what SGLang and vLLM send the tokens of large expert groups by",
    );
    let max_nodes = raw
        .placement
        .max_nodes
        .as_ref()
        .map(|given| given.value)
        .or_else(|| {
            let (used, groups) = resolved.routing_groups?;
            let reason = format!("the gate picks {used} of {groups} groups of experts; a group is a node");
            context.assumed.note("placement.max_nodes", used, &reason);
            Some(used)
        });
    ExpertExchange {
        dispatcher: match name.as_str() {
            "all-to-all" => Dispatcher::AllToAll,
            _ => Dispatcher::DeepEp,
        },
        max_nodes: max_nodes.map(narrow),
        devices_per_domain: devices_per_domain(cluster),
    }
}

/// Whose times experts take: the stack that the file names, or one that was measured on the device.
pub(super) fn law(
    raw: &RawBalancing,
    cluster: &Cluster,
    precision: Precision,
    context: &mut Context<'_, '_>,
) -> Option<ExpertLaw> {
    let laws = expert_laws();
    let (device, format) = (&cluster.device, expert_format(precision));
    let Some(given) = &raw.experts else {
        let fitting = laws.fitting(device, format);
        let name = fitting.first().map_or("none", |law| law.stack.as_str());
        let reason = match fitting.first() {
            Some(law) => format!("fitted to layers measured on {} in {}", law.device, law.format),
            None => format!(
                "nothing was measured on {} or a twin of it in {format}",
                device.name
            ),
        };
        context.assumed.note("experts.law", name, &reason);
        return fitting.first().map(|law| (*law).clone());
    };
    if given.value == "none" {
        return None;
    }
    let found = laws.find(&given.value, device, format).cloned();
    if found.is_none() {
        let fitting = laws.fitting(device, format);
        let help = match fitting.first() {
            Some(law) => format!("law = \"{}\", or \"none\"", law.stack),
            None => "law = \"none\"".to_owned(),
        };
        let message = format!(
            "no law of `{}` was fitted on {} or a twin of it in {format}; there are {}",
            given.value,
            device.name,
            laws.listed()
        );
        context.fault("S068", &given.place, message, help);
    }
    found
}

/// The format of weights and of tokens on their way.
pub(super) fn precision(raw: &RawBalancing, cluster: &Cluster, context: &mut Context<'_, '_>) -> Precision {
    let can = cluster.device.peak(Precision::Fp8).is_some();
    let usual = if can { "fp8" } else { "bf16" };
    let name = context.assumed.or(
        raw.precision.as_ref(),
        "experts.precision",
        usual.to_owned(),
        "the narrowest of FP8 and BF16 that the device multiplies in",
    );
    let precision = match name.as_str() {
        "nvfp4" => Precision::Fp4,
        "fp8" => Precision::Fp8,
        _ => Precision::Bf16,
    };
    if let Some(given) = raw
        .precision
        .as_ref()
        .filter(|_| cluster.device.peak(precision).is_none())
    {
        let message = format!("{} does not multiply in {name}", cluster.device.name);
        context.fault("S060", &given.place, message, format!("precision = \"{usual}\""));
    }
    precision
}

/// FasterMoE's costs of a token and of a shadow, at the data sheet's rates.
///
/// In training a token runs through its expert three times and travels four, and parameters go out and gradients come
/// back; in inference it runs once and travels twice, and nothing comes back.
pub(super) fn expert_cost(
    experts: ExpertShape,
    cluster: &Cluster,
    precision: Precision,
    is_training: bool,
) -> ExpertCost {
    let (hidden, inner) = (f64::from(experts.hidden), f64::from(experts.inner));
    let rate = cluster
        .device
        .peak(precision)
        .map_or(f64::INFINITY, orrery_units::FlopsPerSec::get);
    let wire = cluster.nic_per_device().get();
    let bytes = precision.bytes_of(1 << 20).as_f64() / f64::from(1 << 20);
    let [products, ways, copies] = if is_training {
        [3.0, 4.0, 2.0]
    } else {
        [1.0, 2.0, 1.0]
    };
    ExpertCost {
        compute: SimDuration::from_secs(products * 6.0 * hidden * inner / rate),
        exchange: SimDuration::from_secs(ways * hidden * bytes / wire),
        broadcast: SimDuration::from_secs(copies * 3.0 * hidden * inner * bytes / wire),
    }
}
