//! What is known now: the last sample and the status of every source, and who listens.
//!
//! A source that was to speak and did not is *silent*: its thread hangs in a driver, or lags. The board finds
//! that out by itself, tells every reader, and serves no number of a silent source.

mod readers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orrery_telemetry::judge::Alert;
use orrery_telemetry::{
    DeviceIdentity, DeviceSample, Event, Heartbeat, Sample, SourceStatus, UnixTime, write_sample,
};
use orrery_units::SimDuration;
use tokio::sync::mpsc::Sender;

pub(crate) use self::readers::{LINES_PER_READER, Line, MOST_READERS, text_of};
use self::readers::{Readers, line_of};
use crate::judging::Verdict;
use crate::sampler::Message;
use crate::source::{LOST_REMEDY, SourceError};
use crate::store::{Feed, Store, StoreStatus};

/// The shortest and the longest time between two heartbeats.
const FASTEST_HEARTBEAT: Duration = Duration::from_secs(1);
const SLOWEST_HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the board looks for silent sources, due heartbeats and samples to be told.
const WATCH: Duration = Duration::from_millis(200);
/// What every reading may take beyond its three intervals: a driver that wakes a device up takes its time.
const ALLOWANCE: Duration = Duration::from_secs(1);
/// What the opening of a source may take, as an assumption: a driver that initialises its devices takes seconds.
const OPENING: Duration = Duration::from_secs(10);
/// Why a source is absent that was to speak and did not. Always the same text, since it becomes a label.
const SILENT: &str = "no answer for more than three intervals";
const SILENT_REMEDY: &str = "the driver may hang: see `dmesg` for `NVRM` and `Xid` lines; the source is back by \
                             itself when the driver answers; a driver that is only slow wants a longer `--interval`";

/// How every source does at one instant, and what it gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// How every source does.
    pub statuses: Vec<SourceStatus>,
    /// The last sample of every source that gives samples now; none of a source that fell silent.
    pub samples: Vec<Arc<Sample>>,
    /// Readers of the stream.
    pub num_readers: usize,
    /// How the local history does, where one is kept.
    pub store: Option<StoreStatus>,
    /// What the judge says, and how jobs go.
    pub verdict: Verdict,
}

/// What a page of the board rests on: pages of equal stamps say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    num_changes: u64,
    num_readers: usize,
    /// For every source: what it dropped, and whether it is silent.
    sources: Vec<(u64, bool)>,
}

/// What is known now, shared by samplers and servers.
#[derive(Debug)]
pub struct Board {
    interval: Duration,
    /// What keeps the samples, if anything does.
    feed: Option<Feed>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    sources: Vec<Entry>,
    readers: Readers,
    next_heartbeat: Option<Instant>,
    verdict: Verdict,
    /// Messages taken since the start.
    num_changes: u64,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    /// As the source said it.
    status: SourceStatus,
    /// As the readers know it.
    told: SourceStatus,
    dropped: Arc<AtomicU64>,
    latest: Option<Arc<Sample>>,
    /// Whether it gave a sample or said why not, ever; one that does not run has nothing to say.
    has_spoken: bool,
    /// When the source has to have spoken again; nobody waits for one that does not run.
    due: Option<Instant>,
    /// When it is opened again, and what was told of that.
    next_try: Option<(Instant, UnixTime)>,
}

