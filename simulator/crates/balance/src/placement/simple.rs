//! Placements that no load decides.

use orrery_units::Key;
use rand::seq::SliceRandom as _;

use super::{LayerPlacement, Shape};

/// Experts in order, then from the first on again until every slot is taken (SGLang's `trivial` placement).
///
/// Worked: 4 experts in 6 slots of 2 devices: 0 1 2 and 3 0 1.
pub(super) fn contiguous(shape: Shape) -> LayerPlacement {
    let slots = (0..shape.slots).map(|slot| slot % shape.experts).collect();
    LayerPlacement::even(slots, shape.experts, shape.devices)
}

/// Experts dealt to the devices in turn, then from the first on again.
///
/// Worked: 4 experts in 6 slots of 2 devices: 0 2 0 and 1 3 1.
pub(super) fn round_robin(shape: Shape) -> LayerPlacement {
    deal((0..shape.slots).map(|at| at % shape.experts), shape)
}

/// Experts dealt to the devices in an order drawn at random, redundant slots to experts drawn without repetition.
pub(super) fn random(shape: Shape, key: Key) -> LayerPlacement {
    let mut rng = key.rng();
    let mut order = Vec::with_capacity(shape.slots);
    while order.len() < shape.slots {
        let mut experts: Vec<usize> = (0..shape.experts).collect();
        experts.shuffle(&mut rng);
        order.extend(experts.into_iter().take(shape.slots - order.len()));
    }
    deal(order.into_iter(), shape)
}

/// Gives the devices one expert each, in turn.
fn deal(experts: impl Iterator<Item = usize>, shape: Shape) -> LayerPlacement {
    let mut devices = vec![Vec::with_capacity(shape.slots_per_device()); shape.devices];
    for (at, expert) in experts.enumerate() {
        devices[at % shape.devices].push(expert);
    }
    LayerPlacement::of_devices(&devices, shape.experts)
}
