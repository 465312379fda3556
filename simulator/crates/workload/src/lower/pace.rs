//! How far a device is from its nominal speed: its own, that of its links, and a draw for every kernel.

use orrery_scenario::Plan;
use orrery_taskgraph::Tag;
use orrery_units::{Key, KindId, Seed, SimDuration};

/// How far one device is from its nominal speed in one step. All factors are of time: 1.02 is 2 % slower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of every kernel that computes: the device's own, and the step's.
    device: f64,
    /// Of every kernel that moves data: that of the node's links.
    link: f64,
    /// Spread of single kernels about their mean.
    spread: f64,
    /// Where the draws of this device's kernels in this step are found.
    kernels: Key,
}

impl Pace {
    /// The pace of `rank` in `step` by the noise of `plan`.
    pub(super) fn new(plan: &Plan, seed: Seed, rank: u32, step: u16) -> Self {
        let noise = plan.noise;
        let node = u64::from(rank / plan.cluster.node.num_devices.max(1));
        let (rank, step) = (u64::from(rank), u64::from(step));
        let device = noise.device * seed.at("device", &[rank]).normal();
        let jitter = noise.step * seed.at("step", &[rank, step]).normal();
        Self {
            device: within((device + jitter).exp()),
            link: within((noise.link * seed.at("link", &[node]).normal()).exp()),
            spread: noise.kernel,
            kernels: seed.at("kernel", &[rank, step]),
        }
    }

    /// Factor on the time of a kernel of `kind` at `tag` that computes.
    pub(super) fn of_compute(&self, kind: KindId, tag: Tag) -> f64 {
        self.device * self.own(kind, tag)
    }

    /// Factor on the time in which a kernel of `kind` at `tag` moves data.
    pub(super) fn of_transfer(&self, kind: KindId, tag: Tag) -> f64 {
        self.link * self.own(kind, tag)
    }

    /// The kernel's own draw, whose mean is one.
    fn own(&self, kind: KindId, tag: Tag) -> f64 {
        // Without noise times are kept to the picosecond.
        if self.spread <= 0.0 {
            return 1.0;
        }
        let key = self.kernels.with(kind.index() as u64);
        let draw = key.with(u64::from(tag.major)).with(u64::from(tag.minor)).normal();
        log_normal(self.spread, draw)
    }
}

/// How long the host of `rank` stalls in `step`: mostly not at all, else `−mean ln(1 − u)`, exponential.
///
/// Garbage collection and data loaders stop single hosts at times of their own; the others then wait at the next exchange.
/// It stands at the beginning of the step, where batches are loaded.
pub(super) fn stall(plan: &Plan, seed: Seed, rank: u32, step: u16) -> SimDuration {
    let noise = plan.noise;
    let key = seed.at("stall", &[u64::from(rank), u64::from(step)]);
    if !noise.stalls() || key.with(0).uniform() >= noise.stall_chance {
        return SimDuration::ZERO;
    }
    let drawn = (1.0 - key.with(1).uniform()).max(f64::MIN_POSITIVE);
    noise.stall.scaled(-drawn.ln())
}

/// A log-normal factor of mean one at the draw `z` of the standard normal law: `exp(σ z − σ²/2)`.
///
/// Worked: σ = 5 %, z = 2: 1.1038.
fn log_normal(spread: f64, draw: f64) -> f64 {
    within(spread.mul_add(draw, -0.5 * spread * spread).exp())
}

/// A factor that is never below half nor above twice.
fn within(factor: f64) -> f64 {
    factor.clamp(0.5, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_by_hand() {
        assert!((log_normal(0.05, 2.0) - 1.1038).abs() < 5e-5);
        assert!((log_normal(3.0, 9.0) - 2.0).abs() < 1e-12, "bounded");
    }

    #[test]
    fn draws_have_mean_one_and_the_spread_asked_for() {
        let pace = Pace {
            device: 1.0,
            link: 1.0,
            spread: 0.05,
            kernels: Seed::new(7).at("kernel", &[3, 0]),
        };
        let kind = KindId::new(4);
        let factors: Vec<f64> = (0..20_000)
            .map(|minor| pace.of_compute(kind, Tag { major: 2, minor }))
            .collect();
        let mean = factors.iter().sum::<f64>() / 20_000.0;
        let variance = factors.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 1.0).abs() < 0.002, "{mean}");
        assert!((variance.sqrt() - 0.05).abs() < 0.001, "{}", variance.sqrt());
    }

    /// Of 20,000 ranks 5 % stall, 0.2 s in the mean: one standard error of the mean is 0.2 / √1,000 = 0.0063 s.
    #[test]
    fn stalls_have_their_chance_and_their_mean() {
        let mut plan = crate::memory::fixture::deep_seek_v3(orrery_scenario::plan::Law::Balanced);
        assert_eq!(stall(&plan, Seed::new(1), 0, 0), SimDuration::ZERO);
        plan.noise.stall = SimDuration::from_secs(0.2);
        plan.noise.stall_chance = 0.05;
        let drawn: Vec<f64> = (0..20_000)
            .map(|rank| stall(&plan, Seed::new(1), rank, 3).as_secs())
            .filter(|&stall| stall > 0.0)
            .collect();
        assert!((900..1100).contains(&drawn.len()), "{}", drawn.len());
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.2).abs() < 0.03, "{mean}");
    }

    #[test]
    fn without_noise_nothing_changes() {
        let pace = Pace {
            device: 1.0,
            link: 1.0,
            spread: 0.0,
            kernels: Seed::new(7).at("kernel", &[3, 0]),
        };
        let tag = Tag { major: 1, minor: 1 };
        let same = pace.of_transfer(KindId::new(0), tag).to_bits() == 1.0f64.to_bits();
        assert!(same, "to the last bit");
    }
}
