//! The thread of a history: takes samples, flushes them in time, and lives through a file that cannot be used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_telemetry::Sample;

use super::file::{self, FileError};
use super::writer::Writer;
use super::{MOST_PENDING, Store, StoreError, StoreSettings, StoreStatus};
use crate::board::wall_clock;

/// How often the store looks for a wish to stop.
const WATCH: Duration = Duration::from_millis(100);
/// The longest wait before a file that could not be used is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often what is too old is removed.
const RETAIN_EVERY: Duration = Duration::from_secs(600);

/// What the thread of a store holds.
pub(super) struct Keeper<'s> {
    store: &'s Store,
    writer: Option<Writer>,
    /// Samples that are not on the disk.
    pending: VecDeque<Arc<Sample>>,
    /// When the oldest of them has to be.
    due: Option<Instant>,
    next_open: Instant,
    wait: Duration,
    next_retain: Instant,
    /// Whether a window may wait for its tiers.
    may_roll: bool,
}

impl<'s> Keeper<'s> {
    /// What the thread of `store` begins with.
    pub(super) fn new(store: &'s Store) -> Self {
        let now = Instant::now();
        Self {
            store,
            writer: None,
            pending: VecDeque::new(),
            due: None,
            next_open: now,
            wait: store.settings.flush_interval.min(LONGEST_WAIT),
            next_retain: now,
            may_roll: false,
        }
    }

    /// How long nothing is to be done.
    pub(super) fn patience(&self) -> Duration {
        let due = self.due.map(|due| due.saturating_duration_since(Instant::now()));
        due.unwrap_or(WATCH).min(WATCH)
    }

    pub(super) fn take(&mut self, sample: Arc<Sample>) {
        if self.pending.len() >= MOST_PENDING {
            self.pending.pop_front();
            self.store.count_dropped(1);
        }
        self.pending.push_back(sample);
        // Half of the time is for the commit.
        let within = self.store.settings.flush_interval / 2;
        self.due.get_or_insert_with(|| Instant::now() + within);
    }

    pub(super) fn work(&mut self) {
        let now = Instant::now();
        if self.writer.is_none() {
            if now >= self.next_open {
                self.open();
            }
            return;
        }
        if self.due.is_some_and(|due| now >= due) {
            self.flush();
            return;
        }
        if std::mem::take(&mut self.may_roll) {
            let mut did_roll = false;
            self.with_writer(|writer| {
                did_roll = writer.roll_one()?;
                Ok(())
            });
            self.may_roll = did_roll;
        } else if now >= self.next_retain {
            self.next_retain = now + RETAIN_EVERY;
            let keep = self.store.settings.retention;
            self.with_writer(|writer| writer.retain(&keep, wall_clock().as_millis()));
        }
    }

    fn open(&mut self) {
        let path = self.store.path();
        let opened = std::fs::create_dir_all(&self.store.settings.folder).map_err(FileError::System);
        let opened = opened.and_then(|()| file::open(&path)).and_then(|database| {
            let database = Arc::new(database);
            file::guarded(|| Writer::load(database.clone())).map(|writer| (database, writer))
        });
        match opened {
            Ok((database, writer)) => {
                self.store.lock().database = Some(database);
                self.store.set_up(&writer, None);
                self.writer = Some(writer);
                self.may_roll = true;
                if self.due.is_some() {
                    self.due = Some(Instant::now());
                }
            }
            Err(fault) => self.fail(&fault),
        }
    }

    pub(super) fn flush(&mut self) {
        if self.writer.is_none() || self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let is_written = self.with_writer(|writer| writer.commit(pending.iter().map(AsRef::as_ref)));
        if is_written {
            self.due = None;
            self.may_roll = true;
            self.wait = self.store.settings.flush_interval.min(LONGEST_WAIT);
            let flushed = pending.back().map(|sample| sample.taken);
            let writer = self.writer.as_ref().expect("it has just written");
            self.store.set_up(writer, flushed);
        } else {
            self.pending = pending;
        }
    }

    /// Lets the writer work; whether it could. A writer that could not is thrown away.
    fn with_writer(&mut self, work: impl FnOnce(&mut Writer) -> Result<(), FileError>) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        match file::guarded(|| work(writer)) {
            Ok(()) => true,
            Err(fault) => {
                self.writer = None;
                self.fail(&fault);
                false
            }
        }
    }

    fn fail(&mut self, fault: &FileError) {
        self.store.set_failing(fault);
        if let FileError::Damaged(words) = fault {
            self.store.set_aside(&self.store.path(), words);
            self.next_open = Instant::now();
            return;
        }
        self.next_open = Instant::now() + self.wait;
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
    }
}

/// Writes `samples` into a history, as a daemon would that took them one by one: what lies in a recording, or what
/// a measurement of the store makes up.
///
/// # Errors
/// When the file cannot be opened or written: what is wrong, and what to do.
pub fn write_history(
    settings: &StoreSettings,
    samples: impl IntoIterator<Item = Sample>,
) -> Result<StoreStatus, StoreError> {
    let fault = |fault: FileError| StoreError {
        remedy: fault.remedy().to_owned(),
        reason: fault.to_string(),
    };
    let (store, ..) = Store::new(settings);
    let path = store.path();
    std::fs::create_dir_all(&settings.folder).map_err(|why| fault(FileError::System(why)))?;
    let database = Arc::new(file::open(&path).map_err(fault)?);
    let mut writer = Writer::load(database).map_err(fault)?;
    let flush = |writer: &mut Writer, batch: &mut Vec<Sample>| {
        let Some(now) = batch.last().map(|sample| sample.taken) else {
            return Ok(());
        };
        writer.commit(&*batch)?;
        batch.clear();
        if writer.roll_one()? {
            writer.retain(&settings.retention, now.as_millis())?;
        }
        store.set_up(writer, Some(now));
        Ok(())
    };
    let within = u64::try_from(settings.flush_interval.as_millis()).unwrap_or(u64::MAX);
    let mut batch: Vec<Sample> = Vec::new();
    for sample in samples {
        let first = batch.first().unwrap_or(&sample).taken.as_millis();
        if sample.taken.as_millis().saturating_sub(first) >= within || batch.len() >= MOST_PENDING {
            flush(&mut writer, &mut batch).map_err(fault)?;
        }
        batch.push(sample);
    }
    flush(&mut writer, &mut batch).map_err(fault)?;
    Ok(store.status())
}
