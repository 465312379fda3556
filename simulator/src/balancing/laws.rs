//! Times of experts on a device, as fitted to measured tables of imbalanced layers.

use orrery_profile::library::{LibraryExperts, LibraryKernel as _};
use serde::{Deserialize, Serialize};

/// The law of one library on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpertLaw {
    /// The stack that was measured, such as `sglang-deepep-context`.
    pub stack: String,
    /// Catalogue name of the device that was measured.
    pub device: String,
    /// Format of the weights.
    pub format: String,
    /// Rows that it was fitted to.
    pub rows: usize,
    /// Median error over those rows with each EP degree left out, by the law alone.
    pub median_error: f64,
    /// Parameters of the law, in the order of its priors.
    pub parameters: Vec<f64>,
}

/// All laws that were fitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpertLaws {
    /// Version of the file.
    pub schema: String,
    /// Tables that were read.
    pub sources: Vec<String>,
    /// The laws, by stack and device.
    pub laws: Vec<ExpertLaw>,
}

/// The laws that ship with the program.
///
/// # Panics
/// Never: a test reads the embedded file.
#[must_use]
pub fn shipped_laws() -> ExpertLaws {
    let text = include_str!("../../../scenarios/experts/imbalanced.experts.json");
    serde_json::from_str(text).expect("the embedded laws are valid; a test reads them")
}

impl ExpertLaws {
    /// The law of `stack` on a device: its own, else that of the first measured device with as many units.
    #[must_use]
    pub fn find(&self, stack: &str, device: &str, twin: impl Fn(&str) -> bool) -> Option<&ExpertLaw> {
        let of_stack = || self.laws.iter().filter(|law| law.stack == stack);
        of_stack()
            .find(|law| law.device == device)
            .or_else(|| of_stack().find(|law| twin(&law.device)))
    }

    /// Names of the stacks, each once.
    #[must_use]
    pub fn stacks(&self) -> Vec<&str> {
        let mut stacks: Vec<&str> = self.laws.iter().map(|law| law.stack.as_str()).collect();
        stacks.dedup();
        stacks
    }
}

/// The parameters that nothing was measured for: the priors of the law.
pub(super) fn prior_parameters() -> Vec<f64> {
    LibraryExperts::priors()
        .iter()
        .map(|prior| prior.centre.exp())
        .collect()
}
