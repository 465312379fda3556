//! `[routing]` and `[noise]`: how tokens find experts, and what varies.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::view::{Given, View};

/// Laws of expert popularity.
pub(crate) const LAWS: &[&str] = &[
    "balanced",
    "uniform",
    "lognormal",
    "zipf",
    "power-law",
    "dirichlet",
    "dirichlet-zipf",
];

/// What laws of popularity take, wherever one is named.
const PARAMETERS: [Key; 4] = [
    Key::new(
        "sigma",
        Kind::Number(0.0),
        "`lognormal`: standard deviation of the logarithm.",
    ),
    Key::new(
        "exponent",
        Kind::Number(0.0),
        "`zipf`, `power-law`, `dirichlet-zipf`: the exponent.",
    ),
    Key::new(
        "span",
        Kind::Number(1.0),
        "`power-law`: the largest popularity over the least.",
    ),
    Key::new(
        "concentration",
        Kind::Number(0.0),
        "`dirichlet`, `dirichlet-zipf`: concentration per expert.",
    ),
];

/// The keys of a table that names a law: the law, its parameters, and three keys besides.
pub(crate) const fn law_keys(kind: Key, others: [Key; 3]) -> [Key; 8] {
    let [sigma, exponent, span, concentration] = PARAMETERS;
    let [first, second, third] = others;
    [kind, sigma, exponent, span, concentration, first, second, third]
}

pub(crate) const ROUTING: &[Key] = &law_keys(
    Key::new(
        "kind",
        Kind::Choice(LAWS),
        "The law of expert popularity within a layer.",
    )
    .required(),
    [
        Key::new(
            "max_nodes",
            Kind::Integer(1),
            "Most nodes that one token is sent to.",
        ),
        Key::new(
            "capacity_factor",
            Kind::Number(0.0),
            "Capacity factor beyond which tokens are dropped.",
        ),
        Key::new(
            "pad_to_capacity",
            Kind::Flag,
            "Whether every expert computes its full capacity.",
        ),
    ],
);

pub(crate) const NOISE: &[Key] = &[
    Key::new(
        "device",
        Kind::Share,
        "Coefficient of variation of device speed, fixed per device.",
    ),
    Key::new(
        "step",
        Kind::Share,
        "Coefficient of variation of compute per device and step.",
    ),
    Key::new(
        "kernel",
        Kind::Share,
        "Coefficient of variation of each kernel about its mean, drawn anew every time it runs.",
    ),
    Key::new(
        "link",
        Kind::Share,
        "Coefficient of variation of link rates, fixed per node.",
    ),
    Key::new(
        "stall",
        Kind::Quantity(Dimension::Time),
        "Mean length of a stall of the host (garbage collection, data loader); exponential.",
    ),
    Key::new(
        "stall_chance",
        Kind::Share,
        "How likely a rank's host stalls in a step.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawRouting<'a> {
    pub(crate) kind: Option<Given<String>>,
    pub(crate) sigma: Option<Given<f64>>,
    pub(crate) exponent: Option<Given<f64>>,
    pub(crate) span: Option<Given<f64>>,
    pub(crate) concentration: Option<Given<f64>>,
    pub(crate) max_nodes: Option<Given<u64>>,
    pub(crate) capacity_factor: Option<Given<f64>>,
    pub(crate) pad_to_capacity: Option<Given<bool>>,
    pub(crate) view: View<'a>,
}

impl<'a> RawRouting<'a> {
    pub(crate) fn read(view: View<'a>) -> Self {
        Self {
            kind: view.text("kind"),
            sigma: view.number("sigma"),
            exponent: view.number("exponent"),
            span: view.number("span"),
            concentration: view.number("concentration"),
            max_nodes: view.integer("max_nodes"),
            capacity_factor: view.number("capacity_factor"),
            pad_to_capacity: view.flag("pad_to_capacity"),
            view,
        }
    }
}

#[derive(Debug)]
pub(crate) struct RawNoise {
    pub(crate) device: Option<Given<f64>>,
    pub(crate) step: Option<Given<f64>>,
    pub(crate) kernel: Option<Given<f64>>,
    pub(crate) link: Option<Given<f64>>,
    pub(crate) stall: Option<Given<f64>>,
    pub(crate) stall_chance: Option<Given<f64>>,
}

impl RawNoise {
    pub(crate) fn read(view: View<'_>) -> Self {
        Self {
            device: view.number("device"),
            step: view.number("step"),
            kernel: view.number("kernel"),
            link: view.number("link"),
            stall: view.quantity("stall", Dimension::Time),
            stall_chance: view.number("stall_chance"),
        }
    }
}
