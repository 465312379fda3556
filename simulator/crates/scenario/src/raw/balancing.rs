//! `[placement]`, `[experts]`, `[[policy]]`, `[[golden]]` and `[[recorded]]`: scenarios of kind `balancing`.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::load::RawLoad;
use super::view::{Given, View};

/// Balancers, by the names of `orrery-balance`.
pub(crate) const POLICIES: &[&str] = &orrery_balance::placement::Algorithm::NAMES;
/// How tokens choose among replicas.
const DISPATCHES: &[&str] = &orrery_balance::placement::Dispatch::NAMES;
/// How the tokens of a layer find the devices of their experts.
const DISPATCHERS: &[&str] = &["deepep", "all-to-all"];
pub(crate) const PLACEMENT: &[Key] = &[
    Key::new(
        "ep",
        Kind::Integer(1),
        "Devices that the experts of a layer are spread over.",
    )
    .required(),
    Key::new(
        "redundant",
        Kind::Integer(0),
        "Slots beyond one per expert, on all devices.",
    ),
    Key::new(
        "groups",
        Kind::Integer(1),
        "Groups of experts that a token's node limit counts in; the model's own by default.",
    ),
    Key::new(
        "dispatcher",
        Kind::Choice(DISPATCHERS),
        "`deepep`: a token goes once to each node that it visits; `all-to-all`: once to each of its experts.",
    ),
    Key::new(
        "max_nodes",
        Kind::Integer(1),
        "Most nodes that one token is sent to; as many as the model's gate picks groups by default.",
    ),
];

const ESTIMATOR: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(&["mean", "ewma", "oracle"]),
        "How loads are estimated.",
    )
    .required(),
    Key::new(
        "half_life",
        Kind::Number(1.0),
        "`ewma`: steps after which a load counts half.",
    ),
];

const MIGRATION: &[Key] = &[
    Key::new(
        "mode",
        Kind::Choice(&["blocking", "overlapped"]),
        "Whether steps stand still while replicas travel.",
    )
    .required(),
    Key::new(
        "bandwidth_share",
        Kind::Share,
        "`overlapped`: share of the links that replicas take.",
    ),
];

pub(crate) const POLICY: &[Key] = &[
    Key::new("id", Kind::Text, "Its name in metrics and reports.").required(),
    Key::new("kind", Kind::Choice(POLICIES), "The balancer.").required(),
    Key::new(
        "redundant",
        Kind::Integer(0),
        "Slots beyond one per expert that it has; those of `[placement]` by default.",
    ),
    Key::new(
        "window",
        Kind::Integer(1),
        "Steps of load history that a plan sees.",
    ),
    Key::new(
        "interval",
        Kind::Integer(0),
        "Steps between plans; 0 for one before the first step and none after.",
    ),
    Key::new(
        "layers_per_chunk",
        Kind::Integer(1),
        "Layers whose replicas travel together; all by default.",
    ),
    Key::new(
        "threshold",
        Kind::Number(1.0),
        "Largest over mean estimated load below which nothing moves.",
    ),
    Key::new("estimator", Kind::Table(ESTIMATOR), "How loads are estimated."),
    Key::new("migration", Kind::Table(MIGRATION), "How replicas travel."),
    Key::new("plan_time", Kind::Quantity(Dimension::Time), "Time of planning."),
    Key::new(
        "dispatch",
        Kind::Choice(DISPATCHES),
        "How tokens choose among replicas.",
    ),
];

const ROWS: Kind = Kind::List(&Kind::List(&Kind::Number(0.0)));

pub(crate) const GOLDEN: &[Key] = &[
    Key::new("id", Kind::Text, "Its name in metrics.").required(),
    Key::new("policy", Kind::Choice(POLICIES), "The balancer.").required(),
    Key::new("replicas", Kind::Integer(1), "Slots in all.").required(),
    Key::new("groups", Kind::Integer(1), "Groups of experts.").required(),
    Key::new("nodes", Kind::Integer(1), "Nodes.").required(),
    Key::new("gpus", Kind::Integer(1), "Devices in all.").required(),
    Key::new("weight", ROWS, "Load of each expert, by layer.").required(),
    Key::new(
        "phy2log",
        ROWS,
        "The expert of each slot, by layer, as published.",
    )
    .required(),
];

