//! What replicas take besides their rows: parameters of shadows on their way, gradients that replicas sum.

use super::{Contender, Machine};
use crate::placement::{Algorithm, LayerPlacement};

/// What a layer's replicas take besides, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Upkeep {
    /// In every step.
    step: f64,
    /// In every step that ends with an update of the parameters.
    update: f64,
}

impl Upkeep {
    /// That of `placement`.
    ///
    /// A shadow's parameters go to every device in every step, and its gradients come back, as FasterMoE has it. Other
    /// replicas stay, and before an update each expert's sum their gradients by a ring: `c` replicas send and receive
    /// `2 (c − 1) / c` of them each, over the network where they lie on several nodes.
    pub(super) fn of(placement: &LayerPlacement, contender: &Contender, machine: &Machine) -> Self {
        if let Algorithm::Shadow(cost) = contender.algorithm {
            let shadows = placement.counts().iter().filter(|&&count| count > 1).count();
            #[expect(clippy::cast_precision_loss, reason = "a layer has few shadows")]
            return Self {
                step: shadows as f64 * cost.broadcast.as_secs(),
                update: 0.0,
            };
        }
        Self {
            step: 0.0,
            update: machine.training.map_or(0.0, |update| {
                busiest(placement, machine, update.gradients.as_f64())
            }),
        }
    }

    /// That of `step`.
    pub(super) fn at(&self, step: u64, machine: &Machine) -> f64 {
        let updates = machine
            .training
            .is_some_and(|update| (step + 1).is_multiple_of(update.steps.max(1)));
        self.step + if updates { self.update } else { 0.0 }
    }
}

/// Seconds of the busiest port while all experts' replicas sum `gradients` bytes each.
#[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
fn busiest(placement: &LayerPlacement, machine: &Machine, gradients: f64) -> f64 {
    let per_node = machine.exchange.devices_per_node();
    let mut holders = vec![Vec::new(); placement.counts().len()];
    for (slot, device) in placement.device_of_slots().into_iter().enumerate() {
        let held: &mut Vec<usize> = &mut holders[placement.experts()[slot]];
        // Two replicas on one device are summed there.
        if held.last() != Some(&device) {
            held.push(device);
        }
    }
    let mut ports = vec![[0.0_f64; 2]; placement.num_devices()];
    for held in holders.iter().filter(|held| held.len() > 1) {
        let count = held.len() as f64;
        let bytes = 2.0 * (count - 1.0) / count * gradients;
        let is_near = held.iter().all(|device| device / per_node == held[0] / per_node);
        for &device in held {
            ports[device][usize::from(!is_near)] += bytes;
        }
    }
    ports
        .iter()
        .map(|[node, network]| (node / machine.node.get()).max(network / machine.network.get()))
        .fold(0.0, f64::max)
}
