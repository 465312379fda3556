//! One layer's placement and split, ready to be held against counts.

use pulp::{Arch, Simd, WithSimd};

use super::{LayerTimes, Loads, Machine, TokenSources};
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
        let starts = (0..devices)
            .map(|device| narrow(placement.slots_of(device).start))
            .chain([narrow(placement.experts().len())])
            .collect();
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
    fn loads<const N: usize>(&self, counts: &[[f32; N]], into: &mut Loads<N>) {
        match &self.alike {
            // Replicas that share alike add the same to their devices.
            Some(alike) => into.of_experts(&self.starts, &self.experts, counts, alike),
            None => into.of_slots(&self.starts, &self.experts, counts, &self.shares),
        }
        let Some(near) = &self.near else {
            return into.all_alike();
        };
        into.from(self.starts.windows(2).map(|ends| {
            let mut ways = [[0.0; N]; 2];
            for slot in ends[0] as usize..ends[1] as usize {
                let all = &counts[self.experts[slot] as usize];
                for (way, share) in ways.iter_mut().zip(near[slot]) {
                    for (way, all) in way.iter_mut().zip(all) {
                        *way += f64::from(all * share);
                    }
                }
            }
            ways
        }));
    }

    /// The terms of this layer's time on `machine`, whose exchanges have `links` of their bandwidth, in `N` steps side by
    /// side.
    #[must_use]
    pub fn time<const N: usize>(
        &self,
        counts: &[[f32; N]],
        sources: &TokenSources,
        (machine, links): (&Machine, f64),
        scratch: &mut Loads<N>,
    ) -> LayerTimes<N> {
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
pub(super) struct Timing<'a, const N: usize> {
    pub(super) compiled: &'a Compiled,
    pub(super) counts: &'a [[f32; N]],
    pub(super) sources: &'a TokenSources,
    pub(super) machine: &'a Machine,
    pub(super) links: f64,
    pub(super) scratch: &'a mut Loads<N>,
}

impl<const N: usize> WithSimd for Timing<'_, N> {
    type Output = LayerTimes<N>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> LayerTimes<N> {
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
        let counts = [[257.0], [3.0], [128.0]];
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
        let devices = (vec![[131.5], [256.5]], vec![[2.0], [2.0]], vec![[320.0], [320.0]]);
        assert_eq!(of(true), devices);
    }
}
