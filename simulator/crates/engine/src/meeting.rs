//! Meetings: who has arrived, and the activities that begin when all have.

use std::collections::VecDeque;

use orrery_taskgraph::Meeting;
use orrery_units::{GroupId, IndexVec};
use smallvec::SmallVec;

use crate::fetch::send_for;
use crate::lane::NONE;

/// Lanes of an activity: as many as fit on a cache line beside what else it has, or more elsewhere.
pub(crate) type Parties = SmallVec<[u32; 8]>;

/// An activity of several lanes: first those that arrived at its meeting, then those whose flows run.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Activity {
    /// Lanes in order of arrival.
    pub(crate) lanes: Parties,
    /// Events until its flows end together.
    pub(crate) pending: u32,
}

#[derive(Debug)]
#[repr(align(64))]
struct Group {
    parties: u32,
    /// Number of the first meeting that is not over.
    first: u32,
    /// The activity of that meeting; [`NONE`] where nobody came yet.
    current: u32,
    /// Activities of the meetings after it; [`NONE`] where nobody came yet, [`BEGUN`] where it has begun.
    later: VecDeque<u32>,
}

/// All groups and all activities.
#[derive(Debug)]
pub(crate) struct Meetings {
    groups: Vec<Group>,
    activities: Vec<Activity>,
    free: Vec<u32>,
}

impl Group {
    /// The activity of the meeting `place` after the first.
    fn open(&self, place: usize) -> Option<u32> {
        let open = match place.checked_sub(1) {
            None => Some(self.current),
            Some(later) => self.later.get(later).copied(),
        };
        open.filter(|&activity| activity != NONE && activity != BEGUN)
    }

    /// Where the activity of the meeting `place` after the first stands.
    fn place_mut(&mut self, place: usize) -> &mut u32 {
        let Some(later) = place.checked_sub(1) else {
            return &mut self.current;
        };
        while self.later.len() <= later {
            self.later.push_back(NONE);
        }
        &mut self.later[later]
    }
}

impl Meetings {
    pub(crate) fn new(parties: &IndexVec<GroupId, u32>) -> Self {
        let group = |&parties: &u32| Group {
            parties,
            first: 0,
            current: NONE,
            later: VecDeque::new(),
        };
        Self {
            groups: parties.iter().map(group).collect(),
            activities: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Lets `lane` arrive; gives the activity when it was the last.
    pub(crate) fn arrive(&mut self, meeting: Meeting, lane: u32) -> Option<u32> {
        let group = &mut self.groups[meeting.group.index()];
        let place = meeting.number.checked_sub(group.first);
        let place = place.expect("every party attends a meeting once") as usize;
        let parties = group.parties as usize;
        let open = group.place_mut(place);
        assert!(*open != BEGUN, "every party attends a meeting once");
        if *open == NONE {
            *open = self.free.pop().unwrap_or_else(|| {
                self.activities.push(Activity::default());
                u32::try_from(self.activities.len() - 1).expect("fewer than 2^32 activities")
            });
        }
        let activity = *open;
        let lanes = &mut self.activities[activity as usize].lanes;
        lanes.push(lane);
        if lanes.len() < parties {
            return None;
        }
        // Meetings of a group may begin out of order; its window moves past those that began.
        *open = BEGUN;
        while group.current == BEGUN {
            group.current = group.later.pop_front().unwrap_or(NONE);
            group.first += 1;
        }
        Some(activity)
    }

    pub(crate) fn activity(&mut self, activity: u32) -> &mut Activity {
        &mut self.activities[activity as usize]
    }

    /// The lanes of `activity`.
    #[inline]
    pub(crate) fn lanes(&self, activity: u32) -> &[u32] {
        &self.activities[activity as usize].lanes
    }

    /// Sends for what is known of `activity`.
    #[inline]
    pub(crate) fn send_for(&self, activity: u32) {
        send_for(&self.activities[activity as usize]);
    }

    /// Sends for what is known of the group of `meeting`.
    #[inline]
    pub(crate) fn send_for_group(&self, meeting: Meeting) {
        send_for(&self.groups[meeting.group.index()]);
    }

    /// Gives `activity` back, with the list that was taken out of it.
    pub(crate) fn release(&mut self, activity: u32, mut lanes: Parties) {
        lanes.clear();
        self.activities[activity as usize].lanes = lanes;
        self.free.push(activity);
    }

    /// How many have arrived at `meeting`, of how many.
    pub(crate) fn attendance(&self, meeting: Meeting) -> (u32, u32) {
        let group = &self.groups[meeting.group.index()];
        let place = meeting.number.checked_sub(group.first);
        let activity = place.and_then(|place| group.open(place as usize));
        let arrived = activity.map_or(0, |activity| self.activities[activity as usize].lanes.len());
        (u32::try_from(arrived).unwrap_or(u32::MAX), group.parties)
    }
}

/// The place of a meeting that has begun while an earlier one of its group has not.
const BEGUN: u32 = NONE - 1;
