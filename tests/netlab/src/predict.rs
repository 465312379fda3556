//! What the simulator says: the same ring, step by step, as flows over shared links of the engine.

use orrery_engine::{Error, Options, RunControl, run};
use orrery_taskgraph::{Control, Demand, Driver, PathUse, Pulled, Resources, Sequence, Sink, Task, Work};
use orrery_units::{Bytes, BytesPerSec, KindId, LaneId, PathId, ProgramId, SimDuration, SimTime};

use crate::bucket::Bucket;
use crate::framing::Framing;
use crate::ring::Ring;

/// What is known of the links before anything is reduced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Links {
    /// What the way out of every rank carries, headers included.
    pub(crate) rate: BytesPerSec,
    /// What the shaper of that way lets pass at once after a pause.
    pub(crate) burst: Bytes,
    /// Time of a message of a few bytes from one rank to the next, processes included.
    pub(crate) latency: SimDuration,
    /// What headers add.
    pub(crate) framing: Framing,
}

/// How long the slowest rank takes for the all-reduce of `ring` over `links`, all starting at once with full
/// buckets.
///
/// Every rank has a shaped way out, which its data and its acknowledgements share; the rest of the network is
/// not a bottleneck and not in the model, nor is the time that adding takes. Without acknowledgements it
/// is what `closed_form` says.
///
/// # Errors
/// When the engine finds a deadlock, which would be a bug.
pub(crate) fn predict(ring: Ring, links: Links) -> Result<SimDuration, Error> {
    let outcome = run(
        &mut RingDriver::new(ring, links),
        &Options::default(),
        &RunControl::default(),
    )?;
    Ok(outcome.totals.steps[0].duration())
}

/// A rank as the driver sees it.
#[derive(Debug)]
struct Rank {
    lane: LaneId,
    path: PathId,
    bucket: Bucket,
    /// Steps begun.
    begun: usize,
    /// Of these, sent.
    sent: usize,
    /// Steps of which the chunk has come.
    received: usize,
}

/// Emits a step of a rank once it has sent and received what the step before asked for.
#[derive(Debug)]
struct RingDriver {
    resources: Resources,
    ring: Ring,
    links: Links,
    ranks: Vec<Rank>,
    now: SimTime,
}

impl RingDriver {
    fn new(ring: Ring, links: Links) -> Self {
        let mut resources = Resources::new();
        let ways: Vec<_> = (0..ring.ranks)
            .map(|rank| resources.add_link(format!("out of rank {rank}"), links.rate))
            .collect();
        let use_of = |rank: usize, weight| PathUse {
            link: ways[rank],
            weight,
        };
        let ranks = (0..ring.ranks)
            .map(|rank| {
                let program = resources.add_program(format!("rank {rank}"));
                let device = resources.add_device();
                let mut uses = vec![use_of(rank, links.framing.data)];
                // The receiver's acknowledgements leave by the receiver's own way out.
                if links.framing.acknowledgement > 0.0 {
                    uses.push(use_of(ring.after(rank), links.framing.acknowledgement));
                }
                Rank {
                    lane: resources.add_lane(program, device, "send"),
                    path: resources.add_path(uses),
                    bucket: Bucket::full(links.rate, links.burst),
                    begun: 0,
                    sent: 0,
                    received: 0,
                }
            })
            .collect();
        Self {
            resources,
            ring,
            links,
            ranks,
            now: SimTime::ZERO,
        }
    }

    /// Payload that has to wait for the link; the credit of the bucket covers the rest.
    fn over_the_link(&mut self, rank: usize, payload: u64) -> Bytes {
        let framing = self.links.framing.both();
        let carried = Bytes::new(payload).as_f64() * framing;
        let wait = self.ranks[rank].bucket.take(carried, self.now);
        // A flow moves something, if only a byte.
        Bytes::from_f64((wait.as_secs() * self.links.rate.get() / framing).max(1.0))
    }
}

