//! What is known now: the last sample and the status of every source, and who listens.
//!
//! A source that was to speak and did not is *silent*: its thread hangs in a driver, or lags. The board finds
//! that out by itself, tells every reader, and serves no number of a silent source.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orrery_telemetry::{Event, Heartbeat, Sample, SourceStatus, UnixTime, write_line};
use orrery_units::SimDuration;
use tokio::sync::mpsc::Sender;

use crate::sampler::Message;
use crate::source::SourceError;

/// Lines that wait for one slow reader of the stream before lines are left out.
pub(crate) const LINES_PER_READER: usize = 64;
/// The longest time between two heartbeats.
const SLOWEST_HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the board looks for silent sources and due heartbeats.
const WATCH: Duration = Duration::from_millis(50);
/// What every reading may take beyond its three intervals: a driver that wakes a device up takes its time.
const ALLOWANCE: Duration = Duration::from_secs(1);
/// Why a source is absent that was to speak and did not. Always the same text, since it becomes a label.
const SILENT: &str = "no answer for more than three intervals";
const SILENT_REMEDY: &str = "the driver may hang: see `dmesg` for `NVRM` and `Xid` lines; the source is back by itself when the driver answers";

/// What is known now, shared by samplers and servers.
#[derive(Debug)]
pub struct Board {
    interval: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sources: Vec<Entry>,
    readers: Vec<Reader>,
    next_heartbeat: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    /// As the source said it.
    status: SourceStatus,
    /// As the readers know it.
    told: SourceStatus,
    dropped: Arc<AtomicU64>,
    latest: Option<Sample>,
    /// When the source has to have spoken again; nobody waits for one that does not run.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Reader {
    lines: Sender<String>,
    missed: u64,
}

