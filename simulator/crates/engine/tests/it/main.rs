//! The engine from outside: one file per claim.

mod contention;
mod control;
mod host;
mod invariants;
mod links;
mod meetings;
mod memory;
mod recording;
mod serving;
mod support;
mod training;
