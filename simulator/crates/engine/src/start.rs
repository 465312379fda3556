//! From the head of a lane to a running activity.

use orrery_taskgraph::Work;
use orrery_units::{BytesPerSec, LaneId, ProgramId, SimDuration, SimTime};

use crate::contention::{Share, SlowDown};
use crate::fetch::STARTS_AHEAD;
use crate::lane::{Head, NONE};
use crate::network::is_private;
use crate::queue::Class;
use crate::run::{Run, Start};
use crate::tally::{Idle, Row};

/// Releases that are walked back to find why a lane was idle.
const WALK: u32 = 16;

impl Run {
    /// Looks at the head of a free lane: notes what it waits for, or lets it arrive or get ready.
    pub(crate) fn consider(&mut self, lane_id: u32) {
        let lane = &mut self.lanes[lane_id as usize];
        let sequence = lane.head;
        if sequence == NONE {
            lane.state = Head::Absent;
            return;
        }
        let program = &mut self.programs[lane.program as usize];
        let (mut released, mut releaser) = (lane.free_since, lane.last);
        let mut place = 0;
        while let Some(awaited) = program.awaited(sequence, place) {
            place += 1;
            let Some(end) = program.end(awaited) else {
                lane.state = Head::AwaitsTask;
                program.wait(lane_id, awaited);
                return;
            };
            if end >= released {
                (released, releaser) = (end, awaited);
            }
        }
        let Some(issue) = program.issued(sequence) else {
            lane.state = Head::AwaitsHost;
            program.wait(lane_id, NONE);
            return;
        };
        if issue > self.now {
            lane.state = Head::AwaitsIssue;
            self.queue.set(lane_id, issue, Class::Issue);
            return;
        }
        let mark = program.mark_mut(sequence);
        mark.released = released;
        mark.releaser = releaser;
        mark.ready = self.now;
        let record = *program.record(sequence);
        let is_flow = matches!(record.work, Work::Flow { .. });
        let start = match record.meeting() {
            None => {
                lane.state = Head::Runs;
                Start::Lane(lane_id)
            }
            Some(meeting) => {
                lane.state = Head::Arrived;
                let Some(activity) = self.meetings.arrive(meeting, lane_id) else {
                    self.spin(lane_id);
                    return;
                };
                Start::Meeting {
                    activity,
                    is_early: is_flow && self.ready_flows.len() >= STARTS_AHEAD,
                }
            }
        };
        if is_flow {
            self.ready_flows.push_back(start);
        } else {
            self.ready.push_back(start);
        }
    }

    /// Lets the head of a lane hold its units while it waits at its meeting, if it is one that spins.
    fn spin(&mut self, lane_id: u32) {
        let lane = &mut self.lanes[lane_id as usize];
        let record = self.programs[lane.program as usize].record(lane.head);
        if let (true, Work::Flow { occupancy, .. }) = (record.spins(), record.work) {
            lane.share = Share::of(occupancy).units_only();
            lane.spinning = true;
            let (device, share) = (lane.device, lane.share);
            self.devices[device as usize].add(share);
            self.rerate(device);
        }
    }

    /// Starts what is ready; flows only occupy their devices, until [`Run::move_flows`].
    pub(crate) fn start(&mut self, start: Start) {
        match start {
            Start::Lane(lane) => {
                self.begin(lane);
                if self.start_alone(lane) {
                    self.occupy(&[lane]);
                    self.occupying.push_back(start);
                }
            }
            Start::Meeting { activity, is_early } => {
                let mut lanes = std::mem::take(&mut self.meetings.activity(activity).lanes);
                self.fetch_to_start(&lanes, is_early);
                self.blame_last(&lanes);
                for &lane in &lanes {
                    self.begin(lane);
                }
                self.share_release(&lanes);
                // Compute tasks first, so that flows see them; what is left are the flows.
                lanes.retain(|lane| self.start_alone(*lane));
                if lanes.is_empty() {
                    self.meetings.release(activity, lanes);
                } else {
                    self.occupy(&lanes);
                    self.occupying.push_back(start);
                    self.meetings.activity(activity).lanes = lanes;
                }
            }
        }
    }

    /// Lets flows move, once all that start at this instant occupy their devices: each sees all others,
    /// whoever came first.
    pub(crate) fn move_flows(&mut self, start: Start) {
        match start {
            Start::Lane(lane) => self.start_flows(&[lane], NONE),
            Start::Meeting { activity, .. } => {
                let lanes = std::mem::take(&mut self.meetings.activity(activity).lanes);
                self.start_flows(&lanes, activity);
                self.meetings.activity(activity).lanes = lanes;
            }
        }
    }

