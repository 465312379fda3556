//! The graph as tasks of the engine.

use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_units::{Bytes, BytesPerSec, DeviceId, GroupId, IndexVec, KindId, LaneId, ProgramId, SimDuration};

use crate::{Graph, Timing};

/// Tasks that an operation becomes at most: a delay, an arrival and its own time.
const TASKS_EACH: u32 = 3;

impl Graph<'_> {
    /// Tasks that a rank has at most: how far an engine has to look ahead, for a recording waits across all of it.
    #[must_use]
    pub fn most_tasks(&self) -> u32 {
        let recording = self.recording();
        let mut counts: IndexVec<ProgramId, u32> = IndexVec::filled(0, recording.programs.len());
        for operation in &recording.operations {
            counts[recording.program_of(operation)] += TASKS_EACH;
        }
        counts.iter().max().copied().unwrap_or(0).max(1)
    }

    /// Tasks that take as long as `timing` says, of `step` or of everything. To the engine they are one step.
    ///
    /// An operation is a delay, if it has one, and its work; one that meets others arrives without moving anything and
    /// then takes its own time, for parties of one collective may end apart.
    ///
    /// # Panics
    /// When the recording has more than 2^32 tasks.
    #[must_use]
    pub fn driver(&self, timing: &Timing, step: Option<u16>) -> StaticDriver {
        let recording = self.recording();
        let mut resources = Resources::new();
        // What was recorded was issued: the host holds nothing back here.
        resources.run_ahead = self.most_tasks();
        for program in recording.programs.iter() {
            resources.add_program(program.name.clone());
            resources.add_device();
        }
        let lanes: Vec<LaneId> = recording
            .lanes
            .iter()
            .map(|lane| resources.add_lane(lane.program, DeviceId::new(lane.program.get()), "lane"))
            .collect();
        let mut groups: Vec<Option<GroupId>> = vec![None; recording.parties().len()];
        let kept: Vec<u32> = self
            .order()
            .iter()
            .copied()
            .filter(|&at| step.is_none_or(|step| recording.operations[at as usize].step == step))
            .collect();
        for &at in &kept {
            if let Some(meeting) = recording.operations[at as usize].meeting {
                let parties = u32::try_from(self.parties(meeting).len()).expect("few parties");
                groups[meeting as usize].get_or_insert_with(|| resources.add_group(parties));
            }
        }
        let mut driver = StaticDriver::new(resources);
        let mut place = vec![u32::MAX; recording.operations.len()];
        for at in kept {
            let operation = &recording.operations[at as usize];
            let lane = lanes[operation.lane.index()];
            // The engine counts by few kinds, and a recording has as many as there are kernels: classes will do. And a rank
            // is in one step at a time there, while a recorded device lags behind its host: all is one step.
            let class = recording.kinds.kind(operation.kind).class;
            let task = |work| Task::new(lane, KindId::new(class as u32), work);
            let mut after: Vec<u32> = self.waits(at).iter().map(|&wait| place[wait as usize]).collect();
            after.sort_unstable();
            after.dedup();
            let delay = timing.delays[at as usize];
            let own = timing.own[at as usize];
            let group = operation.meeting.and_then(|meeting| groups[meeting as usize]);
            let mut tasks = Vec::new();
            if !delay.is_zero() {
                tasks.push(task(Work::Delay(delay)));
            }
            if let Some(group) = group {
                tasks.push(task(arrival()).meeting(group, 0));
            }
            if group.is_none() || !own.is_zero() {
                tasks.push(task(Work::Delay(own)));
            }
            if let Some(first) = tasks.first_mut() {
                first.after.extend(after);
            }
            for task in tasks {
                place[at as usize] = driver.push(task);
            }
        }
        driver
    }
}

/// An arrival at a meeting that moves nothing.
fn arrival() -> Work {
    Work::Flow {
        latency: SimDuration::ZERO,
        bytes: Bytes::ZERO,
        bound: BytesPerSec::new(1.0),
        path: Resources::PRIVATE,
        occupancy: Demand::default(),
    }
}
