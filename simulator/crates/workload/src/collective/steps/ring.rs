//! A ring, step by step: each rank passes one n-th of the data to the next, and waits for what comes from before.
//!
//! Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 69 (2009): `n − 1` steps reduce-scatter,
//! as many all-gather.

use orrery_operation::CollectiveOp;
use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_units::{Bytes, KindId, LaneId, PathId, SimTime};

use super::feeder::{Algorithm, Feeder, Message};
use super::ports::Wiring;
use super::{Detailed, Ports};

/// One collective over a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ring {
    /// All-reduce, or one of its halves.
    pub op: CollectiveOp,
    /// Ranks, at least two.
    pub ranks: u32,
    /// All of the data: what every rank holds at the beginning of an all-reduce or a reduce-scatter, and at the
    /// end of an all-gather.
    pub bytes: Bytes,
}

/// A rank as the driver sees it.
#[derive(Debug)]
struct Rank {
    lane: LaneId,
    path: PathId,
    /// Steps sent and received, and steps made ready.
    sent: u32,
    received: u32,
    begun: u32,
}

#[derive(Debug)]
struct Steps {
    ring: Ring,
    ports: Ports,
    ranks: Vec<Rank>,
}

impl Ring {
    /// `2 (n − 1)` for an all-reduce, `n − 1` for its halves.
    #[must_use]
    pub const fn num_steps(self) -> u32 {
        let halves = if matches!(self.op, CollectiveOp::AllReduce) {
            2
        } else {
            1
        };
        halves * (self.ranks - 1)
    }

    /// Bytes that `rank` sends in `step`: parts differ by one byte at most, and go round.
    fn part(self, rank: u32, step: u32) -> Bytes {
        let (ranks, all) = (u64::from(self.ranks), self.bytes.get());
        let part = (u64::from(rank) + u64::from(step) * (ranks - 1)) % ranks;
        Bytes::new(all / ranks + u64::from(part < all % ranks))
    }

    /// Every step of every rank, over ports that all ranks have.
    #[must_use]
    pub fn unfolded(self, ports: Ports) -> impl Detailed {
        let mut resources = Resources::new();
        let wiring = Wiring::new(&mut resources, self.ranks, "the ring", ports.rate);
        let ranks = (0..self.ranks)
            .map(|rank| {
                let program = resources.add_program(format!("rank {rank}"));
                let device = resources.add_device();
                let next = (rank + 1) % self.ranks;
                Rank {
                    lane: resources.add_lane(program, device, "send"),
                    path: resources.add_path(vec![wiring.out_of(rank, 1.0), wiring.in_to(next, 1.0)]),
                    sent: 0,
                    received: 0,
                    begun: 0,
                }
            })
            .collect();
        let steps = Steps {
            ring: self,
            ports,
            ranks,
        };
        Feeder::new(resources, steps)
    }

    /// Every step of one rank, which stands for all of them: they do the same at the same time.
    ///
    /// Parts are rounded up to whole bytes.
    #[must_use]
    pub fn folded(self, ports: Ports) -> StaticDriver {
        let mut resources = Resources::new();
        let program = resources.add_program("every rank");
        let device = resources.add_device();
        let lane = resources.add_lane(program, device, "send");
        let mut driver = StaticDriver::new(resources);
        for _ in 0..self.num_steps() {
            let work = Work::Flow {
                latency: ports.latency,
                bytes: Bytes::new(self.bytes.get().div_ceil(u64::from(self.ranks))),
                bound: ports.rate,
                path: Resources::PRIVATE,
                occupancy: Demand::default(),
            };
            let mut task = Task::new(lane, KindId::new(0), work);
            task.multiplicity = self.ranks;
            driver.push(task);
        }
        driver
    }
}

impl Steps {
    fn next_of(&self, rank: u32) -> u32 {
        (rank + 1) % self.ring.ranks
    }

    /// Sends the next step of `rank`, if what it waits for has come.
    fn go_on(&mut self, rank: u32, ready: &mut Vec<Message<u32>>) {
        let state = &mut self.ranks[rank as usize];
        if state.begun == self.ring.num_steps() || state.begun > state.sent.min(state.received) {
            return;
        }
        let step = state.begun;
        state.begun += 1;
        ready.push(Message {
            lane: state.lane,
            path: state.path,
            bytes: self.ring.part(rank, step),
            latency: self.ports.latency,
            bound: self.ports.rate,
            name: rank,
        });
    }
}

impl Algorithm for Steps {
    type Name = u32;

    fn begin(&mut self, ready: &mut Vec<Message<u32>>) {
        for rank in 0..self.ring.ranks {
            self.go_on(rank, ready);
        }
    }

    fn arrived(&mut self, rank: u32, _now: SimTime, ready: &mut Vec<Message<u32>>) {
        let next = self.next_of(rank);
        self.ranks[rank as usize].sent += 1;
        self.ranks[next as usize].received += 1;
        self.go_on(rank, ready);
        self.go_on(next, ready);
    }
}
