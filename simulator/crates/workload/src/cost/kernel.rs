//! What a cost is: a kernel's time and demand, a transfer's latency and bound.

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
    /// Kernels that the host issues for it.
    pub launches: u32,
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
    pub fn then(self, next: Self) -> Self {
        let (first, second) = (self.alone.as_secs(), next.alone.as_secs());
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
        let mut backed = self.backed;
        for (sum, part) in backed.iter_mut().zip(next.backed) {
            *sum += part;
        }
        let mut spent = self.spent;
        for (sum, part) in spent.iter_mut().zip(next.spent) {
            *sum += part;
        }
        Self {
            alone: self.alone + next.alone,
            demand: Demand {
                units: mean(self.demand.units, next.demand.units),
                bandwidth: mean(self.demand.bandwidth, next.demand.bandwidth),
            },
            flops: self.flops + next.flops,
            bytes: self.bytes + next.bytes,
            backed,
            spent,
            launches: self.launches + next.launches,
        }
    }

    /// The same kernel on a device whose speed differs by `factor` in time.
    #[must_use]
    pub fn slowed(self, factor: f64) -> Self {
        Self {
            alone: self.alone.scaled(factor),
            backed: self.backed.map(|part| part.scaled(factor)),
            spent: self.spent.map(|part| part.scaled(factor)),
            ..self
        }
    }

    /// The same kernel at `factor` of its time, with `gap` after each of its launches.
    #[must_use]
    pub(super) fn tuned(self, factor: f64, gap: SimDuration) -> Self {
        let slowed = self.slowed(factor);
        let pause = gap * u64::from(self.launches);
        let mut spent = slowed.spent;
        if let Some(most) = spent.iter_mut().max() {
            *most += pause;
        }
        let mut backed = slowed.backed;
        if let Some(most) = backed.iter_mut().max() {
            *most += pause;
        }
        Self {
            alone: slowed.alone + pause,
            backed,
            spent,
            ..slowed
        }
    }

    /// The evidence behind most of its time.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let most = Evidence::ALL
            .into_iter()
            .max_by_key(|&e| (self.backed[e as usize], std::cmp::Reverse(e)));
        most.unwrap_or_default()
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
