//! Reading ahead.
//!
//! A run goes from rank to rank, so that nearly all that an event asks for is far from the processor, and one thing
//! says where the next is. Reads that wait for nothing are under way many at a time: what several lanes will need is
//! read for all of them, one step of the way after the other, before any of them is worked on.

use crate::lane::NONE;
use crate::program::Program;
use crate::run::Run;

/// Lanes that go a step of the way together: about as many as a processor has reads under way.
pub(crate) const TOGETHER: usize = 16;

impl Run {
    /// Reads what is asked for when the heads of these lanes start or end.
    pub(crate) fn fetch(&self, lanes: &[u32]) {
        let mut seen = 0;
        for lanes in lanes.chunks(TOGETHER) {
            for &lane in lanes {
                seen ^= self.read_lane(lane);
            }
            for &lane in lanes {
                seen ^= self.read_head(lane);
            }
            for &lane in lanes {
                seen ^= self.read_followers(lane);
            }
            for &lane in lanes {
                seen ^= self.read_needs(lane);
            }
        }
        std::hint::black_box(seen);
    }

    /// What a lane says of itself, and its program and device of themselves.
    #[inline]
    fn read_lane(&self, lane: u32) -> u64 {
        let lane = &self.lanes[lane as usize];
        let program = &self.programs[lane.program as usize];
        let device = &self.devices[lane.device as usize];
        u64::from(lane.head) ^ program.touched() ^ u64::from(device.is_idle())
    }

    /// What is known of the head of a lane, and the lanes that wait for it.
    #[inline]
    fn read_head(&self, lane: u32) -> u64 {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return 0;
        }
        let program = &self.programs[lane.program as usize];
        let slot = program.slot(lane.head);
        let mut seen = u64::from(slot.record.step) ^ slot.mark.start.as_picos();
        seen ^= u64::from(program.is_complete(lane.head));
        if slot.record.holds() {
            seen ^= program.memory(lane.head).len() as u64;
        }
        for waiting in program.waiting_for(lane.head) {
            seen ^= u64::from(self.lanes[waiting as usize].head);
        }
        seen
    }

    /// The task after the head, and those that wait for it in other lanes of the program.
    #[inline]
    fn followers(&self, lane: u32) -> impl Iterator<Item = (&Program, u32)> {
        let lane = &self.lanes[lane as usize];
        let program = &self.programs[lane.program as usize];
        let next = (lane.head != NONE).then(|| program.mark(lane.head).next_in_lane);
        let waiting = program.waiting_for(lane.head);
        let waiting = waiting.map(|waiting| self.lanes[waiting as usize].head);
        let tasks = next.into_iter().chain(waiting);
        tasks
            .filter(|&task| task != NONE)
            .map(move |task| (program, task))
    }

    /// What is known of the followers of the head of a lane.
    #[inline]
    fn read_followers(&self, lane: u32) -> u64 {
        self.followers(lane).fold(0, |seen, (program, task)| {
            let slot = program.slot(task);
            seen ^ u64::from(slot.record.step) ^ slot.mark.issue.as_picos()
        })
    }

    /// What they wait for besides, and the memory that they take.
    #[inline]
    fn read_needs(&self, lane: u32) -> u64 {
        self.followers(lane).fold(0, |mut seen, (program, task)| {
            if let Some(awaited) = program.awaited(task, 0) {
                seen ^= u64::from(program.is_complete(awaited));
            }
            seen ^ program.memory(task).len() as u64
        })
    }
}
