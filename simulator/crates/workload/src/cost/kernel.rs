//! What a cost is: a kernel's time and demand, a transfer's latency and bound.

use orrery_profile::{Term, Tuning};
use orrery_taskgraph::{Demand, Work};
use orrery_units::{Bytes, BytesPerSec, Evidence, Flops, PathId, SimDuration};

/// What kind of work a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labour {
    /// Matrix products.
    Products,
    /// Matrix products grouped by expert.
    Experts,
    /// Attention cores.
    Attention,
    /// Passes over memory.
    Passes,
}

impl Labour {
    /// Every kind, in the order of [`Kernel::spent`].
    pub const ALL: [Self; 4] = [Self::Products, Self::Experts, Self::Attention, Self::Passes];
}

/// Time and demand of one kernel, or of several run one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kernel {
    /// Time with the device to itself.
    pub alone: SimDuration,
    /// Share of the device it needs at full speed, averaged over its time.
    pub demand: Demand,
    /// Operations that count.
    pub flops: Flops,
    /// Memory traffic.
    pub bytes: Bytes,
    /// Time by evidence, in the order of [`Evidence::ALL`].
    pub backed: [SimDuration; 4],
    /// Time by kind of work, in the order of [`Labour::ALL`].
    pub spent: [SimDuration; 4],
    /// Of the time in matrix products, that of products whose rows are no whole vectors.
    pub unaligned: SimDuration,
    /// Kernels that the host issues for it.
    pub launches: u32,
}

/// One kernel, or several alike: it does one kind of work, and one kind of evidence is behind its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Single {
    /// Time with the device to itself.
    pub alone: SimDuration,
    /// Share of the device it needs at full speed.
    pub demand: Demand,
    /// Operations that count.
    pub flops: Flops,
    /// Memory traffic.
    pub bytes: Bytes,
    /// What its time rests on.
    pub evidence: Evidence,
    /// What kind of work it does.
    pub labour: Labour,
    /// Whether it is no product, or one whose rows are whole vectors.
    pub is_aligned: bool,
    /// Kernels that the host issues for it.
    pub launches: u32,
}

/// Launches of kernels that the host could issue in the time in which it issues a collective between them, with its events
/// and waits on both streams: from one to two devices, vTrain's host takes 0.08 ms longer for each of the four collectives
/// of a layer, and about 8 us for a kernel.
pub(crate) const COLLECTIVE_LAUNCHES: u32 = 10;

/// Seconds that a host which issues for `host` seconds and a device that computes for `device` seconds wait for each other,
/// beside the longer of the two: what is decided by a result, such as how many tokens an expert got, is issued only when
/// the result is there, and the device has nothing to do until then.
///
/// Worked: a share of 0.2 of 3 ms and 2 ms: 0.4 ms, so that 3.4 ms pass.
#[must_use]
pub fn waits(tuning: &Tuning, host: f64, device: f64) -> f64 {
    tuning.get(Term::Waits) * host.min(device)
}

/// What a host has issued and its device has computed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Issued {
    host: SimDuration,
    device: SimDuration,
}

impl Issued {
    /// `kernel`, and the time in which the host issues it at `issue` for each launch, both with what they wait for each other.
    ///
    /// A host runs ahead over many kernels: what it waits for its device is that of both sums, so that the kernels of a pass
    /// wait together for as long as [`waits`] says of the pass, however it is cut.
    pub(crate) fn add(
        &mut self,
        kernel: Kernel,
        issue: SimDuration,
        tuning: &Tuning,
    ) -> (Kernel, SimDuration) {
        let before = self.waits(tuning);
        let host = issue * u64::from(kernel.launches);
        self.host += host;
        self.device += kernel.alone;
        let waits = self.waits(tuning).saturating_sub(before);
        (kernel.waiting(waits), host + waits)
    }

    fn waits(&self, tuning: &Tuning) -> SimDuration {
        SimDuration::from_secs(waits(tuning, self.host.as_secs(), self.device.as_secs()))
    }
}

/// A transfer as the engine wants it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// Time before the first byte moves.
    pub latency: SimDuration,
    /// What this rank moves.
    pub bytes: Bytes,
    /// Rate when nothing interferes.
    pub bound: BytesPerSec,
    /// What it takes from the device while it runs.
    pub occupancy: Demand,
    /// What its time rests on.
    pub evidence: Evidence,
    /// Algorithm and protocol chosen, for reports, such as `ring/simple`.
    pub algorithm: &'static str,
}

