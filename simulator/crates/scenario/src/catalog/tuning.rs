//! The shipped set of parameters fitted on measured steps, embedded.

use std::sync::LazyLock;

use orrery_profile::TuningSet;

/// The text of scenarios/tuning/training.json.
const TEXT: &str = include_str!("../../../../../scenarios/tuning/training.json");

/// The shipped set.
///
/// # Panics
/// Never: a test reads the shipped file.
pub fn tuning() -> &'static TuningSet {
    static SET: LazyLock<TuningSet> =
        LazyLock::new(|| TuningSet::from_json(TEXT).expect("the shipped set is one"));
    &SET
}
