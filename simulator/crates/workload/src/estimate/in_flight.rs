//! What a pipeline rank holds at once, by chunk: the moments of a step at which it can hold most.

use orrery_scenario::plan::{Schedule, ScheduleKind};
use smallvec::{SmallVec, smallvec};

use crate::schedule::{Action, order};

/// A number of each chunk.
type Chunks = SmallVec<[u32; 8]>;

/// A moment of a rank's step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Microbatches whose activations each chunk holds.
    pub(super) held: Chunks,
    /// Microbatches of each chunk whose gradients of inputs are computed and those of weights are not.
    pub(super) pending: Chunks,
    /// The chunk whose backward pass begins.
    pub(super) backward: Option<u32>,
    /// All that is held and pending, which says of most pairs at once that one does not cover the other.
    sum: u32,
}

/// Bytes of one microbatch on one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkBytes {
    /// From its forward pass until the gradients of its weights, those of the head included.
    pub(super) held: i64,
    /// Of the head, which backward gives back first.
    pub(super) head: i64,
    /// What comes back while its layers are computed again: of the largest layer, and of all.
    pub(super) recomputed: [i64; 2],
}

impl Moment {
    /// Bytes of activations at this moment.
    pub(super) fn bytes(&self, chunks: &[ChunkBytes]) -> i64 {
        let held = self.held.iter().zip(chunks);
        let pending = self.pending.iter().zip(chunks);
        let mut sum: i64 = held.map(|(&n, chunk)| i64::from(n) * chunk.held).sum();
        sum += pending
            .map(|(&n, chunk)| i64::from(n) * chunk.recomputed[1])
            .sum::<i64>();
        if let Some(chunk) = self.backward.and_then(|chunk| chunks.get(chunk as usize)) {
            sum += chunk.recomputed[0] - chunk.head;
        }
        sum
    }

    /// Whether it holds at least as much as `other`, whatever the chunks hold.
    fn covers(&self, other: &Self) -> bool {
        let at_least = |a: &[u32], b: &[u32]| a.iter().zip(b).all(|(a, b)| a >= b);
        self.backward == other.backward
            && self.sum >= other.sum
            && at_least(&self.held, &other.held)
            && at_least(&self.pending, &other.pending)
    }
}

/// The moments at which pipeline rank `rank` can hold most, each of which holds more of something than any other, in their
/// order.
pub(super) fn moments(schedule: Schedule, pp: u32, rank: u32, microbatches: u32) -> Vec<Moment> {
    let mut most: Vec<Moment> = Vec::new();
    look(schedule, pp, rank, microbatches, |now| {
        // A step has thousands of moments and a handful that count: most find one that covers them at once.
        if let Some(at) = most.iter().position(|known| known.covers(now)) {
            most[..=at].rotate_right(1);
            return;
        }
        most.retain(|known| !now.covers(known));
        most.push(now.clone());
    });
    most.sort_unstable();
    most
}

/// Shows `see` every moment of pipeline rank `rank` at which it can hold more than just before and after.
fn look(schedule: Schedule, pp: u32, rank: u32, microbatches: u32, mut see: impl FnMut(&Moment)) {
    let chunks = schedule.chunks as usize;
    let mut now = Moment {
        held: smallvec![0; chunks],
        pending: smallvec![0; chunks],
        backward: None,
        sum: 0,
    };
    let mut actions = order(schedule, pp, rank, microbatches).into_iter().peekable();
    while let Some(action) = actions.next() {
        if let Some(forward) = action.forward() {
            now.held[forward.chunk as usize] += 1;
            now.sum += 1;
        }
        let backward = action.input_gradient();
        now.backward = backward.map(|slot| slot.chunk);
        // Before another forward pass, a forward pass only adds.
        let forward = |action: &Action| matches!(action, Action::Forward(_));
        let adds = forward(&action) && actions.peek().is_some_and(forward);
        if !adds {
            see(&now);
        }
        if let (Some(slot), Action::BackwardInput(_)) = (backward, action) {
            now.pending[slot.chunk as usize] += 1;
            now.sum += 1;
        }
        if let Some(slot) = action.weight_gradient() {
            let at = slot.chunk as usize;
            now.held[at] -= 1;
            now.sum -= 1;
            if matches!(action, Action::BackwardWeight(_)) {
                now.pending[at] -= 1;
                now.sum -= 1;
            }
        }
    }
}

/// Fewer microbatches than `microbatches` in which every rank of `pp` holds as much at once: a pipeline that is full
/// repeats itself. GPipe never does, for it holds all of them.
pub(super) fn enough(schedule: Schedule, pp: u32, microbatches: u32) -> u32 {
    let most = match schedule.kind {
        ScheduleKind::GPipe => return microbatches,
        ScheduleKind::Interleaved => 2 * pp,
        _ => 2 * pp + microbatches % 2,
    };
    microbatches.min(most)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All moments, each once, of which those are left that no other covers.
    fn slow(schedule: Schedule, pp: u32, rank: u32, microbatches: u32) -> Vec<Moment> {
        let mut seen = BTreeSet::new();
        look(schedule, pp, rank, microbatches, |now| {
            seen.insert(now.clone());
        });
        let covered = |moment: &Moment| seen.iter().any(|other| other != moment && other.covers(moment));
        seen.iter().filter(|moment| !covered(moment)).cloned().collect()
    }

    /// Claim: every schedule, pipeline and rank has the same moments in the same order, however they are found.
    #[test]
    fn the_moments_that_count_are_those_that_no_other_covers() {
        let kinds = [
            (ScheduleKind::GPipe, 1..2),
            (ScheduleKind::OneFOneB, 1..2),
            (ScheduleKind::Interleaved, 2..6),
            (ScheduleKind::ZeroBubbleH1, 1..2),
            (ScheduleKind::ZeroBubbleV, 2..3),
            (ScheduleKind::DualPipe, 2..3),
            (ScheduleKind::DualPipeV, 2..3),
        ];
        let mut several = 0;
        for (kind, chunks) in kinds {
            for (chunks, pp) in chunks.flat_map(|chunks| [2, 4, 6].map(|pp| (chunks, pp))) {
                let schedule = Schedule { kind, chunks };
                for rank in 0..pp {
                    for microbatches in [2 * pp, 4 * pp] {
                        let found = moments(schedule, pp, rank, microbatches);
                        assert_eq!(
                            found,
                            slow(schedule, pp, rank, microbatches),
                            "{schedule:?} {rank}"
                        );
                        several += usize::from(found.len() > 2);
                    }
                }
            }
        }
        assert!(several > 50, "{several} ranks have several moments that count");
    }
}
