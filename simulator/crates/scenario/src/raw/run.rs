//! `[calibration]`, `[cost]` and `[run]`: where numbers come from, what it costs, how to run.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::view::{Given, View};

pub(crate) const CALIBRATION: &[Key] = &[
    Key::new(
        "profile",
        Kind::Text,
        "A profile: a path relative to this file, the name of a shipped one, or none for analytic times. Left out: the \
         shipped one of this device and stack.",
    )
    .also(&["bundle"]),
    Key::new(
        "tuning",
        Kind::Text,
        "Parameters fitted on measured steps, as `orrery fit` writes them: a path relative to this file. Left out: those \
         that ship.",
    ),
];

pub(crate) const COST: &[Key] = &[
    Key::new(
        "basis",
        Kind::Choice(&["rented"]),
        "`rented`: the price is all-in.",
    ),
    Key::new(
        "currency",
        Kind::Choice(&["USD", "EUR", "CNY"]),
        "Currency of the prices.",
    ),
    Key::new(
        "gpu_hour",
        Kind::Quantity(Dimension::Money),
        "Price of one device for one hour.",
    )
    .required()
    .also(&["device_hour"]),
    Key::new("priced_on", Kind::Date, "The day of that price.").required(),
];

const LIMITS: &[Key] = &[Key::new(
    "events",
    Kind::Large(1),
    "Most events one replication may take.",
)];

pub(crate) const RUN: &[Key] = &[
    Key::new("seed", Kind::Large(0), "Seed of every random number."),
    Key::new(
        "replications",
        Kind::Integer(1),
        "Runs with derived seeds whose spread is reported.",
    ),
    Key::new("limits", Kind::Table(LIMITS), "When to stop early."),
    Key::new(
        "outputs",
        Kind::List(&Kind::Choice(&["summary", "timeline", "experts"])),
        "What to keep.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawRun {
    pub(crate) profile: Option<Given<String>>,
    pub(crate) tuning: Option<Given<String>>,
    pub(crate) currency: Option<Given<String>>,
    pub(crate) gpu_hour: Option<Given<f64>>,
    /// The currency that the price is written in.
    pub(crate) paid_in: Option<String>,
    pub(crate) priced_on: Option<Given<String>>,
    pub(crate) seed: Option<Given<u64>>,
    pub(crate) replications: Option<Given<u64>>,
    pub(crate) events: Option<Given<u64>>,
    pub(crate) outputs: Option<Given<Vec<Given<String>>>>,
}

impl RawRun {
    pub(crate) fn read(root: View<'_>) -> Self {
        let (run, cost) = (root.table("run"), root.table("cost"));
        Self {
            profile: root.table("calibration").text("profile"),
            tuning: root.table("calibration").text("tuning"),
            currency: cost.text("currency"),
            gpu_hour: cost.quantity("gpu_hour", Dimension::Money),
            paid_in: cost.text("gpu_hour").map(|price| unit_of(&price.value)),
            priced_on: cost.text("priced_on"),
            seed: run.integer("seed"),
            replications: run.integer("replications"),
            events: run.table("limits").integer("events"),
            outputs: run.texts("outputs"),
        }
    }
}

/// The unit of a quantity: what stands behind its number.
fn unit_of(text: &str) -> String {
    let mut words = text.trim().rsplit(|letter: char| !letter.is_ascii_alphabetic());
    words.next().unwrap_or_default().to_owned()
}
