//! What came of a question: series over steps, moves, and heat maps from the beginning to the end.

use std::ops::Range;

use orrery_units::{Bytes, SimDuration};

use super::LayerTime;
use crate::placement::{LayerPlacement, Tables};

/// A stretch of steps with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its first step.
    pub start: u64,
    /// The step after its last.
    pub end: u64,
}

/// A plan that was carried out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rebalance {
    /// The step before which the plan was made.
    pub step: u64,
    /// Replicas that travelled.
    pub moved: usize,
    /// Their bytes.
    pub bytes: Bytes,
    /// Time during which every device stood still.
    pub stall: SimDuration,
    /// Time that the replicas were under way.
    pub transfer: SimDuration,
}

/// Loads by layer, over the mean of their layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// One row per layer.
    pub rows: Vec<Vec<f64>>,
}

impl HeatMap {
    /// Sums by layer, over the mean of their layer.
    pub(super) fn of_sums(sums: &[f64], layers: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a layer has few cells")]
        let row = |cells: &[f64]| {
            let mean = cells.iter().sum::<f64>() / cells.len() as f64;
            cells
                .iter()
                .map(|cell| if mean > 0.0 { cell / mean } else { 0.0 })
                .collect()
        };
        Self {
            rows: sums.chunks(sums.len() / layers.max(1)).map(row).collect(),
        }
    }
}

/// One policy over all steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// Largest over mean rows of a device, mean over layers; one entry a step.
    pub imbalance: Vec<f32>,
    /// Seconds of a layer in the mean of a step's layers.
    pub layer_time: Vec<f32>,
    /// Seconds that a device waits at combine in a layer, in the mean of devices and layers.
    pub wait: Vec<f32>,
    /// Seconds that every device stood still before the step.
    pub stall: Vec<f32>,
    /// The terms of the time of all layers of all steps, summed up.
    pub terms: LayerTime,
    /// Plans that moved anything.
    pub rebalances: Vec<Rebalance>,
    /// Loads of devices by layer in each of the stretches that [`Outcome::frames`] lists.
    pub devices: Vec<HeatMap>,
    /// Where replicas lie in the end, by layer.
    pub placements: Vec<LayerPlacement>,
    /// Bytes of a step's dispatch from each device to each other in the end, all layers.
    pub pairs: Vec<Vec<f64>>,
    /// Largest over mean rows of a device by layer, of the sum over all steps.
    pub imbalance_of_layers: Vec<f64>,
}

impl Track {
    /// The final placement as SGLang and vLLM read it.
    #[must_use]
    pub fn tables(&self) -> Tables {
        Tables::of(&self.placements)
    }

    /// Steps from the start of `phase` until the imbalance, smoothed over `smooth` steps, stays at or below `bound` for
    /// the rest of the phase; the length of the phase where it never does.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "steps fit memory")]
    pub fn recovery(&self, phase: &Phase, bound: f64, smooth: usize) -> u64 {
        let steps = &self.imbalance[phase.start as usize..phase.end as usize];
        let smooth = smooth.clamp(1, steps.len().max(1));
        #[expect(clippy::cast_precision_loss, reason = "a window has few steps")]
        let mean = |window: &[f32]| f64::from(window.iter().sum::<f32>()) / window.len() as f64;
        let last_above = steps.windows(smooth).rposition(|window| mean(window) > bound);
        last_above.map_or(0, |at| (at + smooth).min(steps.len()) as u64)
    }

    /// Time of all layers and stalls of all steps.
    #[must_use]
    pub fn seconds(&self, layers: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a model has few layers")]
        let layers = layers as f64;
        let layer_time: f64 = self.layer_time.iter().map(|&time| f64::from(time)).sum();
        let stall: f64 = self.stall.iter().map(|&time| f64::from(time)).sum();
        layer_time * layers + stall
    }
}

/// What came of a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One per policy, in their order.
    pub tracks: Vec<Track>,
    /// Stretches of steps that heat maps sum over: the first begins with the first step, the last ends with the last.
    pub frames: Vec<Range<u64>>,
    /// Loads of experts by layer in each of them.
    pub experts: Vec<HeatMap>,
    /// Steps that were simulated.
    pub steps: u64,
}
