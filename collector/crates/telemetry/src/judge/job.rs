//! What the judge is told of a job: its steps, its ranks, its allocator and its collectives.

use std::collections::BTreeMap;

use orrery_units::{Bytes, Ratio, SimDuration};
use serde::{Deserialize, Serialize};

use crate::UnixTime;

/// What is known of a job that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobState {
    /// Its name.
    pub name: String,
    /// Node and number of the device of every rank, in the order of ranks; empty when nobody said.
    pub devices: Vec<(String, u32)>,
    /// Its steps since the frame before, in their order.
    pub steps: Vec<Step>,
    /// MFU that was predicted for it.
    pub predicted_mfu: Option<Ratio>,
    /// What its allocator holds on the fullest rank.
    pub allocator: Option<Allocator>,
    /// Its collectives since the frame before.
    pub collectives: Vec<CollectiveTiming>,
    /// The collective that was begun last.
    pub last_collective: Option<LastCollective>,
}

/// One step of a job, or a few, as its trainer logs them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its number.
    pub number: u64,
    /// When it was told.
    pub at: UnixTime,
    /// Time of one step.
    pub time: SimDuration,
    /// Tokens of one step, over all ranks.
    pub tokens: Option<u64>,
    /// Model FLOPs over what the devices could have done.
    pub mfu: Option<Ratio>,
    /// Load of the fullest expert over that of the mean one, in the worst layer.
    pub imbalance: Option<f64>,
    /// Time for which ranks waited in collectives; those of which nobody told are not there.
    pub waits: BTreeMap<u32, SimDuration>,
}

/// What the allocator of a framework holds, as [`torch.cuda.memory_stats`] tells it.
///
/// [`torch.cuda.memory_stats`]: https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.memory_stats.html
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocator {
    /// The rank.
    pub rank: u32,
    /// Peak of what tensors use.
    pub allocated: Bytes,
    /// Peak of what was asked of the device, used or not.
    pub reserved: Bytes,
    /// How often it had to give memory back and ask again.
    #[serde(default)]
    pub retries: u64,
}

/// How long a collective took, and how long it should have.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectiveTiming {
    /// The operation, such as `all_reduce`.
    pub op: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its ranks.
    pub ranks: u32,
    /// Its nodes.
    pub nodes: u32,
    /// How long it took.
    pub time: SimDuration,
    /// How long it takes by the profile, at the same operation, bytes and ranks.
    pub profile: Option<SimDuration>,
}

/// The collective that a job begun last, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastCollective {
    /// Its operation.
    pub op: String,
    /// Its number in its communicator.
    pub sequence: u64,
    /// The ranks that did not begin it.
    #[serde(default)]
    pub missing: Vec<u32>,
}

impl JobState {
    /// The rank that runs on device `index` of `node`.
    #[must_use]
    pub fn rank_of(&self, node: &str, index: u32) -> Option<u32> {
        let place = |(their_node, their_index): &(String, u32)| their_node == node && *their_index == index;
        let rank = self.devices.iter().position(place)?;
        u32::try_from(rank).ok()
    }
}