/// Bytes that an expert exchange puts on the ports of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangePorts {
    /// Out over the network between nodes.
    pub network_out: Bytes,
    /// In over the network between nodes.
    pub network_in: Bytes,
    /// Out over the node's own network.
    pub node_out: Bytes,
    /// In over the node's own network.
    pub node_in: Bytes,
}

impl ExchangePorts {
    /// What the device moves: the larger of all it sends and all it receives.
    #[must_use]
    pub fn moved(&self) -> Bytes {
        (self.network_out + self.node_out).max(self.network_in + self.node_in)
    }
}

impl Kernel {
    /// This kernel and then `next`: times add, demands average over time.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.append(&next);
        self
    }

    /// Runs `next` after this kernel: [`then`](Self::then), in place.
    fn append(&mut self, next: &Self) {
        self.run(next.alone, next.demand, next.flops, next.bytes, next.launches);
        self.unaligned += next.unaligned;
        for (sums, parts) in [(&mut self.backed, &next.backed), (&mut self.spent, &next.spent)] {
            for (sum, &part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
        }
    }

    /// Runs `next` after this kernel.
    pub fn add(&mut self, next: &Single) {
        self.run(next.alone, next.demand, next.flops, next.bytes, next.launches);
        self.backed[next.evidence as usize] += next.alone;
        self.spent[next.labour as usize] += next.alone;
        if !next.is_aligned {
            self.unaligned += next.alone;
        }
    }

    /// Adds what is known without evidence and kind of work.
    fn run(&mut self, alone: SimDuration, demand: Demand, flops: Flops, bytes: Bytes, launches: u32) {
        let (first, second) = (self.alone.as_secs(), alone.as_secs());
        let total = first + second;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a share needs no more than a float's digits"
        )]
        let mean = |a: f32, b: f32| {
            if total > 0.0 {
                ((f64::from(a) * first + f64::from(b) * second) / total) as f32
            } else {
                0.0
            }
        };
        self.demand = Demand {
            units: mean(self.demand.units, demand.units),
            bandwidth: mean(self.demand.bandwidth, demand.bandwidth),
        };
        self.alone += alone;
        self.flops += flops;
        self.bytes += bytes;
        self.launches += launches;
    }

    /// The same kernel on a device whose speed differs by `factor` in time.
    #[must_use]
    pub fn slowed(mut self, factor: f64) -> Self {
        let (whole, slowed) = (self.alone, self.alone.scaled(factor));
        for parts in [&mut self.backed, &mut self.spent] {
            for part in parts {
                // Few parts are neither nothing nor the whole.
                if *part == whole {
                    *part = slowed;
                } else if !part.is_zero() {
                    *part = part.scaled(factor);
                }
            }
        }
        self.alone = slowed;
        self.unaligned = self.unaligned.scaled(factor);
        self
    }

    /// The same kernel, longer by `waits`.
    fn waiting(mut self, waits: SimDuration) -> Self {
        for parts in [&mut self.spent, &mut self.backed] {
            if let Some(most) = parts.iter_mut().max() {
                *most += waits;
            }
        }
        self.alone += waits;
        self
    }

    /// The same kernel at `clock` times the clock at which it was measured: products and attention take the inverse of it,
    /// passes go at the speed of memory, which keeps its own clock.
    #[must_use]
    pub(crate) fn clocked(self, clock: f64) -> Self {
        let mut spent = self.spent;
        let mut more = SimDuration::ZERO;
        for labour in [Labour::Products, Labour::Experts, Labour::Attention] {
            let part = &mut spent[labour as usize];
            let longer = part.scaled(clock.recip());
            more += longer.saturating_sub(*part);
            *part = longer;
        }
        let mut backed = self.backed;
        if let Some(most) = backed.iter_mut().max() {
            *most += more;
        }
        Self {
            alone: self.alone + more,
            backed,
            spent,
            ..self
        }
    }

    /// The same kernel with `share` of its attention, of which `core` operations are counted.
    #[must_use]
    pub(crate) fn with_attention(self, share: f64, core: Flops) -> Self {
        let less = self.spent[Labour::Attention as usize].scaled(1.0 - share);
        let mut spent = self.spent;
        spent[Labour::Attention as usize] = spent[Labour::Attention as usize].saturating_sub(less);
        let mut backed = self.backed;
        if let Some(most) = backed.iter_mut().max() {
            *most = most.saturating_sub(less);
        }
        Self {
            alone: self.alone.saturating_sub(less),
            flops: Flops::new((self.flops.get() - core.get() * (1.0 - share)).max(0.0)),
            backed,
            spent,
            ..self
        }
    }

    /// The evidence behind most of its time.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let more = |most: Evidence, next: Evidence| {
            if self.backed[next as usize] > self.backed[most as usize] {
                next
            } else {
                most
            }
        };
        Evidence::ALL.into_iter().reduce(more).unwrap_or_default()
    }

    /// As work for the engine.
    #[must_use]
    pub const fn work(&self) -> Work {
        Work::Compute {
            alone: self.alone,
            demand: self.demand,
            flops: self.flops,
        }
    }
}

