//! Scenario files: text in; a frozen plan out, or every fault at once.

pub mod expect;
pub mod plan;

pub use plan::Plan;
