//! `[load]`: what a balancing scenario's experts are loaded with.

use super::gate::{GATE, RawGate};
use super::key::{Key, Kind};
use super::routing::{LAWS, law_keys};
use super::view::{Given, View};

/// Laws of expert popularity, and recordings.
pub(crate) const SKEWS: &[&str] = &{
    let mut all = ["trace"; LAWS.len() + 1];
    let mut at = 0;
    while at < LAWS.len() {
        all[at] = LAWS[at];
        at += 1;
    }
    all
};
/// Workloads of Megatron-LM#7488.
const WORKLOADS: &[&str] = &["W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"];

const SKEW: &[Key] = &law_keys(
    Key::new(
        "kind",
        Kind::Choice(SKEWS),
        "The law of expert popularity, or a recording.",
    )
    .required(),
    [
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
    ],
);

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
        "Steps over which the phase before fades into this one; 0 for a sudden shift. The first phase has none before it.",
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
