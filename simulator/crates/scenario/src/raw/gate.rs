//! `[load.gate]`: a router in training whose choices are the load.

use super::key::{Key, Kind};
use super::view::{Given, View};

/// Rules by which tokens and experts find each other.
pub(crate) const GATES: &[&str] = &[
    "softmax",
    "sigmoid",
    "noisy",
    "gshard",
    "gumbel",
    "hash",
    "expert-choice",
    "sinkhorn",
];

const TEMPERATURE: &[Key] = &[
    Key::new("start", Kind::Number(0.0), "At the first step.").required(),
    Key::new("end", Kind::Number(0.0), "At the end of its fall.").required(),
    Key::new("steps", Kind::Integer(1), "Steps over which it falls.").required(),
];

const ACTIVE: &[Key] = &[
    Key::new(
        "start",
        Kind::Integer(1),
        "Experts that take part at the first step.",
    )
    .required(),
    Key::new("steps", Kind::Integer(1), "Steps over which the others join.").required(),
];

const CAPACITY: &[Key] = &[
    Key::new("factor", Kind::Number(0.0), "Times an expert's balanced tokens.").required(),
    Key::new(
        "drop",
        Kind::Choice(&["probability", "position"]),
        "Which tokens stay: the likeliest, or the first.",
    ),
    Key::new(
        "pad",
        Kind::Flag,
        "Whether experts that have fewer are filled up.",
    ),
];

const BALANCE: &[Key] = &[
    Key::new(
        "auxiliary",
        Kind::Number(0.0),
        "Coefficient of the auxiliary loss.",
    ),
    Key::new("z", Kind::Number(0.0), "Coefficient of the z-loss."),
    Key::new(
        "importance",
        Kind::Number(0.0),
        "Coefficient of the squared variation of importance.",
    ),
    Key::new(
        "bias_rate",
        Kind::Number(0.0),
        "Rate of the bias of auxiliary-loss-free balancing.",
    ),
    Key::new(
        "quantile",
        Kind::Flag,
        "Whether the bias is that of quantile balancing.",
    ),
];

const TREND: &[Key] = &[
    Key::new(
        "spread",
        Kind::Number(0.0),
        "Standard deviation of experts' mean logits at the first step.",
    ),
    Key::new(
        "scatter",
        Kind::Number(0.0),
        "Standard deviation of tokens' logits about those means.",
    ),
    Key::new(
        "gain",
        Kind::Number(0.0),
        "What a learnt expert takes off the loss of a token, in nats.",
    ),
    Key::new(
        "learning_rate",
        Kind::Number(0.0),
        "Rate at which a gradient moves a mean logit.",
    ),
    Key::new(
        "learning_steps",
        Kind::Number(1.0),
        "Steps of balanced load in which an expert learns 63 %.",
    ),
];

pub(crate) const GATE: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(GATES),
        "How tokens and experts find each other.",
    )
    .required(),
    Key::new(
        "noise",
        Kind::Number(0.0),
        "`noisy`: standard deviation of the noise on logits.",
    ),
    Key::new(
        "temperature",
        Kind::Table(TEMPERATURE),
        "`gumbel`: how the temperature falls.",
    ),
    Key::new("active", Kind::Table(ACTIVE), "How experts join."),
    Key::new(
        "capacity",
        Kind::Table(CAPACITY),
        "A limit on the tokens of an expert.",
    ),
    Key::new("balance", Kind::Table(BALANCE), "What holds the balance."),
    Key::new("trend", Kind::Table(TREND), "What moves it."),
    Key::new(
        "sampled_tokens",
        Kind::Integer(1),
        "Tokens of a step that are routed one by one and stand for all.",
    ),
    Key::new(
        "stretch",
        Kind::Integer(1),
        "Steps whose sampled tokens are counted together.",
    ),
];

/// `[load.gate]`.
#[derive(Debug)]
pub(crate) struct RawGate {
    pub(crate) kind: Option<Given<String>>,
    pub(crate) noise: Option<Given<f64>>,
    pub(crate) temperature: Option<RawTemperature>,
    pub(crate) active: Option<RawActive>,
    pub(crate) capacity: Option<RawCapacity>,
    pub(crate) balance: RawBalance,
    pub(crate) trend: RawTrend,
    pub(crate) sampled_tokens: Option<Given<u64>>,
    pub(crate) stretch: Option<Given<u64>>,
}

/// `temperature`.
#[derive(Debug)]
pub(crate) struct RawTemperature {
    pub(crate) start: Option<Given<f64>>,
    pub(crate) end: Option<Given<f64>>,
    pub(crate) steps: Option<Given<u64>>,
}

/// `active`.
#[derive(Debug)]
pub(crate) struct RawActive {
    pub(crate) start: Option<Given<u64>>,
    pub(crate) steps: Option<Given<u64>>,
}

/// `capacity`.
#[derive(Debug)]
pub(crate) struct RawCapacity {
    pub(crate) factor: Option<Given<f64>>,
    pub(crate) drop: Option<Given<String>>,
    pub(crate) pad: Option<Given<bool>>,
}

/// `balance`.
#[derive(Debug)]
pub(crate) struct RawBalance {
    pub(crate) auxiliary: Option<Given<f64>>,
    pub(crate) z: Option<Given<f64>>,
    pub(crate) importance: Option<Given<f64>>,
    pub(crate) bias_rate: Option<Given<f64>>,
    pub(crate) quantile: Option<Given<bool>>,
}

/// `trend`.
#[derive(Debug)]
pub(crate) struct RawTrend {
    pub(crate) spread: Option<Given<f64>>,
    pub(crate) scatter: Option<Given<f64>>,
    pub(crate) gain: Option<Given<f64>>,
    pub(crate) learning_rate: Option<Given<f64>>,
    pub(crate) learning_steps: Option<Given<f64>>,
}

impl RawGate {
    pub(crate) fn read(view: View<'_>) -> Self {
        let (balance, trend) = (view.table("balance"), view.table("trend"));
        let (temperature, active) = (view.table("temperature"), view.table("active"));
        let capacity = view.table("capacity");
        Self {
            kind: view.text("kind"),
            noise: view.number("noise"),
            temperature: view.has("temperature").then(|| RawTemperature {
                start: temperature.number("start"),
                end: temperature.number("end"),
                steps: temperature.integer("steps"),
            }),
            active: view.has("active").then(|| RawActive {
                start: active.integer("start"),
                steps: active.integer("steps"),
            }),
            capacity: view.has("capacity").then(|| RawCapacity {
                factor: capacity.number("factor"),
                drop: capacity.text("drop"),
                pad: capacity.flag("pad"),
            }),
            balance: RawBalance {
                auxiliary: balance.number("auxiliary"),
                z: balance.number("z"),
                importance: balance.number("importance"),
                bias_rate: balance.number("bias_rate"),
                quantile: balance.flag("quantile"),
            },
            trend: RawTrend {
                spread: trend.number("spread"),
                scatter: trend.number("scatter"),
                gain: trend.number("gain"),
                learning_rate: trend.number("learning_rate"),
                learning_steps: trend.number("learning_steps"),
            },
            sampled_tokens: view.integer("sampled_tokens"),
            stretch: view.integer("stretch"),
        }
    }
}
