//! What devices draw, and the clock that keeps them under a cap.
//!
//! A model with assumed shares, for what-ifs; nothing of it was measured. Off unless a scenario names a cap.

use orrery_timeline::StepTotals;
use orrery_units::{FlopsPerSec, Watts};

use crate::{Rank, RunFacts};

/// Share of its limit that a device draws when idle. Assumed.
const IDLE: f64 = 0.15;
/// Share that it draws more while a kernel runs, whatever it does. Assumed.
const RUNNING: f64 = 0.35;
/// Share that arithmetic draws more at its peak, at the clock of the measurements. Assumed: a matrix product at its peak
/// then draws a tenth more than the limit, and such products do run into it.
const ARITHMETIC: f64 = 0.60;
/// The lowest clock that devices go down to. Assumed.
const LOWEST: f64 = 0.3;

/// The power of a run's devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// The limit by the data sheet.
    pub limit: Watts,
    /// What the device is held to.
    pub cap: Watts,
    /// Peak of the arithmetic in the format of the matrix products.
    pub peak: FlopsPerSec,
    /// Clock over that of the measurements.
    pub clock: f64,
    /// Devices of a node.
    pub devices_per_node: u32,
}

/// How a device spends a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Share of the step in which a kernel runs.
    pub running: f64,
    /// Operations per second over the peak.
    pub arithmetic: f64,
}

impl Power {
    /// Mean power over a step: `P = L (0.15 + 0.35 r + 0.6 c a)` for a limit `L`, kernels for `r` of the step, `a` of the peak
    /// and a clock `c`.
    ///
    /// An operation takes `C V²`, and voltage goes with the square root of the clock over the range that caps move it in, so
    /// that its energy goes with the clock. Worked: 700 W, kernels all the time at half of the peak: 560 W.
    #[must_use]
    pub fn mean(&self, activity: Activity) -> Watts {
        let arithmetic = ARITHMETIC * self.clock * activity.arithmetic;
        Watts(self.limit.0 * (IDLE + RUNNING * activity.running + arithmetic))
    }

    /// The clock at which a device that has been at `activity` keeps to its cap, if operations slow down with the clock:
    /// their power then goes with its square. Worked: the same device under 490 W: 1 / 3 of 210 W is left: 0.8165.
    #[must_use]
    pub fn clock_for(&self, activity: Activity) -> f64 {
        let left = self.cap.0 / self.limit.0 - IDLE - RUNNING * activity.running;
        let drawn = ARITHMETIC * self.clock * activity.arithmetic;
        if drawn <= 0.0 {
            return 1.0;
        }
        (self.clock * (left.max(0.0) / drawn).sqrt()).clamp(LOWEST, 1.0)
    }

    /// How the device of `rank` spent `step`.
    #[must_use]
    pub fn activity(&self, step: &StepTotals, rank: &Rank) -> Activity {
        let seconds = step.duration().as_secs();
        if seconds <= 0.0 {
            return Activity::default();
        }
        let lane = &step.lanes[rank.compute_lane];
        let flops: f64 = lane.iter().map(|(_, cell)| cell.flops.get()).sum();
        let devices = f64::from(rank.stands_for.max(1));
        Activity {
            running: (lane.busy().as_secs() / seconds).min(1.0),
            arithmetic: flops / devices / seconds / self.peak.get(),
        }
    }

    /// Mean power of every rank's device over `step`, and how many devices it stands for.
    pub fn of_step<'a>(
        &'a self,
        step: &'a StepTotals,
        facts: &'a RunFacts,
    ) -> impl Iterator<Item = (Watts, f64)> + 'a {
        facts.ranks.iter().map(|rank| {
            let watts = self.mean(self.activity(step, rank));
            (watts, f64::from(rank.stands_for.max(1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Activity = Activity {
        running: 1.0,
        arithmetic: 0.5,
    };

    fn power(cap: f64, clock: f64) -> Power {
        Power {
            limit: Watts(700.0),
            cap: Watts(cap),
            peak: FlopsPerSec::new(1e15),
            clock,
            devices_per_node: 8,
        }
    }

    #[test]
    fn a_draw_by_hand() {
        assert!((power(700.0, 1.0).mean(HALF).0 - 560.0).abs() < 1e-9);
        let idle = Activity::default();
        assert!((power(700.0, 1.0).mean(idle).0 - 105.0).abs() < 1e-9);
    }

    /// At the clock that it finds, operations that slow down with it draw what the cap leaves them.
    #[test]
    fn a_clock_by_hand() {
        let clock = power(490.0, 1.0).clock_for(HALF);
        assert!((clock - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{clock}");
        let slower = Activity {
            arithmetic: 0.5 * clock,
            ..HALF
        };
        assert!((power(490.0, clock).mean(slower).0 - 490.0).abs() < 1e-9);
        assert!(
            (power(700.0, 1.0).clock_for(HALF) - 1.0).abs() < 1e-12,
            "no cap binds"
        );
        assert!(
            (power(100.0, 1.0).clock_for(HALF) - LOWEST).abs() < 1e-12,
            "no clock helps"
        );
    }
}
