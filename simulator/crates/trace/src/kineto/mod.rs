//! Traces of PyTorch's profiler (Kineto), one file a rank, and Chrome traces of the same shape.
//!
//! A file is read as a stream of events, so that its size does not matter; what is kept of an event is a few words. Host
//! operators are counted and not kept: launches and waits of the CUDA runtime stand for the host.

mod build;
mod clocks;
mod collective;
mod event;
mod facts;
mod join;
mod lanes;
mod loads;
mod meetings;
mod names;
mod rank;
pub(crate) mod scan;
mod steps;
mod waits;
mod write;

pub(crate) use build::{DeviceWork, RankBuilder};
pub use facts::RankFacts;
pub use join::{JoinReport, Joined, join};
pub use loads::ExchangeLoad;
pub(crate) use rank::told;
pub use rank::{RankTrace, Stop, read};
pub use write::{Ranks, write_rank};
