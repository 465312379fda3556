//! The ports of ranks as links.

use orrery_taskgraph::{PathUse, Resources};
use orrery_units::{BytesPerSec, LinkId, SimDuration};

/// What every rank has of one network: a port out and a port in, and the time of a message of no length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ports {
    /// What a port carries, one way.
    pub rate: BytesPerSec,
    /// Time before the first byte of a message moves.
    pub latency: SimDuration,
}

/// The ports of all ranks, as links of some resources.
#[derive(Clone, Debug)]
pub(super) struct Wiring {
    out: Vec<LinkId>,
    into: Vec<LinkId>,
}

impl Wiring {
    /// Adds the ports of `ranks` ranks, each of `rate`; `network` names them.
    pub(super) fn new(resources: &mut Resources, ranks: u32, network: &str, rate: BytesPerSec) -> Self {
        let mut add = |way: &str| -> Vec<LinkId> {
            (0..ranks)
                .map(|rank| resources.add_link(format!("rank {rank} {way} {network}"), rate))
                .collect()
        };
        Self {
            out: add("out to"),
            into: add("in from"),
        }
    }

    /// Out of `rank`, `weight` bytes per byte of the flow.
    pub(super) fn out_of(&self, rank: u32, weight: f64) -> PathUse {
        PathUse {
            link: self.out[rank as usize],
            weight,
        }
    }

    /// Into `rank`.
    pub(super) fn in_to(&self, rank: u32, weight: f64) -> PathUse {
        PathUse {
            link: self.into[rank as usize],
            weight,
        }
    }
}
