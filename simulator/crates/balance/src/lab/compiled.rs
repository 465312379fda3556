//! One layer's placement and split, ready to be held against counts.

use orrery_units::SimDuration;

use super::Machine;
use crate::placement::{Dispatch, LayerPlacement, Sources, near_shares, nearest_slot, shares};

/// Rows of a tile of the grouped product.
const TILE: u32 = 128;

/// A layer's slots with the shares of their experts' tokens.
#[derive(Clone, Debug)]
pub struct Compiled {
    placement: LayerPlacement,
    slots: Vec<Slot>,
    /// First slot of each device, and the end.
    starts: Vec<u32>,
    /// Shares of a slot's tokens that come from its node and from other nodes, where they differ by slot.
    near: Option<Vec<[f32; 2]>>,
    /// The same of any slot otherwise.
    even: [f64; 2],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    expert: u32,
    share: f32,
}

/// What one device has to do in a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceLoad {
    /// Rows of its experts.
    pub rows: f64,
    /// Experts with a row.
    pub active: f64,
    /// Rows with every expert's filled up to tiles.
    pub padded: f64,
    /// Rows from other devices of its node.
    pub from_node: f64,
    /// Rows from other nodes.
    pub from_network: f64,
}

/// The terms of a layer's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerTime {
    /// Dispatch, by its busiest port.
    pub dispatch: f64,
    /// Experts of the slowest device.
    pub experts: f64,
    /// Combine, by its busiest port.
    pub combine: f64,
    /// What a device waits at combine, in the mean.
    pub wait: f64,
    /// Largest over mean rows of a device.
    pub imbalance: f64,
}

impl LayerTime {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> f64 {
        self.dispatch + self.experts + self.combine
    }

    /// The same as a duration of the simulator.
    #[must_use]
    pub fn duration(&self) -> SimDuration {
        SimDuration::from_secs(self.total())
    }
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
        #[expect(
            clippy::cast_possible_truncation,
            reason = "shares in single precision, experts in 32 bits"
        )]
        let slot = |(&expert, &share): (&usize, &f64)| Slot {
            expert: expert as u32,
            share: share as f32,
        };
        let devices = placement.num_devices();
        let narrow = |slot: usize| u32::try_from(slot).expect("a layer has fewer than 2^32 slots");
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
        Self {
            slots: placement.experts().iter().zip(&given).map(slot).collect(),
            starts,
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
        self.slots.iter().map(|slot| f64::from(slot.share))
    }

    /// Where the tokens of the device `from` go: expert, device, and the share of that expert's tokens of `from`.
    #[must_use]
    pub fn reached_from(&self, from: usize, devices_per_node: usize) -> Vec<(usize, usize, f64)> {
        let placement = &self.placement;
        let device_of = placement.device_of_slots();
        if self.near.is_none() {
            let slots = self.slots.iter().zip(device_of);
            return slots
                .map(|(slot, device)| (slot.expert as usize, device, f64::from(slot.share)))
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
    pub fn loads(&self, counts: &[f32], into: &mut Vec<DeviceLoad>) {
        into.clear();
        into.extend(self.starts.windows(2).map(|ends| {
            let range = ends[0] as usize..ends[1] as usize;
            match &self.near {
                None => self.even_load(&self.slots[range], counts),
                Some(near) => near_load(&self.slots[range.clone()], &near[range], counts),
            }
        }));
    }

    fn even_load(&self, slots: &[Slot], counts: &[f32]) -> DeviceLoad {
        let [node, network] = self.even;
        let load = sums(slots, counts);
        DeviceLoad {
            from_node: load.rows * node,
            from_network: load.rows * network,
            ..load
        }
    }

    /// The terms of this layer's time on `machine`, whose exchanges have `links` of their bandwidth.
    #[must_use]
    pub fn time(
        &self,
        counts: &[f32],
        machine: &Machine,
        links: f64,
        scratch: &mut Vec<DeviceLoad>,
    ) -> LayerTime {
        self.loads(counts, scratch);
        machine.layer(scratch, links)
    }
}

impl Machine {
    /// The terms of the time of a layer whose devices have these loads.
    ///
    /// `dispatch = latency + max(network rows · bytes / rate, node rows · bytes / rate)` over devices; combine likewise
    /// the other way; between them the slowest device's experts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    pub fn layer(&self, devices: &[DeviceLoad], links: f64) -> LayerTime {
        let (mut slowest, mut sum, mut most, mut rows) = (0.0_f64, 0.0, 0.0_f64, 0.0);
        let (mut node, mut network) = (0.0_f64, 0.0_f64);
        for device in devices {
            let seconds = self.device_seconds(device);
            slowest = slowest.max(seconds);
            sum += seconds;
            most = most.max(device.rows);
            rows += device.rows;
            node = node.max(device.from_node);
            network = network.max(device.from_network);
        }
        let count = devices.len() as f64;
        let exchange = |token: f64| {
            let ports = (network * token / self.network.get()).max(node * token / self.node.get());
            self.passes.exchanges * (self.latency.as_secs() + ports / links)
        };
        LayerTime {
            dispatch: exchange(self.dispatch_token.as_f64()),
            experts: slowest,
            combine: exchange(self.combine_token.as_f64()),
            // Rounding may leave less than nothing where all are alike.
            wait: (slowest - sum / count).max(0.0),
            imbalance: if rows > 0.0 { most * count / rows } else { 1.0 },
        }
    }

    /// The time of a device's experts in a step.
    #[must_use]
    pub fn device_seconds(&self, device: &DeviceLoad) -> f64 {
        self.passes.products * self.experts.seconds(device.rows, device.active, device.padded)
    }
}

/// Rows, active experts and padded rows of a device's slots.
fn sums(slots: &[Slot], counts: &[f32]) -> DeviceLoad {
    let (mut rows, mut active, mut tiles) = (0.0_f32, 0.0_f32, 0_u32);
    for slot in slots {
        let load = counts[slot.expert as usize] * slot.share;
        rows += load;
        // A share of a row is a row in so many steps.
        active += load.min(1.0);
        tiles += tiles_of(load);
    }
    DeviceLoad {
        rows: f64::from(rows),
        active: f64::from(active),
        padded: f64::from(tiles * TILE).max(f64::from(rows)),
        ..DeviceLoad::default()
    }
}

/// Tiles that hold so many rows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "loads are not negative, and casting cuts"
)]
fn tiles_of(load: f32) -> u32 {
    // 127 of 128 added: a whole number of tiles stays what it is, a row more is a tile more.
    // Not `mul_add`: where the machine has no such instruction it is a call, and this is the innermost loop.
    (load * (1.0 / 128.0) + 127.0 / 128.0) as u32
}

fn near_load(slots: &[Slot], near: &[[f32; 2]], counts: &[f32]) -> DeviceLoad {
    let mut load = sums(slots, counts);
    for (slot, [node, network]) in slots.iter().zip(near) {
        let all = counts[slot.expert as usize];
        load.from_node += f64::from(all * node);
        load.from_network += f64::from(all * network);
    }
    load
}
