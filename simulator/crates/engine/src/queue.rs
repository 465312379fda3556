//! The event queue: one entry per owner at most, ordered by (time, class, sequence).
//!
//! An owner is a lane (or the alarm clock, or the shared links). Because a lane runs one task at a time it never awaits two
//! instants, so a new time replaces the old one in place: nothing stale is ever queued, and the queue holds
//! as many entries as lanes are busy.
//!
//! The next few entries lie in order in front of the heap, so that who asks can know whose they are and read ahead for
//! them.

use orrery_units::SimTime;

use crate::indexed_heap::{IndexedHeap, Owned};

/// What kind of event it is; at equal times the lower class goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Flows over shared links have moved their bytes.
    Links = 0,
    /// An activity ends, or a flow on a private path has moved its bytes.
    End = 1,
    /// The latency of a flow is over: it joins the shared links.
    Join = 2,
    /// The host issues the task at the head of a lane.
    Issue = 3,
    /// The driver's alarm.
    Alarm = 4,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: SimTime,
    pub(crate) class: Class,
    pub(crate) owner: u32,
}

/// Time, class, sequence and owner in one number, so that one comparison decides.
///
/// 64 bits of time, 4 of class, 36 of sequence, 24 of owner; the owner never decides, for no two keys share
/// a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

const OWNER_BITS: u32 = 24;
const SEQUENCE_BITS: u32 = 36;

impl Key {
    fn new(time: SimTime, class: Class, sequence: u64, owner: u32) -> Self {
        let low =
            ((class as u64) << (OWNER_BITS + SEQUENCE_BITS)) | (sequence << OWNER_BITS) | u64::from(owner);
        Self((u128::from(time.as_picos()) << 64) | u128::from(low))
    }

    fn time(self) -> SimTime {
        SimTime::from_picos((self.0 >> 64) as u64)
    }

    fn class(self) -> Class {
        match (self.0 >> (OWNER_BITS + SEQUENCE_BITS)) & 0xf {
            0 => Class::Links,
            1 => Class::End,
            2 => Class::Join,
            3 => Class::Issue,
            _ => Class::Alarm,
        }
    }
}

impl Owned for Key {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
    fn owner(self) -> u32 {
        self.0 as u32 & ((1 << OWNER_BITS) - 1)
    }
}

/// Entries that lie in front of the heap: as many as are looked at before they are due.
const FRONT: usize = 8;

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The next entries, the next one last; empty only where the heap is, and none of the heap is before any of them.
    front: Vec<Key>,
    /// Whether the entry of each owner is one of these.
    is_in_front: Vec<bool>,
    /// All others.
    heap: IndexedHeap<Key>,
    sequence: u64,
}

impl Queue {
    /// An empty queue for owners `0..owners`.
    pub(crate) fn new(owners: u32) -> Self {
        assert!(owners < 1 << OWNER_BITS, "fewer than 2^24 lanes");
        Self {
            front: Vec::with_capacity(FRONT),
            is_in_front: vec![false; owners as usize],
            heap: IndexedHeap::with_owners(owners),
            sequence: 0,
        }
    }

    /// Sets the one event of `owner`, replacing what it awaited before.
    pub(crate) fn set(&mut self, owner: u32, time: SimTime, class: Class) {
        let key = Key::new(time, class, self.sequence, owner);
        self.sequence += 1;
        assert!(self.sequence < 1 << SEQUENCE_BITS, "fewer than 2^36 events");
        if self.is_in_front[owner as usize] {
            self.is_in_front[owner as usize] = false;
            let place = self.front.iter().position(|known| known.owner() == owner);
            self.front
                .remove(place.expect("an entry is where its owner says"));
        }
        match self.front.first() {
            Some(&last) if key < last => {
                self.heap.remove(owner);
                self.put_in_front(key, last);
            }
            _ => self.heap.set(key),
        }
        if self.front.is_empty() {
            self.refill();
        }
    }

