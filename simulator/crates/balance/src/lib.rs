//! Where the replicas of experts lie on devices, and what balancing them buys and costs.
//!
//! Loads come from `orrery-experts`. Knows devices and nodes by number and times by the laws that it is given; no
//! scenario, no file, no engine.

pub mod cost;
pub mod lab;
pub mod placement;
