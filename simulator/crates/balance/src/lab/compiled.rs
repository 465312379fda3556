//! One layer's placement and split, ready to be held against counts.

use pulp::{Arch, Simd, WithSimd};

use super::loads::Rounds;
use super::{LayerTime, Loads, Machine, TokenSources};
use crate::placement::{
    Dispatch, LayerPlacement, Sources, near_shares, nearest_slots, shares, slots_by_expert,
};

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
    /// What lies in the slots of devices: experts where their replicas share alike, else a part for every slot.
    rounds: Rounds,
    /// By expert: the share of each of its replicas, where they share alike.
    alike: Option<Vec<f32>>,
    /// Shares of a slot's tokens that come from its node and from other nodes, where they differ by slot.
    near: Option<Vec<[f32; 2]>>,
}

impl Compiled {
    /// `placement` with tokens sent by `dispatch`; `loads` are what shares shall balance, where they balance any.
    #[must_use]
    pub fn new(placement: LayerPlacement, dispatch: Dispatch, loads: &[f64], sources: Sources<'_>) -> Self {
        let given = shares(&placement, dispatch, loads, sources);
        #[expect(clippy::cast_possible_truncation, reason = "shares in single precision")]
        let shares = given.iter().map(|&share| share as f32).collect();
        let devices = placement.num_devices();
        let narrow = |number: usize| u32::try_from(number).expect("a layer has fewer than 2^32 slots");
        let starts: Vec<u32> = (0..devices)
            .map(|device| narrow(placement.slots_of(device).start))
            .chain([narrow(placement.experts().len())])
            .collect();
        let near = (dispatch == Dispatch::Nearest).then(|| near_shares(&placement, sources));
        #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
        let share = |&replicas: &usize| (replicas as f32).recip();
        let alike: Option<Vec<f32>> =
            (dispatch == Dispatch::RoundRobin).then(|| placement.counts().iter().map(share).collect());
        let experts: Vec<u32> = placement.experts().iter().map(|&expert| narrow(expert)).collect();
        Self {
            rounds: if alike.is_some() {
                Rounds::new(&starts, &experts, placement.counts().len())
            } else {
                let slots: Vec<u32> = (0..narrow(experts.len())).collect();
                Rounds::new(&starts, &slots, slots.len())
            },
            experts,
            shares,
            starts,
            alike,
            near,
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

    /// Calls `each` with where tokens go: the device that they come from, the expert, its device, and the share of that
    /// expert's tokens of the first.
    pub(super) fn ways(&self, sources: Sources<'_>, mut each: impl FnMut(usize, usize, usize, f64)) {
        let placement = &self.placement;
        let (device_of, devices) = (placement.device_of_slots(), placement.num_devices());
        for (expert, slots) in slots_by_expert(placement).into_iter().enumerate() {
            if self.near.is_some() {
                for (from, slot) in nearest_slots(&slots, &device_of, devices, sources)
                    .into_iter()
                    .enumerate()
                {
                    each(from, expert, device_of[slot], 1.0);
                }
            } else {
                for from in 0..devices {
                    for &slot in &slots {
                        each(from, expert, device_of[slot], f64::from(self.shares[slot]));
                    }
                }
            }
        }
    }

    /// What every device has to do with these counts, but for its ports.
    #[inline(always)]
    pub(super) fn loads(&self, counts: &[f32], into: &mut Loads) {
        match &self.alike {
            // Replicas that share alike add the same to their devices.
            Some(alike) => into.of_experts(&self.rounds, counts, alike),
            None => into.of_slots(&self.rounds, &self.experts, counts, &self.shares),
        }
        let Some(near) = &self.near else {
            return into.all_alike();
        };
        into.from(self.starts.windows(2).map(|ends| {
            let (mut node, mut network) = (0.0, 0.0);
            for slot in ends[0] as usize..ends[1] as usize {
                let all = counts[self.experts[slot] as usize];
                node += f64::from(all * near[slot][0]);
                network += f64::from(all * near[slot][1]);
            }
            [node, network]
        }));
    }

    /// The terms of this layer's time on `machine`, whose exchanges have `links` of their bandwidth.
    #[must_use]
    pub fn time(
        &self,
        counts: &[f32],
        sources: &TokenSources,
        (machine, links): (&Machine, f64),
        scratch: &mut Loads,
    ) -> LayerTime {
        Arch::new().dispatch(Timing {
            compiled: self,
            counts,
            sources,
            machine,
            links,
            scratch,
        })
    }
}

/// [`Compiled::time`], compiled once for every width of vectors that processors have: the same to the last bit.
struct Timing<'a> {
    compiled: &'a Compiled,
    counts: &'a [f32],
    sources: &'a TokenSources,
    machine: &'a Machine,
    links: f64,
    scratch: &'a mut Loads,
}

impl WithSimd for Timing<'_> {
    type Output = LayerTime;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> LayerTime {
        self.compiled.loads(self.counts, self.scratch);
        self.machine.exchange.ports(self.scratch, self.sources);
        self.machine.layer(self.scratch, self.links)
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
            let sources = Sources {
                devices_per_node: 1,
                shares: &[],
            };
            let mut compiled = Compiled::new(placement.clone(), Dispatch::RoundRobin, &[], sources);
            if !alike {
                compiled.alike = None;
            }
            let mut loads = Loads::default();
            compiled.loads(&counts, &mut loads);
            (loads.rows, loads.active, loads.padded)
        };
        assert_eq!(of(true), of(false));
        // 128.5 and 3 rows fill one and a half tiles and one; 128.5 and 128 one and a half and one.
        assert_eq!(of(true), (vec![131.5, 256.5], vec![2.0, 2.0], vec![320.0, 320.0]));
    }
}
