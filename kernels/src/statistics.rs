//! What samples of a time are worth: order statistics, an interval of the median, when to stop, and what spoils a set.
//!
//! Nothing here looks at a clock or a device. A spoiled set is marked and kept: who reads it decides, not who measures.

mod median;
mod stop;

pub use median::median_interval;
pub use stop::{StopReason, StopRule, Stopper};

use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

/// What went on while samples were taken that makes them unlike others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taint {
    /// The hardware held clocks down: heat, or a power brake.
    HardwareThrottle,
    /// The power cap held clocks down.
    PowerCap,
    /// The driver reported an error of the device (XID).
    DeviceError,
    /// Memory errors were counted.
    MemoryError,
    /// Somebody else's process ran on the device.
    ForeignProcess,
    /// The clock within the samples differed from that before and after.
    ClockDrift,
}

impl Taint {
    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HardwareThrottle => "hardware_throttle",
            Self::PowerCap => "power_cap",
            Self::DeviceError => "device_error",
            Self::MemoryError => "memory_error",
            Self::ForeignProcess => "foreign_process",
            Self::ClockDrift => "clock_drift",
        }
    }

    /// Whether a profile must not rest on such samples. Work that runs for seconds meets its power cap by nature: that
    /// is told beside the number, and is no fault of it.
    #[must_use]
    pub const fn refuses(self) -> bool {
        !matches!(self, Self::PowerCap)
    }
}

/// Samples of one time, summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub count: usize,
    /// The least.
    pub min: SimDuration,
    /// 5th percentile.
    pub p5: SimDuration,
    /// Median: what models use.
    pub p50: SimDuration,
    /// 95th percentile.
    pub p95: SimDuration,
    /// 99th percentile.
    pub p99: SimDuration,
    /// The most.
    pub max: SimDuration,
    /// Median of distances to the median.
    pub mad: SimDuration,
    /// Where the true median lies, at 95 %.
    pub median_low: SimDuration,
    /// Its other end.
    pub median_high: SimDuration,
}

impl Summary {
    /// The summary of `samples`, in any order; none without any.
    ///
    /// Percentiles are by nearest rank: `ceil(p n)`-th of the sorted samples, so each of them was measured.
    /// Worked: 1, 2, 3, 4, 10: median 3, 95th percentile 10, distances 2 1 0 1 7, so their median is 1.
    #[must_use]
    pub fn of(samples: &[SimDuration]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let p50 = percentile(&sorted, 0.5);
        let mut distances: Vec<SimDuration> = sorted.iter().map(|&sample| distance(sample, p50)).collect();
        distances.sort_unstable();
        let (low, high) = median_interval(sorted.len());
        Some(Self {
            count: sorted.len(),
            min: first,
            p5: percentile(&sorted, 0.05),
            p50,
            p95: percentile(&sorted, 0.95),
            p99: percentile(&sorted, 0.99),
            max: last,
            mad: percentile(&distances, 0.5),
            median_low: sorted[low],
            median_high: sorted[high],
        })
    }

    /// Width of the median's interval over the median.
    #[must_use]
    pub fn relative_interval(&self) -> f64 {
        let width = self.median_high.saturating_sub(self.median_low).as_secs();
        width / self.p50.as_secs().max(f64::MIN_POSITIVE)
    }
}

fn distance(a: SimDuration, b: SimDuration) -> SimDuration {
    a.max(b).saturating_sub(a.min(b))
}

/// The nearest-rank percentile of sorted samples.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are far below 2^53 and never negative"
)]
fn percentile(sorted: &[SimDuration], share: f64) -> SimDuration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Which of the same measurements on many devices are unlike the others: further from the median than three robust
/// deviations (`3 · 1.4826 · MAD`) and than 5 % of the median. The floor keeps half of an even fleet from being called
/// outliers of the other half. In the order given.
#[must_use]
pub fn outliers(times: &[SimDuration]) -> Vec<bool> {
    let Some(summary) = Summary::of(times) else {
        return Vec::new();
    };
    let deviation = 3.0 * 1.4826 * summary.mad.as_secs();
    let allowed = deviation.max(0.05 * summary.p50.as_secs());
    times
        .iter()
        .map(|&time| distance(time, summary.p50).as_secs() > allowed)
        .collect()
}

/// Largest distance of medians of repeated runs over their middle: differences within it are none.
#[must_use]
pub fn repeat_band(medians: &[SimDuration]) -> Option<f64> {
    let summary = Summary::of(medians)?;
    Some(distance(summary.max, summary.min).as_secs() / summary.p50.as_secs().max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(values: &[u64]) -> Vec<SimDuration> {
        values
            .iter()
            .map(|&value| SimDuration::from_micros(value))
            .collect()
    }

    #[test]
    fn worked_numbers() {
        let summary = Summary::of(&micros(&[10, 1, 3, 2, 4])).unwrap();
        let expected = micros(&[1, 1, 3, 10, 10, 10, 1]);
        let found = [
            summary.min,
            summary.p5,
            summary.p50,
            summary.p95,
            summary.p99,
            summary.max,
            summary.mad,
        ];
        assert_eq!(found[..], expected);
        assert_eq!(Summary::of(&[]), None);
        let one = Summary::of(&micros(&[7])).unwrap();
        assert_eq!((one.p50, one.mad, one.median_low, one.median_high), {
            let seven = SimDuration::from_micros(7);
            (seven, SimDuration::ZERO, seven, seven)
        });
    }

    #[test]
    fn one_slow_device_is_named_and_an_even_fleet_is_not() {
        let found = outliers(&micros(&[100, 101, 99, 100, 140, 100, 102, 98]));
        assert_eq!(found.iter().position(|&out| out), Some(4));
        assert_eq!(found.iter().filter(|&&out| out).count(), 1);
        // A spread of 1 % with a deviation of nothing: no outlier, though half of them differ from the median.
        assert!(!outliers(&micros(&[1000, 1000, 1000, 1000, 1010, 1010, 1010])).contains(&true));
        assert_eq!(outliers(&[]), Vec::<bool>::new());
    }

    #[test]
    fn repeated_runs_have_a_band() {
        let band = repeat_band(&micros(&[1000, 1005, 1010])).unwrap();
        assert!((band - 10.0 / 1005.0).abs() < 1e-12, "{band}");
        assert_eq!(repeat_band(&[]), None);
    }

    #[test]
    fn a_power_cap_is_told_and_heat_refuses() {
        assert!(!Taint::PowerCap.refuses());
        assert!(Taint::HardwareThrottle.refuses() && Taint::ForeignProcess.refuses());
        let on_the_wire = serde_json::to_string(&Taint::HardwareThrottle).unwrap();
        assert_eq!(on_the_wire, format!("\"{}\"", Taint::HardwareThrottle.name()));
    }
}