impl Board {
    /// An empty board for sources that are read every `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            inner: Mutex::default(),
        }
    }

    /// Adds a source that does not run, because of `reason`; `dropped` counts what it drops if it ever does.
    pub(crate) fn add_idle(&self, name: &str, reason: SourceError, dropped: Arc<AtomicU64>) {
        self.add(name, reason, dropped, None);
    }

    /// Adds a source that is being opened; `dropped` counts what it drops.
    pub(crate) fn add_source(&self, name: &str, dropped: Arc<AtomicU64>) {
        let due = Instant::now() + self.silence();
        self.add(name, "being opened".into(), dropped, Some(due));
    }

    fn add(&self, name: &str, error: SourceError, dropped: Arc<AtomicU64>, due: Option<Instant>) {
        let status = absent(name, error);
        self.lock().sources.push(Entry {
            told: status.clone(),
            status,
            dropped,
            latest: None,
            due,
        });
    }

    /// How every source does.
    #[must_use]
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let now = Instant::now();
        let inner = self.lock();
        inner.sources.iter().map(|entry| entry.status_at(now)).collect()
    }

    /// The last sample of every source that gives samples now; none of a source that fell silent.
    #[must_use]
    pub fn latest(&self) -> Vec<Sample> {
        self.latest_at(Instant::now())
    }

    fn latest_at(&self, now: Instant) -> Vec<Sample> {
        let inner = self.lock();
        let up = inner.sources.iter().filter(|entry| entry.status_at(now).is_up());
        up.filter_map(|entry| entry.latest.clone()).collect()
    }

    /// Adds a reader of the stream: first the status of every source and what it gives, then what comes.
    pub(crate) fn subscribe(&self, lines: Sender<String>) {
        let now = Instant::now();
        let mut reader = Reader { lines, missed: 0 };
        let mut inner = self.lock();
        reader.send(&write_line(&self.heartbeat()));
        for entry in &inner.sources {
            reader.send(&write_line(&Event::Source(entry.status_at(now))));
        }
        for sample in inner.latest_at(now) {
            reader.send(&write_line(&Event::Sample(sample)));
        }
        // A closed board drops the sender, which ends the stream.
        if !inner.closed {
            inner.readers.push(reader);
        }
    }

    /// Receives and watches until the board is closed.
    pub(crate) fn receive(&self, messages: &Receiver<Message>) {
        while !self.lock().closed {
            match messages.recv_timeout(WATCH) {
                Ok(message) => self.take(message, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                // Every sampler is gone, and the readers still want to know that the collector is not.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(WATCH),
            }
            self.watch(Instant::now());
        }
    }

    /// Lets every reader of the stream go, and takes no more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.readers.clear();
    }

    /// How long a source may say nothing.
    fn silence(&self) -> Duration {
        3 * self.interval + ALLOWANCE
    }

    fn heartbeat(&self) -> Event {
        Event::Heartbeat(Heartbeat {
            sent: wall_clock(),
            next_within: SimDuration::from_secs(self.beat().as_secs_f64()),
        })
    }

    /// The time between two heartbeats, as promised.
    fn beat(&self) -> Duration {
        self.interval.min(SLOWEST_HEARTBEAT)
    }

    fn take(&self, message: Message, now: Instant) {
        let mut inner = self.lock();
        let name = match &message {
            Message::Sample { sample, .. } => sample.source.as_str(),
            Message::Absent { source, .. } => source,
        };
        let Some(entry) = inner.sources.iter_mut().find(|entry| entry.status.name == name) else {
            return;
        };
        let sample = match message {
            Message::Sample { sample, next_try } => {
                entry.status = SourceStatus::up(&sample.source, sample.origin);
                entry.status.next_try = next_try.map(|at| wall_clock_of(at, now));
                entry.due = Some(now + self.silence());
                entry.latest = Some(sample.clone());
                Some(sample)
            }
            Message::Absent {
                source,
                error,
                next_try,
            } => {
                entry.status = absent(source, error);
                entry.status.next_try = next_try.map(|at| wall_clock_of(at, now));
                entry.due = next_try.map(|at| at + self.silence());
                None
            }
        };
        inner.tell_changes(now);
        if let Some(sample) = sample {
            inner.tell(&Event::Sample(sample));
        }
    }

    /// Finds the sources that fell silent, and sends the heartbeat when it is due.
    fn watch(&self, now: Instant) {
        let mut inner = self.lock();
        inner.tell_changes(now);
        if inner.next_heartbeat.is_none_or(|at| now >= at) {
            // Sent at half of the promised time, so that a late thread does not break the promise.
            inner.next_heartbeat = Some(now + self.beat() / 2);
            inner.tell(&self.heartbeat());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn latest_at(&self, now: Instant) -> Vec<Sample> {
        let up = self.sources.iter().filter(|entry| entry.status_at(now).is_up());
        up.filter_map(|entry| entry.latest.clone()).collect()
    }

    /// Tells the readers and the log of every source whose status is not what they know.
    fn tell_changes(&mut self, now: Instant) {
        let mut changes = Vec::new();
        for entry in &mut self.sources {
            let status = entry.status_at(now);
            if status != entry.told {
                log(&entry.told, &status);
                entry.told = status.clone();
                changes.push(Event::Source(status));
            }
        }
        for change in changes {
            self.tell(&change);
        }
    }

    fn tell(&mut self, event: &Event) {
        let line = write_line(event);
        self.readers.retain_mut(|reader| reader.send(&line));
    }
}

impl Entry {
    /// The status at `now`, with a source that fell silent told apart from one that answers.
    fn status_at(&self, now: Instant) -> SourceStatus {
        let is_silent = self.due.is_some_and(|due| now > due);
        let mut status = if is_silent {
            absent(&self.status.name, SourceError::new(SILENT, SILENT_REMEDY))
        } else {
            self.status.clone()
        };
        status.dropped = self.dropped.load(Ordering::Relaxed);
        status
    }
}

impl Reader {
    /// Sends a line if there is room, else counts it; whether the reader is still there.
    fn send(&mut self, line: &str) -> bool {
        if self.missed > 0 && self.lines.capacity() > 1 {
            let missed = write_line(&Event::Missed(self.missed));
            if self.lines.try_send(missed).is_ok() {
                self.missed = 0;
            }
        }
        if self.lines.try_send(line.to_owned()).is_err() {
            self.missed += 1;
        }
        !self.lines.is_closed()
    }
}

/// The status of a source that gives nothing.
pub(crate) fn absent(name: &str, error: SourceError) -> SourceStatus {
    SourceStatus {
        remedy: error.remedy,
        ..SourceStatus::absent(name, error.reason)
    }
}

fn log(before: &SourceStatus, now: &SourceStatus) {
    if before.state == now.state && before.reason == now.reason {
        return;
    }
    if now.is_up() {
        tracing::info!("{}: gives samples", now.name);
    } else {
        tracing::warn!("{}: absent: {}", now.name, now.reason);
    }
}

/// The wall clock now.
pub(crate) fn wall_clock() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// What the wall clock will show at `at`, if nobody sets it.
fn wall_clock_of(at: Instant, now: Instant) -> UnixTime {
    let wait = u64::try_from(at.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX);
    UnixTime::from_millis(wall_clock().as_millis().saturating_add(wait))
}

#[cfg(test)]
mod tests;
