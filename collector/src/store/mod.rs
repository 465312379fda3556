//! The local history: what was read, kept in one file across restarts.
//!
//! It is written on a thread of its own, fed from the board through a bounded queue; what does not fit is counted.
//! Nothing here is waited for by who reads devices or answers requests: a history that cannot be written is a
//! state that is shown, and the collector goes on without.

mod catalog;
mod column;
mod file;
mod journal;
mod keeper;
mod query;
mod read;
mod retention;
mod status;
mod tier;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orrery_telemetry::{Sample, UnixTime};
use redb::Database;

pub(crate) use self::catalog::SeriesKey;
pub use self::keeper::write_history;
pub(crate) use self::query::View;
pub use self::retention::Retention;
pub use self::status::{StoreError, StoreSettings, StoreState, StoreStatus};
pub(crate) use self::tier::Bucket;

use self::file::FileError;
use self::keeper::Keeper;
use self::writer::Writer;
use crate::board::wall_clock;
use crate::threads::Stop;

/// The file in the data folder.
const FILE: &str = "history.redb";
/// Samples on their way to the store: what comes while a large file is opened and checked.
const QUEUE: usize = 256;
/// Samples that wait while the file cannot be written; the oldest go first.
const MOST_PENDING: usize = 512;

/// The history of one daemon.
#[derive(Debug)]
pub(crate) struct Store {
    settings: StoreSettings,
    inner: Mutex<Inner>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    status: StoreStatus,
    database: Option<Arc<Database>>,
}

/// Where the board puts the samples that are to be kept.
#[derive(Debug)]
pub(crate) struct Feed {
    store: Arc<Store>,
    samples: SyncSender<Arc<Sample>>,
}

impl Feed {
    /// Keeps `sample` if there is room on the way, else counts it. Never waits.
    pub(crate) fn send(&self, sample: &Arc<Sample>) {
        match self.samples.try_send(sample.clone()) {
            // A store that ended wants nothing more.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.store.count_dropped(1),
        }
    }

    /// The history that it feeds.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Store {
    /// A history that is still to be run, where the board feeds it, and where it hears of that.
    pub(crate) fn new(settings: &StoreSettings) -> (Arc<Self>, Feed, Receiver<Arc<Sample>>) {
        let status = StoreStatus {
            file: settings.folder.join(FILE),
            state: StoreState::Opening,
            reason: String::new(),
            remedy: String::new(),
            moved_aside: None,
            dropped: 0,
            damaged_rows: 0,
            series: 0,
            stored_bytes: 0,
            file_bytes: 0,
            flushed: None,
        };
        let store = Arc::new(Self {
            settings: settings.clone(),
            inner: Mutex::new(Inner {
                status,
                database: None,
            }),
            dropped: AtomicU64::new(0),
        });
        let (samples, queue) = sync_channel(QUEUE);
        let feed = Feed {
            store: store.clone(),
            samples,
        };
        (store, feed, queue)
    }

    /// How it does now.
    pub(crate) fn status(&self) -> StoreStatus {
        let mut status = self.lock().status.clone();
        status.dropped = self.dropped.load(Ordering::Relaxed);
        status
    }

    /// The file as it is now, to be asked.
    ///
    /// # Errors
    /// When it is not open, or cannot be read: what is wrong, and what to do.
    pub(crate) fn view(&self) -> Result<View, (String, String)> {
        let (database, status) = {
            let inner = self.lock();
            (inner.database.clone(), inner.status.clone())
        };
        let database = database.ok_or_else(|| match status.state {
            StoreState::Failing => (
                format!("the history is not open: {}", status.reason),
                status.remedy,
            ),
            StoreState::Opening | StoreState::Up => (
                "the history is being opened".to_owned(),
                "ask again in a moment".to_owned(),
            ),
        })?;
        let view = file::guarded(|| View::new(&database));
        view.map_err(|fault| (fault.to_string(), fault.remedy().to_owned()))
    }

    /// Writes what comes until `stop` is wished or nothing can come any more.
    pub(crate) fn run(&self, samples: Receiver<Arc<Sample>>, stop: &Stop) {
        let mut keeper = Keeper::new(self);
        loop {
            let ends = stop.wait(Duration::ZERO);
            let came = if ends {
                samples.try_recv().map_err(|_none| RecvTimeoutError::Disconnected)
            } else {
                samples.recv_timeout(keeper.patience())
            };
            match came {
                Ok(sample) => keeper.take(sample),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !ends {
                keeper.work();
            }
        }
        keeper.flush();
        drop(samples);
        self.lock().database = None;
    }

    fn path(&self) -> PathBuf {
        self.settings.folder.join(FILE)
    }

    fn count_dropped(&self, num: u64) {
        self.dropped.fetch_add(num, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_up(&self, writer: &Writer, flushed: Option<UnixTime>) {
        let file_bytes = std::fs::metadata(self.path()).map_or(0, |file| file.len());
        let mut inner = self.lock();
        let status = &mut inner.status;
        if status.state == StoreState::Failing {
            tracing::info!("history: written again to `{}`", status.file.display());
        }
        status.state = StoreState::Up;
        status.reason.clear();
        status.remedy.clear();
        status.series = writer.num_series();
        status.stored_bytes = writer.stored();
        status.damaged_rows = writer.num_damaged();
        status.file_bytes = file_bytes;
        status.flushed = flushed.or(status.flushed);
    }

    fn set_failing(&self, fault: &FileError) {
        let mut inner = self.lock();
        inner.database = None;
        let (reason, status) = (fault.to_string(), &mut inner.status);
        if status.state != StoreState::Failing || status.reason != reason {
            tracing::warn!("history: not written: {reason}; what to do: {}", fault.remedy());
        }
        status.state = StoreState::Failing;
        status.reason = reason;
        fault.remedy().clone_into(&mut status.remedy);
    }

    /// Moves a damaged file aside.
    fn set_aside(&self, path: &Path, words: &str) {
        match file::move_aside(path, wall_clock().as_millis()) {
            Ok(aside) => {
                tracing::error!(
                    "history: `{}` is damaged ({words}); it is kept as `{}`, and a new one is begun",
                    path.display(),
                    aside.display()
                );
                self.lock().status.moved_aside = Some(aside);
            }
            Err(fault) => self.set_failing(&FileError::System(fault)),
        }
    }
}

#[cfg(test)]
mod tests;