pub(crate) const RECORDED: &[Key] = &[
    Key::new("id", Kind::Text, "Its name in metrics.").required(),
    Key::new(
        "path",
        Kind::Text,
        "A table of counts or of routed tokens, relative to this file.",
    )
    .required(),
    Key::new("policy", Kind::Choice(POLICIES), "The balancer.").required(),
    Key::new(
        "seen",
        Kind::Text,
        "What the plan is made from: a task or domain, or half of one, such as `law` or `law/first-half`.",
    )
    .required(),
    Key::new("scored", Kind::Text, "What it is held against.").required(),
    Key::new("replicas", Kind::Integer(1), "Slots in all.").required(),
    Key::new("groups", Kind::Integer(1), "Groups of experts; 1 by default."),
    Key::new("nodes", Kind::Integer(1), "Nodes; 1 by default."),
    Key::new("gpus", Kind::Integer(1), "Devices in all.").required(),
];

pub(crate) const SWEEP: &[Key] = &[
    Key::new("policy", Kind::Text, "The policy whose setting is moved.").required(),
    Key::new(
        "key",
        Kind::Choice(&["interval", "redundant", "ep"]),
        "What is moved: steps between plans, slots beyond one per expert, or devices of the group.",
    )
    .required(),
    Key::new("values", Kind::List(&Kind::Integer(0)), "Its values.").required(),
];

/// A `[[sweep]]`.
#[derive(Debug)]
pub(crate) struct RawSweep {
    pub(crate) policy: Option<Given<String>>,
    pub(crate) key: Option<Given<String>>,
    pub(crate) values: Option<Given<Vec<u64>>>,
}

impl RawSweep {
    fn read(view: View<'_>) -> Self {
        Self {
            policy: view.text("policy"),
            key: view.text("key"),
            values: view.integers("values"),
        }
    }
}

/// `[placement]`.
#[derive(Debug)]
pub(crate) struct RawPlacement {
    pub(crate) ep: Option<Given<u64>>,
    pub(crate) redundant: Option<Given<u64>>,
    pub(crate) groups: Option<Given<u64>>,
    pub(crate) dispatcher: Option<Given<String>>,
    pub(crate) max_nodes: Option<Given<u64>>,
}

impl RawPlacement {
    pub(crate) fn read(view: View<'_>) -> Self {
        Self {
            ep: view.integer("ep"),
            redundant: view.integer("redundant"),
            groups: view.integer("groups"),
            dispatcher: view.text("dispatcher"),
            max_nodes: view.integer("max_nodes"),
        }
    }
}

/// A `[[policy]]`.
#[derive(Debug)]
pub(crate) struct RawPolicy {
    pub(crate) id: Option<Given<String>>,
    pub(crate) kind: Option<Given<String>>,
    pub(crate) redundant: Option<Given<u64>>,
    pub(crate) window: Option<Given<u64>>,
    pub(crate) interval: Option<Given<u64>>,
    pub(crate) layers_per_chunk: Option<Given<u64>>,
    pub(crate) threshold: Option<Given<f64>>,
    pub(crate) estimator: Option<Given<String>>,
    pub(crate) half_life: Option<Given<f64>>,
    pub(crate) migration: Option<Given<String>>,
    pub(crate) bandwidth_share: Option<Given<f64>>,
    pub(crate) plan_time: Option<Given<f64>>,
    pub(crate) dispatch: Option<Given<String>>,
}

impl RawPolicy {
    pub(crate) fn read(view: View<'_>) -> Self {
        let (estimator, migration) = (view.table("estimator"), view.table("migration"));
        Self {
            id: view.text("id"),
            kind: view.text("kind"),
            redundant: view.integer("redundant"),
            window: view.integer("window"),
            interval: view.integer("interval"),
            layers_per_chunk: view.integer("layers_per_chunk"),
            threshold: view.number("threshold"),
            estimator: estimator.text("kind"),
            half_life: estimator.number("half_life"),
            migration: migration.text("mode"),
            bandwidth_share: migration.number("bandwidth_share"),
            plan_time: view.quantity("plan_time", Dimension::Time),
            dispatch: view.text("dispatch"),
        }
    }
}

