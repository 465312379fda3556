//! Recorded runs: files of trainers opened, counted like simulated runs, replayed and explained.

mod measured;
mod open;
mod replay;

pub use measured::measured;
pub use open::{Opened, TraceFile, open};
pub use replay::{EngineCheck, Replayed, replay};
