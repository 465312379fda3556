//! Scenarios out of other formats, each with a report of what was read, derived and assumed.

pub mod hf;
pub mod megatron;
mod report;

pub use report::{Line, Report};
