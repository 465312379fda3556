//! The completion queue: at most one instant per clock, earliest first.
//!
//! A clock is a link, or an activity at its own bound. When a share changes, one entry moves, however many
//! activities share it. It is a 4-ary heap of packed (time, clock) with the position of each clock.

use orrery_units::SimTime;

use super::number;

const ABSENT: u32 = u32::MAX;

/// Time in the upper half, clock in the lower: one comparison decides, and ties are deterministic.
type Key = u128;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Due {
    heap: Vec<Key>,
    position: Vec<u32>,
}

impl Due {
    /// The earliest instant.
    #[inline]
    pub(super) fn first(&self) -> Option<(SimTime, u32)> {
        self.heap.first().map(|&key| (time_of(key), clock_of(key)))
    }

    /// Sets the instant of `clock`, or takes it away.
    pub(super) fn set(&mut self, clock: u32, time: Option<SimTime>) {
        if clock as usize >= self.position.len() {
            self.position.resize(clock as usize + 1, ABSENT);
        }
        let at = self.position[clock as usize];
        match (time, at) {
            (None, ABSENT) => {}
            (None, at) => self.remove(at as usize),
            (Some(time), ABSENT) => {
                let key = pack(time, clock);
                self.heap.push(key);
                self.sift_up(self.heap.len() - 1, key);
            }
            (Some(time), at) => {
                let key = pack(time, clock);
                if key < self.heap[at as usize] {
                    self.sift_up(at as usize, key);
                } else {
                    self.sift_down(at as usize, key);
                }
            }
        }
    }

    fn remove(&mut self, at: usize) {
        self.position[clock_of(self.heap[at]) as usize] = ABSENT;
        let last = self.heap.pop().expect("an entry is taken away that is there");
        if at == self.heap.len() {
            return;
        }
        if at > 0 && last < self.heap[(at - 1) / 4] {
            self.sift_up(at, last);
        } else {
            self.sift_down(at, last);
        }
    }

    #[inline]
    fn place(&mut self, at: usize, key: Key) {
        self.heap[at] = key;
        self.position[clock_of(key) as usize] = number(at);
    }

    fn sift_up(&mut self, mut at: usize, key: Key) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.heap[parent] <= key {
                break;
            }
            self.place(at, self.heap[parent]);
            at = parent;
        }
        self.place(at, key);
    }

    fn sift_down(&mut self, mut at: usize, key: Key) {
        loop {
            let first = 4 * at + 1;
            let children = first..(first + 4).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child]) else {
                break;
            };
            if key <= self.heap[least] {
                break;
            }
            self.place(at, self.heap[least]);
            at = least;
        }
        self.place(at, key);
    }
}

#[inline]
fn pack(time: SimTime, clock: u32) -> Key {
    (u128::from(time.as_picos()) << 64) | u128::from(clock)
}

#[inline]
const fn time_of(key: Key) -> SimTime {
    SimTime::from_picos((key >> 64) as u64)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "packed from 32 bits")]
const fn clock_of(key: Key) -> u32 {
    key as u32
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
