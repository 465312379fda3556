//! The shipped set of parameters fitted on measured steps, embedded.

use std::sync::{Arc, LazyLock};

use orrery_profile::TuningSet;

/// The text of scenarios/tuning/training.json.
const TEXT: &str = include_str!("../../../../../scenarios/tuning/training.json");

/// The shipped set.
///
/// # Panics
/// Never: a test reads the shipped file.
pub fn tuning() -> &'static TuningSet {
    &SET
}

/// The same, for plans to hold.
pub(crate) fn shared_tuning() -> Arc<TuningSet> {
    Arc::clone(&SET)
}

static SET: LazyLock<Arc<TuningSet>> =
    LazyLock::new(|| Arc::new(TuningSet::from_json(TEXT).expect("the shipped set is one")));
