//! What a device keeps of its short-run arithmetic rate through training steps.

use serde::{Deserialize, Serialize};

use crate::{Fitted, Provenance};

/// The share of the arithmetic rate of short runs that lasts through training steps.
///
/// Kernels are timed in runs of milliseconds, at clocks that a device does not hold within its power limit when
/// arithmetic, memory and links work together for hours. The share applies to the arithmetic of matrix products
/// and fused attention, never to memory or links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingClock {
    /// The share.
    pub clock: f64,
    /// How well whole steps agree once it is applied.
    pub fitted: Fitted,
    /// Which measured steps it was fitted to.
    pub provenance: Provenance,
}
