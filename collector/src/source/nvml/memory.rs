//! What is known of each device's place beyond the opening of a source: a device that is lost makes the source be
//! opened again, and its errors, its silence and the call that hangs are not forgotten by that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use orrery_telemetry::{Absence, DeviceState, Presence, Reading, UnixTime, Xids};

/// What is known of the places of one machine, by number of the device.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<u32, Place>>);

#[derive(Debug, Default)]
struct Place {
    presence: Option<Presence>,
    /// Whether a thread of this or an earlier source is in a call about the device.
    is_taken: bool,
    /// The errors counted, and the device whose they are.
    xids: Option<(String, Xids)>,
    /// Why no errors are heard of, if so.
    deaf: Option<Absence>,
}

impl Memory {
    /// Notes that device `index` is `state` in a reading that began at `began`.
    pub(super) fn note(&self, index: u32, state: DeviceState, began: UnixTime) -> Presence {
        let mut places = self.lock();
        let known = &mut places.entry(index).or_default().presence;
        let before = known.filter(|presence| presence.state == state);
        let last_answer = known.and_then(|presence| presence.last_answer);
        let num_missed = known.map_or(0, |presence| presence.num_missed);
        let presence = Presence {
            state,
            since: before.map_or(began, |presence| presence.since),
            last_answer: if state == DeviceState::Answering {
                Some(began)
            } else {
                last_answer
            },
            num_missed: num_missed + u64::from(state == DeviceState::Silent),
        };
        *known = Some(presence);
        presence
    }

    /// Takes device `index` for a thread; whether it was free.
    pub(super) fn take(&self, index: u32) -> bool {
        let mut places = self.lock();
        !std::mem::replace(&mut places.entry(index).or_default().is_taken, true)
    }

    /// Gives device `index` back.
    pub(super) fn give_back(&self, index: u32) {
        self.lock().entry(index).or_default().is_taken = false;
    }

    /// Listens for errors of the device `uuid` in place `index` from `now` on, or not, because of `deaf`. What was
    /// counted before is kept while the device is the same.
    pub(super) fn listen(&self, index: u32, uuid: &str, deaf: Option<Absence>, now: UnixTime) {
        let mut places = self.lock();
        let place = places.entry(index).or_default();
        place.deaf = deaf;
        // A lost device tells no name: it is the one that was there.
        let is_same = |known: &str| known == uuid || uuid.is_empty();
        if !place.xids.as_ref().is_some_and(|(known, _)| is_same(known)) {
            let xids = Xids {
                since: now,
                ..Xids::default()
            };
            place.xids = Some((uuid.to_owned(), xids));
        }
    }

    /// Counts an error of device `index`.
    pub(super) fn count_xid(&self, index: u32, code: u64, at: UnixTime) {
        let mut places = self.lock();
        if let Some((_, xids)) = &mut places.entry(index).or_default().xids {
            xids.count(code, at);
        }
    }

    /// The errors of device `index`. What was counted is told even when nothing more is heard.
    pub(super) fn xids(&self, index: u32) -> Reading<Xids> {
        let places = self.lock();
        let Some(place) = places.get(&index) else {
            return Reading::absent(Absence::NotYet);
        };
        match (&place.xids, &place.deaf) {
            (Some((_, xids)), Some(deaf)) if xids.counts.is_empty() => Reading::absent(deaf.clone()),
            (Some((_, xids)), _) => Reading::Value(xids.clone()),
            (None, _) => Reading::absent(Absence::NotYet),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(millis)
    }

    #[test]
    fn a_state_has_an_age_and_the_last_answer_stays() {
        let memory = Memory::default();
        memory.note(3, DeviceState::Answering, at(10));
        let silent = memory.note(3, DeviceState::Silent, at(20));
        let still = memory.note(3, DeviceState::Silent, at(30));
        assert_eq!((silent.since, still.since), (at(20), at(20)));
        assert_eq!((still.last_answer, still.num_missed), (Some(at(10)), 2));
        let back = memory.note(3, DeviceState::Answering, at(40));
        assert_eq!(
            (back.since, back.last_answer, back.num_missed),
            (at(40), Some(at(40)), 2)
        );
    }

    #[test]
    fn errors_outlive_the_loss_of_the_device_and_not_its_exchange() {
        let memory = Memory::default();
        memory.listen(0, "GPU-a", None, at(1));
        memory.count_xid(0, 79, at(2));
        memory.listen(0, "", Some(Absence::DeviceLost), at(3));
        let xids = memory.xids(0);
        let xids = xids.value().unwrap();
        assert_eq!(
            (xids.since, xids.counts[0].code, xids.counts[0].count),
            (at(1), 79, 1)
        );
        memory.listen(0, "GPU-b", None, at(4));
        assert_eq!(memory.xids(0).value().unwrap().counts, []);
        memory.listen(1, "GPU-c", Some(Absence::NotSupported), at(4));
        assert_eq!(memory.xids(1).absence(), Some(&Absence::NotSupported));
    }

    #[test]
    fn a_place_is_taken_by_one_thread_at_a_time() {
        let memory = Memory::default();
        assert!(memory.take(0) && !memory.take(0) && memory.take(1));
        memory.give_back(0);
        assert!(memory.take(0));
    }
}