/// Sizes of a question that stands by itself.
#[derive(Debug)]
pub(crate) struct RawSizes {
    pub(crate) id: Option<Given<String>>,
    pub(crate) policy: Option<Given<String>>,
    pub(crate) replicas: Option<Given<u64>>,
    pub(crate) groups: Option<Given<u64>>,
    pub(crate) nodes: Option<Given<u64>>,
    pub(crate) gpus: Option<Given<u64>>,
}

impl RawSizes {
    fn read(view: View<'_>) -> Self {
        Self {
            id: view.text("id"),
            policy: view.text("policy"),
            replicas: view.integer("replicas"),
            groups: view.integer("groups"),
            nodes: view.integer("nodes"),
            gpus: view.integer("gpus"),
        }
    }
}

/// A `[[golden]]`.
#[derive(Debug)]
pub(crate) struct RawGolden {
    pub(crate) sizes: RawSizes,
    pub(crate) weight: Option<Given<Vec<Vec<f64>>>>,
    pub(crate) phy2log: Option<Given<Vec<Vec<f64>>>>,
}

/// A `[[recorded]]`.
#[derive(Debug)]
pub(crate) struct RawRecorded {
    pub(crate) sizes: RawSizes,
    pub(crate) path: Option<Given<String>>,
    pub(crate) seen: Option<Given<String>>,
    pub(crate) scored: Option<Given<String>>,
}

/// All tables of a balancing scenario beyond those that it shares with training.
#[derive(Debug)]
pub(crate) struct RawBalancing {
    pub(crate) placement: RawPlacement,
    pub(crate) load: Option<RawLoad>,
    pub(crate) policies: Vec<RawPolicy>,
    pub(crate) sweeps: Vec<RawSweep>,
    pub(crate) goldens: Vec<RawGolden>,
    pub(crate) recorded: Vec<RawRecorded>,
    /// Experts' law of time, by the stack that it was fitted to.
    pub(crate) experts: Option<Given<String>>,
    /// Format of tokens and parameters.
    pub(crate) precision: Option<Given<String>>,
    /// What a step is.
    pub(crate) step: Option<Given<String>>,
    /// Steps to an update of the parameters.
    pub(crate) steps_per_update: Option<Given<u64>>,
}

impl RawBalancing {
    pub(crate) fn read(root: View<'_>) -> Self {
        let golden = |view: View<'_>| RawGolden {
            sizes: RawSizes::read(view),
            weight: view.rows("weight"),
            phy2log: view.rows("phy2log"),
        };
        let recorded = |view: View<'_>| RawRecorded {
            sizes: RawSizes::read(view),
            path: view.text("path"),
            seen: view.text("seen"),
            scored: view.text("scored"),
        };
        Self {
            placement: RawPlacement::read(root.table("placement")),
            load: root.has("load").then(|| RawLoad::read(root.table("load"))),
            policies: root.tables("policy").into_iter().map(RawPolicy::read).collect(),
            sweeps: root.tables("sweep").into_iter().map(RawSweep::read).collect(),
            goldens: root.tables("golden").into_iter().map(golden).collect(),
            recorded: root.tables("recorded").into_iter().map(recorded).collect(),
            experts: root.table("experts").text("law"),
            precision: root.table("experts").text("precision"),
            step: root.table("experts").text("step"),
            steps_per_update: root.table("experts").integer("steps_per_update"),
        }
    }
}

pub(crate) const EXPERTS: &[Key] = &[
    Key::new(
        "law",
        Kind::Text,
        "Whose experts' times: a stack of scenarios/experts/imbalanced.experts.json, or `none` for the law at its priors; one that was measured on the device by default.",
    ),
    Key::new(
        "precision",
        Kind::Choice(&["bf16", "fp8", "nvfp4"]),
        "Format of weights and of tokens on their way to experts; they come back in BF16.",
    ),
    Key::new(
        "step",
        Kind::Choice(&["inference", "training"]),
        "Whether a step runs a layer once, or forward and backward.",
    ),
    Key::new(
        "steps_per_update",
        Kind::Integer(1),
        "`training`: steps, a microbatch each, to an update of the parameters, before which replicas sum their gradients.",
    ),
];
