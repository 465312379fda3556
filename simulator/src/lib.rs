//! The simulator: scenario in, report out.
//!
//! The library joins the stages (`scenario` to plan, `workload` to tasks, `engine` to totals, `report`) and
//! adds what they refuse to know: files, threads and exit codes. The `orrery` command is here too ([`cli`]).

mod adapt;
pub mod ahead;
pub mod balancing;
pub mod baseline;
pub mod checks;
pub mod cli;
pub mod collective;
pub mod compare;
pub mod exit;
mod facts;
pub mod files;
pub mod kernels;
mod loading;
mod network;
pub mod outline;
mod picture;
pub mod pipeline;
mod power;
pub mod routing;
pub mod sheet;
pub mod stages;
pub mod sweep;
pub mod traces;
pub mod tuning;
pub mod validate;
pub mod why;

pub use adapt::adapted;
pub use orrery_report as report;
pub use orrery_scenario as scenario;
pub use orrery_timeline as timeline;
pub use orrery_units as units;
