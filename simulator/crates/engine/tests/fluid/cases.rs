//! One interface for both sharings, and cases that several tests run.

use orrery_engine::fluid::{Activity, Batched, FlowId, Fluid, Twin};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, LinkId, SimTime};

/// What the fast sharing and its twin have in common.
pub(crate) trait Sharing {
    fn start(&mut self, activity: &Activity<'_>, now: SimTime) -> FlowId;
    fn next_completion(&mut self) -> Option<SimTime>;
    fn advance(&mut self, now: SimTime, ended: &mut Vec<u32>);
}

macro_rules! sharing {
    ($name:ident) => {
        impl Sharing for $name {
            fn start(&mut self, activity: &Activity<'_>, now: SimTime) -> FlowId {
                self.start(activity, now)
            }
            fn next_completion(&mut self) -> Option<SimTime> {
                self.next_completion()
            }
            fn advance(&mut self, now: SimTime, ended: &mut Vec<u32>) {
                self.advance(now, ended);
            }
        }
    };
}
sharing!(Fluid);
sharing!(Batched);
sharing!(Twin);

/// Crossings of weight 1.
pub(crate) fn over(links: &[u32]) -> Vec<PathUse> {
    let usage = |&link: &u32| PathUse {
        link: LinkId::new(link),
        weight: 1.0,
    };
    links.iter().map(usage).collect()
}

/// When every owner ends, once all have been started and nothing else happens.
pub(crate) fn run_out(sharing: &mut dyn Sharing) -> Vec<(SimTime, u32)> {
    let mut ends = Vec::new();
    let mut ended = Vec::new();
    while let Some(time) = sharing.next_completion() {
        sharing.advance(time, &mut ended);
        ends.extend(ended.drain(..).map(|owner| (time, owner)));
    }
    ends
}

/// An all-to-all on a fat tree of leaves of 16: capacities, and who crosses what with how much.
///
/// Links of 50 GB/s: up and down of every host, and between every leaf and each of 16 spines. Traffic to
/// host `d` takes the spine `d mod 16`. Pair sizes spread from 0.2 to 1.8 of the mean by a multiplicative
/// hash when `skewed`.
pub(crate) fn all_to_all(
    hosts: u32,
    mean: u64,
    skewed: bool,
) -> (Vec<BytesPerSec>, Vec<(Vec<PathUse>, Bytes)>) {
    let leaves = hosts / 16;
    let capacities = vec![BytesPerSec::new(50e9); (2 * hosts + 32 * leaves) as usize];
    let mut pairs = Vec::new();
    for from in 0..hosts {
        for turn in 1..hosts {
            let to = (from + turn) % hosts;
            let mut path = vec![from, hosts + to];
            if from / 16 != to / 16 {
                path.push(2 * hosts + from / 16 * 16 + to % 16);
                path.push(2 * hosts + 16 * leaves + to / 16 * 16 + to % 16);
            }
            let spread = (u64::from(from) * 7919 + u64::from(to) * 104_729) % 1009;
            let bytes = if skewed {
                mean * (1009 + 8 * spread) / 5045
            } else {
                mean
            };
            pairs.push((over(&path), Bytes::new(bytes)));
        }
    }
    (capacities, pairs)
}

/// Starts all pairs at once; owners are their positions.
pub(crate) fn start_all(sharing: &mut dyn Sharing, pairs: &[(Vec<PathUse>, Bytes)]) {
    for (owner, (path, bytes)) in (0u32..).zip(pairs) {
        sharing.start(&Activity::new(owner, *bytes, path), SimTime::ZERO);
    }
}
