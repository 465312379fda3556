//! One layer's placement and split, ready to be held against counts.

use super::{LayerTime, Loads, Machine};
use crate::placement::{Dispatch, LayerPlacement, Sources, near_shares, nearest_slot, shares};

/// A layer's slots with the shares of their experts' tokens.
#[derive(Clone, Debug)]
pub struct Compiled {
    placement: LayerPlacement,
    /// By slot: its expert.
    experts: Vec<u32>,
    /// By slot: the share of its expert's tokens.
    shares: Vec<f32>,
    /// First slot of each device, and the end.
    starts: Vec<u32>,
    /// By expert: the share of each of its replicas, where they share alike.
    alike: Option<Vec<f32>>,
    /// Shares of a slot's tokens that come from its node and from other nodes, where they differ by slot.
    near: Option<Vec<[f32; 2]>>,
    /// The same of any slot otherwise.
    even: [f64; 2],
}

impl Compiled {
    /// `placement` with tokens sent by `dispatch`; `loads` are what shares shall balance, where they balance any.
    #[must_use]
    pub fn new(
        placement: LayerPlacement,
        dispatch: Dispatch,
        loads: &[f64],
        devices_per_node: usize,
    ) -> Self {
        let sources = Sources { devices_per_node };
        let given = shares(&placement, dispatch, loads, sources);
        #[expect(clippy::cast_possible_truncation, reason = "shares in single precision")]
        let shares = given.iter().map(|&share| share as f32).collect();
        let devices = placement.num_devices();
        let narrow = |number: usize| u32::try_from(number).expect("a layer has fewer than 2^32 slots");
        let starts = (0..devices)
            .map(|device| narrow(placement.slots_of(device).start))
            .chain([narrow(placement.experts().len())])
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
        let even = {
            let (all, node) = (devices as f64, devices_per_node.min(devices) as f64);
            [(node - 1.0) / all, (all - node) / all]
        };
        let near = (dispatch == Dispatch::Nearest).then(|| near_shares(&placement, sources));
        #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
        let share = |&replicas: &usize| (replicas as f32).recip();
        let alike =
            (dispatch == Dispatch::RoundRobin).then(|| placement.counts().iter().map(share).collect());
        Self {
            experts: placement.experts().iter().map(|&expert| narrow(expert)).collect(),
            shares,
            starts,
            alike,
            near,
            even,
            placement,
        }
    }

    /// Where the replicas lie.
    #[must_use]
    pub const fn placement(&self) -> &LayerPlacement {
        &self.placement
    }

    /// The share of its expert's tokens that each slot gets.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        self.shares.iter().copied().map(f64::from)
    }

    /// Where the tokens of the device `from` go: expert, device, and the share of that expert's tokens of `from`.
    #[must_use]
    pub fn reached_from(&self, from: usize, devices_per_node: usize) -> Vec<(usize, usize, f64)> {
        let placement = &self.placement;
        let device_of = placement.device_of_slots();
        if self.near.is_none() {
            let slots = placement.experts().iter().zip(device_of).zip(self.shares());
            return slots
                .map(|((&expert, device), share)| (expert, device, share))
                .collect();
        }
        let sources = Sources { devices_per_node };
        (0..placement.counts().len())
            .map(|expert| {
                (
                    expert,
                    device_of[nearest_slot(placement, expert, from, sources)],
                    1.0,
                )
            })
            .collect()
    }

    /// What every device has to do with these counts.
    pub fn loads(&self, counts: &[f32], into: &mut Loads) {
        match &self.alike {
            // Replicas that share alike add the same to their devices.
            Some(alike) => into.of_experts(&self.starts, &self.experts, counts, alike),
            None => into.of_slots(&self.starts, &self.experts, counts, &self.shares),
        }
        into.clear_ways();
        match &self.near {
            Some(near) => self.each_device(|slots| {
                let (mut node, mut network) = (0.0, 0.0);
                for slot in slots {
                    let all = counts[self.experts[slot] as usize];
                    node += f64::from(all * near[slot][0]);
                    network += f64::from(all * near[slot][1]);
                }
                into.add_near([node, network]);
            }),
            None => into.all_from(self.even),
        }
    }

    /// Calls `of` with the slots of every device.
    fn each_device(&self, mut of: impl FnMut(std::ops::Range<usize>)) {
        for ends in self.starts.windows(2) {
            of(ends[0] as usize..ends[1] as usize);
        }
    }

    /// The terms of this layer's time on `machine`, whose exchanges have `links` of their bandwidth.
    #[must_use]
    pub fn time(&self, counts: &[f32], machine: &Machine, links: f64, scratch: &mut Loads) -> LayerTime {
        self.loads(counts, scratch);
        machine.layer(scratch, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices with experts 0, 1 and 0, 2: replicas that share alike add what each would alone.
    #[test]
    fn replicas_that_share_alike_add_what_each_would() {
        let placement = LayerPlacement::even(vec![0, 1, 0, 2], 3, 2);
        let counts = [257.0, 3.0, 128.0];
        let of = |alike: bool| {
            let mut compiled = Compiled::new(placement.clone(), Dispatch::RoundRobin, &[], 1);
            if !alike {
                compiled.alike = None;
            }
            let mut loads = Loads::default();
            compiled.loads(&counts, &mut loads);
            loads.devices().collect::<Vec<_>>()
        };
        assert_eq!(of(true), of(false));
        let rows: Vec<f64> = of(true).iter().map(|device| device.rows).collect();
        assert_eq!(rows, [131.5, 256.5]);
    }
}
