//! Replicas on their way to another device, as bytes on ports.

use orrery_units::{Bytes, SimDuration};

use super::Machine;
use crate::placement::LayerPlacement;

/// A replica that a device fetches from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The expert.
    pub expert: usize,
    /// The device that has it.
    pub from: usize,
    /// The device that lacks it.
    pub to: usize,
}

/// Moves as bytes on the ports of devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Every move.
    pub moves: Vec<Move>,
    /// Bytes of all.
    pub bytes: Bytes,
    /// Seconds of the busiest port with its link to itself.
    pub time: SimDuration,
}

/// What devices fetch to come from `old` to `new` in each of the layers: from a device of their own node where one has
/// the expert, else from the one that has sent least.
#[must_use]
pub fn traffic<'a>(
    layers: impl Iterator<Item = (&'a LayerPlacement, &'a LayerPlacement)>,
    machine: &Machine,
) -> Traffic {
    let mut moves = Vec::new();
    let mut ports = Ports::default();
    for (old, new) in layers {
        ports.fit(new.num_devices());
        for to in 0..new.num_devices() {
            let mut had: Vec<usize> = old.on(to).to_vec();
            for &expert in new.on(to) {
                if let Some(at) = had.iter().position(|&other| other == expert) {
                    had.swap_remove(at);
                } else if let Some(from) = ports.source(old, expert, to, machine.exchange.devices_per_node())
                {
                    ports.send(from, to, machine.exchange.devices_per_node());
                    moves.push(Move { expert, from, to });
                }
            }
        }
    }
    let count = u64::try_from(moves.len()).unwrap_or(u64::MAX);
    let expert = machine.expert_bytes.as_f64();
    Traffic {
        bytes: Bytes::new(machine.expert_bytes.get() * count),
        time: SimDuration::from_secs(
            ports.busiest(expert / machine.network.get(), expert / machine.node.get()),
        ),
        moves,
    }
}

/// Experts that crossed each port.
#[derive(Default)]
struct Ports {
    network_out: Vec<u32>,
    network_in: Vec<u32>,
    node_out: Vec<u32>,
    node_in: Vec<u32>,
}

impl Ports {
    fn fit(&mut self, devices: usize) {
        for port in [
            &mut self.network_out,
            &mut self.network_in,
            &mut self.node_out,
            &mut self.node_in,
        ] {
            port.resize(devices, 0);
        }
    }

    /// Who sends `expert` to `to`; nobody when it lies there already, as a second replica.
    fn source(&self, old: &LayerPlacement, expert: usize, to: usize, per_node: usize) -> Option<usize> {
        let holders = (0..old.num_devices()).filter(|&device| old.on(device).contains(&expert));
        let best = holders.min_by_key(|&device| {
            let sent = self.network_out[device] + self.node_out[device];
            (device != to, device / per_node != to / per_node, sent, device)
        })?;
        (best != to).then_some(best)
    }

    fn send(&mut self, from: usize, to: usize, per_node: usize) {
        if from / per_node == to / per_node {
            self.node_out[from] += 1;
            self.node_in[to] += 1;
        } else {
            self.network_out[from] += 1;
            self.network_in[to] += 1;
        }
    }

    fn busiest(&self, network: f64, node: f64) -> f64 {
        let most = |ports: [&Vec<u32>; 2]| f64::from(ports.into_iter().flatten().copied().max().unwrap_or(0));
        (network * most([&self.network_out, &self.network_in]))
            .max(node * most([&self.node_out, &self.node_in]))
    }
}
