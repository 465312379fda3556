//! What a measured time is worth: shares of peaks, each with its denominator in its name.
//!
//! One rate alone misleads: a product that waits for weights has a low MFU and runs as fast as it can. So every stage
//! has its MFU by three denominators, its MBU, and the roofline that says which of the two it should be judged by.

use orrery_units::{Bytes, BytesPerSec, Flops, FlopsPerSec, Joules, SimDuration};

use crate::CollectiveOp;

/// What a device can do, as the denominators of its kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Dense rate of this format on the data sheet.
    pub spec: FlopsPerSec,
    /// Rate of the best dense product measured on this very device, back to back.
    pub achievable: FlopsPerSec,
    /// Memory bandwidth on the data sheet.
    pub bandwidth_spec: BytesPerSec,
    /// Bandwidth of the best copy measured on this very device.
    pub bandwidth_achievable: BytesPerSec,
    /// Execution units.
    pub num_units: u32,
    /// Operations of one unit in one cycle, if known for this architecture and format.
    pub flops_per_cycle: Option<f64>,
}

/// One stage, as it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Operations that count: real rows alone.
    pub useful: Flops,
    /// Operations that the kernel did, padding included.
    pub issued: Flops,
    /// The least memory traffic.
    pub bytes: Bytes,
    /// Median time of one launch.
    pub time: SimDuration,
    /// Clock of the execution units within the time, in hertz, if it was measured.
    pub clock: Option<f64>,
}

/// What [`Measured`] makes of [`Peaks`]; shares from 0, where 1 is the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Efficiency {
    /// Useful operations over those of the data sheet. It can exceed what `mfu_clock` says: data sheets assume a clock
    /// below the highest.
    pub mfu_spec: f64,
    /// Useful operations over those that this clock allows; none without a clock.
    pub mfu_clock: Option<f64>,
    /// Useful operations over those of the best dense product.
    pub mfu_achievable: f64,
    /// Issued operations over those of the data sheet.
    pub issued_mfu_spec: f64,
    /// Useful over issued.
    pub padding: f64,
    /// Bytes over those of the data sheet.
    pub mbu_spec: f64,
    /// Bytes over those of the best copy.
    pub mbu_achievable: f64,
    /// The longer of the two bounds over the time: what a perfect kernel would take here.
    pub roofline: f64,
    /// Whether memory is the longer bound.
    pub is_memory_bound: bool,
}

impl Measured {
    /// Every share.
    ///
    /// `mfu = F / (t P)`, `mfu_clock = F / (t · units · c · f)`, `mbu = B / (t W)`,
    /// `roofline = max(F / P_achievable, B / W_achievable) / t`. Worked: 1e12 operations and 1 GB in 2 ms, peaks
    /// 1e15 and 4 TB/s: MFU 0.5, MBU 0.125; 100 units of 4096 a cycle at 2 GHz: 0.6104.
    #[must_use]
    pub fn against(&self, peaks: &Peaks) -> Efficiency {
        let seconds = self.time.as_secs();
        let useful = self.useful.get();
        let by_clock =
            |(cycles, clock): (f64, f64)| useful / (seconds * f64::from(peaks.num_units) * cycles * clock);
        let arithmetic = useful / peaks.achievable.get();
        let memory = self.bytes.as_f64() / peaks.bandwidth_achievable.get();
        Efficiency {
            mfu_spec: useful / (seconds * peaks.spec.get()),
            mfu_clock: peaks.flops_per_cycle.zip(self.clock).map(by_clock),
            mfu_achievable: arithmetic / seconds,
            issued_mfu_spec: self.issued.get() / (seconds * peaks.spec.get()),
            padding: share(useful, self.issued.get()),
            mbu_spec: self.bytes.as_f64() / (seconds * peaks.bandwidth_spec.get()),
            mbu_achievable: memory / seconds,
            roofline: arithmetic.max(memory) / seconds,
            is_memory_bound: memory > arithmetic,
        }
    }
}

/// Part of a whole; 1 where there is nothing of either.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

/// MFU of a layer whose products are of several formats: the time that each would take at its own peak, over the time
/// that the layer took. Never one peak for all of them.
///
/// `Σ F_i / P_i / t`. Worked: 1e12 at 1e15 and 1e12 at 2e15 in 3 ms: 0.5.
#[must_use]
pub fn weighted_mfu(parts: &[(Flops, FlopsPerSec)], time: SimDuration) -> f64 {
    let ideal: f64 = parts.iter().map(|(flops, peak)| flops.get() / peak.get()).sum();
    ideal / time.as_secs()
}