impl Driver for RingDriver {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let index = program.index();
        let (begun, sent, received) = {
            let rank = &self.ranks[index];
            (rank.begun, rank.sent, rank.received)
        };
        if begun == self.ring.steps() {
            return Pulled::Ended;
        }
        if begun > sent.min(received) {
            return Pulled::Idle;
        }
        let bytes = self.over_the_link(index, self.ring.bytes(index, begun));
        let rank = &mut self.ranks[index];
        rank.begun += 1;
        let work = Work::Flow {
            latency: self.links.latency,
            bytes,
            bound: self.links.rate,
            path: rank.path,
            occupancy: Demand::default(),
        };
        let mut task = Task::new(rank.lane, KindId::new(0), work);
        task.notify = true;
        sink.push(task);
        Pulled::Tasks
    }

    fn completed(&mut self, now: SimTime, program: ProgramId, _sequence: Sequence, control: &mut Control) {
        self.now = now;
        let next = self.ring.after(program.index());
        self.ranks[program.index()].sent += 1;
        self.ranks[next].received += 1;
        control.wake(program);
        control.wake(self.resources.lanes[self.ranks[next].lane].program);
    }
}

/// The ring in closed form, for chunks of one size: the oracle of the tests.
///
/// The first step takes the latency and what the full bucket does not cover; from then on the wait for the next
/// chunk, which is the latency, fills the bucket by as much as it costs, as long as the burst holds it:
/// `α + (2 (n − 1) · w · S / n − burst) / rate`, where a byte of payload is `w` bytes on the link. Four ranks,
/// 1 MiB, 12.5 MB/s, a burst of 32 KiB, `w` = 1.0684 and 0.1 ms give
/// `0.1 + (6 · 1.0684 · 262144 − 32768) / 12500` = 131.9 ms.
#[cfg(test)]
fn closed_form(ring: Ring, links: Links) -> f64 {
    let per_rank: f64 = (0..ring.steps())
        .map(|step| Bytes::new(ring.bytes(0, step)).as_f64())
        .sum();
    let carried = per_rank * links.framing.both() - links.burst.as_f64();
    links.latency.as_secs() + carried / links.rate.get()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links() -> Links {
        Links {
            rate: BytesPerSec::new(12.5e6),
            burst: Bytes::new(32_768),
            latency: SimDuration::from_micros(100),
            framing: Framing::tcp(Bytes::new(1500)),
        }
    }

    const MEBIBYTE: Ring = Ring {
        ranks: 4,
        elements: 262_144,
    };

    #[test]
    fn the_worked_number_of_the_closed_form() {
        let millis = closed_form(MEBIBYTE, links()) * 1e3;
        assert!((millis - 131.9).abs() < 0.05, "{millis} ms");
        let simulated = predict(MEBIBYTE, links()).unwrap().as_secs() * 1e3;
        assert!(
            (simulated - millis).abs() < 1e-3,
            "{simulated} ms against {millis} ms"
        );
    }

    #[test]
    fn without_a_burst_every_step_waits_for_the_latency() {
        let links = Links {
            burst: Bytes::ZERO,
            framing: Framing::NONE,
            ..links()
        };
        // 2 (n − 1) · (α + S / (n · B)) = 6 · (0.1 ms + 262144 / 12500 ms).
        let textbook = 6.0 * (1e-4 + 262_144.0 / 12.5e6);
        let simulated = predict(MEBIBYTE, links).unwrap().as_secs();
        assert!(
            (simulated - textbook).abs() < 1e-9,
            "{simulated} s against {textbook} s"
        );
    }

    #[test]
    fn a_message_within_the_burst_takes_latencies_alone() {
        let ring = Ring {
            ranks: 4,
            elements: 256,
        };
        let simulated = predict(ring, links()).unwrap().as_secs();
        assert!((simulated - 6e-4).abs() < 2e-6, "{simulated} s");
    }

    proptest! {
        /// Chunks of one size, larger than the burst, a latency whose bytes the burst holds.
        #[test]
        fn the_simulator_gives_the_closed_form(
            ranks in 2usize..9,
            chunk in 20_000usize..500_000,
            rate in 5e6..100e6,
            micros in 1u64..300,
        ) {
            let ring = Ring { ranks, elements: ranks * chunk };
            let links = Links { rate: BytesPerSec::new(rate), latency: SimDuration::from_micros(micros), ..links() };
            let (simulated, closed) = (predict(ring, links).unwrap().as_secs(), closed_form(ring, links));
            prop_assert!((simulated / closed - 1.0).abs() < 1e-4, "{simulated} s against {closed} s");
        }
    }
}
