//! DualPipeV: DualPipe cut in half, one copy of the model along a V (github.com/deepseek-ai/DualPipe, `dualpipev.py`;
//! the cut is that of Qi et al. 2025, "DualPipe could be better without the Dual").
//!
//! Where the two directions of DualPipe meet in the middle of the pipeline, a microbatch turns round: the near
//! direction is the way down the V (chunk 0), the far direction the way back up (chunk 1).

use super::Action;
use super::phases::{Half, order_of};

/// The order of work of one rank.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    assert!(
        num_microbatches >= 2 * pp,
        "DualPipeV needs at least {} microbatches, not {num_microbatches}",
        2 * pp
    );
    order_of(Half {
        ranks: pp,
        depth: pipeline,
        near: 0,
        first: [0, 0],
        microbatches: num_microbatches,
    })
}
