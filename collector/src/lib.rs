//! The collector daemon: reads devices at a steady pace and serves what it read over HTTP.
//!
//! Each source runs on its own thread, because a wedged driver blocks whoever calls it; samples go through a
//! bounded channel to the [`Board`], and what does not fit is counted. `/metrics` and `/stream` read the
//! board. It refuses to listen beyond loopback unless told, and never turns an absent reading into a number.

mod board;
pub mod cli;
mod daemon;
mod doctor;
mod metrics;
mod retry;
mod sampler;
mod server;
mod settings;
mod source;
mod threads;

pub use board::{Board, Snapshot};
pub use daemon::{Daemon, StartError};
pub use sampler::take_one;
pub use settings::{DEFAULT_LISTEN, Settings, SettingsError, SourceKind};
pub use source::demo::DemoSource;
pub use source::{OpenSource, Source, SourceError};
