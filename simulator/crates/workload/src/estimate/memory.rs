//! The most memory that each pipeline rank holds, from the tables that the event simulation holds memory by.

use std::collections::BTreeMap;

use orrery_scenario::Plan;
use orrery_scenario::plan::{Layer, VirtualStage};
use orrery_units::{Bytes, Seed};

use super::in_flight::{ChunkBytes, moments};
use crate::memory::{ActivationMemory, Cause, StaticMemory};
use crate::routing::Router;

/// The most that a device of each pipeline rank holds, where every layer's routed rows are those of its busiest rank in
/// the first microbatch.
///
/// Statics, and the activations of the microbatches that the schedule has in flight, and what the largest layer computes
/// again. Every action of every rank is looked at; [`Surveyor`](super::Surveyor) finds the same in a few.
#[must_use]
pub fn memory_peaks(plan: &Plan) -> Vec<Bytes> {
    let sum = |parts: Vec<(Cause, Bytes)>| parts.into_iter().map(|(_, bytes)| bytes).sum();
    memory_parts(plan).into_iter().map(sum).collect()
}

/// The same by cause: what a device of each pipeline rank holds at the moment at which it holds most.
#[must_use]
pub fn memory_parts(plan: &Plan) -> Vec<Vec<(Cause, Bytes)>> {
    let memory = ActivationMemory::new(plan);
    let mut router = Router::new(plan, Seed::new(1));
    let stages: Vec<ChunkParts> = plan
        .layout
        .stages
        .iter()
        .map(|stage| chunk_parts(plan, &memory, &mut router, stage))
        .collect();
    let microbatches = u32::try_from(plan.training.num_microbatches).unwrap_or(u32::MAX);
    (0..plan.layout.pp)
        .map(|rank| {
            let chunks: Vec<&ChunkParts> = (0..plan.layout.schedule.chunks)
                .map(|chunk| &stages[plan.layout.stage_index(rank, chunk) as usize])
                .collect();
            let whole: Vec<ChunkBytes> = chunks.iter().map(|parts| whole(parts)).collect();
            let moments = moments(plan.layout.schedule, plan.layout.pp, rank, microbatches);
            let most = moments.iter().max_by_key(|moment| moment.bytes(&whole));
            let mut parts = StaticMemory::of(plan, rank);
            let Some(most) = most else { return parts };
            for cause in Cause::ALL {
                let part = |chunk: &&ChunkParts| chunk.get(&cause).copied().unwrap_or_default();
                let chunks: Vec<ChunkBytes> = chunks.iter().map(part).collect();
                let bytes = u64::try_from(most.bytes(&chunks)).unwrap_or(0);
                if bytes > 0 {
                    parts.push((cause, Bytes::new(bytes)));
                }
            }
            parts
        })
        .collect()
}

/// What a microbatch holds on a chunk, by cause.
type ChunkParts = BTreeMap<Cause, ChunkBytes>;

/// All causes together: what a moment holds is a sum over them.
fn whole(parts: &ChunkParts) -> ChunkBytes {
    parts
        .values()
        .fold(ChunkBytes::default(), |sum, part| ChunkBytes {
            held: sum.held + part.held,
            head: sum.head + part.head,
            recomputed: [0, 1].map(|at| sum.recomputed[at] + part.recomputed[at]),
        })
}

/// What a device of pipeline rank `rank` holds all the time.
pub(super) fn statics(plan: &Plan, rank: u32) -> Bytes {
    StaticMemory::of(plan, rank)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .sum()
}

/// What a microbatch holds in `layer` and what of it comes back in backward, where `rows` reach its experts.
pub(super) fn layer_bytes(memory: &ActivationMemory<'_>, layer: &Layer, rows: u64) -> [i64; 2] {
    [memory.layer(layer, rows), memory.recomputed(layer, rows)].map(signed)
}

/// Bytes that can be taken away.
pub(super) fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).expect("memory of a device stays below 8 EiB")
}

fn chunk_parts(
    plan: &Plan,
    memory: &ActivationMemory<'_>,
    router: &mut Router,
    stage: &VirtualStage,
) -> ChunkParts {
    let modules = plan.model.layers.len()..plan.model.layers.len() + stage.mtp_layers as usize;
    let mut parts = ChunkParts::new();
    for number in stage.layers.clone().chain(modules) {
        let Some(layer) = plan.model.layers.get(number).or(plan.model.layers.last()) else {
            continue;
        };
        let number = u32::try_from(number).expect("a model has fewer than 2^32 layers");
        let rows = if router.has_experts(number) {
            let load = router.load(0, number, 0, 0);
            let busiest = load.ranks().iter().max_by_key(|rank| rank.padded);
            busiest.map_or(0, |rank| rank.tokens)
        } else {
            0
        };
        for (cause, bytes) in memory.attention(layer).into_iter().chain(memory.mlp(layer, rows)) {
            parts.entry(cause).or_default().held += signed(bytes);
        }
        let again = signed(memory.recomputed(layer, rows));
        parts.entry(Cause::Recomputed).or_default().add_layer(0, again);
    }
    if stage.head {
        let head = signed(memory.head(stage.mtp_layers));
        parts.entry(Cause::Head).or_default().add_head(head);
    }
    parts
}

impl ChunkBytes {
    /// One layer more.
    pub(super) fn add_layer(&mut self, held: i64, again: i64) {
        self.held += held;
        self.recomputed[0] = self.recomputed[0].max(again);
        self.recomputed[1] += again;
    }

    /// The head and its passes.
    pub(super) const fn add_head(&mut self, head: i64) {
        self.held += head;
        self.head += head;
    }
}
