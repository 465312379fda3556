//! When a source that gives nothing is opened again: later and later, never all machines at once.

use std::time::Duration;

use orrery_units::{Key, Seed};

/// The longest wait, before the jitter.
const LONGEST: Duration = Duration::from_secs(60);
/// The largest share by which a wait is shortened.
const JITTER: f64 = 0.25;

/// The waits of one source on one machine.
#[derive(Debug)]
pub(crate) struct Retry {
    first: Duration,
    key: Key,
    num_tries: u32,
}

impl Retry {
    /// The waits of `source` on the machine `node`, the first of them `first`.
    ///
    /// The jitter is keyed by both, so that the machines of a cluster whose driver was updated at one time do
    /// not load it again at one time.
    pub(crate) fn new(source: &str, node: &str, first: Duration) -> Self {
        Self {
            first: first.min(LONGEST),
            key: Seed::new(0).at(&format!("retry {source} {node}"), &[]),
            num_tries: 0,
        }
    }

    /// The next wait: `min(first · 2^n, 60 s) · (1 − u / 4)`, `u` uniform in [0, 1) by key.
    ///
    /// Worked number: with a first wait of 1 s, the fourth wait lies between 6 s and 8 s.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(self.num_tries));
        let jitter = JITTER * self.key.with(u64::from(self.num_tries)).uniform();
        self.num_tries = self.num_tries.saturating_add(1);
        doubled.min(LONGEST).mul_f64(1.0 - jitter)
    }

    /// Begins with the first wait again: the source is well.
    pub(crate) fn reset(&mut self) {
        self.num_tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(node: &str) -> Vec<f64> {
        let mut retry = Retry::new("nvml", node, Duration::from_secs(1));
        (0..40).map(|_| retry.next_wait().as_secs_f64()).collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_and_differ_by_machine() {
        let waits_here = waits("a");
        assert!((6.0..=8.0).contains(&waits_here[3]), "{waits_here:?}");
        for (wait, tries) in waits_here.iter().zip(0..) {
            let longest = 2.0_f64.powi(tries).min(60.0);
            assert!(
                (0.75 * longest..=longest).contains(wait),
                "wait {tries} is {wait} s"
            );
        }
        assert_eq!(waits_here, waits("a"));
        assert_ne!(waits_here, waits("b"));
    }

    #[test]
    fn a_source_that_was_well_is_tried_soon() {
        let mut retry = Retry::new("nvml", "a", Duration::from_secs(1));
        let first = retry.next_wait();
        assert!(retry.next_wait() > first);
        retry.reset();
        assert_eq!(retry.next_wait(), first);
    }
}
