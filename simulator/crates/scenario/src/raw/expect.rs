//! `[expect.<id>]`: what must hold.

use super::key::{Key, Kind};
use super::view::{Given, View};
use crate::document::Table;

pub(crate) const KEYS: &[Key] = &[
    Key::new(
        "check",
        Kind::Text,
        "What must hold, such as `train.mfu.mean >= 0.35`.",
    )
    .required(),
    Key::new(
        "level",
        Kind::Choice(&["error", "warn", "info"]),
        "What a failure means.",
    ),
    Key::new("why", Kind::Text, "Where the bound comes from."),
    Key::new(
        "only_if",
        Kind::Text,
        "A check, or the name of one, that must hold for this one to count.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawExpect {
    pub(crate) id: String,
    pub(crate) check: Option<Given<String>>,
    pub(crate) level: Option<Given<String>>,
    pub(crate) why: Option<Given<String>>,
    pub(crate) only_if: Option<Given<String>>,
}

impl RawExpect {
    /// Every expectation, in the order of the file.
    pub(crate) fn read(view: View<'_>) -> Vec<Self> {
        let none = Table::default();
        let tables = view.0.unwrap_or(&none);
        let read = |(id, _): &(String, crate::document::Item)| {
            let entry = view.table(id);
            Self {
                id: id.clone(),
                check: entry.text("check"),
                level: entry.text("level"),
                why: entry.text("why"),
                only_if: entry.text("only_if"),
            }
        };
        tables.0.iter().map(read).collect()
    }
}
