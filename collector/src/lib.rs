//! The collector daemon: reads devices at a steady pace and serves what it read over HTTP.
//!
//! Each source runs on its own thread, because a wedged driver blocks whoever calls it; samples go through a
//! bounded channel to the [`Board`], and what does not fit is counted. `/metrics` and `/stream` read the
//! board. Beyond loopback it answers nobody who shows no credentials, and it never turns an absent reading into a
//! number.

mod api;
mod board;
pub mod calibrate;
pub mod cli;
pub mod collective;
mod conditions;
mod daemon;
mod doctor;
mod doctor_cuda;
mod fleet;
pub mod gate;
pub mod import;
mod judging;
mod metrics;
#[cfg(feature = "otlp")]
mod push;
mod retry;
mod sampler;
mod server;
mod settings;
mod source;
mod store;
mod threads;

pub use board::{Board, Snapshot};
pub use daemon::{Daemon, StartError};
pub use judging::{FileFault, JobFigures, Judging, JudgingError, Verdict};
pub use metrics::HostnameLabel;
#[cfg(feature = "otlp")]
pub use push::Otlp;
pub use sampler::take_one;
pub use server::{Limits, Serving, ServingError, Tls, TlsError, TokenError};
pub use settings::{DEFAULT_LISTEN, Settings, SettingsError, SourceKind};
pub use source::demo::DemoSource;
pub use source::{OpenSource, Source, SourceError, Taken};
pub use store::{Retention, StoreError, StoreSettings, StoreState, StoreStatus, write_history};
