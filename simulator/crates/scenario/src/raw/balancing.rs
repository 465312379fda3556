//! `[placement]`, `[load]`, `[[policy]]`, `[[golden]]` and `[[recorded]]`: scenarios of kind `balancing`.

use orrery_units::Dimension;

use super::gate::{GATE, RawGate};
use super::key::{Key, Kind};
use super::view::{Given, View};

/// Balancers, by the names of `orrery-balance`.
pub(crate) const POLICIES: &[&str] = &orrery_balance::placement::Algorithm::NAMES;
/// How tokens choose among replicas.
const DISPATCHES: &[&str] = &orrery_balance::placement::Dispatch::NAMES;
/// Laws of expert popularity, and recordings.
const SKEWS: &[&str] = &["balanced", "uniform", "lognormal", "zipf", "dirichlet", "trace"];
/// Workloads of Megatron-LM#7488.
const WORKLOADS: &[&str] = &["W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"];

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
];

const SKEW: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(SKEWS),
        "The law of expert popularity, or a recording.",
    )
    .required(),
    Key::new(
        "sigma",
        Kind::Number(0.0),
        "`lognormal`: standard deviation of the logarithm.",
    ),
    Key::new(
        "exponent",
        Kind::Number(0.0),
        "`zipf`, `power-law`: the exponent.",
    ),
    Key::new(
        "span",
        Kind::Number(1.0),
        "`power-law`: largest over least popularity.",
    ),
    Key::new(
        "concentration",
        Kind::Number(0.0),
        "`dirichlet`: concentration per expert.",
    ),
    Key::new(
        "per_layer_shuffle",
        Kind::Flag,
        "Whether every layer has popular experts of its own, as trained models do.",
    ),
    Key::new(
        "path",
        Kind::Text,
        "`trace`: a table of counts or of routed tokens, relative to this file.",
    ),
    Key::new(
        "select",
        Kind::Text,
        "`trace`: a task or domain of it, such as `law` or `law/first-half`.",
    ),
];

const BURST: &[Key] = &[
    Key::new("every", Kind::Integer(1), "Steps from one burst to the next.").required(),
    Key::new("steps", Kind::Integer(1), "Steps that it lasts.").required(),
    Key::new(
        "share",
        Kind::Share,
        "Share of the tokens that belong to it meanwhile.",
    )
    .required(),
    Key::new("skew", Kind::Table(SKEW), "Its law.").required(),
];

const PHASE: &[Key] = &[
    Key::new("name", Kind::Text, "Its name.").required(),
    Key::new("steps", Kind::Integer(1), "Steps that it lasts.").required(),
    Key::new("skew", Kind::Table(SKEW), "Its law of expert popularity.").required(),
    Key::new(
        "domain",
        Kind::Text,
        "Which draw of the law: phases of one domain have the same popular experts. The name of the phase by default.",
    ),
    Key::new(
        "ramp",
        Kind::Integer(0),
        "Steps over which the phase before fades into this one; 0 for a sudden shift.",
    ),
    Key::new(
        "burst",
        Kind::Table(BURST),
        "Tokens of another kind that come and go.",
    ),
];

