//! Where the replicas of one layer lie.

use std::ops::Range;

/// The replicas of one layer: slots numbered device by device, an expert in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlacement {
    /// The expert of each slot.
    experts: Vec<usize>,
    /// Which replica of its expert each slot holds.
    ranks: Vec<usize>,
    /// The first slot of each device, and the end of the last.
    starts: Vec<usize>,
    /// Replicas of each expert.
    counts: Vec<usize>,
}

impl LayerPlacement {
    /// The placement that gives each of `devices` equally many of the slots, in order.
    ///
    /// # Panics
    /// When the slots do not divide among the devices, or an expert has none.
    #[must_use]
    pub fn even(slots: Vec<usize>, num_experts: usize, devices: usize) -> Self {
        assert!(
            slots.len().is_multiple_of(devices),
            "equally many slots on every device"
        );
        let each = slots.len() / devices;
        let starts = (0..=devices).map(|device| device * each).collect();
        Self::new(slots, starts, num_experts)
    }

    /// The placement of these lists of experts, one per device.
    ///
    /// # Panics
    /// When an expert lies nowhere.
    #[must_use]
    pub fn of_devices(devices: &[Vec<usize>], num_experts: usize) -> Self {
        let mut starts = vec![0];
        for device in devices {
            starts.push(starts[starts.len() - 1] + device.len());
        }
        Self::new(devices.concat(), starts, num_experts)
    }

    fn new(experts: Vec<usize>, starts: Vec<usize>, num_experts: usize) -> Self {
        let mut counts = vec![0; num_experts];
        let ranks = experts
            .iter()
            .map(|&expert| {
                counts[expert] += 1;
                counts[expert] - 1
            })
            .collect();
        assert!(
            counts.iter().all(|&count| count > 0),
            "every expert lies somewhere"
        );
        Self {
            experts,
            ranks,
            starts,
            counts,
        }
    }

    /// The placement with equally many slots on every device, whose placer has numbered and counted the replicas.
    pub(super) fn numbered(
        experts: Vec<usize>,
        ranks: Vec<usize>,
        counts: Vec<usize>,
        devices: usize,
    ) -> Self {
        assert!(
            ranks.len() == experts.len() && experts.len().is_multiple_of(devices),
            "a number for every slot, and equally many slots on every device"
        );
        let each = experts.len() / devices;
        Self {
            starts: (0..=devices).map(|device| device * each).collect(),
            experts,
            ranks,
            counts,
        }
    }

    /// The expert of each slot.
    #[must_use]
    pub fn experts(&self) -> &[usize] {
        &self.experts
    }

    /// Which replica of its expert each slot holds.
    #[must_use]
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// Replicas of each expert.
    #[must_use]
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// How many devices there are.
    #[must_use]
    pub const fn num_devices(&self) -> usize {
        self.starts.len() - 1
    }

    /// The slots of a device.
    #[must_use]
    pub fn slots_of(&self, device: usize) -> Range<usize> {
        self.starts[device]..self.starts[device + 1]
    }

    /// The experts of a device, slot by slot.
    #[must_use]
    pub fn on(&self, device: usize) -> &[usize] {
        &self.experts[self.slots_of(device)]
    }

    /// The experts of every device, slot by slot.
    pub fn devices(&self) -> impl Iterator<Item = &[usize]> {
        (0..self.num_devices()).map(|device| self.on(device))
    }

    /// The device of every slot.
    #[must_use]
    pub fn device_of_slots(&self) -> Vec<usize> {
        (0..self.num_devices())
            .flat_map(|device| self.slots_of(device).map(move |_| device))
            .collect()
    }

    /// The load of each device when the replicas of an expert share its load equally.
    #[must_use]
    pub fn device_loads(&self, loads: &[f64]) -> Vec<f64> {
        self.devices()
            .map(|device| device.iter().map(|&expert| self.share(expert, loads)).sum())
            .collect()
    }

    /// What one replica of an expert carries when they share equally.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
    pub fn share(&self, expert: usize, loads: &[f64]) -> f64 {
        loads[expert] / self.counts[expert] as f64
    }

    /// Largest over mean load of a device when replicas share equally; 1 where nothing is loaded.
    ///
    /// Worked: devices with 3 and 1 tokens: 1.5.
    #[must_use]
    pub fn imbalance(&self, loads: &[f64]) -> f64 {
        max_over_mean(&self.device_loads(loads))
    }

    /// Replicas that share their device with another of the same expert: they take a slot and balance nothing.
    #[must_use]
    pub fn num_wasted(&self) -> usize {
        let wasted = |device: &[usize]| {
            let mut sorted = device.to_vec();
            sorted.sort_unstable();
            sorted.windows(2).filter(|pair| pair[0] == pair[1]).count()
        };
        self.devices().map(wasted).sum()
    }

    /// Replicas that a device would have to fetch to come from `before` to this placement.
    #[must_use]
    pub fn num_moved(&self, before: &Self) -> usize {
        (0..self.num_devices())
            .map(|device| {
                let mut had = before.on(device).to_vec();
                let fetched = |&&expert: &&usize| match had.iter().position(|&other| other == expert) {
                    Some(at) => {
                        had.swap_remove(at);
                        false
                    }
                    None => true,
                };
                self.on(device).iter().filter(fetched).count()
            })
            .sum()
    }
}

/// Largest over mean; 1 where all is zero.
///
/// Worked: 3 and 1: 1.5.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are few devices")]
pub fn max_over_mean(loads: &[f64]) -> f64 {
    let sum: f64 = loads.iter().sum();
    if sum <= 0.0 {
        return 1.0;
    }
    loads.iter().copied().fold(0.0, f64::max) * loads.len() as f64 / sum
}