impl From<Single> for Kernel {
    fn from(single: Single) -> Self {
        let mut kernel = Self::default();
        kernel.add(&single);
        kernel
    }
}

impl Single {
    /// The same kernel at `factor` of its time, with `gap` after each of its launches.
    #[must_use]
    pub(super) fn tuned(self, factor: f64, gap: SimDuration) -> Self {
        Self {
            alone: self.alone.scaled(factor) + gap * u64::from(self.launches),
            ..self
        }
    }
}

impl Transfer {
    /// The same transfer at a rate that differs by `factor` in time; its latency stays.
    #[must_use]
    pub fn slowed(self, factor: f64) -> Self {
        Self {
            bound: BytesPerSec::new(self.bound.get() / factor),
            ..self
        }
    }

    /// The same transfer at `factor` of its time, latency and all.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            latency: self.latency.scaled(factor),
            ..self.slowed(factor)
        }
    }

    /// The same transfer, which takes `units` more of the device while it runs.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share needs no more than a float's digits"
    )]
    pub(crate) fn taking(self, units: f64) -> Self {
        let occupancy = Demand {
            units: (self.occupancy.units + units as f32).min(1.0),
            ..self.occupancy
        };
        Self { occupancy, ..self }
    }

    /// So many of the same, one after the other.
    #[must_use]
    pub fn repeated(self, times: u64) -> Self {
        Self {
            latency: self.latency * times,
            bytes: self.bytes * times,
            ..self
        }
    }

    /// Time in all, with nothing in its way.
    #[must_use]
    pub fn time(&self) -> SimDuration {
        self.latency + self.bytes / self.bound
    }

    /// The same transfer with `detour` on its way.
    #[must_use]
    pub fn over(self, detour: SimDuration) -> Self {
        Self {
            latency: self.latency + detour,
            ..self
        }
    }

    /// As work for the engine, over `path`.
    #[must_use]
    pub const fn work(&self, path: PathId) -> Work {
        Work::Flow {
            latency: self.latency,
            bytes: self.bytes,
            bound: self.bound,
            path,
            occupancy: self.occupancy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(micros: u64, evidence: Evidence, labour: Labour) -> Single {
        Single {
            alone: SimDuration::from_micros(micros),
            demand: Demand {
                units: 1.0,
                bandwidth: 0.5,
            },
            flops: Flops::new(7.0),
            bytes: Bytes::new(3),
            evidence,
            labour,
            launches: 1,
            is_aligned: true,
        }
    }

    /// By hand: 3 and 5 us of products, measured and analytic, then 2 us of attention, measured; 10 % slower.
    #[test]
    fn kernels_one_after_the_other_by_hand() {
        let mut kernel = Kernel::from(single(3, Evidence::Measured, Labour::Products));
        kernel.add(&single(5, Evidence::Analytic, Labour::Products));
        let kernel = kernel.then(single(2, Evidence::Measured, Labour::Attention).into());
        assert_eq!(kernel.alone, SimDuration::from_micros(10));
        assert_eq!(
            (kernel.bytes, kernel.launches, kernel.flops),
            (Bytes::new(9), 3, Flops::new(21.0))
        );
        assert_eq!(kernel.spent, [8, 0, 2, 0].map(SimDuration::from_micros));
        assert_eq!(
            kernel.evidence(),
            Evidence::Measured,
            "of two that are equal the better one"
        );
        let slower = kernel.slowed(1.1);
        assert_eq!(slower.alone, SimDuration::from_micros(10).scaled(1.1));
        assert_eq!(
            slower.spent,
            [8, 0, 2, 0].map(|micros| SimDuration::from_micros(micros).scaled(1.1))
        );
    }
}
