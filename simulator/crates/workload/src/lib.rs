//! Plan into tasks: costs, collectives, schedules, routing, memory, and the lowering that joins
//! them into a [`Driver`](orrery_taskgraph::Driver).
//!
//! Knows the domain, and no engine and no file. Inside, `schedule` knows no cost, `routing` no schedule, and
//! `lower` no formula.

pub mod block;
pub mod collective;
pub mod cost;
mod documents;
pub mod estimate;
pub mod lower;
pub mod memory;
pub mod routing;
pub mod schedule;
pub mod wires;
