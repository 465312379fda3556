//! A token bucket: how a shaped link lets data pass, in the sender here and in the prediction.

use orrery_units::{Bytes, BytesPerSec, SimDuration, SimTime};

/// Credit that grows with time up to a most, and that sending takes away.
///
/// Over any span of time a bucket lets at most `burst + rate · span` bytes pass. Its clock is the caller's:
/// time since a start of their choosing.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: BytesPerSec,
    burst: f64,
    /// Bytes that may pass at once; below zero what passed ahead of its time.
    credit: f64,
    at: SimTime,
}

impl Bucket {
    /// A bucket that is full at time zero.
    pub(crate) fn full(rate: BytesPerSec, burst: Bytes) -> Self {
        Self {
            rate,
            burst: burst.as_f64(),
            credit: burst.as_f64(),
            at: SimTime::ZERO,
        }
    }

    /// Takes the credit for `bytes` that are to pass at `now`, and says how long it takes until it covers them.
    ///
    /// With `c` bytes of credit it is `max(0, bytes − c) / rate`: 1 MB over 10 MB/s with 100 kB of credit takes
    /// 90 ms.
    pub(crate) fn take(&mut self, bytes: f64, now: SimTime) -> SimDuration {
        let earned = now.saturating_since(self.at).as_secs() * self.rate.get();
        self.at = self.at.max(now);
        self.credit = (self.credit + earned).min(self.burst) - bytes;
        SimDuration::from_secs((-self.credit / self.rate.get()).max(0.0))
    }

    /// How long an empty bucket takes to fill: `burst / rate`.
    pub(crate) fn filling(rate: BytesPerSec, burst: Bytes) -> SimDuration {
        burst / rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket() -> Bucket {
        Bucket::full(BytesPerSec::new(10e6), Bytes::new(100_000))
    }

    #[test]
    fn credit_passes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = bucket();
        assert_eq!(bucket.take(100_000.0, SimTime::ZERO), SimDuration::ZERO);
        let mut bucket = self::bucket();
        assert_eq!(bucket.take(1e6, SimTime::ZERO), SimDuration::from_millis(90));
        // 90 ms later nothing is owed and nothing is left; a further millisecond earns 10 kB.
        let later = SimTime::ZERO + SimDuration::from_millis(91);
        assert_eq!(bucket.take(20_000.0, later), SimDuration::from_millis(1));
    }

    #[test]
    fn idle_time_earns_no_more_than_the_burst() {
        let mut bucket = bucket();
        bucket.take(100_000.0, SimTime::ZERO);
        let later = SimTime::ZERO + SimDuration::from_millis(60_000);
        assert_eq!(bucket.take(200_000.0, later), SimDuration::from_millis(10));
        assert_eq!(
            Bucket::filling(BytesPerSec::new(10e6), Bytes::new(100_000)),
            SimDuration::from_millis(10)
        );
    }

    proptest! {
        /// Whoever waits as told never sends more than `burst + rate · time`.
        #[test]
        fn no_span_lets_more_pass_than_burst_and_rate(
            pieces in prop::collection::vec((1u32..200_000, 0u64..20_000), 1..50),
        ) {
            let mut bucket = bucket();
            let (mut now, mut passed) = (SimTime::ZERO, 0.0);
            for (bytes, idle_micros) in pieces {
                now += SimDuration::from_micros(idle_micros);
                now += bucket.take(f64::from(bytes), now);
                passed += f64::from(bytes);
                let most = 100_000.0 + 10e6 * now.as_secs();
                prop_assert!(passed <= most * (1.0 + 1e-9), "{passed} B passed, {most} B may");
            }
        }
    }
}
