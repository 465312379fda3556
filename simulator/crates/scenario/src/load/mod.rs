//! From text to plan: parse, extend, override, check, resolve, validate.

mod overlay;
mod searchable;

use orrery_profile::Tuning;
use orrery_units::Seed;
use sha2::{Digest as _, Sha256};

use crate::diagnostics::{Diagnostic, Fault, Faults};
use crate::document::{Files, Item, Node, Place, Table, parse};
use crate::plan::{BalancingPlan, BalancingSweep, Identity, Plan, Price, RunSettings};
use crate::raw::{
    BALANCING, Key, ROOT, Raw, RawBalancing, RawCluster, RawExpect, RawModel, RawRun, RawScenario, SCHEMA,
    View, check_table,
};
use crate::resolve::{
    Assumptions, balancing, cluster, layout, model, narrow, profile, routing, stack, training, tuning,
};
use crate::source::LoadContext;
use crate::{expect, validate};
use overlay::{extended, override_key};
pub use searchable::{Searchable, load_searchable};

/// Keys without which nothing can be said of a layout; when one is faulty, its rules are not asked.
const DEGREES: &[&str] = &[
    "parallel.tp",
    "parallel.pp",
    "parallel.cp",
    "parallel.dp",
    "parallel.ep",
    "parallel.expert_tp",
    "cluster.nodes",
    "cluster.node.gpus",
    "training.micro_batch",
];

/// The plan that `text` describes. `file_name` names it in messages and is what paths are relative to.
///
/// # Errors
/// Every fault of the scenario, in order of place.
pub fn load(file_name: &str, text: &str, context: &LoadContext<'_>) -> Result<Plan, Vec<Diagnostic>> {
    match load_any(file_name, text, context)? {
        Loaded::Training(plan) => Ok(*plan),
        Loaded::Balancing(plan) => Err(vec![only_runs(&plan, text)]),
    }
}

/// What a scenario of any kind that can be run describes.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// Kind `training`.
    Training(Box<Plan>),
    /// Kind `balancing`.
    Balancing(Box<BalancingPlan>),
}

/// What is said where only training scenarios will do.
fn only_runs(plan: &BalancingPlan, text: &str) -> Diagnostic {
    let mut files = Files::default();
    let file = files.add(&plan.identity.file, text);
    let at = text.find("kind").unwrap_or(0);
    let place = Place { file, span: at..at };
    let mut faults = Faults::default();
    let sentence = "scenarios of kind \"balancing\" are for `orrery run` and `orrery check`";
    faults.push(Fault::new("S009", &place, sentence).help("orrery run it, or name one of kind \"training\""));
    let mut said = faults.into_diagnostics(&files);
    said.remove(0)
}

/// The plan that `text` describes, whatever its kind. `file_name` names it in messages and is what paths are relative
/// to.
///
/// # Errors
/// Every fault of the scenario, in order of place.
pub fn load_any(file_name: &str, text: &str, context: &LoadContext<'_>) -> Result<Loaded, Vec<Diagnostic>> {
    read(file_name, text, context, Laying::AsWritten)
}

/// Which layout a plan is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Laying {
    /// The one that is written.
    AsWritten,
    /// None yet: every degree is one, and batches need not divide. Such a plan leaves this module with a layout only.
    NotYet,
}

impl Laying {
    /// What `root` says, as far as it counts.
    fn read(self, root: &Table) -> Raw<'_> {
        let mut raw = Raw::read(root);
        if self == Self::NotYet {
            raw.parallel.forget_degrees();
        }
        raw
    }
}

fn read(
    file_name: &str,
    text: &str,
    context: &LoadContext<'_>,
    laying: Laying,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut files = Files::default();
    let mut faults = Faults::default();
    let file = files.add(file_name, text);
    let root = parse(file, text, &mut faults);
    if !faults.is_empty() {
        // A file that is not TOML has no keys to speak of.
        return Err(faults.into_diagnostics(&files));
    }
    let mut root = extended(file_name, root, context, &mut files, &mut faults, 0);
    if !faults.is_empty() {
        // Without its base, everything that it should have had from there would seem missing.
        return Err(faults.into_diagnostics(&files));
    }
    for (path, value) in context.overrides {
        override_key(path, value, &mut root, &mut files, &mut faults);
    }
    let loaded = match readable_kind(&root, &mut faults) {
        Some(ReadableKind::Training) => {
            let removed = checked(&mut root, ROOT, &mut faults);
            plan(
                (file_name, &root),
                (laying, &removed),
                context,
                &files,
                &mut faults,
            )
            .map(|plan| Loaded::Training(Box::new(plan)))
        }
        Some(ReadableKind::Balancing) => {
            checked(&mut root, BALANCING, &mut faults);
            balancing_plan(file_name, &root, context, &files, &mut faults)
                .map(|plan| Loaded::Balancing(Box::new(plan)))
        }
        None => None,
    };
    match loaded {
        Some(loaded) if faults.is_empty() => Ok(loaded),
        _ => Err(faults.into_diagnostics(&files)),
    }
}

