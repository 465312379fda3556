//! The contention law: how much slower a device makes what runs on it.
//!
//! One function, [`slow_down`], for compute tasks and for occupants. Shares are whole millionths, so that
//! sums are exact: what leaves takes away precisely what it brought, and no run depends on an epsilon.

use orrery_taskgraph::Demand;
use orrery_units::SimDuration;

/// One whole, in millionths.
const WHOLE: u64 = 1_000_000;

/// A share of a device, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    units: u32,
    bandwidth: u32,
}

/// The sum of the shares asked of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    units: u64,
    bandwidth: u64,
}

/// By what factor things take longer, in millionths; never less than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlowDown(u32);

/// The slow-down of a device of capacity 1 and 1 under `load`: `max(1, Σ units, Σ bandwidth)`.
///
/// Proportional sharing of whichever resource is scarcer, after the processor-sharing law; what it ignores:
/// caches, and that a task may be unable to use units that another leaves idle. Worked number: units
/// 1.0 + 0.15 and bandwidth 0.4 + 0.1 give 1.15.
///
/// # Panics
/// When more than 4,000 times the device is asked for.
pub(crate) fn slow_down(load: Load) -> SlowDown {
    let most = load.units.max(load.bandwidth).max(WHOLE);
    SlowDown(u32::try_from(most).expect("a device is asked for less than 4,000 times what it has"))
}

impl Share {
    /// The share that `demand` asks for, rounded to millionths.
    ///
    /// # Panics
    /// When a share is not within 0 to 1.
    pub(crate) fn of(demand: Demand) -> Self {
        Self {
            units: millionths(demand.units),
            bandwidth: millionths(demand.bandwidth),
        }
    }

    /// Nothing.
    pub(crate) const NOTHING: Self = Self {
        units: 0,
        bandwidth: 0,
    };

    /// What it holds while it spins at a meeting: its units, and no bandwidth.
    pub(crate) const fn units_only(self) -> Self {
        Self { bandwidth: 0, ..self }
    }

    /// Whether it asks for nothing.
    pub(crate) const fn is_zero(self) -> bool {
        self.units == 0 && self.bandwidth == 0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "range asserted just above"
)]
fn millionths(share: f32) -> u32 {
    let scaled = (f64::from(share) * 1e6).round();
    assert!(
        (0.0..=1e6).contains(&scaled),
        "a demand is a share of 0 to 1, not {share}"
    );
    scaled as u32
}

impl Load {
    /// Nothing is asked.
    pub(crate) const NOTHING: Self = Self {
        units: 0,
        bandwidth: 0,
    };

    /// Adds what starts.
    pub(crate) fn add(&mut self, share: Share) {
        self.units += u64::from(share.units);
        self.bandwidth += u64::from(share.bandwidth);
    }

    /// Takes away what ends.
    pub(crate) fn remove(&mut self, share: Share) {
        self.units -= u64::from(share.units);
        self.bandwidth -= u64::from(share.bandwidth);
    }
}

impl SlowDown {
    /// No slow-down.
    pub(crate) const NONE: Self = Self(1_000_000);

    /// Time that `work` (time at full speed) takes, rounded up to a picosecond.
    pub(crate) fn stretch(self, work: SimDuration) -> SimDuration {
        if self == Self::NONE {
            return work;
        }
        SimDuration::from_picos(scale(work.as_picos(), u64::from(self.0), WHOLE, true))
    }

    /// Work (time at full speed) done in `elapsed`, rounded down so that what remains is rounded up.
    pub(crate) fn work_done(self, elapsed: SimDuration) -> SimDuration {
        if self == Self::NONE {
            return elapsed;
        }
        SimDuration::from_picos(scale(elapsed.as_picos(), WHOLE, u64::from(self.0), false))
    }

    /// The factor as a float, for rates.
    pub(crate) fn factor(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// `value · numerator / denominator` without overflow in between.
fn scale(value: u64, numerator: u64, denominator: u64, up: bool) -> u64 {
    let extra = if up { denominator - 1 } else { 0 };
    // For spans of seconds the product fits 64 bits, and a division of 128 is far slower.
    if let Some(product) = value.checked_mul(numerator).and_then(|p| p.checked_add(extra)) {
        return product / denominator;
    }
    let wide = (u128::from(value) * u128::from(numerator) + u128::from(extra)) / u128::from(denominator);
    u64::try_from(wide).expect("simulated time stays below 213 days")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(units: f32, bandwidth: f32) -> Share {
        Share::of(Demand { units, bandwidth })
    }

    #[test]
    fn the_scarcer_resource_decides() {
        let mut load = Load::default();
        load.add(share(1.0, 0.4));
        assert_eq!(slow_down(load), SlowDown::NONE);
        load.add(share(0.15, 0.1));
        assert_eq!(slow_down(load), SlowDown(1_150_000));
        load.add(share(0.0, 0.8));
        assert_eq!(slow_down(load), SlowDown(1_300_000));
        load.remove(share(0.0, 0.8));
        load.remove(share(0.15, 0.1));
        assert_eq!(slow_down(load), SlowDown::NONE);
    }

    #[test]
    fn stretching_and_doing_are_inverse_and_round_against_the_task() {
        let slow = SlowDown(1_150_000);
        let work = SimDuration::from_millis(6);
        assert_eq!(slow.stretch(work), SimDuration::from_micros(6_900));
        assert_eq!(slow.work_done(SimDuration::from_micros(6_900)), work);
        assert_eq!(
            slow.stretch(SimDuration::from_picos(1)),
            SimDuration::from_picos(2)
        );
        assert_eq!(slow.work_done(SimDuration::from_picos(1)), SimDuration::ZERO);
        let days = SimDuration::from_secs(1e6);
        assert_eq!(slow.stretch(days), SimDuration::from_secs(1.15e6));
    }
}