    /// Charges the waits of a meeting to who came last.
    fn blame_last(&mut self, lanes: &[u32]) {
        let mut waited = SimDuration::ZERO;
        for &lane in lanes {
            let lane = &self.lanes[lane as usize];
            waited += self.now - self.programs[lane.program as usize].mark(lane.head).ready;
        }
        let Some(&last) = lanes.last() else { return };
        if !waited.is_zero() {
            let lane = &self.lanes[last as usize];
            let step = self.programs[lane.program as usize].record(lane.head).step;
            self.tally.blame(step, ProgramId::new(lane.program), waited);
        }
    }

    /// Notes that the head of a lane starts now: idle time, memory, who released it.
    fn begin(&mut self, lane_id: u32) {
        let lane = &mut self.lanes[lane_id as usize];
        lane.state = Head::Runs;
        let (sequence, free_since, owner) = (lane.head, lane.free_since, lane.program);
        let program = &mut self.programs[owner as usize];
        program.mark_mut(sequence).start = self.now;
        let (step, holds) = (program.record(sequence).step, program.record(sequence).holds());
        if free_since < self.now {
            self.charge_idle(lane_id, sequence);
        }
        if let Some(first) = self.recorder.chooses_at(step)
            && let Some(slowest) = self.tally.slowest_before(first)
        {
            self.recorder.add_program(slowest, &self.resources);
        }
        if holds {
            self.change_memory(owner, sequence, false);
        }
        if self.recorder.has_room(ProgramId::new(owner), step) {
            let program = &mut self.programs[owner as usize];
            let releaser = program.mark(sequence).releaser;
            if releaser != NONE && program.remembers(releaser) {
                program.mark_mut(sequence).released_by = program.mark(releaser).span;
            }
        }
    }

    /// Those that waited at a meeting were released by what released the last to arrive.
    fn share_release(&mut self, lanes: &[u32]) {
        let Some(&last) = lanes.last() else { return };
        let last = &self.lanes[last as usize];
        let released_by = self.programs[last.program as usize].mark(last.head).released_by;
        if released_by == NONE {
            return;
        }
        for &lane in lanes {
            let lane = &self.lanes[lane as usize];
            let mark = self.programs[lane.program as usize].mark_mut(lane.head);
            if mark.ready < self.now {
                mark.released_by = released_by;
            }
        }
    }

    /// Applies the memory changes of a task at its start or end.
    pub(crate) fn change_memory(&mut self, owner: u32, sequence: u32, at_end: bool) {
        let program = &self.programs[owner as usize];
        let step = program.record(sequence).step;
        let is_recorded = self.recorder.wants(ProgramId::new(owner), step);
        let mut full = false;
        let changes = program.memory(sequence).iter();
        for &change in changes.filter(|change| change.at_end() == at_end) {
            full |= self.pools.write((owner, step), change, self.now, is_recorded);
        }
        if full {
            self.pools.apply(&mut self.recorder);
        }
    }

    /// Charges the gap before a task to what held it: its meeting, the host, and what released it.
    ///
    /// From the start of the task back to the instant its lane became free. Waiting at a meeting is charged
    /// as waiting to its own kind; from release to issue to the host; while the releasing task ran to that
    /// task's kind; and before that to what held the releasing task in turn, by the same rule.
    fn charge_idle(&mut self, lane_id: u32, sequence: u32) {
        let lane = &self.lanes[lane_id as usize];
        let program = &self.programs[lane.program as usize];
        let free = lane.free_since;
        let row = Row {
            lane: LaneId::new(lane_id),
            class: lane.class,
        };
        let step = program.record(sequence).step;
        let mut until = self.now;
        let tally = &mut self.tally;
        let mut charge = |from: SimTime, reason: Idle| {
            let from = from.max(free);
            if from < until {
                tally.idle(step, row, reason, until - from);
                until = from;
            }
            until > free
        };
        let (mut at, mut kind) = (sequence, program.mark(sequence).kind);
        for _ in 0..WALK {
            let mark = program.mark(at);
            if !(charge(mark.start, Idle::Running(kind))
                && charge(mark.ready, Idle::Waiting(kind))
                && charge(mark.released, Idle::Host))
            {
                return;
            }
            at = mark.releaser;
            if at == NONE {
                charge(free, Idle::Host);
                return;
            }
            if !program.remembers(at) {
                break;
            }
            kind = program.mark(at).kind;
        }
        charge(free, Idle::Waiting(kind));
    }

    /// Starts a compute task or a delay; says `true` for a flow, which it leaves alone.
    fn start_alone(&mut self, lane_id: u32) -> bool {
        let lane = &mut self.lanes[lane_id as usize];
        let program = &mut self.programs[lane.program as usize];
        match program.record(lane.head).work {
            Work::Flow { .. } => return true,
            Work::Delay(span) => {
                self.queue.set(lane_id, self.now + span, Class::End);
            }
            Work::Compute { alone, demand, .. } => {
                lane.share = Share::of(demand);
                lane.remaining = alone;
                lane.since = self.now;
                let (device, share) = (lane.device, lane.share);
                self.devices[device as usize].add(share);
                self.rerate(device);
                let device = &mut self.devices[device as usize];
                device.running.push(lane_id);
                self.queue
                    .set(lane_id, self.now + device.slow().stretch(alone), Class::End);
            }
        }
        false
    }

