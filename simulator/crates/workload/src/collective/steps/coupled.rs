//! A collective as one activity over a vector of ports: what training lowers collectives to.

use orrery_taskgraph::{Demand, Meeting, Resources, StaticDriver, Task, Work};
use orrery_units::{Bytes, BytesPerSec, KindId, SimDuration};

use super::ports::Wiring;

/// A collective in which every rank puts the same on its ports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coupled {
    /// Parties.
    pub ranks: u32,
    /// What every rank puts on its port out, and takes from its port in.
    pub bytes: Bytes,
    /// What a port carries.
    pub rate: BytesPerSec,
    /// Time before the first byte moves.
    pub latency: SimDuration,
    /// Time of the bytes when nothing else uses the ports.
    pub alone: SimDuration,
}

impl Coupled {
    /// `times` of them at once, on the same ports.
    #[must_use]
    pub fn driver(self, times: u32) -> StaticDriver {
        let mut resources = Resources::new();
        let wiring = Wiring::new(&mut resources, self.ranks, "the network", self.rate);
        let groups: Vec<_> = (0..times).map(|_| resources.add_group(self.ranks)).collect();
        let mut lanes = Vec::new();
        for rank in 0..self.ranks {
            let program = resources.add_program(format!("rank {rank}"));
            let device = resources.add_device();
            let path = resources.add_path(vec![wiring.out_of(rank, 1.0), wiring.in_to(rank, 1.0)]);
            for &group in &groups {
                lanes.push((resources.add_lane(program, device, "collective"), path, group));
            }
        }
        let mut driver = StaticDriver::new(resources);
        for (lane, path, group) in lanes {
            let work = Work::Flow {
                latency: self.latency,
                bytes: self.bytes,
                bound: BytesPerSec::new(self.bytes.as_f64() / self.alone.as_secs()),
                path,
                occupancy: Demand::default(),
            };
            let mut task = Task::new(lane, KindId::new(0), work);
            task.meeting = Some(Meeting { group, number: 0 });
            driver.push(task);
        }
        driver
    }
}
