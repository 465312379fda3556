//! The tables of a balancing scenario into its plan.

use orrery_balance::lab::Contender;
use orrery_balance::placement::{BalanceCase, ExpertCost, Shape};
use orrery_operation::Precision;
use orrery_units::SimDuration;

use super::contender::{algorithm, contender};
use super::fabric::Files;
use super::model::Resolved;
use super::{Assumptions, gate, narrow, recording};
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{
    Cluster, ExpertGroup, ExpertShape, Golden, Law, Load, LoadBurst, LoadKind, LoadPhase, MlpShape,
    Popularity, RecordedPlan, Skew,
};
use crate::raw::{Given, RawBalancing, RawLoad, RawPhase, RawSizes, RawSkew};

/// Where other files come from, what was filled in, and what is wrong.
pub(crate) struct Context<'a, 'b> {
    pub(crate) files: Files<'a>,
    pub(crate) assumed: &'b mut Assumptions,
    pub(crate) faults: &'b mut Faults,
    /// Where the file begins: for what is missing altogether.
    pub(crate) start: Place,
}

impl Context<'_, '_> {
    pub(super) fn fault(
        &mut self,
        code: &'static str,
        place: &Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.push(Fault::new(code, place, message).help(help));
    }
}

/// The devices that share experts, if the scenario has a load for them.
pub(crate) fn group(
    raw: &RawBalancing,
    resolved: Option<&Resolved>,
    cluster: Option<Cluster>,
    context: &mut Context<'_, '_>,
) -> Option<ExpertGroup> {
    let load = raw.load.as_ref()?;
    let start = context.start.clone();
    let (Some(resolved), Some(cluster)) = (resolved, cluster) else {
        context.fault(
            "S060",
            &start,
            "a load needs `[model]` and `[cluster]`: whose experts, on what",
            "[model]\nfrom = \"catalog\"\nname = \"deepseek-v3\"",
        );
        return None;
    };
    let experts = experts(resolved, load, context)?;
    let shape = shape(raw, resolved, experts, &cluster, context)?;
    let precision = precision(raw, &cluster, context);
    let is_training = context.assumed.or(
        raw.step.as_ref(),
        "experts.step",
        "inference".to_owned(),
        "a step runs every layer once",
    ) == "training";
    let cost = expert_cost(experts, &cluster, precision);
    let load = self::load(load, experts, resolved.routing_groups, context)?;
    let contenders: Vec<Contender> = raw
        .policies
        .iter()
        .filter_map(|policy| contender(policy, shape, cost, context))
        .collect();
    if contenders.is_empty() {
        context.fault(
            "S060",
            &start,
            "a load needs a `[[policy]]` at least",
            "[[policy]]\nid = \"static\"\nkind = \"contiguous\"",
        );
        return None;
    }
    Some(ExpertGroup {
        model: resolved.model.name.clone(),
        cluster,
        shape,
        experts,
        precision,
        is_training,
        law: raw
            .experts
            .as_ref()
            .map(|given| given.value.clone())
            .filter(|name| name != "none"),
        load,
        contenders,
    })
}

/// Layers of experts of the model.
fn experts(resolved: &Resolved, load: &RawLoad, context: &mut Context<'_, '_>) -> Option<ExpertShape> {
    let layers = resolved.model.layers.iter();
    let shapes: Vec<(u64, u64, u64)> = layers
        .filter_map(|layer| match layer.mlp {
            MlpShape::Moe {
                experts,
                top_k,
                width,
                ..
            } => Some((experts, top_k, width)),
            MlpShape::Dense { .. } => None,
        })
        .collect();
    let Some(&(experts, own, inner)) = shapes.first() else {
        let start = context.start.clone();
        let message = format!("{} has no experts to balance", resolved.model.name);
        context.fault("S060", &start, message, "name a model with experts");
        return None;
    };
    let top_k = load.top_k.as_ref().map_or(own, |given| given.value);
    if let Some(given) = load.top_k.as_ref().filter(|given| given.value > experts) {
        let message = format!("a token cannot go to {top_k} of {experts} experts");
        context.fault("S061", &given.place, message, format!("top_k = {own}"));
    }
    Some(ExpertShape {
        layers: narrow(shapes.len() as u64),
        experts: narrow(experts),
        top_k: narrow(top_k),
        hidden: narrow(resolved.model.hidden),
        inner: narrow(inner),
    })
}