/// Kinds that can be run.
enum ReadableKind {
    Training,
    Balancing,
}

/// Holds the tree against its keys. What cannot be used reads as absent from here on, so that no rule stumbles over it a
/// second time; its paths.
fn checked(root: &mut Table, keys: &[Key], faults: &mut Faults) -> Vec<String> {
    check_table("", &Place::default(), root, keys, faults);
    root.prune("", &faults.unusable())
}

/// The kind of the file, when its version and its kind can be read at all.
fn readable_kind(root: &Table, faults: &mut Faults) -> Option<ReadableKind> {
    let start = Place::default();
    let schema = root.get("schema");
    match schema.map(|item| (&item.node, &item.place)) {
        Some((Node::Text(text), _)) if text == SCHEMA => {}
        Some((Node::Text(text), place)) => {
            let fault = Fault::new(
                "S002",
                place,
                format!("this version reads \"{SCHEMA}\", not \"{text}\""),
            );
            faults.push(fault.help(format!("schema = \"{SCHEMA}\"")));
            return None;
        }
        Some((_, place)) => {
            let fault = Fault::new("S002", place, "`schema` names the version of the format");
            faults.push(fault.help(format!("schema = \"{SCHEMA}\"")));
            return None;
        }
        None => {
            let fault = Fault::new("S002", &start, "a scenario begins with its schema");
            faults.push(fault.help(format!("schema = \"{SCHEMA}\"")));
            return None;
        }
    }
    let Some(Item {
        node: Node::Table(scenario),
        ..
    }) = root.get("scenario")
    else {
        return Some(ReadableKind::Training);
    };
    let Some(Item {
        node: Node::Text(kind),
        place,
        ..
    }) = scenario.get("kind")
    else {
        return Some(ReadableKind::Training);
    };
    match kind.as_str() {
        "serving" => {
            let sentence =
                "serving comes after the first round: scenarios of kind \"serving\" cannot be run yet";
            faults.push(Fault::new("S009", place, sentence).help("kind = \"training\""));
            None
        }
        "balancing" => Some(ReadableKind::Balancing),
        _ => Some(ReadableKind::Training),
    }
}

/// The plan, as far as its pieces can be had; faults go to `faults`.
fn plan(
    (file_name, root): (&str, &Table),
    (laying, removed): (Laying, &[String]),
    context: &LoadContext<'_>,
    files: &Files,
    faults: &mut Faults,
) -> Option<Plan> {
    let raw = laying.read(root);
    let mut assumed = Assumptions::default();
    let cluster = cluster::cluster(&raw.cluster, (context.source, file_name), &mut assumed, faults);
    let resolved = model::model(&raw.model, file_name, context.source, &mut assumed, faults);
    let stack = stack::stack(&raw.stack, &mut assumed);
    let mut training = training::training(&raw.training, stack, cluster.as_ref(), &mut assumed);
    let place = root
        .get("parallel")
        .map_or_else(Place::default, |item| item.key.clone());
    let degrees_known = !removed.iter().any(|path| DEGREES.contains(&path.as_str()));
    let layout = match (&cluster, &resolved) {
        (Some(cluster), Some(resolved)) if degrees_known => {
            let model = &resolved.model;
            let mut layout = layout::layout(&raw.parallel, cluster, model, &place, &mut assumed, faults);
            if let Some(layout) = &mut layout {
                let stack = training.as_ref().map_or("", |known| known.stack.name.as_str());
                layout.cp_comm = layout::context_exchange(&raw.parallel, stack, layout.cp, &mut assumed);
                validate::check_layout(&raw, cluster, model, layout, &place, faults);
                if let Some(training) = &mut training {
                    validate::check_training(&raw, cluster, model, training, faults);
                    if laying == Laying::AsWritten {
                        validate::check_batch(&raw, layout, training, faults);
                    }
                }
            }
            layout
        }
        _ => None,
    };
    let profile_name = raw.run.profile.as_ref();
    let described = (
        cluster.as_ref().map_or("", |known| known.device.name.as_str()),
        training.as_ref().map_or("", |known| known.stack.name.as_str()),
    );
    let source = context.source;
    let profile = profile::profile(profile_name, described, file_name, source, &mut assumed, faults);
    let tunings = tuning::set(raw.run.tuning.as_ref(), file_name, source, faults);
    let expectations = expect::expectations(&raw.expect, context.metrics, files, faults);
    let noise = routing::noise(&raw.noise, &mut assumed);
    let is_measured = profile_name.is_none_or(|given| given.value != profile::NONE);
    let resolved = resolved?;
    let tunings = tunings?;
    let routing = routing::routing(&raw.routing, &resolved, &mut assumed, faults);
    let tuning = match (&cluster, &training) {
        (Some(cluster), Some(training)) if is_measured => {
            let counted = resolved.model.has_experts().then_some(&routing);
            tuning::resolved(&tunings, cluster, training, counted)
        }
        _ => Tuning::default(),
    };
    let run = run_settings(&raw.run, &mut assumed);
    Some(Plan {
        identity: identity(&raw.scenario, file_name, root, &resolved.config)?,
        model: resolved.model,
        cluster: cluster?,
        layout: layout?,
        training: training?,
        routing,
        noise,
        profile: profile?,
        tuning,
        tunings,
        clock: 1.0,
        price: price(&raw.run, faults),
        run,
        expectations,
        assumptions: assumed.into_sorted(),
    })
}

