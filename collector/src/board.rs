//! What is known now: the last sample and the status of every source, and who listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use orrery_telemetry::{Event, Sample, SourceStatus, write_line};
use tokio::sync::mpsc::Sender;

use crate::sampler::Message;

/// Lines that wait for one slow reader of the stream before lines are left out.
pub(crate) const LINES_PER_READER: usize = 64;

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
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    status: SourceStatus,
    dropped: Arc<AtomicU64>,
    latest: Option<(Sample, Instant)>,
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

    /// Adds a source that gives nothing yet, because of `reason`; `dropped` counts what it drops.
    pub(crate) fn add_source(&self, name: &str, reason: &str, dropped: Arc<AtomicU64>) {
        self.lock().sources.push(Entry {
            status: SourceStatus::absent(name, reason),
            dropped,
            latest: None,
        });
    }

    /// How every source does.
    #[must_use]
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let inner = self.lock();
        inner
            .sources
            .iter()
            .map(|entry| entry.status_now(self.interval))
            .collect()
    }

    /// The last sample of every source that gives samples now.
    #[must_use]
    pub fn latest(&self) -> Vec<Sample> {
        let inner = self.lock();
        let up = inner
            .sources
            .iter()
            .filter(|entry| entry.status_now(self.interval).is_up());
        up.filter_map(|entry| Some(entry.latest.as_ref()?.0.clone()))
            .collect()
    }

    /// Adds a reader of the stream: first the status and last sample of every source, then what comes.
    pub(crate) fn subscribe(&self, lines: Sender<String>) {
        let mut reader = Reader { lines, missed: 0 };
        let mut inner = self.lock();
        for entry in &inner.sources {
            reader.send(&write_line(&Event::Source(entry.status_now(self.interval))));
            if let Some((sample, _)) = &entry.latest {
                reader.send(&write_line(&Event::Sample(sample.clone())));
            }
        }
        // A closed board drops the sender, which ends the stream.
        if !inner.closed {
            inner.readers.push(reader);
        }
    }

    /// Receives until every sampler is gone.
    pub(crate) fn receive(&self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
        }
    }

    /// Lets every reader of the stream go, and takes no more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.readers.clear();
    }

    fn take(&self, message: Message) {
        let mut inner = self.lock();
        let name = match &message {
            Message::Sample(sample) => sample.source.as_str(),
            Message::Absent(name, _) => name,
        };
        let Some(entry) = inner.sources.iter_mut().find(|entry| entry.status.name == name) else {
            return;
        };
        let before = entry.status.clone();
        let sample = match message {
            Message::Sample(sample) => {
                entry.status.state = sample.origin.into();
                entry.status.reason.clear();
                entry.latest = Some((sample.clone(), Instant::now()));
                Some(sample)
            }
            Message::Absent(name, reason) => {
                entry.status = SourceStatus::absent(name, reason);
                None
            }
        };
        let status = (entry.status != before).then(|| entry.status_now(self.interval));
        let events = status
            .map(Event::Source)
            .into_iter()
            .chain(sample.map(Event::Sample));
        for event in events {
            let line = write_line(&event);
            inner.readers.retain_mut(|reader| reader.send(&line));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The status, with a source that fell silent told apart from one that answers.
    fn status_now(&self, interval: Duration) -> SourceStatus {
        let mut status = self.status.clone();
        status.dropped = self.dropped.load(Ordering::Relaxed);
        let silent = |at: &Instant| at.elapsed() > 3 * interval + Duration::from_secs(1);
        if status.is_up() && self.latest.as_ref().is_some_and(|(_, at)| silent(at)) {
            let dropped = status.dropped;
            status = SourceStatus::absent(&self.status.name, "no answer for more than three intervals");
            status.dropped = dropped;
        }
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

#[cfg(test)]
mod tests {
    use orrery_telemetry::read_line;
    use tokio::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_slow_reader_is_told_what_it_missed() {
        let board = Board::new(Duration::from_secs(1));
        board.add_source("nvml", "not read yet", Arc::default());
        let (lines, mut reader) = channel(2);
        board.subscribe(lines);
        for reason in ["a", "b", "c", "d"] {
            board.take(Message::Absent("nvml", reason.to_owned()));
        }
        let mut events = Vec::new();
        while let Ok(line) = reader.try_recv() {
            events.push(read_line(&line).unwrap());
        }
        board.take(Message::Absent("nvml", "e".to_owned()));
        while let Ok(line) = reader.try_recv() {
            events.push(read_line(&line).unwrap());
        }
        let absent = |reason: &str| Event::Source(SourceStatus::absent("nvml", reason));
        assert_eq!(
            events,
            [absent("not read yet"), absent("a"), Event::Missed(3), absent("e")]
        );
    }
}
