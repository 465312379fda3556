//! Reading ahead.
//!
//! A run goes from rank to rank, so that nearly all that an event asks for is far from the processor, and one thing
//! says where the next is. Reads that wait for nothing are under way many at a time: what several lanes will need is
//! read for all of them, one step of the way after the other, before any of them is worked on.

use crate::lane::NONE;
use crate::run::Run;

/// Lanes that go a step of the way together: about as many as a processor has reads under way.
const TOGETHER: usize = 16;

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
        }
        std::hint::black_box(seen);
    }

    /// What a lane says of itself, and its program and device of themselves.
    #[inline]
    fn read_lane(&self, lane: u32) -> u64 {
        let lane = &self.lanes[lane as usize];
        let program = &self.programs[lane.program as usize];
        let device = &self.devices[lane.device as usize];
        u64::from(lane.head) ^ u64::from(program.next) ^ u64::from(device.is_idle())
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

    /// What is known of the task after the head, and of those that wait for it in other lanes of the program.
    #[inline]
    fn read_followers(&self, lane: u32) -> u64 {
        let lane = &self.lanes[lane as usize];
        if lane.head == NONE {
            return 0;
        }
        let program = &self.programs[lane.program as usize];
        let read = |task: u32| {
            if task == NONE {
                return 0;
            }
            let slot = program.slot(task);
            u64::from(slot.record.step) ^ slot.mark.issue.as_picos()
        };
        let mut seen = read(program.mark(lane.head).next_in_lane);
        for waiting in program.waiting_for(lane.head) {
            seen ^= read(self.lanes[waiting as usize].head);
        }
        seen
    }
}
