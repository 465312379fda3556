//! The tables of a balancing scenario into its plan.

use std::collections::BTreeMap;

use orrery_balance::lab::Contender;
use orrery_balance::placement::{BalanceCase, ExpertCost, Shape};
use orrery_experts::record::Recording;
use orrery_units::SimDuration;

use super::contender::{algorithm, contender};
use super::experts::{exchange, expert_cost, law, precision, training};
use super::fabric::Files;
use super::load::load;
use super::model::Resolved;
use super::{Assumptions, narrow};
use crate::cluster::devices_per_domain;
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::plan::{BalancingSweep, Cluster, ExpertGroup, ExpertShape, Golden, MlpShape, RecordedPlan};
use crate::raw::{Given, RawBalancing, RawLoad, RawSizes};

/// Where other files come from, what was filled in, and what is wrong.
pub(crate) struct Context<'a, 'b> {
    pub(crate) files: Files<'a>,
    pub(crate) assumed: &'b mut Assumptions,
    pub(crate) faults: &'b mut Faults,
    /// Where the file begins: for what is missing altogether.
    pub(crate) start: Place,
    /// Recordings that were read, by their path.
    pub(crate) recordings: BTreeMap<String, Result<Recording, String>>,
}

impl<'a, 'b> Context<'a, 'b> {
    /// The context of a file of which nothing was read yet.
    pub(crate) fn new(files: Files<'a>, assumed: &'b mut Assumptions, faults: &'b mut Faults) -> Self {
        Self {
            files,
            assumed,
            faults,
            start: Place::default(),
            recordings: BTreeMap::new(),
        }
    }
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
    profile: Option<&Given<String>>,
    resolved: Option<&Resolved>,
    cluster: Option<Cluster>,
    context: &mut Context<'_, '_>,
) -> Option<ExpertGroup> {
    let load_raw = raw.load.as_ref()?;
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
    let experts = experts(resolved, load_raw, context)?;
    let shape = shape(raw, resolved, experts, &cluster, context)?;
    let precision = precision(raw, &cluster, context);
    let training = training(raw, context);
    let law = law(raw, &cluster, precision, context);
    let exchange = exchange(raw, resolved, &cluster, context);
    let profile = super::profile::of_wires(profile, &cluster.device.name, exchange.dispatcher, context)?;
    let cost = expert_cost(experts, &cluster, precision, training.is_some());
    let load = load(load_raw, experts, resolved.routing_groups, context)?;
    let contenders: Vec<Contender> = raw
        .policies
        .iter()
        .filter_map(|policy| contender(policy, (shape, load.steps), cost, context))
        .collect();
    let ids = raw.policies.iter().filter_map(|policy| policy.id.as_ref());
    context.named_apart("policy", ids, "files of placements carry the name");
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
        training,
        law,
        exchange,
        profile,
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
    let domain = u64::from(devices_per_domain(cluster));
    whole_nodes(ep, domain, u64::from(cluster.num_devices()), context)?;
    let nodes = ep.value.div_ceil(domain);
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

/// A group lies within one scale-up network, or fills some of them: placements have equally many devices on each.
pub(super) fn whole_nodes(
    ep: &Given<u64>,
    domain: u64,
    all: u64,
    context: &mut Context<'_, '_>,
) -> Option<()> {
    if ep.value <= domain || ep.value.is_multiple_of(domain) {
        return Some(());
    }
    let below = ep.value / domain * domain;
    let message = format!(
        "{} devices fill {} networks of {domain} and a part of one",
        ep.value,
        below / domain
    );
    let help = match below + domain {
        above if above <= all => format!("ep = {below} or {above}"),
        _ => format!("ep = {below}"),
    };
    context.fault("S061", &ep.place, message, help);
    None
}

impl Context<'_, '_> {
    /// A fault of a placement's counts, whose help stands on its second line.
    pub(super) fn placement_fault(&mut self, place: &Place, fault: &str) {
        let (message, help) = fault.split_once("\n  = help: ").unwrap_or((fault, ""));
        self.fault("S061", place, message, help);
    }
}

/// Sweeps over settings of the group, if there is one.
pub(crate) fn sweeps(
    raw: &RawBalancing,
    group: Option<&ExpertGroup>,
    context: &mut Context<'_, '_>,
) -> Vec<BalancingSweep> {
    match (group, raw.sweeps.first().and_then(|sweep| sweep.policy.as_ref())) {
        (Some(group), _) => super::points::sweeps(raw, group, context),
        (None, Some(given)) if raw.load.is_none() => {
            context.fault(
                "S069",
                &given.place,
                "a sweep needs a load",
                "a `[load]` with a phase at least",
            );
            Vec::new()
        }
        _ => Vec::new(),
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
        let answer = raw.phy2log.as_ref()?;
        let is_whole = answer.value.len() == case.weights.len()
            && answer.value.iter().all(|row| row.len() == case.num_replicas);
        if !is_whole {
            let message = "the answer has not one row per layer with an expert for each replica";
            let help = format!("{} rows of {}", case.weights.len(), case.num_replicas);
            context.fault("S061", &answer.place, message, help);
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
            phy2log: index(&answer.value),
        })
    };
    let found = raw.goldens.iter().filter_map(golden).collect();
    let ids = raw.goldens.iter().filter_map(|golden| golden.sizes.id.as_ref());
    context.named_apart("published placement", ids, "metrics carry the name");
    found
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
    let ids = raw
        .recorded
        .iter()
        .filter_map(|recorded| recorded.sizes.id.as_ref());
    context.named_apart("plan on a recording", ids, "metrics carry the name");
    let mut plans = Vec::new();
    for raw in &raw.recorded {
        let Some(id) = &raw.sizes.id else { continue };
        let part = |select: &Option<Given<String>>, context: &mut Context<'_, '_>| {
            context.recorded(raw.path.as_ref(), Some(select.as_ref()?), &id.place)
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
