//! From an event to completed tasks, and the report of who is blocked when nothing happens any more.

use orrery_taskgraph::{Meeting, Work};
use orrery_units::{LaneId, ProgramId};

use crate::error::{Blocked, WaitsFor};
use crate::lane::{Head, NONE};
use crate::run::Run;
use crate::tally::Row;

/// Blocked heads that a deadlock lists.
const LISTED: usize = 20;

impl Run {
    /// Flows over shared links have come to their end.
    pub(crate) fn end_flows(&mut self) {
        let ended = self.network.take_ended(self.now);
        for &lane in &ended {
            self.end(lane);
        }
        self.network.give_back(ended);
    }

    /// What runs on a lane has come to its end; its activity may have others to wait for.
    pub(crate) fn end(&mut self, lane_id: u32) {
        let activity = self.lanes[lane_id as usize].activity;
        if activity == NONE {
            self.complete(lane_id);
            return;
        }
        let state = self.meetings.activity(activity);
        state.pending -= 1;
        if state.pending == 0 {
            let lanes = std::mem::take(&mut state.lanes);
            self.fetch_to_end(&lanes);
            for &lane in &lanes {
                self.complete(lane);
            }
            self.meetings.release(activity, lanes);
        }
    }

    /// The head of a lane has completed.
    fn complete(&mut self, lane_id: u32) {
        let lane = &self.lanes[lane_id as usize];
        let (sequence, owner) = (lane.head, lane.program);
        let program = &mut self.programs[owner as usize];
        let slot = program.slot(sequence);
        let (id, step, holds) = (ProgramId::new(owner), slot.record.step, slot.record.holds());
        let row = Row {
            lane: LaneId::new(lane_id),
            class: lane.class,
        };
        self.tally.complete(id, row, slot, self.now);
        if slot.record.notifies() {
            self.notices.push_back((owner, sequence));
        }
        if self.recorder.wants(id, step) {
            let span = self.recorder.complete(LaneId::new(lane_id), slot, self.now);
            program.mark_mut(sequence).span = span;
        }
        if holds {
            self.change_memory(owner, sequence, true);
        }
        self.leave_device(lane_id);
        let program = &mut self.programs[owner as usize];
        let next = program.mark(sequence).next_in_lane;
        let host = program.complete(sequence, self.now);
        if host {
            program.issue(self.resources.run_ahead);
        }
        let lane = &mut self.lanes[lane_id as usize];
        lane.free_since = self.now;
        lane.last = sequence;
        lane.activity = NONE;
        lane.head = next;
        lane.state = Head::Absent;
        if next == NONE {
            lane.tail = NONE;
        }
        self.release(lane_id, owner, sequence, host);
        self.ask(owner);
    }

    /// Takes what ran on a lane off its device.
    fn leave_device(&mut self, lane_id: u32) {
        let lane = &mut self.lanes[lane_id as usize];
        let work = &self.programs[lane.program as usize].record(lane.head).work;
        let device = &mut self.devices[lane.device as usize];
        match work {
            Work::Delay(_) => return,
            Work::Flow { .. } => {}
            Work::Compute { .. } => {
                let at = device.running.iter().position(|&running| running == lane_id);
                device
                    .running
                    .remove(at.expect("a running task is on its device"));
            }
        }
        if !lane.share.is_zero() {
            device.remove(lane.share);
            let device = lane.device;
            self.rerate(device);
        }
    }

    /// Looks at every lane of a program that may go on after `sequence` has completed on `lane_id`, in order.
    fn release(&mut self, lane_id: u32, owner: u32, sequence: u32, host: bool) {
        let (mut own, mut from) = (Some(lane_id), 0);
        loop {
            let program = &mut self.programs[owner as usize];
            let other = program.let_go(from, sequence, host);
            let Some(lane) = own.into_iter().chain(other).min() else {
                return;
            };
            if own == Some(lane) {
                own = None;
            } else {
                program.stop_waiting(lane);
            }
            from = lane + 1;
            self.consider(lane);
        }
    }

    /// Heads of lanes that cannot start, the first of them and the number of the others.
    pub(crate) fn blocked(&self) -> (Vec<Blocked>, usize) {
        let mut blocked = Vec::new();
        let mut more = 0;
        for (id, lane) in self.resources.lanes.iter_enumerated() {
            let state = &self.lanes[id.index()];
            if state.head == NONE {
                continue;
            }
            if blocked.len() == LISTED {
                more += 1;
                continue;
            }
            blocked.push(Blocked {
                program: self.resources.programs[lane.program].clone(),
                lane: lane.name,
                sequence: state.head,
                waits_for: self.waits_for(id),
            });
        }
        (blocked, more)
    }

    fn waits_for(&self, lane: LaneId) -> WaitsFor {
        let (id, lane) = (lane.get(), &self.lanes[lane.index()]);
        let program = &self.programs[lane.program as usize];
        if let Some(awaited) = program.awaited_by(id) {
            return WaitsFor::Task(awaited);
        }
        match program.record(lane.head).meeting() {
            Some(meeting) if lane.state == Head::Arrived => self.absent_from(meeting),
            _ => WaitsFor::Host {
                behind: program.host_awaits(),
            },
        }
    }

    /// Who attends `meeting`, and who has emitted a task for it but is not there.
    fn absent_from(&self, meeting: Meeting) -> WaitsFor {
        let (arrived, parties) = self.meetings.attendance(meeting);
        let mut missing = Vec::new();
        for (owner, name) in self.resources.programs.iter_enumerated() {
            let program = &self.programs[owner.index()];
            let first = program.next.saturating_sub(program.window());
            let is_absent = |sequence: u32| {
                program.record(sequence).meeting() == Some(meeting)
                    && !program.is_complete(sequence)
                    && !self.has_arrived(owner, sequence)
            };
            if (first..program.next).any(is_absent) && missing.len() < LISTED {
                missing.push(name.clone());
            }
        }
        WaitsFor::Meeting {
            group: meeting.group,
            number: meeting.number,
            arrived,
            parties,
            missing,
        }
    }
}
