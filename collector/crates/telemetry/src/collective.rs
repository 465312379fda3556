//! A collective as one rank saw it.

use orrery_units::{Bytes, BytesPerSec, SimDuration};
use serde::{Deserialize, Serialize};

use crate::UnixTime;

/// A collective as one rank saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collective {
    /// The communicator, by the identifier that all its ranks share.
    pub communicator: String,
    /// The rank in it.
    pub rank: u32,
    /// Its ranks.
    pub num_ranks: u32,
    /// The nodes that its ranks are on.
    pub num_nodes: u32,
    /// The node of the rank.
    pub node: String,
    /// The process of the rank.
    pub pid: u32,
    /// Which collective of its communicator it is; the same number on every rank.
    pub sequence: u64,
    /// What it does, as NCCL names it: `AllReduce`, `AllGather`, …
    pub operation: String,
    /// Bytes of the message.
    pub bytes: Bytes,
    /// How long it took on this rank: its own waiting for the others included.
    pub duration: SimDuration,
    /// Bytes of the message over that time.
    pub algorithm_bandwidth: BytesPerSec,
    /// What the slowest link carried, as NCCL counts it.
    pub bus_bandwidth: BytesPerSec,
    /// When it was written down.
    pub at: UnixTime,
}