/// Energy of a token: what was used over a window, over the tokens of that window. Worked: 700 J and 1,000 tokens: 0.7.
/// None without tokens.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "tokens of a window are far below 2^53")]
pub fn joules_per_token(energy: Joules, tokens: u64) -> Option<f64> {
    (tokens > 0).then(|| energy.0 / tokens as f64)
}

/// Operations for a joule. None where the counter did not move.
#[must_use]
pub fn flops_per_joule(flops: Flops, energy: Joules) -> Option<f64> {
    (energy.0 > 0.0).then(|| flops.get() / energy.0)
}

impl CollectiveOp {
    /// Size over time, as nccl-tests counts size. Worked: 1 GB in 10 ms: 100 GB/s.
    #[must_use]
    pub fn algorithm_bandwidth(bytes: Bytes, time: SimDuration) -> BytesPerSec {
        BytesPerSec::new(bytes.as_f64() / time.as_secs())
    }

    /// What each link carries, to be held against its rate: algorithm bandwidth times
    /// [`bus_factor`](Self::bus_factor). Worked: an all-reduce of 8 at 100 GB/s: 175 GB/s.
    #[must_use]
    pub fn bus_bandwidth(self, ranks: u64, bytes: Bytes, time: SimDuration) -> BytesPerSec {
        BytesPerSec::new(Self::algorithm_bandwidth(bytes, time).get() * self.bus_factor(ranks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks() -> Peaks {
        Peaks {
            spec: FlopsPerSec::new(1e15),
            achievable: FlopsPerSec::new(0.8e15),
            bandwidth_spec: BytesPerSec::new(4e12),
            bandwidth_achievable: BytesPerSec::new(3.2e12),
            num_units: 100,
            flops_per_cycle: Some(4096.0),
        }
    }

    fn near(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn worked_numbers() {
        let measured = Measured {
            useful: Flops::new(1e12),
            issued: Flops::new(1.25e12),
            bytes: Bytes::new(1_000_000_000),
            time: SimDuration::from_secs(2e-3),
            clock: Some(2e9),
        };
        let found = measured.against(&peaks());
        near(found.mfu_spec, 0.5);
        near(found.mfu_clock.unwrap(), 0.610_351_562_5);
        near(found.mfu_achievable, 0.625);
        near(found.issued_mfu_spec, 0.625);
        near(found.padding, 0.8);
        near(found.mbu_spec, 0.125);
        near(found.roofline, 0.625);
        assert!(!found.is_memory_bound);
        let unclocked = Measured {
            clock: None,
            ..measured
        };
        assert_eq!(unclocked.against(&peaks()).mfu_clock, None);
    }

    /// Few rows for each expert: the weights take longer than the arithmetic, and the roofline says so.
    #[test]
    fn a_small_group_is_judged_by_its_bytes() {
        let measured = Measured {
            useful: Flops::new(1e10),
            issued: Flops::new(1e10),
            bytes: Bytes::new(320_000_000),
            time: SimDuration::from_secs(1.25e-4),
            clock: None,
        };
        let found = measured.against(&peaks());
        near(found.mfu_achievable, 0.1);
        near(found.roofline, 0.8);
        assert!(found.is_memory_bound);
    }

    #[test]
    fn a_pass_without_operations_wastes_none() {
        let copy = Measured {
            useful: Flops::ZERO,
            issued: Flops::ZERO,
            bytes: Bytes::new(3_200_000_000),
            time: SimDuration::from_secs(1e-3),
            clock: None,
        };
        let found = copy.against(&peaks());
        near(found.padding, 1.0);
        near(found.mbu_achievable, 1.0);
        near(found.roofline, 1.0);
    }

    #[test]
    fn formats_have_their_own_peaks() {
        let parts = [
            (Flops::new(1e12), FlopsPerSec::new(1e15)),
            (Flops::new(1e12), FlopsPerSec::new(2e15)),
        ];
        near(weighted_mfu(&parts, SimDuration::from_secs(3e-3)), 0.5);
        near(joules_per_token(Joules(700.0), 1000).unwrap(), 0.7);
        assert_eq!(joules_per_token(Joules(700.0), 0), None);
        near(flops_per_joule(Flops::new(7e12), Joules(7.0)).unwrap(), 1e12);
        assert_eq!(flops_per_joule(Flops::new(7e12), Joules(0.0)), None);
    }

    #[test]
    fn bandwidths_are_those_of_nccl_tests() {
        let (bytes, time) = (Bytes::new(1_000_000_000), SimDuration::from_secs(1e-2));
        near(CollectiveOp::algorithm_bandwidth(bytes, time).get(), 1e11);
        near(
            CollectiveOp::AllReduce.bus_bandwidth(8, bytes, time).get(),
            1.75e11,
        );
        near(
            CollectiveOp::AllToAll.bus_bandwidth(4, bytes, time).get(),
            0.75e11,
        );
    }
}