impl Board {
    /// An empty board for sources that are read every `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            feed: None,
            inner: Mutex::new(Inner {
                sources: Vec::new(),
                readers: Readers::new(interval),
                next_heartbeat: None,
                verdict: Verdict::default(),
                num_changes: 0,
                closed: false,
            }),
        }
    }

    /// The board, with every sample that it takes put into `feed` as well.
    pub(crate) fn feeding(self, feed: Option<Feed>) -> Self {
        Self { feed, ..self }
    }

    /// The local history, if one is kept.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.feed.as_ref().map(Feed::store)
    }

    /// Adds a source that does not run, because of `reason`; `dropped` counts what it drops if it ever does.
    pub(crate) fn add_idle(&self, name: &str, reason: SourceError, dropped: Arc<AtomicU64>) {
        self.add(name, reason, dropped, None);
    }

    /// Adds a source that is being opened; `dropped` counts what it drops.
    pub(crate) fn add_source(&self, name: &str, dropped: Arc<AtomicU64>) {
        let due = Instant::now() + OPENING;
        self.add(name, "being opened".into(), dropped, Some(due));
    }

    fn add(&self, name: &str, error: SourceError, dropped: Arc<AtomicU64>, due: Option<Instant>) {
        let status = absent(name, error);
        self.lock().sources.push(Entry {
            told: status.clone(),
            status,
            dropped,
            latest: None,
            has_spoken: due.is_none(),
            due,
            next_try: None,
        });
    }

    /// How every source does.
    #[must_use]
    pub fn statuses(&self) -> Vec<SourceStatus> {
        self.lock().statuses_at(Instant::now())
    }

    /// How every source does and what it gave, at one instant.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut inner = self.lock();
        Snapshot {
            num_readers: inner.readers.count(),
            statuses: inner.statuses_at(now),
            samples: inner.latest_at(now),
            store: self.store().map(|store| store.status()),
            verdict: inner.verdict.clone(),
        }
    }

    /// What a page rests on now.
    pub(crate) fn stamp(&self, now: Instant) -> Stamp {
        let mut inner = self.lock();
        let num_readers = inner.readers.count();
        let sources = inner.sources.iter();
        Stamp {
            num_changes: inner.num_changes,
            num_readers,
            sources: sources
                .map(|entry| (entry.dropped.load(Ordering::Relaxed), entry.is_silent_at(now)))
                .collect(),
        }
    }

    /// Whether the first cycle is over: every source gave a sample or said why not.
    pub(crate) fn is_ready(&self) -> bool {
        self.lock().sources.iter().all(|entry| entry.has_spoken)
    }

    /// Adds a reader of the stream: first the status of every source and what it gives, then what comes. Whether
    /// there was a place for it.
    #[must_use]
    pub(crate) fn subscribe(&self, lines: Sender<Line>) -> bool {
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.readers.count() >= MOST_READERS {
            return false;
        }
        let mut beginning = vec![line_of(&self.heartbeat())];
        beginning.extend(inner.status_lines(now));
        let latest = inner.latest_at(now);
        beginning.extend(latest.iter().map(|sample| Line::from(write_sample(sample))));
        let alerts = inner.verdict.alerts.iter();
        beginning.extend(alerts.map(|alert| line_of(&Event::Alert(alert.clone()))));
        // Those who are there are told first what this one knows already.
        inner.tell_gathered(now);
        // A closed board drops the sender, which ends the stream.
        inner.readers.add(lines, &beginning);
        if inner.closed {
            inner.readers.clear();
        }
        true
    }

    /// Takes what the judge says now, and tells every reader what of it is news.
    pub(crate) fn tell_verdict(&self, verdict: Verdict, news: Vec<Alert>) {
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.verdict != verdict {
            inner.num_changes += 1;
            inner.verdict = verdict;
        }
        for alert in news {
            log_alert(&alert);
            inner.tell(&Event::Alert(alert), now);
        }
    }

    /// Receives and watches until the board is closed.
    pub(crate) fn receive(&self, messages: &Receiver<Message>) {
        while self.watch(Instant::now()) {
            match messages.recv_timeout(WATCH) {
                Ok(message) => self.take(message, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                // Every sampler is gone, and the readers still want to know that the collector is not.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(WATCH),
            }
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
        self.interval.clamp(FASTEST_HEARTBEAT, SLOWEST_HEARTBEAT)
    }

    fn take(&self, message: Message, now: Instant) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if inner.closed {
            return;
        }
        let name = match &message {
            Message::Sample { sample, .. } => sample.source.as_str(),
            Message::Absent { source, .. } => source,
        };
        let Some(entry) = inner.sources.iter_mut().find(|entry| entry.status.name == name) else {
            return;
        };
        inner.num_changes += 1;
        entry.has_spoken = true;
        let sample = match message {
            // A reading that hung on the way is older than anything that may be served: the next one counts.
            Message::Sample { began, .. } if now.saturating_duration_since(began) > self.silence() => None,
            Message::Sample {
                sample,
                began,
                next_try,
            } => {
                let is_opened_again = next_try.is_some_and(|at| at <= began);
                let opening = if is_opened_again { OPENING } else { Duration::ZERO };
                entry.status = SourceStatus::up(&sample.source, sample.origin);
                entry.status.next_try = entry.show_next_try(next_try, now);
                entry.due = Some(now + self.silence() + opening);
                log_lost_devices(entry.latest.as_deref(), &sample);
                let sample = Arc::new(sample);
                entry.latest = Some(sample.clone());
                if let Some(feed) = &self.feed {
                    feed.send(&sample);
                }
                Some(sample)
            }
            Message::Absent {
                source,
                error,
                next_try,
            } => {
                entry.status = absent(source, error);
                entry.status.next_try = entry.show_next_try(next_try, now);
                entry.due = next_try.map(|at| at + OPENING);
                None
            }
        };
        inner.tell_changes(now);
        if let Some(sample) = sample {
            let are_told = inner.gather(sample, now);
            // The heartbeat goes with the sample where samples come as often, and readers wake once for both. It
            // waits a little longer for the next one than it would alone, well within the patience of readers.
            if are_told && inner.next_heartbeat.is_some_and(|at| at <= now + self.beat() / 2) {
                inner.tell(&self.heartbeat(), now);
                inner.next_heartbeat = Some(now + self.beat() * 5 / 4);
            }
        }
    }

    /// Finds the sources that fell silent, and sends the heartbeat when it is due; whether the board is open.
    fn watch(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.tell_changes(now);
        inner.tell_due(now);
        if inner.next_heartbeat.is_none_or(|at| now >= at) {
            // Sent at half of the promised time, so that a late thread does not break the promise.
            inner.next_heartbeat = Some(now + self.beat() / 2);
            inner.tell(&self.heartbeat(), now);
        }
        !inner.closed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn statuses_at(&self, now: Instant) -> Vec<SourceStatus> {
        self.sources.iter().map(|entry| entry.status_at(now)).collect()
    }

    /// The status of every source, as lines of the stream.
    fn status_lines(&self, now: Instant) -> Vec<Line> {
        status_lines(&self.sources, now)
    }

    fn latest_at(&self, now: Instant) -> Vec<Arc<Sample>> {
        let up = self.sources.iter().filter(|entry| entry.status_at(now).is_up());
        up.filter_map(|entry| entry.latest.clone()).collect()
    }

    /// Tells the readers and the log of every source whose status is not what they know.
    fn tell_changes(&mut self, now: Instant) {
        let mut changes = Vec::new();
        for entry in &mut self.sources {
            // Most of the time there is nothing to tell, which costs no copy.
            entry.status.dropped = entry.dropped.load(Ordering::Relaxed);
            if !entry.is_silent_at(now) && entry.status == entry.told {
                continue;
            }
            let status = entry.status_at(now);
            if status != entry.told {
                log(&entry.told, &status);
                entry.told = status.clone();
                changes.push(Event::Source(status));
            }
        }
        for change in changes {
            self.tell(&change, now);
        }
    }
}

/// The readers are told beside the sources, whose statuses some of them need.
impl Inner {
    fn gather(&mut self, sample: Arc<Sample>, now: Instant) -> bool {
        let Self { readers, sources, .. } = self;
        readers.gather(sample, now, &|| status_lines(sources, now))
    }

    fn tell_due(&mut self, now: Instant) {
        let Self { readers, sources, .. } = self;
        readers.tell_due(now, &|| status_lines(sources, now));
    }

    fn tell_gathered(&mut self, now: Instant) {
        let Self { readers, sources, .. } = self;
        readers.tell_gathered(now, &|| status_lines(sources, now));
    }

    fn tell(&mut self, event: &Event, now: Instant) {
        let Self { readers, sources, .. } = self;
        readers.tell(event, now, &|| status_lines(sources, now));
    }
}

fn status_lines(sources: &[Entry], now: Instant) -> Vec<Line> {
    let statuses = sources.iter().map(|entry| entry.status_at(now));
    statuses.map(|status| line_of(&Event::Source(status))).collect()
}

impl Entry {
    /// What the wall clock will show at the next try: told once for each, since reckoned anew it would differ by a
    /// millisecond, which is no news.
    fn show_next_try(&mut self, next_try: Option<Instant>, now: Instant) -> Option<UnixTime> {
        let known = self.next_try;
        self.next_try = next_try.map(|at| {
            let same = known.filter(|(known, _)| *known == at);
            same.unwrap_or_else(|| (at, wall_clock_of(at, now)))
        });
        self.next_try.map(|(_, shown)| shown)
    }

    fn is_silent_at(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now > due)
    }

    /// The status at `now`, with a source that fell silent told apart from one that answers.
    fn status_at(&self, now: Instant) -> SourceStatus {
        let mut status = if self.is_silent_at(now) {
            absent(&self.status.name, SourceError::new(SILENT, SILENT_REMEDY))
        } else {
            self.status.clone()
        };
        status.dropped = self.dropped.load(Ordering::Relaxed);
        status
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
        let remedy = match now.remedy.as_str() {
            "" => String::new(),
            remedy => format!("; what to do: {remedy}"),
        };
        tracing::warn!("{}: absent: {}{remedy}", now.name, now.reason);
    }
}

fn log_alert(alert: &Alert) {
    let Alert {
        rule,
        severity,
        subject,
        what,
        action,
        ..
    } = alert;
    if alert.stands() {
        tracing::warn!(
            "{} {rule}: {subject}: {what}; what to do: {action}",
            severity.name()
        );
    } else {
        tracing::info!("cleared: {rule}: {subject}");
    }
}

/// Logs the devices that were lost and those that are back since the sample `before`.
fn log_lost_devices(before: Option<&Sample>, now: &Sample) {
    let place = |device: &DeviceSample| (device.identity.node.clone(), device.identity.index);
    let was_lost = |device: &DeviceSample| {
        let mut old = before.iter().flat_map(|sample| &sample.devices);
        old.any(|old| old.is_lost() && place(old) == place(device))
    };
    for device in &now.devices {
        let DeviceIdentity { index, uuid, .. } = &device.identity;
        let source = &now.source;
        match (was_lost(device), device.is_lost()) {
            (false, true) => {
                tracing::warn!("{source}: device {index} ({uuid}) is lost; what to do: {LOST_REMEDY}");
            }
            (true, false) => tracing::info!("{source}: device {index} ({uuid}) is back"),
            _ => {}
        }
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
