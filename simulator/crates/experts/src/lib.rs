//! Expert load as a process: how many tokens each expert of each layer gets, step by step.
//!
//! Knows quantities and keyed random numbers, and nothing else of the house: no engine, no scenario, no file, no
//! device. Where experts lie, and what their load costs, is decided elsewhere.

pub mod gate;
pub mod law;
pub mod load;
pub mod record;
pub mod visits;
