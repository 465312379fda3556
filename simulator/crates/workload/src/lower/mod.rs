//! Plan into tasks: the programs of a training job's ranks, handed over as the engine asks.
//!
//! Lowering joins what others know: the order of work (`schedule`), the times (`cost`), who routes what to
//! whom (`routing`) and what is held (`memory`). It has no formula of its own.

pub(crate) mod context;
pub(crate) mod costs;
mod driver;
mod emit;
mod exchange;
mod facts;
mod groups;
mod holding;
mod kinds;
pub(crate) mod layer;
mod network;
mod pace;
pub(crate) mod step_end;

pub use driver::{Folding, TrainingDriver};
pub use facts::{ModelFlops, model_flops};
pub use kinds::Kinds;
pub use network::{NetworkLink, NetworkMap};
