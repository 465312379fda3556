//! Local search over the slots of one layer: exchanges, and slots given to another expert, that lower the load of the
//! busiest device and never put two replicas of an expert on one device.

use super::{LayerPlacement, max_over_mean};

/// The least share of the busiest load that a move must take from it: smaller ones are rounding.
const LEAST_GAIN: f64 = 1e-9;

/// A placement under change.
pub(super) struct Search<'a> {
    loads: &'a [f64],
    devices: Vec<Vec<usize>>,
    counts: Vec<usize>,
    held: Vec<f64>,
}

/// Where two slots change places.
#[derive(Clone, Copy)]
struct Swap {
    from: (usize, usize),
    with: (usize, usize),
}

/// The busiest device and its load; the lowest of equals.
pub(super) fn busiest(held: &[f64]) -> (usize, f64) {
    held.iter()
        .copied()
        .zip(0..)
        .fold((0, f64::NEG_INFINITY), |(most, load), (held, device)| {
            if held > load { (device, held) } else { (most, load) }
        })
}

impl<'a> Search<'a> {
    /// A search from `start`.
    pub(super) fn from(start: &LayerPlacement, loads: &'a [f64]) -> Self {
        Self {
            loads,
            devices: start.devices().map(<[usize]>::to_vec).collect(),
            counts: start.counts().to_vec(),
            held: start.device_loads(loads),
        }
    }

    /// What was found.
    pub(super) fn placement(&self) -> LayerPlacement {
        LayerPlacement::of_devices(&self.devices, self.counts.len())
    }

    /// Largest over mean load of a device.
    pub(super) fn imbalance(&self) -> f64 {
        max_over_mean(&self.held)
    }

    /// Makes the move that relieves the busiest device most: an exchange, or else a slot for its heaviest expert.
    pub(super) fn relieve(&mut self) -> bool {
        self.swap() || self.give()
    }

    #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
    fn share(&self, expert: usize) -> f64 {
        self.loads[expert] / self.counts[expert] as f64
    }

    fn has(&self, device: usize, expert: usize) -> bool {
        self.devices[device].contains(&expert)
    }

    fn apply(&mut self, swap: Swap) {
        let (a, b) = (
            self.devices[swap.from.0][swap.from.1],
            self.devices[swap.with.0][swap.with.1],
        );
        self.devices[swap.from.0][swap.from.1] = b;
        self.devices[swap.with.0][swap.with.1] = a;
        let change = self.share(a) - self.share(b);
        self.held[swap.from.0] -= change;
        self.held[swap.with.0] += change;
    }

    /// Exchanges every second replica of an expert on a device for what changes the loads least, where that makes no
    /// other duplicate.
    pub(super) fn part_duplicates(&mut self) {
        for device in 0..self.devices.len() {
            for slot in 1..self.devices[device].len() {
                let expert = self.devices[device][slot];
                if self.devices[device][..slot].contains(&expert) {
                    self.part(device, slot, expert);
                }
            }
        }
    }

    fn part(&mut self, device: usize, slot: usize, expert: usize) {
        let mut best: Option<(f64, Swap)> = None;
        for other in (0..self.devices.len()).filter(|&other| other != device && !self.has(other, expert)) {
            for (at, &found) in self.devices[other].iter().enumerate() {
                if self.has(device, found) {
                    continue;
                }
                let change = self.share(expert) - self.share(found);
                let worst = (self.held[device] - change).max(self.held[other] + change);
                if best.is_none_or(|(least, _)| worst < least) {
                    let swap = Swap {
                        from: (device, slot),
                        with: (other, at),
                    };
                    best = Some((worst, swap));
                }
            }
        }
        if let Some((_, swap)) = best {
            self.apply(swap);
        }
    }

    /// Exchanges a slot of the busiest device for one of another, if that lowers the larger of the two loads; the
    /// exchange that lowers it most.
    fn swap(&mut self) -> bool {
        let (device, load) = busiest(&self.held);
        let mut best: Option<(f64, Swap)> = None;
        for slot in 0..self.devices[device].len() {
            let expert = self.devices[device][slot];
            let share = self.share(expert);
            for other in (0..self.devices.len()).filter(|&other| other != device && !self.has(other, expert))
            {
                for (at, &found) in self.devices[other].iter().enumerate() {
                    let change = share - self.share(found);
                    let worst = (load - change).max(self.held[other] + change);
                    let better = best.is_none_or(|(least, _)| worst < least);
                    if change > 0.0 && better && worst < load * (1.0 - LEAST_GAIN) && !self.has(device, found)
                    {
                        let swap = Swap {
                            from: (device, slot),
                            with: (other, at),
                        };
                        best = Some((worst, swap));
                    }
                }
            }
        }
        best.is_some_and(|(_, swap)| {
            self.apply(swap);
            true
        })
    }

    /// Gives a slot of an expert with several replicas to the heaviest expert of the busiest device, if no device is
    /// then as busy as that one was; the slot that leaves the busiest least loaded.
    fn give(&mut self) -> bool {
        let (device, load) = busiest(&self.held);
        let mut heaviest = self.devices[device].clone();
        heaviest.sort_by(|&a, &b| self.share(b).total_cmp(&self.share(a)));
        let Some(&expert) = heaviest.first() else {
            return false;
        };
        let mut best: Option<(f64, (usize, usize))> = None;
        for other in (0..self.devices.len()).filter(|&other| other != device && !self.has(other, expert)) {
            for (at, &victim) in self.devices[other].iter().enumerate() {
                if self.counts[victim] > 1 {
                    let worst = self.worst_after_giving(other, victim, expert);
                    if worst < load * (1.0 - LEAST_GAIN) && best.is_none_or(|(least, _)| worst < least) {
                        best = Some((worst, (other, at)));
                    }
                }
            }
        }
        let Some((_, (other, at))) = best else {
            return false;
        };
        let victim = self.devices[other][at];
        self.devices[other][at] = expert;
        self.counts[victim] -= 1;
        self.counts[expert] += 1;
        self.held = self.loads_of_devices();
        true
    }

    /// The busiest load after `device` gave a slot of `victim` to `expert`.
    #[expect(clippy::cast_precision_loss, reason = "an expert has few replicas")]
    fn worst_after_giving(&self, device: usize, victim: usize, expert: usize) -> f64 {
        let fewer = self.loads[victim] / (self.counts[victim] - 1) as f64;
        let more = self.loads[expert] / (self.counts[expert] + 1) as f64;
        let (was_victim, was_expert) = (self.share(victim), self.share(expert));
        let load = |(at, held): (usize, &f64)| {
            let count = |of: usize| self.devices[at].iter().filter(|&&expert| expert == of).count() as f64;
            let (victims, experts) = (count(victim), count(expert));
            let given = if at == device { more - fewer } else { 0.0 };
            held + victims * (fewer - was_victim) + experts * (more - was_expert) + given
        };
        self.held
            .iter()
            .enumerate()
            .map(|(at, held)| load((at, held)))
            .fold(0.0, f64::max)
    }

    fn loads_of_devices(&self) -> Vec<f64> {
        let load = |device: &Vec<usize>| device.iter().map(|&expert| self.share(expert)).sum();
        self.devices.iter().map(load).collect()
    }
}
