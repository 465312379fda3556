//! FasterMoE's dynamic shadowing (He et al. 2022): the hottest experts on every device, while that pays.

use orrery_units::SimDuration;

use super::{LayerPlacement, Shape, simple};

/// What the tokens and the parameters of an expert cost, as FasterMoE's model of an iteration has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertCost {
    /// A token through an expert, forward and backward: `3 · 4 a H² / F` for width `H`, inner width `a H` and rate `F`.
    pub compute: SimDuration,
    /// A token to its expert and back, forward and backward: `4 · 4 H / B` for 4-byte values and bandwidth `B`.
    pub exchange: SimDuration,
    /// The parameters of an expert to every device, and its gradients back: `2 a H² · 4 / B`.
    pub broadcast: SimDuration,
}

/// Experts in order, and beside them on every device the `i` hottest, `i` the number that makes the iteration shortest:
///
/// `(compute + exchange) · L_i + i · broadcast`, where `L_i` is the load of the busiest device without the `i` hottest
/// experts. With one expert a device `L_i` is the load of the next hottest, and this is FasterMoE's own rule; it stops
/// at the first `i` that no longer helps, as that does.
///
/// Worked: loads 10, 2, 2, 2 on four devices, one second a token, three seconds a shadow: 10 s without, 3 + 2 = 5 s
/// with one, so the first expert is shadowed, and no other.
pub(super) fn place(loads: &[f64], shape: Shape, cost: &ExpertCost) -> LayerPlacement {
    let start = simple::contiguous(shape);
    let token = cost.compute.as_secs() + cost.exchange.as_secs();
    let mut order: Vec<usize> = (0..shape.experts).collect();
    order.sort_by(|&a, &b| loads[b].total_cmp(&loads[a]));
    let mut rest = loads.to_vec();
    let busiest = |rest: &[f64]| start.device_loads(rest).into_iter().fold(0.0, f64::max);
    let mut best = token * busiest(&rest);
    let mut broadcast = 0.0;
    let mut shadows = Vec::new();
    for expert in order {
        rest[expert] = 0.0;
        broadcast += cost.broadcast.as_secs();
        let time = token * busiest(&rest) + broadcast;
        if time >= best {
            break;
        }
        best = time;
        shadows.push(expert);
    }
    let with_shadows = |device: &[usize]| {
        let lacking = shadows.iter().filter(|expert| !device.contains(expert));
        device.iter().chain(lacking).copied().collect()
    };
    let devices: Vec<Vec<usize>> = start.devices().map(with_shadows).collect();
    LayerPlacement::of_devices(&devices, shape.experts)
}
