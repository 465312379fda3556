//! When enough has been sampled.

use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use super::Summary;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRule {
    /// Fewest samples.
    pub min_samples: usize,
    /// Width of the median's interval, over the median, that is narrow enough.
    pub relative_interval: f64,
    /// Most time to spend.
    pub cap: SimDuration,
}

impl Default for StopRule {
    /// 30 samples, half a percent, 15 seconds.
    fn default() -> Self {
        Self {
            min_samples: 30,
            relative_interval: 0.005,
            cap: SimDuration::from_millis(15_000),
        }
    }
}

/// Why sampling stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The median is known well enough.
    Converged,
    /// More samples do not make the spread smaller.
    NoiseStable,
    /// Time was up.
    Cap,
}

impl StopReason {
    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::NoiseStable => "noise_stable",
            Self::Cap => "cap",
        }
    }
}

/// Spreads that are looked back at.
const WINDOW: usize = 64;
/// How alike they are when noise is stable.
const ALIKE: f64 = 0.05;
/// Samples between two looks at the median, as a share of those there are: sorting at every sample is for nothing.
const LOOK: usize = 16;

/// Takes samples and says when there are enough.
#[derive(Clone, Debug)]
pub struct Stopper {
    rule: StopRule,
    samples: Vec<SimDuration>,
    /// Relative standard deviation after each sample, the last few.
    spreads: Vec<f64>,
    mean: f64,
    square: f64,
    next_look: usize,
}

impl Stopper {
    /// No samples yet.
    #[must_use]
    pub const fn new(rule: StopRule) -> Self {
        Self {
            rule,
            samples: Vec::new(),
            spreads: Vec::new(),
            mean: 0.0,
            square: 0.0,
            next_look: rule.min_samples,
        }
    }

    /// Takes `sample`; `spent` is the time since the first. The reason to stop, if there is one: the median's interval
    /// first, then noise (its last 64 relative deviations lie within 5 % of their mean), then the cap.
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 samples")]
    pub fn take(&mut self, sample: SimDuration, spent: SimDuration) -> Option<StopReason> {
        self.samples.push(sample);
        let count = self.samples.len() as f64;
        // Welford's recurrence: no sum of squares that cancels.
        let off = sample.as_secs() - self.mean;
        self.mean += off / count;
        self.square += off * (sample.as_secs() - self.mean);
        if self.samples.len() > 1 {
            let deviation = (self.square / (count - 1.0)).max(0.0).sqrt();
            self.spreads.push(deviation / self.mean.max(f64::MIN_POSITIVE));
            let excess = self.spreads.len().saturating_sub(WINDOW);
            self.spreads.drain(..excess);
        }
        if self.samples.len() >= self.next_look {
            self.next_look = self.samples.len() + self.samples.len().div_ceil(LOOK);
            if self.summary().is_some_and(|summary| self.is_narrow(&summary)) {
                return Some(StopReason::Converged);
            }
            if self.is_stable() {
                return Some(StopReason::NoiseStable);
            }
        }
        (spent >= self.rule.cap && self.samples.len() > 1).then_some(StopReason::Cap)
    }

    /// The samples so far.
    #[must_use]
    pub fn samples(&self) -> &[SimDuration] {
        &self.samples
    }

    /// Their summary.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.samples)
    }

    fn is_narrow(&self, summary: &Summary) -> bool {
        summary.relative_interval() < self.rule.relative_interval
    }

    fn is_stable(&self) -> bool {
        if self.spreads.len() < WINDOW {
            return false;
        }
        let (low, high) = self
            .spreads
            .iter()
            .fold((f64::MAX, 0.0_f64), |(low, high), &spread| {
                (low.min(spread), high.max(spread))
            });
        let mean = self.spreads.iter().sum::<f64>() / 64.0;
        high - low <= ALIKE * mean
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::Seed;
    use rand::RngExt as _;

    use super::*;

    /// Samples around 100 us with this relative spread, one a millisecond, until it stops.
    fn run(spread: f64, rule: StopRule, seed: u64) -> (usize, StopReason, Summary) {
        let mut rng = Seed::new(seed).at("samples", &[]).rng();
        let mut stopper = Stopper::new(rule);
        for taken in 1.. {
            // A sum of uniforms: nearly normal.
            let noise: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            let sample = SimDuration::from_secs(1e-4 * spread.mul_add(noise, 1.0));
            if let Some(reason) = stopper.take(sample, SimDuration::from_millis(taken)) {
                return (stopper.samples().len(), reason, stopper.summary().unwrap());
            }
        }
        unreachable!("the cap ends it");
    }

    #[test]
    fn quiet_samples_converge_at_once_and_noisy_ones_take_more() {
        let rule = StopRule::default();
        let (count, reason, _) = run(0.001, rule, 1);
        assert_eq!((count, reason), (30, StopReason::Converged));
        let (count, reason, summary) = run(0.01, rule, 1);
        assert_eq!(reason, StopReason::Converged);
        assert!(count > 50 && summary.relative_interval() < 0.005, "{count}");
    }

    #[test]
    fn noise_that_stays_ends_it_before_the_cap() {
        let strict = StopRule {
            relative_interval: 1e-6,
            ..StopRule::default()
        };
        let (count, reason, _) = run(0.2, strict, 2);
        assert_eq!(reason, StopReason::NoiseStable);
        assert!(count < 15_000, "{count}");
    }

    #[test]
    fn time_is_up_at_the_cap() {
        let rule = StopRule {
            min_samples: 10_000,
            cap: SimDuration::from_millis(40),
            ..StopRule::default()
        };
        let (count, reason, _) = run(0.2, rule, 3);
        assert_eq!((count, reason), (40, StopReason::Cap));
    }

    /// Of 200 sets the interval holds the true median in 95 %, give or take four deviations.
    #[test]
    fn the_interval_covers_what_it_says() {
        let covered = (0..200).filter(|&seed| {
            let rule = StopRule {
                relative_interval: 0.0,
                cap: SimDuration::from_millis(101),
                min_samples: 1000,
            };
            let (_, _, summary) = run(0.05, rule, 100 + seed);
            let truth = SimDuration::from_secs(1e-4);
            summary.median_low <= truth && truth <= summary.median_high
        });
        let covered = covered.count();
        assert!((178..=200).contains(&covered), "{covered} of 200");
    }
}