/// The plan of a balancing scenario, as far as its pieces can be had; faults go to `faults`.
fn balancing_plan(
    file_name: &str,
    root: &Table,
    context: &LoadContext<'_>,
    files: &Files,
    faults: &mut Faults,
) -> Option<BalancingPlan> {
    let view = View(Some(root));
    let raw = RawBalancing::read(view);
    let scenario = RawScenario::read(view.table("scenario"));
    let mut assumed = Assumptions::default();
    let raw_cluster = RawCluster::read(view.table("cluster"));
    let cluster = cluster::cluster(&raw_cluster, (context.source, file_name), &mut assumed, faults);
    let raw_model = RawModel::read(view.table("model"));
    let resolved = model::model(&raw_model, file_name, context.source, &mut assumed, faults);
    let mut within = balancing::Context::new((context.source, file_name), &mut assumed, faults);
    let raw_run = RawRun::read(view);
    let group = balancing::group(
        &raw,
        raw_run.profile.as_ref(),
        resolved.as_ref(),
        cluster,
        &mut within,
    );
    let sweeps = balancing::sweeps(&raw, group.as_ref(), &mut within);
    let goldens = balancing::goldens(&raw, &mut within);
    let recorded = balancing::recorded_plans(&raw, &mut within);
    let config = resolved.map_or_else(String::new, |resolved| resolved.config);
    let mut plan = BalancingPlan {
        identity: identity(&scenario, file_name, root, &config)?,
        group,
        sweeps,
        goldens,
        recorded,
        run: run_settings(&raw_run, &mut assumed),
        expectations: Vec::new(),
        assumptions: assumed.into_sorted(),
    };
    let metrics = context.metrics.with_names(&names_of(&plan));
    let raw_expect = RawExpect::read(view.table("expect"));
    plan.expectations = expect::expectations(&raw_expect, &metrics, files, faults);
    Some(plan)
}

/// Labels of metrics that take the names of a scenario.
fn names_of(plan: &BalancingPlan) -> Vec<(&'static str, Vec<String>)> {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let phases = plan
        .group
        .iter()
        .flat_map(|group| group.load.kind.phases(group.load.steps));
    vec![
        ("policy", owned(plan.policies())),
        (
            "point",
            plan.sweeps.iter().flat_map(BalancingSweep::names).collect(),
        ),
        ("phase", phases.map(|(name, _)| name).collect()),
        ("plan", plan.recorded.iter().map(|plan| plan.id.clone()).collect()),
        (
            "id",
            plan.goldens.iter().map(|golden| golden.id.clone()).collect(),
        ),
    ]
}

fn identity(raw: &RawScenario, file_name: &str, root: &Table, config: &str) -> Option<Identity> {
    let name = raw.name.as_ref()?.value.clone();
    let text = |given: &Option<crate::raw::Given<String>>| {
        given
            .as_ref()
            .map_or_else(String::new, |given| given.value.clone())
    };
    let mut hasher = Sha256::new();
    let resolved = Node::Table(root.clone()).canonical();
    hasher.update(resolved.to_string());
    hasher.update(config);
    let hash: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(Identity {
        name,
        title: text(&raw.title),
        notes: text(&raw.notes),
        file: file_name.to_owned(),
        hash,
        resolved,
    })
}

/// The price of a device-hour, in the currency that it is written in. S070: `currency` says no other.
fn price(raw: &RawRun, faults: &mut Faults) -> Option<Price> {
    let device_hour = raw.gpu_hour.as_ref()?.value;
    let currency = raw.paid_in.clone()?;
    if let Some(said) = raw.currency.as_ref().filter(|said| said.value != currency) {
        let message = format!("the price is in {currency} and `currency` says {}", said.value);
        let fault = Fault::new("S070", &said.place, message);
        faults.push(fault.help(format!("currency = \"{currency}\"")));
    }
    Some(Price {
        currency,
        device_hour,
        priced_on: raw.priced_on.as_ref()?.value.clone(),
    })
}

fn run_settings(raw: &RawRun, assumed: &mut Assumptions) -> RunSettings {
    let seed = assumed.or(
        raw.seed.as_ref(),
        "run.seed",
        1,
        "any seed does; name one to vary it",
    );
    let replications = assumed.or(
        raw.replications.as_ref(),
        "run.replications",
        1,
        "one run; more show the spread",
    );
    let outputs = raw.outputs.as_ref();
    RunSettings {
        seed: Seed::new(seed),
        replications: narrow(replications),
        event_limit: raw.events.as_ref().map(|given| given.value),
        timeline: outputs.is_none_or(|outputs| outputs.value.iter().any(|output| output.value == "timeline")),
    }
}
