//! `[routing]` and `[noise]`.

use orrery_units::SimDuration;

use super::{Assumptions, narrow};
use crate::diagnostics::Faults;
use crate::plan::{Law, Model, Noise, Routing};
use crate::raw::{Given, RawNoise, RawRouting};
use crate::validate;

use super::model::Resolved;
use super::popularity::{self, Parameter};

/// How tokens find experts.
pub(crate) fn routing(
    raw: &RawRouting<'_>,
    resolved: &Resolved,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Routing {
    validate::routing_parameters_fit_the_law(raw, faults);
    if !has_experts(&resolved.model) {
        return Routing {
            law: Law::Balanced,
            max_nodes: None,
            capacity_factor: None,
            pad_to_capacity: false,
        };
    }
    let max_nodes = raw.max_nodes.as_ref().map(|given| given.value).or_else(|| {
        let (used, groups) = resolved.routing_groups?;
        let reason = format!("the gate picks {used} of {groups} groups of experts; a group is a node");
        assumed.note("routing.max_nodes", used, &reason);
        Some(used)
    });
    Routing {
        law: law(raw, &resolved.family, assumed),
        max_nodes: max_nodes.map(narrow),
        capacity_factor: raw.capacity_factor.as_ref().map(|given| given.value),
        pad_to_capacity: raw.pad_to_capacity.as_ref().is_some_and(|given| given.value),
    }
}

fn has_experts(model: &Model) -> bool {
    use crate::plan::MlpShape;
    model
        .layers
        .iter()
        .any(|layer| matches!(layer.mlp, MlpShape::Moe { .. }))
}

fn law(raw: &RawRouting<'_>, family: &str, assumed: &mut Assumptions) -> Law {
    let kind = assumed.or(
        raw.kind.as_ref(),
        "routing.kind",
        "lognormal".to_owned(),
        "the law that fits recorded expert loads best (480 layers of Qwen3, 104 of DeepSeek-V2-Lite, 18 of OLMoE)",
    );
    let found = popularity::law(&kind, |parameter| {
        let given = match parameter {
            Parameter::Sigma => raw.sigma.as_ref(),
            Parameter::Exponent => raw.exponent.as_ref(),
            Parameter::Span => raw.span.as_ref(),
            Parameter::Concentration => raw.concentration.as_ref(),
        };
        let (usual, reason) = match (kind.as_str(), parameter) {
            (_, Parameter::Sigma) => usual_sigma(family),
            ("zipf", Parameter::Exponent) => (0.15, "assumed: a mild skew"),
            ("power-law", Parameter::Exponent) => (1.01, "what aiconfigurator takes for DeepSeek-V3"),
            (_, Parameter::Exponent) => (0.3, "median of recorded loads of DeepSeek-V2-Lite"),
            (_, Parameter::Span) => (100.0, "assumed"),
            ("dirichlet", Parameter::Concentration) => (1.0, "assumed"),
            (_, Parameter::Concentration) => (3.0, "assumed"),
        };
        let key = format!("routing.{}", parameter.key());
        assumed.or(given, &key, usual, reason)
    });
    found.expect("the names of laws are those of the key; a test holds them together")
}

fn value(
    given: Option<&Given<f64>>,
    key: &str,
    default: f64,
    reason: &str,
    assumed: &mut Assumptions,
) -> f64 {
    assumed.or(given, key, default, reason)
}

/// Median sigma of the logarithm of expert load, by model family, from recorded loads.
///
/// Qwen3-30B 1.13, DeepSeek-V2-Lite 0.73, OLMoE 0.75, Mixtral 0.13.
fn usual_sigma(family: &str) -> (f64, &'static str) {
    if family.starts_with("qwen") {
        (1.13, "median of recorded loads of Qwen3-30B-A3B")
    } else if family.starts_with("mixtral") {
        (0.13, "median of recorded loads of Mixtral")
    } else if family.starts_with("deepseek") || family.starts_with("kimi") {
        (
            0.73,
            "median of recorded loads of DeepSeek-V2-Lite, the nearest recorded relative",
        )
    } else {
        (
            0.75,
            "median of recorded loads of OLMoE; no record of this family",
        )
    }
}

/// What varies. Off unless the scenario says otherwise: no spread of healthy devices is at hand.
pub(crate) fn noise(raw: &RawNoise, assumed: &mut Assumptions) -> Noise {
    const OFF: &str = "off: no measured spread is named";
    Noise {
        device: value(raw.device.as_ref(), "noise.device", 0.0, OFF, assumed),
        step: value(raw.step.as_ref(), "noise.step", 0.0, OFF, assumed),
        kernel: value(raw.kernel.as_ref(), "noise.kernel", 0.0, OFF, assumed),
        link: value(raw.link.as_ref(), "noise.link", 0.0, OFF, assumed),
        stall: raw
            .stall
            .as_ref()
            .map_or(SimDuration::ZERO, |given| SimDuration::from_secs(given.value)),
        stall_chance: raw.stall_chance.as_ref().map_or(0.0, |given| given.value),
    }
}