pub(crate) const LOAD: &[Key] = &[
    Key::new(
        "tokens_per_step",
        Kind::Integer(1),
        "Tokens of all devices in a step.",
    )
    .required(),
    Key::new(
        "top_k",
        Kind::Either(&[Kind::Choice(&["model"]), Kind::Integer(1)]),
        "Experts of a token; the model's own by default.",
    ),
    Key::new(
        "noise",
        Kind::Table(&[Key::new(
            "kind",
            Kind::Choice(&["multinomial", "expected"]),
            "Whether tokens are drawn, or every expert gets what it expects.",
        )]),
        "How counts vary about popularity.",
    ),
    Key::new(
        "phase",
        Kind::List(&Kind::Table(PHASE)),
        "Stretches of steps, in order.",
    ),
    Key::new(
        "workload",
        Kind::Choice(WORKLOADS),
        "A workload of Megatron-LM#7488 instead of phases.",
    ),
    Key::new(
        "gate",
        Kind::Table(GATE),
        "A router in training instead of phases.",
    ),
    Key::new(
        "steps",
        Kind::Integer(1),
        "Steps of the workload, or of the router's training.",
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

/// `[placement]`.
#[derive(Debug)]
pub(crate) struct RawPlacement {
    pub(crate) ep: Option<Given<u64>>,
    pub(crate) redundant: Option<Given<u64>>,
    pub(crate) groups: Option<Given<u64>>,
}

impl RawPlacement {
    pub(crate) fn read(view: View<'_>) -> Self {
        Self {
            ep: view.integer("ep"),
            redundant: view.integer("redundant"),
            groups: view.integer("groups"),
        }
    }
}

/// A `skew` table.
#[derive(Debug)]
pub(crate) struct RawSkew {
    pub(crate) kind: Option<Given<String>>,
    pub(crate) sigma: Option<Given<f64>>,
    pub(crate) exponent: Option<Given<f64>>,
    pub(crate) span: Option<Given<f64>>,
    pub(crate) concentration: Option<Given<f64>>,
    pub(crate) per_layer_shuffle: Option<Given<bool>>,
    pub(crate) path: Option<Given<String>>,
    pub(crate) select: Option<Given<String>>,
}

impl RawSkew {
    pub(crate) fn read(view: View<'_>) -> Self {
        Self {
            kind: view.text("kind"),
            sigma: view.number("sigma"),
            exponent: view.number("exponent"),
            span: view.number("span"),
            concentration: view.number("concentration"),
            per_layer_shuffle: view.flag("per_layer_shuffle"),
            path: view.text("path"),
            select: view.text("select"),
        }
    }
}

/// A `[[load.phase]]`.
#[derive(Debug)]
pub(crate) struct RawPhase {
    pub(crate) name: Option<Given<String>>,
    pub(crate) steps: Option<Given<u64>>,
    pub(crate) skew: RawSkew,
    pub(crate) domain: Option<Given<String>>,
    pub(crate) ramp: Option<Given<u64>>,
    pub(crate) burst: Option<RawBurst>,
}

/// A `burst` table.
#[derive(Debug)]
pub(crate) struct RawBurst {
    pub(crate) every: Option<Given<u64>>,
    pub(crate) steps: Option<Given<u64>>,
    pub(crate) share: Option<Given<f64>>,
    pub(crate) skew: RawSkew,
}

/// `[load]`.
#[derive(Debug)]
pub(crate) struct RawLoad {
    pub(crate) tokens_per_step: Option<Given<u64>>,
    pub(crate) top_k: Option<Given<u64>>,
    pub(crate) noise: Option<Given<String>>,
    pub(crate) phases: Vec<RawPhase>,
    pub(crate) workload: Option<Given<String>>,
    pub(crate) gate: Option<RawGate>,
    pub(crate) steps: Option<Given<u64>>,
}

impl RawLoad {
    pub(crate) fn read(view: View<'_>) -> Self {
        let phase = |view: View<'_>| RawPhase {
            name: view.text("name"),
            steps: view.integer("steps"),
            skew: RawSkew::read(view.table("skew")),
            domain: view.text("domain"),
            ramp: view.integer("ramp"),
            burst: view.has("burst").then(|| {
                let burst = view.table("burst");
                RawBurst {
                    every: burst.integer("every"),
                    steps: burst.integer("steps"),
                    share: burst.number("share"),
                    skew: RawSkew::read(burst.table("skew")),
                }
            }),
        };
        Self {
            tokens_per_step: view.integer("tokens_per_step"),
            top_k: view.integer("top_k"),
            noise: view.table("noise").text("kind"),
            phases: view.tables("phase").into_iter().map(phase).collect(),
            workload: view.text("workload"),
            gate: view.has("gate").then(|| RawGate::read(view.table("gate"))),
            steps: view.integer("steps"),
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
    pub(crate) goldens: Vec<RawGolden>,
    pub(crate) recorded: Vec<RawRecorded>,
    /// Experts' law of time, by the stack that it was fitted to.
    pub(crate) experts: Option<Given<String>>,
    /// Format of tokens and parameters.
    pub(crate) precision: Option<Given<String>>,
    /// What a step is.
    pub(crate) step: Option<Given<String>>,
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
            goldens: root.tables("golden").into_iter().map(golden).collect(),
            recorded: root.tables("recorded").into_iter().map(recorded).collect(),
            experts: root.table("experts").text("law"),
            precision: root.table("experts").text("precision"),
            step: root.table("experts").text("step"),
        }
    }
}

pub(crate) const EXPERTS: &[Key] = &[
    Key::new(
        "law",
        Kind::Text,
        "Whose experts' times: a stack of scenarios/experts/imbalanced.experts.json, or none for the law at its priors.",
    ),
    Key::new(
        "precision",
        Kind::Choice(&["bf16", "fp8"]),
        "Format of weights and of tokens on their way to experts; they come back in BF16.",
    ),
    Key::new(
        "step",
        Kind::Choice(&["inference", "training"]),
        "Whether a step runs a layer once, or forward and backward.",
    ),
];