    /// Starts flows that end together: they take one slow-down, and move. Those over shared links move as one
    /// activity, at the pace and after the latency of the slowest of them.
    fn start_flows(&mut self, lanes: &[u32], activity: u32) {
        let slow = self.worst_of(lanes);
        let (mut longest, mut private) = (SimDuration::ZERO, None);
        let (mut slowest, mut shared) = (SimDuration::ZERO, None);
        for &lane_id in lanes {
            let lane = &mut self.lanes[lane_id as usize];
            lane.activity = activity;
            let program = &mut self.programs[lane.program as usize];
            let Work::Flow {
                latency,
                bytes,
                bound,
                path,
                ..
            } = program.record(lane.head).work
            else {
                continue;
            };
            let transfer = bytes / bound;
            let takes = latency + slow.stretch(transfer);
            if is_private(&self.resources.paths[path]) {
                longest = longest.max(takes);
                private = Some(lane_id);
            } else if shared.is_none() || takes > slowest {
                slowest = takes;
                shared = Some((lane_id, self.now + latency));
            }
            lane.slow = slow;
        }
        if let Some((lane, joins)) = shared {
            self.queue.set(lane, joins, Class::Join);
        }
        if let Some(lane) = private {
            self.queue.set(lane, self.now + longest, Class::End);
        }
        if activity != NONE {
            let pending = u32::from(shared.is_some()) + u32::from(private.is_some());
            self.meetings.activity(activity).pending = pending;
        }
    }

    /// Adds what the flows take from their devices.
    fn occupy(&mut self, lanes: &[u32]) {
        for &lane_id in lanes {
            let lane = &mut self.lanes[lane_id as usize];
            if let Work::Flow { occupancy, .. } = self.programs[lane.program as usize].record(lane.head).work
            {
                if std::mem::take(&mut lane.spinning) {
                    self.devices[lane.device as usize].remove(lane.share);
                }
                lane.share = Share::of(occupancy);
                if !lane.share.is_zero() {
                    let device = lane.device;
                    self.devices[device as usize].add(lane.share);
                }
            }
        }
    }

    /// The slow-down of flows that end together: the worst of a device that one of them occupies, from what
    /// runs there and all that occupies it.
    fn worst_of(&mut self, lanes: &[u32]) -> SlowDown {
        let mut slow = SlowDown::NONE;
        for &lane_id in lanes {
            let lane = &self.lanes[lane_id as usize];
            if !lane.share.is_zero() {
                let device = lane.device;
                slow = slow.max(self.devices[device as usize].demanded());
                self.rerate(device);
            }
        }
        slow
    }

    /// The latency of a flow is over: it joins the links, with all that it meets.
    pub(crate) fn join(&mut self, lane_id: u32) {
        let lane = &self.lanes[lane_id as usize];
        let task = self.programs[lane.program as usize].record(lane.head);
        let Work::Flow { bytes, bound, .. } = task.work else {
            return;
        };
        let bound = BytesPerSec::new(bound.get() / lane.slow.factor());
        let copies = task.multiplicity;
        let alone = [lane_id];
        let together: &[u32] = match lane.activity {
            NONE => &alone,
            activity => &self.meetings.activity(activity).lanes,
        };
        for &party in together {
            let party = &self.lanes[party as usize];
            let task = self.programs[party.program as usize].record(party.head);
            if let Work::Flow { bytes: own, path, .. } = task.work {
                // Bytes of this party per byte of the slowest, whose progress is that of all.
                let whole = bytes.as_f64() * f64::from(copies);
                let share = own.as_f64() * f64::from(task.multiplicity) / whole;
                if share > 0.0 {
                    self.network.load(&self.resources.paths[path], share);
                }
            }
        }
        self.network.join(lane_id, bytes, bound, copies, self.now);
    }

    /// Brings the compute tasks of a device to the slow-down that is demanded of it now.
    #[inline]
    pub(crate) fn rerate(&mut self, device: u32) {
        let device = &mut self.devices[device as usize];
        let Some(before) = device.settle() else { return };
        for &lane_id in &device.running {
            let lane = &mut self.lanes[lane_id as usize];
            let done = before.work_done(self.now - lane.since);
            lane.remaining = lane.remaining.saturating_sub(done);
            lane.since = self.now;
            self.queue.set(
                lane_id,
                self.now + device.slow().stretch(lane.remaining),
                Class::End,
            );
        }
    }
}
