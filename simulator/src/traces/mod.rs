//! Recorded runs: files of trainers opened, counted like simulated runs, replayed and explained.

mod measured;
mod names;
mod open;
mod replay;
mod watch;
mod what_if;

pub use measured::measured;
pub use open::{Opened, TraceFault, TraceFile, TraceKind, open};
pub use replay::{EngineCheck, Replayed, replay};
pub use watch::{Cancelled, Phase, Watch};
pub use what_if::{Outcome, WhatIf, what_if};
