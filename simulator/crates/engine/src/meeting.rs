//! Meetings: who has arrived, and the activities that begin when all have.

use std::collections::VecDeque;

use orrery_taskgraph::Meeting;
use orrery_units::{GroupId, IndexVec};

use crate::lane::NONE;

/// An activity of several lanes: first those that arrived at its meeting, then those whose flows run.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Lanes in order of arrival.
    pub(crate) lanes: Vec<u32>,
    /// Events until its flows end together.
    pub(crate) pending: u32,
}

#[derive(Debug, Default)]
struct Group {
    parties: u32,
    /// Number of the first meeting that is not over.
    first: u32,
    /// Activities of the meetings from `first` on; [`NONE`] where nobody came yet or it has begun.
    open: VecDeque<u32>,
}

/// All groups and all activities.
#[derive(Debug)]
pub(crate) struct Meetings {
    groups: Vec<Group>,
    activities: Vec<Activity>,
    free: Vec<u32>,
}

impl Meetings {
    pub(crate) fn new(parties: &IndexVec<GroupId, u32>) -> Self {
        let group = |&parties: &u32| Group {
            parties,
            ..Group::default()
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
        while group.open.len() <= place {
            group.open.push_back(NONE);
        }
        assert!(group.open[place] != BEGUN, "every party attends a meeting once");
        if group.open[place] == NONE {
            group.open[place] = self.free.pop().unwrap_or_else(|| {
                self.activities.push(Activity::default());
                u32::try_from(self.activities.len() - 1).expect("fewer than 2^32 activities")
            });
        }
        let activity = group.open[place];
        let lanes = &mut self.activities[activity as usize].lanes;
        lanes.push(lane);
        if lanes.len() < group.parties as usize {
            return None;
        }
        // Meetings of a group may begin out of order; its window moves past those that began.
        group.open[place] = BEGUN;
        while group.open.front() == Some(&BEGUN) {
            group.open.pop_front();
            group.first += 1;
        }
        Some(activity)
    }

    pub(crate) fn activity(&mut self, activity: u32) -> &mut Activity {
        &mut self.activities[activity as usize]
    }

    /// Gives `activity` back, with the list that was taken out of it.
    pub(crate) fn release(&mut self, activity: u32, mut lanes: Vec<u32>) {
        lanes.clear();
        self.activities[activity as usize].lanes = lanes;
        self.free.push(activity);
    }

    /// How many have arrived at `meeting`, of how many.
    pub(crate) fn attendance(&self, meeting: Meeting) -> (u32, u32) {
        let group = &self.groups[meeting.group.index()];
        let place = meeting
            .number
            .checked_sub(group.first)
            .map(|place| place as usize);
        let activity = place.and_then(|place| group.open.get(place)).copied();
        let arrived = activity
            .filter(|&activity| activity != NONE && activity != BEGUN)
            .map_or(0, |activity| self.activities[activity as usize].lanes.len());
        (u32::try_from(arrived).unwrap_or(u32::MAX), group.parties)
    }
}

/// The place of a meeting that has begun while an earlier one of its group has not.
const BEGUN: u32 = NONE - 1;