/// Slots, devices and nodes of the group.
fn shape(
    raw: &RawBalancing,
    resolved: &Resolved,
    experts: ExpertShape,
    cluster: &Cluster,
    context: &mut Context<'_, '_>,
) -> Option<Shape> {
    let Some(ep) = &raw.placement.ep else {
        let start = context.start.clone();
        context.fault(
            "S060",
            &start,
            "a load needs `[placement]`",
            "[placement]\nep = 32",
        );
        return None;
    };
    let per_node = u64::from(cluster.node.num_devices);
    if ep.value > u64::from(cluster.num_devices()) {
        let message = format!(
            "{} devices are more than the cluster's {}",
            ep.value,
            cluster.num_devices()
        );
        context.fault(
            "S061",
            &ep.place,
            message,
            format!("ep = {}", cluster.num_devices()),
        );
        return None;
    }
    let redundant = context.assumed.or(
        raw.placement.redundant.as_ref(),
        "placement.redundant",
        0,
        "one slot per expert",
    );
    let own = resolved.routing_groups.map_or(1, |(_, groups)| groups);
    let groups = context.assumed.or(
        raw.placement.groups.as_ref(),
        "placement.groups",
        own,
        "groups of experts of the model's gate",
    );
    let nodes = ep.value.div_ceil(per_node);
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let slots = u64::from(experts.experts) + redundant;
    let made = Shape::new(
        experts.experts as usize,
        count(slots),
        count(groups),
        count(nodes),
        count(ep.value),
    );
    match made {
        Ok(shape) => Some(shape),
        Err(fault) => {
            let place = raw
                .placement
                .redundant
                .as_ref()
                .map_or(&ep.place, |given| &given.place);
            context.placement_fault(place, &fault.to_string());
            None
        }
    }
}

impl Context<'_, '_> {
    /// A fault of a placement's counts, whose help stands on its second line.
    pub(super) fn placement_fault(&mut self, place: &Place, fault: &str) {
        let (message, help) = fault.split_once("\n  = help: ").unwrap_or((fault, ""));
        self.fault("S061", place, message, help);
    }
}

/// The format of weights and of tokens on their way.
fn precision(raw: &RawBalancing, cluster: &Cluster, context: &mut Context<'_, '_>) -> Precision {
    let can = cluster.device.peak(Precision::Fp8).is_some();
    let usual = if can { "fp8" } else { "bf16" };
    let name = context.assumed.or(
        raw.precision.as_ref(),
        "experts.precision",
        usual.to_owned(),
        "the narrowest of FP8 and BF16 that the device multiplies in",
    );
    if name == "fp8" {
        Precision::Fp8
    } else {
        Precision::Bf16
    }
}

/// FasterMoE's costs of a token and of a shadow, at the data sheet's rates.
fn expert_cost(experts: ExpertShape, cluster: &Cluster, precision: Precision) -> ExpertCost {
    let (hidden, inner) = (f64::from(experts.hidden), f64::from(experts.inner));
    let rate = cluster
        .device
        .peak(precision)
        .map_or(f64::INFINITY, orrery_units::FlopsPerSec::get);
    let wire = cluster.nic_per_device().get();
    let bytes = precision.bytes_of(1).as_f64();
    ExpertCost {
        compute: SimDuration::from_secs(3.0 * 6.0 * hidden * inner / rate),
        exchange: SimDuration::from_secs(4.0 * hidden * bytes / wire),
        broadcast: SimDuration::from_secs(2.0 * 3.0 * hidden * inner * bytes / wire),
    }
}

