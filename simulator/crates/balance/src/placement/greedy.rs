//! Longest processing time first (Graham 1969), over replicas.

use super::{LayerPlacement, Shape};

/// Gives redundant slots one by one to the expert whose replicas carry most, then places replicas heaviest first, each on
/// the lightest device with room that lacks the expert, or on the lightest with room where none lacks it.
///
/// Worked: loads 5, 4, 3, 2 on two devices of two slots: 5 and 2 beside 4 and 3.
pub(super) fn place(loads: &[f64], shape: Shape) -> LayerPlacement {
    let counts = replicas(loads, shape.slots);
    let share = |expert: usize| shared(loads[expert], counts[expert]);
    let mut order: Vec<usize> = (0..shape.experts)
        .flat_map(|expert| std::iter::repeat_n(expert, counts[expert]))
        .collect();
    order.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
    let mut devices: Vec<Vec<usize>> = vec![Vec::new(); shape.devices];
    let mut held = vec![0.0_f64; shape.devices];
    for expert in order {
        let device = (0..shape.devices)
            .filter(|&device| devices[device].len() < shape.slots_per_device())
            .min_by(|&a, &b| {
                let has = |device: usize| devices[device].contains(&expert);
                has(a).cmp(&has(b)).then(held[a].total_cmp(&held[b]))
            })
            .expect("there are as many slots as replicas");
        devices[device].push(expert);
        held[device] += share(expert);
    }
    LayerPlacement::of_devices(&devices, shape.experts)
}

/// Replicas of each expert when redundant slots go one by one to the expert whose replicas carry most; the lowest of
/// equals.
pub(super) fn replicas(loads: &[f64], slots: usize) -> Vec<usize> {
    let mut counts = vec![1; loads.len()];
    let mut shares = loads.to_vec();
    for _ in loads.len()..slots {
        let most = (1..shares.len()).fold(0, |most, at| if shares[at] > shares[most] { at } else { most });
        counts[most] += 1;
        shares[most] = shared(loads[most], counts[most]);
    }
    counts
}

/// What one of `count` replicas carries.
#[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
fn shared(load: f64, count: usize) -> f64 {
    load / count as f64
}