    /// Puts `key` among the next entries, of which `last` is the last and makes room where there is none.
    fn put_in_front(&mut self, key: Key, last: Key) {
        if self.front.len() == FRONT {
            self.front.remove(0);
            self.is_in_front[last.owner() as usize] = false;
            self.heap.set(last);
        }
        let place = self.front.partition_point(|&known| known > key);
        self.front.insert(place, key);
        self.is_in_front[key.owner() as usize] = true;
    }

    /// Takes the next entries out of the heap.
    #[inline]
    fn refill(&mut self) {
        while self.front.len() < FRONT
            && let Some(key) = self.heap.pop()
        {
            self.is_in_front[key.owner() as usize] = true;
            self.front.insert(0, key);
        }
    }

    /// When the next event is due.
    #[inline]
    pub(crate) fn next_time(&self) -> Option<SimTime> {
        self.front.last().map(|key| key.time())
    }

    /// Whose the event is that comes `distance` after the next one, if that is known.
    #[inline]
    pub(crate) fn ahead(&self, distance: usize) -> Option<u32> {
        self.front.iter().nth_back(distance).map(|key| key.owner())
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let first = self.front.pop()?;
        self.is_in_front[first.owner() as usize] = false;
        self.refill();
        Some(Event {
            time: first.time(),
            class: first.class(),
            owner: first.owner(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_units::Seed;

    fn at(picos: u64) -> SimTime {
        SimTime::from_picos(picos)
    }

    #[test]
    fn ties_go_by_class_then_first_in_first_out() {
        let mut queue = Queue::new(8);
        queue.set(0, at(5), Class::Alarm);
        queue.set(1, at(5), Class::End);
        queue.set(2, at(5), Class::Issue);
        queue.set(3, at(5), Class::End);
        queue.set(4, at(4), Class::Alarm);
        queue.set(5, at(5), Class::Join);
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop())
            .map(|event| event.owner)
            .collect();
        assert_eq!(order, [4, 1, 3, 5, 2, 0]);
    }

    #[test]
    fn a_new_time_replaces_the_old_one() {
        let mut queue = Queue::new(3);
        queue.set(0, at(10), Class::End);
        queue.set(1, at(20), Class::End);
        queue.set(0, at(30), Class::End);
        queue.set(1, at(15), Class::End);
        assert_eq!(
            queue.pop().map(|event| (event.owner, event.time)),
            Some((1, at(15)))
        );
        assert_eq!(
            queue.pop().map(|event| (event.owner, event.time)),
            Some((0, at(30)))
        );
        assert_eq!(queue.pop(), None);
    }

    /// Claim: whatever comes and goes, entries come out as from a sorted list, and those that are told of beforehand are
    /// the next ones.
    #[test]
    fn random_traffic_comes_out_as_from_a_sorted_list() {
        let mut queue = Queue::new(64);
        let mut list: Vec<(u64, u64, u32)> = Vec::new();
        let mut told = 0;
        for turn in 0..20_000u64 {
            let key = Seed::new(3).at("queue", &[turn]);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 64")]
            let owner = (key.with(1).uniform() * 64.0) as u32;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 500"
            )]
            let time = (key.with(2).uniform() * 500.0) as u64;
            if key.with(3).uniform() < 0.6 {
                list.retain(|entry| entry.2 != owner);
                list.push((time, turn, owner));
                queue.set(owner, at(time), Class::End);
            } else {
                list.sort_unstable();
                for (distance, entry) in list.iter().take(FRONT).enumerate() {
                    let next = queue.ahead(distance);
                    assert!(next.is_none_or(|owner| owner == entry.2), "{distance}: {next:?}");
                    told += usize::from(next.is_some());
                }
                let expected = (!list.is_empty()).then(|| list.remove(0));
                let popped = queue.pop();
                assert_eq!(
                    popped.map(|event| (event.time.as_picos(), event.owner)),
                    expected.map(|(time, _, owner)| (time, owner))
                );
            }
        }
        assert!(told > 40_000, "{told} entries were told of beforehand");
    }
}