/// How experts are loaded.
fn load(
    raw: &RawLoad,
    experts: ExpertShape,
    groups: Option<(u64, u64)>,
    context: &mut Context<'_, '_>,
) -> Option<Load> {
    let tokens = raw.tokens_per_step.as_ref()?.value;
    let is_expected = raw.noise.as_ref().is_some_and(|noise| noise.value == "expected");
    if let Some(workload) = &raw.workload {
        if !raw.phases.is_empty() {
            let message = "a workload has no phases of its own";
            context.fault(
                "S062",
                &workload.place,
                message,
                "remove `workload`, or every `[[load.phase]]`",
            );
        }
        let steps = context
            .assumed
            .or(raw.steps.as_ref(), "load.steps", 120, "ten rotations of W6");
        let number = workload.value.trim_start_matches('W').parse().ok()?;
        return Some(Load {
            tokens,
            is_expected,
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
            is_expected,
            steps,
            kind: LoadKind::Gate(gate::gate(router, experts, groups, context)?),
        });
    }
    let phases: Vec<LoadPhase> = raw
        .phases
        .iter()
        .filter_map(|raw| phase(raw, experts, context))
        .collect();
    if phases.is_empty() {
        let start = context.start.clone();
        let help =
            "[[load.phase]]\nname = \"chat\"\nsteps = 1000\nskew = { kind = \"lognormal\", sigma = 0.7 }";
        context.fault("S062", &start, "a load has a phase at least, or a workload", help);
        return None;
    }
    Some(Load {
        tokens,
        is_expected,
        steps: phases.iter().map(|phase| phase.steps).sum(),
        kind: LoadKind::Phases(phases),
    })
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

fn skew(raw: &RawSkew, experts: ExpertShape, context: &mut Context<'_, '_>) -> Option<Skew> {
    let kind = raw.kind.as_ref()?;
    let mut parameter = |given: &Option<Given<f64>>, name: &str, usual: f64| match given {
        Some(given) if given.value > 0.0 => given.value,
        Some(given) => {
            context.fault(
                "S063",
                &given.place,
                format!("`{name}` must be above 0"),
                format!("{name} = {usual}"),
            );
            usual
        }
        None => {
            context.fault(
                "S063",
                &kind.place,
                format!("`{}` needs `{name}`", kind.value),
                format!("{name} = {usual}"),
            );
            usual
        }
    };
    let law = match kind.value.as_str() {
        "balanced" => Law::Balanced,
        "uniform" => Law::Uniform,
        "lognormal" => Law::LogNormal {
            sigma: parameter(&raw.sigma, "sigma", 0.73),
        },
        "zipf" => Law::Zipf {
            exponent: parameter(&raw.exponent, "exponent", 0.55),
        },
        "dirichlet" => Law::Dirichlet {
            concentration: parameter(&raw.concentration, "concentration", 1.0),
        },
        "power-law" => Law::PowerLaw {
            alpha: parameter(&raw.exponent, "exponent", 1.01),
            span: parameter(&raw.span, "span", 1000.0),
        },
        _ => {
            let path = raw.path.as_ref();
            let counts = recorded(path, raw.select.as_ref(), &kind.place, context)?;
            if counts.len() != experts.layers as usize
                || counts.iter().any(|layer| layer.len() != experts.experts as usize)
            {
                let found = counts.first().map_or(0, Vec::len);
                let message = format!(
                    "the recording has {} layers of {found} experts, the model {} of {}",
                    counts.len(),
                    experts.layers,
                    experts.experts
                );
                context.fault(
                    "S064",
                    &kind.place,
                    message,
                    "record this model, or set its dimensions to these",
                );
                return None;
            }
            return Some(Skew {
                popularity: Popularity::Recorded(counts),
                layers_apart: true,
            });
        }
    };
    Some(Skew {
        popularity: Popularity::Law(law),
        layers_apart: raw.per_layer_shuffle.as_ref().is_none_or(|given| given.value),
    })
}

/// Counts of a part of a recorded table.
fn recorded(
    path: Option<&Given<String>>,
    select: Option<&Given<String>>,
    place: &Place,
    context: &mut Context<'_, '_>,
) -> Option<Vec<Vec<u64>>> {
    let Some(path) = path else {
        context.fault("S064", place, "`trace` needs `path`", "path = \"counts.csv\"");
        return None;
    };
    let (source, from) = context.files;
    let found = source
        .read(from, &path.value)
        .and_then(|text| recording::counts(&text, select.map(|given| given.value.as_str())));
    match found {
        Ok(counts) => Some(counts),
        Err(why) => {
            let place = &select.unwrap_or(path).place.clone();
            let message = format!("`{}`: {why}", path.value);
            context.fault(
                "S064",
                place,
                message,
                "a part of the table, such as `law` or `law/first-half`",
            );
            None
        }
    }
}

/// Published placements.
pub(crate) fn goldens(raw: &RawBalancing, context: &mut Context<'_, '_>) -> Vec<Golden> {
    let golden = |raw: &crate::raw::RawGolden| {
        let count = |given: &Option<Given<u64>>| usize::try_from(given.as_ref()?.value).ok();
        let case = BalanceCase {
            weights: raw.weight.as_ref()?.value.clone(),
            num_replicas: count(&raw.sizes.replicas)?,
            num_groups: count(&raw.sizes.groups)?,
            num_nodes: count(&raw.sizes.nodes)?,
            num_gpus: count(&raw.sizes.gpus)?,
        };
        if let Err(fault) = case.shape() {
            context.placement_fault(&raw.weight.as_ref()?.place, &fault.to_string());
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "numbers of experts, not negative by their key"
        )]
        let index = |rows: &Vec<Vec<f64>>| {
            rows.iter()
                .map(|row| row.iter().map(|&expert| expert as usize).collect())
                .collect()
        };
        Some(Golden {
            id: raw.sizes.id.as_ref()?.value.clone(),
            algorithm: algorithm(&raw.sizes.policy.as_ref()?.value, 1.0, free())?,
            case,
            phy2log: index(&raw.phy2log.as_ref()?.value),
        })
    };
    raw.goldens.iter().filter_map(golden).collect()
}

