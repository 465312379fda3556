//! What a run looked like, simulated or measured: totals that are always complete, and spans of chosen lanes.
//!
//! A simulated and a measured run are the same types, so that comparison, reports and the Gantt view are
//! written once. Headline figures come from [`Totals`]; [`Timeline`] is for eyes.
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

mod builder;
mod chrome_trace;
mod kind;
mod memory;
mod metric;
mod span;
mod steps;
mod totals;

pub use builder::TimelineBuilder;
pub use chrome_trace::{ReadTraceError, read_chrome_trace, write_chrome_trace};
pub use kind::{Kind, KindTable, OpClass};
pub use memory::{MemoryPeak, MemoryTotals};
pub use metric::{CAUSES, LINKS, Label, Metric, OPERATIONS, Statistic, find_metric, registry};
pub use span::{Counter, LaneInfo, NO_LAYER, Span, SpanId, Timeline};
pub use steps::{StepExtent, bounds_of_steps};
pub use totals::{Cell, LaneTotals, ProgramTotals, StepTotals, Totals};
