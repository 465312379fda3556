//! DualPipe (DeepSeek-V3, arXiv 2412.19437, section 3.2.1): microbatches enter from both ends, and a forward
//! of one direction overlaps with a backward of the other.

use super::Action;
use super::phases::{Half, order_of};

/// The order of work of one rank.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    assert!(
        pp.is_multiple_of(2),
        "DualPipe needs an even pipeline degree, not {pp}"
    );
    assert!(
        num_microbatches.is_multiple_of(2) && num_microbatches >= 2 * pp,
        "DualPipe needs an even number of at least {} microbatches, not {num_microbatches}",
        2 * pp
    );
    let half = num_microbatches / 2;
    order_of(Half {
        ranks: pp / 2,
        // Distance from the nearer end.
        depth: pipeline.min(pp - 1 - pipeline),
        near: u32::from(pipeline >= pp / 2),
        first: [0, half],
        microbatches: half,
    })
}