/// Costs of a balancer that stands by itself: a shadow costs nothing there.
const fn free() -> ExpertCost {
    ExpertCost {
        compute: SimDuration::ZERO,
        exchange: SimDuration::ZERO,
        broadcast: SimDuration::ZERO,
    }
}

/// Plans on recordings.
pub(crate) fn recorded_plans(raw: &RawBalancing, context: &mut Context<'_, '_>) -> Vec<RecordedPlan> {
    let mut plans = Vec::new();
    for raw in &raw.recorded {
        let Some(id) = &raw.sizes.id else { continue };
        let part = |select: &Option<Given<String>>, context: &mut Context<'_, '_>| {
            recorded(raw.path.as_ref(), Some(select.as_ref()?), &id.place, context)
        };
        let (Some(seen), Some(scored)) = (part(&raw.seen, context), part(&raw.scored, context)) else {
            continue;
        };
        let experts = seen.first().map_or(0, Vec::len);
        let (Some(shape), Some(policy)) = (sizes(&raw.sizes, experts, context), &raw.sizes.policy) else {
            continue;
        };
        if seen.len() != scored.len() || scored.iter().any(|layer| layer.len() != experts) {
            let message = "what is seen and what is scored are not of one model";
            context.fault("S064", &id.place, message, "two parts of one recording");
            continue;
        }
        let Some(algorithm) = algorithm(&policy.value, 1.0, free()) else {
            continue;
        };
        plans.push(RecordedPlan {
            id: id.value.clone(),
            algorithm,
            shape,
            seen,
            scored,
        });
    }
    plans
}

fn sizes(raw: &RawSizes, experts: usize, context: &mut Context<'_, '_>) -> Option<Shape> {
    let count = |given: &Option<Given<u64>>| {
        given
            .as_ref()
            .map(|given| usize::try_from(given.value).unwrap_or(0))
    };
    let (replicas, gpus) = (count(&raw.replicas)?, count(&raw.gpus)?);
    let (groups, nodes) = (count(&raw.groups).unwrap_or(1), count(&raw.nodes).unwrap_or(1));
    match Shape::new(experts, replicas, groups, nodes, gpus) {
        Ok(shape) => Some(shape),
        Err(fault) => {
            context.placement_fault(&raw.replicas.as_ref()?.place, &fault.to_string());
            None
        }
    }
}
