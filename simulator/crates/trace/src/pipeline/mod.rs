//! Traces by operation of pipeline-parallel jobs: a row for each pass, message and collective of each rank.
//!
//! The columns are those of the public traces of "Understanding Stragglers in Large Model Training Using What-if
//! Analysis" (Lin 2025): `dp_rank, stage, rank, step, optype, start_ts, duration, seq_id, mc, mb_id, gmc`, times in
//! seconds from the start of the step. What an operation waits for is not recorded; it follows from what a trainer of
//! that kind does ([`recording`]).

mod depend;
mod operations;
mod rows;

pub use depend::recording;
pub use operations::{OperationType, PipelineOperation};
pub use rows::read;
