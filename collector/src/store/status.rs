//! What a history is told, and how it does.

use std::path::PathBuf;
use std::time::Duration;

use orrery_telemetry::UnixTime;
use serde::Serialize;
use thiserror::Error;

use super::Retention;

/// Where the history is, how often it is written and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the file; made when it is not there.
    pub folder: PathBuf,
    /// A sample is on the disk within this time after it was taken, whatever ends the process then.
    pub flush_interval: Duration,
    /// What is kept.
    pub retention: Retention,
}

impl StoreSettings {
    /// A history in `folder`: on the disk within five seconds, kept as [`Retention::default`] says.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            flush_interval: Duration::from_secs(5),
            retention: Retention::default(),
        }
    }
}

/// Whether the history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// The file is being opened and checked.
    Opening,
    /// Samples are written.
    Up,
    /// They are not; the reason says why.
    Failing,
}

/// How the history does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreStatus {
    /// The file.
    pub file: PathBuf,
    /// Whether it is written.
    pub state: StoreState,
    /// Why not; empty while it is.
    pub reason: String,
    /// What to do about the reason.
    pub remedy: String,
    /// Where a damaged file was moved to, when there was one since the collector began.
    pub moved_aside: Option<PathBuf>,
    /// Samples that the store could not take, or gave up while the file could not be written.
    pub dropped: u64,
    /// Rows that were not as they were written, and were left out.
    pub damaged_rows: u64,
    /// Series that the file has.
    pub series: usize,
    /// Bytes that the rows of the file take.
    pub stored_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Everything that was taken before this instant of the wall clock is on the disk, or counted as dropped.
    pub flushed: Option<UnixTime>,
}

/// Why a history cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the history cannot be written: {reason}\n{remedy}")]
pub struct StoreError {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}
