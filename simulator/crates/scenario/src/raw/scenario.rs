//! `[scenario]`: who the scenario is.

use super::key::{Key, Kind};
use super::view::{Given, View};

pub(crate) const KEYS: &[Key] = &[
    Key::new("name", Kind::Text, "Short name; names folders and baselines.").required(),
    Key::new("title", Kind::Text, "One line for people."),
    Key::new(
        "kind",
        Kind::Choice(&["training", "balancing", "serving"]),
        "What is simulated.",
    )
    .required(),
    Key::new("tags", Kind::List(&Kind::Text), "Words to select scenarios by."),
    Key::new("notes", Kind::Text, "Free text for people.").also(&["description"]),
];

#[derive(Debug)]
pub(crate) struct RawScenario {
    pub(crate) name: Option<Given<String>>,
    pub(crate) title: Option<Given<String>>,
    pub(crate) notes: Option<Given<String>>,
}

impl RawScenario {
    pub(crate) fn read(view: View<'_>) -> Self {
        Self {
            name: view.text("name"),
            title: view.text("title"),
            notes: view.text("notes"),
        }
    }
}
