//! Reading ahead.
//!
//! A run goes from rank to rank, so that nearly all that an event asks for is far from the processor, and one thing
//! says where the next is: an event its lane, that its program and its activity, a program its tasks, a task those that
//! follow it. What will be asked for is therefore sent for a step of the way at a time, each step while earlier events are
//! handled, so that nobody waits for it. Nothing here changes anything but the time that a run takes.

use crate::lane::NONE;
use crate::run::{Run, Start};

/// Tasks of a program that are on their way at once while it takes in more.
pub(crate) const TASKS_AHEAD: u32 = 4;

/// Activities about to start that are on their way at once.
pub(crate) const STARTS_AHEAD: usize = 5;

/// Lanes of an activity that are sent for early; of larger ones the others are just before they are worked on.
const EARLY: usize = 16;

/// Lanes that are sent for together: about as many as a processor has reads under way.
const TOGETHER: usize = 16;

/// Entries of a list that are on their way at once.
const ENTRIES_AHEAD: usize = 16;

/// Sends for the cache line of `place`, without waiting for it.
#[inline]
pub(crate) fn send_for<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(place);
    #[cfg(not(target_arch = "x86_64"))]
    let _processors_without = place;
}

/// Takes `entries` in order; what each will ask for of `state` is sent for some entries before.
#[inline]
pub(crate) fn take_each<T, S: ?Sized>(
    entries: &[T],
    state: &mut S,
    send: impl Fn(&S, &T),
    take: impl Fn(&mut S, &T),
) {
    for entry in entries.iter().take(ENTRIES_AHEAD) {
        send(state, entry);
    }
    for (place, entry) in entries.iter().enumerate() {
        if let Some(later) = entries.get(place + ENTRIES_AHEAD) {
            send(state, later);
        }
        take(state, entry);
    }
}

/// A step of the way from lanes to what is asked for when their heads start or end; each reads what the one before it has
/// sent for.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The lanes.
    Lanes,
    /// Their programs and devices.
    Programs,
    /// Their heads, and the lanes whose heads wait for these.
    Heads,
    /// What a head holds, and what released it.
    Reasons,
    /// What a head holds, and the tasks that follow it.
    Followers,
    /// What those wait for besides, what they hold and whom they meet.
    Needs,
}

/// From lanes whose heads end to all that is asked for.
const TO_END: [Step; 5] = [
    Step::Lanes,
    Step::Programs,
    Step::Heads,
    Step::Followers,
    Step::Needs,
];

/// From lanes whose heads start to all that is asked for.
const TO_START: [Step; 4] = [Step::Lanes, Step::Programs, Step::Heads, Step::Reasons];

impl Run {
    /// Sends for what the next events will ask for, each a step further than before.
    #[inline]
    pub(crate) fn look_ahead(&self) {
        let lanes = self.lanes.len();
        let lane = |distance: usize| {
            let owner = self.queue.ahead(distance);
            owner.filter(|&owner| (owner as usize) < lanes)
        };
        for (&step, distance) in TO_END.iter().rev().zip(0..) {
            if let Some(lane) = lane(distance) {
                match self.lanes[lane as usize].activity {
                    NONE => self.send_for_all(&[lane], step),
                    activity => self.send_for_all(early(self.meetings.lanes(activity)), step),
                }
            }
        }
        if let Some(lane) = lane(TO_END.len()) {
            let activity = self.lanes[lane as usize].activity;
            if activity != NONE {
                self.meetings.send_for(activity);
            }
        }
        if let Some(lane) = lane(TO_END.len() + 1) {
            send_for(&self.lanes[lane as usize]);
        }
    }

    /// Sends for what the next activities of flows will ask for when they start, each a step further than before.
    #[inline]
    pub(crate) fn look_ahead_of_starts(&self) {
        let activity = |distance: usize| match self.ready_flows.get(distance) {
            Some(&Start::Meeting { activity, .. }) => Some(activity),
            _ => None,
        };
        for (&step, distance) in TO_START.iter().rev().zip(0..) {
            if let Some(activity) = activity(distance) {
                self.send_for_all(early(self.meetings.lanes(activity)), step);
            }
        }
        if let Some(activity) = activity(TO_START.len()) {
            self.meetings.send_for(activity);
        }
    }

    /// Sends for what these lanes ask for when their heads start, now; if `early`, the first of them are here already.
    pub(crate) fn fetch_to_start(&self, lanes: &[u32], is_early: bool) {
        let here = if is_early { early(lanes).len() } else { 0 };
        self.fetch(&lanes[here..], &TO_START);
    }

    /// Sends for what these lanes ask for when their heads end, now; the first of them are here already.
    pub(crate) fn fetch_to_end(&self, lanes: &[u32]) {
        self.fetch(&lanes[early(lanes).len()..], &TO_END);
    }

    fn fetch(&self, lanes: &[u32], steps: &[Step]) {
        for lanes in lanes.chunks(TOGETHER) {
            for &step in steps {
                self.send_for_all(lanes, step);
            }
        }
    }

    #[inline]
    fn send_for_all(&self, lanes: &[u32], step: Step) {
        for &lane in lanes {
            match step {
                Step::Lanes => send_for(&self.lanes[lane as usize]),
                Step::Programs => self.send_for_program(lane),
                Step::Heads => self.send_for_head(lane),
                Step::Reasons => self.send_for_reasons(lane),
                Step::Followers => self.send_for_followers(lane),
                Step::Needs => self.send_for_needs(lane),
            }
        }
    }

    #[inline]
    fn send_for_program(&self, lane: u32) {
        let lane = &self.lanes[lane as usize];
        self.programs[lane.program as usize].send_for();
        send_for(&self.devices[lane.device as usize]);
    }

    #[inline]
    fn send_for_head(&self, lane: u32) {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return;
        }
        let program = &self.programs[lane.program as usize];
        program.send_for_task(lane.head);
        program.send_for_end(lane.head);
        for waiting in program.waiting_for(lane.head) {
            send_for(&self.lanes[waiting as usize]);
        }
    }

    #[inline]
    fn send_for_reasons(&self, lane: u32) {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return;
        }
        let program = &self.programs[lane.program as usize];
        program.send_for_memory(lane.head);
        let releaser = program.mark(lane.head).releaser;
        if releaser != NONE {
            program.send_for_task(releaser);
        }
    }

    #[inline]
    fn send_for_followers(&self, lane: u32) {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return;
        }
        let program = &self.programs[lane.program as usize];
        program.send_for_memory(lane.head);
        let next = program.mark(lane.head).next_in_lane;
        if next != NONE {
            program.send_for_task(next);
        }
        for waiting in program.waiting_for(lane.head) {
            program.send_for_task(self.lanes[waiting as usize].head);
        }
    }

    #[inline]
    fn send_for_needs(&self, lane: u32) {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return;
        }
        let program = &self.programs[lane.program as usize];
        let next = program.mark(lane.head).next_in_lane;
        let waiting = program.waiting_for(lane.head);
        let waiting = waiting.map(|waiting| self.lanes[waiting as usize].head);
        for task in std::iter::once(next).chain(waiting) {
            if task == NONE {
                continue;
            }
            if let Some(awaited) = program.awaited(task, 0) {
                program.send_for_end(awaited);
            }
            program.send_for_memory(task);
            if let Some(meeting) = program.record(task).meeting() {
                self.meetings.send_for_group(meeting);
            }
        }
    }
}

/// Those of the lanes of an activity that are sent for early.
fn early(lanes: &[u32]) -> &[u32] {
    &lanes[..lanes.len().min(EARLY)]
}
