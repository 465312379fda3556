//! The completion queue: at most one instant per clock, earliest first.
//!
//! A clock is a link, or an activity at its own bound. When a share changes, one entry moves, however many
//! activities share it.

use orrery_units::SimTime;

use crate::indexed_heap::{IndexedHeap, Owned};

/// Time in the upper half, clock in the lower: one comparison decides, and ties are deterministic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Due(IndexedHeap<Key>);

impl Due {
    /// The earliest instant.
    #[inline]
    pub(super) fn first(&self) -> Option<(SimTime, u32)> {
        self.0.first().map(|key| (key.time(), key.owner()))
    }

    /// Sets the instant of `clock`, or takes it away.
    pub(super) fn set(&mut self, clock: u32, time: Option<SimTime>) {
        match time {
            Some(time) => self.0.set(Key::new(time, clock)),
            None => self.0.remove(clock),
        }
    }
}

impl Key {
    #[inline]
    fn new(time: SimTime, clock: u32) -> Self {
        Self((u128::from(time.as_picos()) << 64) | u128::from(clock))
    }

    #[inline]
    const fn time(self) -> SimTime {
        SimTime::from_picos((self.0 >> 64) as u64)
    }
}

impl Owned for Key {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "packed from 32 bits")]
    fn owner(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_units::Seed;

    #[test]
    fn random_traffic_comes_out_as_from_a_table() {
        let mut due = Due::default();
        let mut table: Vec<Option<u64>> = vec![None; 64];
        for turn in 0..20_000u64 {
            let draw = |what: u64| Seed::new(5).at("due", &[turn, what]).uniform();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 500"
            )]
            let (clock, time) = ((draw(0) * 64.0) as u32, (draw(1) * 500.0) as u64);
            let time = (draw(2) < 0.6).then_some(time);
            table[clock as usize] = time;
            due.set(clock, time.map(SimTime::from_picos));
            let expected = (0u32..)
                .zip(&table)
                .filter_map(|(clock, time)| time.map(|time| (time, clock)))
                .min();
            assert_eq!(
                due.first().map(|(time, clock)| (time.as_picos(), clock)),
                expected
            );
        }
    }
}
