//! Interleaved 1F1B (Narayanan et al. 2021, section 2.2), as Megatron-LM runs it.
//!
//! Microbatches go in groups of `pp`; each group passes all chunks of a rank before the next group starts.

use super::{Action, Slot};

/// The order of work of one rank with `chunks` chunks.
///
/// Warm-up is `2 (pp − 1 − p) + (chunks − 1) pp` forwards, at most all of them (Megatron-LM,
/// `get_pp_rank_microbatches`). With a single chunk that would be twice the warm-up of 1F1B, which is what
/// Megatron-LM never runs: one chunk is 1F1B.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32, chunks: u32) -> Vec<Action> {
    if chunks == 1 {
        return super::one_f_one_b::order(pp, pipeline, num_microbatches);
    }
    assert!(
        num_microbatches.is_multiple_of(pp),
        "interleaved schedules take microbatches in groups of {pp}; {num_microbatches} is no multiple"
    );
    let total = num_microbatches * chunks;
    let forward = |number| slot(pp, chunks, number, false);
    let backward = |number| slot(pp, chunks, number, true);
    let warmup = ((pp - 1 - pipeline) * 2 + (chunks - 1) * pp).min(total);
    let mut actions: Vec<Action> = (0..warmup)
        .map(|number| Action::Forward(forward(number)))
        .collect();
    for number in warmup..total {
        actions.push(Action::Forward(forward(number)));
        actions.push(Action::Backward(backward(number - warmup)));
    }
    actions.extend((total - warmup..total).map(|number| Action::Backward(backward(number))));
    actions
}

/// The slot of the `number`-th pass of a rank; backward passes take the chunks from the last.
///
/// Worked: `pp = 2`, two chunks: forward passes 0..5 are (chunk, microbatch) 0,0 0,1 1,0 1,1 0,2.
const fn slot(pp: u32, chunks: u32, number: u32, backward: bool) -> Slot {
    let group = number / (pp * chunks);
    let chunk = number % (pp * chunks) / pp;
    Slot {
        chunk: if backward { chunks - 1 - chunk } else { chunk },
        microbatch: group * pp + number % pp,
    }
}
