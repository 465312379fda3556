//! Measures the fluid sharing on the case that ties a machine together: the data-parallel reduce-scatters of
//! 16,384 ranks while pipeline sends cross the same ports.
//!
//! Usage: `cargo run --release -p orrery-engine --example reduce_scatter_under_sends [microbatches]`.
//! Assumptions: tensor x pipeline x data parallel degrees 8 x 16 x 128; every rank has a port of 400 Gbit/s
//! each way; every (stage, tensor) group of 128 ranks runs 8 ring reduce-scatters of 128 MiB in a row, each
//! one coupled activity over its 256 ports; every replica sends 16 MiB per microbatch from stage to stage,
//! 1 ms (spread by half) after the send before. Prints solves, activities re-rated per event, and seconds.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program reads the clock and prints; the engine does neither"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use orrery_engine::fluid::{Activity, Fluid};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, LinkId, Seed, SimDuration, SimTime};

const TENSOR: u32 = 8;
const STAGES: u32 = 16;
const REPLICAS: u32 = 128;
const RANKS: u32 = TENSOR * STAGES * REPLICAS;
const GROUPS: u32 = STAGES * TENSOR;
const BUCKETS: u32 = 8;
const PORT: f64 = 50e9;

/// Crossings of weight 1.
fn over(links: impl Iterator<Item = u32>) -> Vec<PathUse> {
    let usage = |link| PathUse {
        link: LinkId::new(link),
        weight: 1.0,
    };
    links.map(usage).collect()
}

/// What happens on the ports: groups go through their buckets, chains of sends through the stages.
struct Traffic {
    fluid: Fluid,
    groups: Vec<Vec<PathUse>>,
    buckets_left: Vec<u32>,
    /// Of each chain (a microbatch of one replica and tensor rank) the stage that sends next.
    stage: Vec<u32>,
    /// Sends to come.
    pending: BinaryHeap<Reverse<(SimTime, u32)>>,
    microbatches: u32,
    events: u64,
}

impl Traffic {
    fn new(microbatches: u32) -> Self {
        let rank = |replica: u32, group: u32| replica * GROUPS + group;
        let ports = |group: u32| {
            let members = (0..REPLICAS).map(move |replica| rank(replica, group));
            over(members.flat_map(|rank| [rank, RANKS + rank]))
        };
        let chains = microbatches * REPLICAS * TENSOR;
        let mut traffic = Self {
            fluid: Fluid::new(&vec![BytesPerSec::new(PORT); 2 * RANKS as usize]),
            groups: (0..GROUPS).map(ports).collect(),
            buckets_left: vec![BUCKETS; GROUPS as usize],
            stage: vec![0; chains as usize],
            pending: BinaryHeap::new(),
            microbatches,
            events: 0,
        };
        for group in 0..GROUPS {
            traffic.next_bucket(group, SimTime::ZERO);
        }
        for chain in 0..chains {
            let microbatch = u64::from(chain % microbatches);
            traffic.send_later(chain, SimTime::from_picos(microbatch * 1_000_000_000));
        }
        traffic
    }

    /// Starts the next reduce-scatter of a group: 127 of 128 parts cross every port.
    fn next_bucket(&mut self, group: u32, now: SimTime) {
        let left = &mut self.buckets_left[group as usize];
        if *left == 0 {
            return;
        }
        *left -= 1;
        let work = Bytes::new((128 << 20) / u64::from(REPLICAS) * u64::from(REPLICAS - 1));
        let activity = Activity::new(group, work, &self.groups[group as usize]);
        self.fluid.start(&activity.bounded(BytesPerSec::new(PORT)), now);
        self.events += 1;
    }

    fn send_later(&mut self, chain: u32, now: SimTime) {
        let stage = u64::from(self.stage[chain as usize]);
        let spread = Seed::new(1).at("send", &[u64::from(chain), stage]).uniform();
        let wait = SimDuration::from_secs(1e-3 * (0.75 + 0.5 * spread));
        self.pending.push(Reverse((now + wait, chain)));
    }

    fn send(&mut self, chain: u32, now: SimTime) {
        let (place, stage) = (chain / self.microbatches, self.stage[chain as usize]);
        let (replica, tensor) = (place / TENSOR, place % TENSOR);
        let rank = |stage: u32| (replica * STAGES + stage) * TENSOR + tensor;
        let crossings = over([rank(stage), RANKS + rank(stage + 1)].into_iter());
        let activity = Activity::new(GROUPS + chain, Bytes::new(16 << 20), &crossings);
        self.fluid.start(&activity.bounded(BytesPerSec::new(PORT)), now);
        self.events += 1;
    }

    /// Until everything has ended; returns when.
    fn run(&mut self) -> SimTime {
        let (mut now, mut ended) = (SimTime::ZERO, Vec::new());
        loop {
            let next = self.pending.peek().map(|&Reverse((time, _))| time);
            match (self.fluid.next_completion(), next) {
                (None, None) => return now,
                (Some(end), next) if next.is_none_or(|next| end <= next) => {
                    now = end;
                    self.fluid.advance(now, &mut ended);
                    for owner in ended.drain(..) {
                        self.events += 1;
                        if owner < GROUPS {
                            self.next_bucket(owner, now);
                            continue;
                        }
                        let chain = owner - GROUPS;
                        self.stage[chain as usize] += 1;
                        if self.stage[chain as usize] + 1 < STAGES {
                            self.send_later(chain, now);
                        }
                    }
                }
                _ => {
                    let Some(Reverse((time, chain))) = self.pending.pop() else {
                        return now;
                    };
                    now = time;
                    self.send(chain, now);
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts, for a ratio to print")]
fn main() {
    let microbatches = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let mut traffic = Traffic::new(microbatches.unwrap_or(16));
    let begin = Instant::now();
    let end = traffic.run();
    let wall = begin.elapsed().as_secs_f64();
    let (effort, events) = (traffic.fluid.effort(), traffic.events as f64);
    println!("ranks             {RANKS}");
    println!("events            {events}");
    println!("simulated         {:.3} ms", end.as_secs() * 1e3);
    println!(
        "solves            {} (of all rates anew: {})",
        effort.solves, effort.refills
    );
    println!("re-rated / event  {:.2}", effort.rerated as f64 / events);
    println!("relaxed / event   {:.2}", effort.relaxed as f64 / events);
    println!("updates / event   {:.2}", effort.updates as f64 / events);
    println!("wall              {wall:.3} s ({:.0} events/s)", events / wall);
    let totals = traffic.fluid.link_totals(end);
    let most = totals.iter().map(|link| link.bytes).max().unwrap_or_default();
    let all: Bytes = totals.iter().map(|link| link.bytes).sum();
    println!("bytes             {all} over all ports, {most} over the busiest");
}
