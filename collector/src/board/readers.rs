//! Who listens to the stream, and how they are told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_telemetry::{Event, Sample, write_line, write_sample};
use tokio::sync::mpsc::Sender;

/// Lines that wait for one slow reader of the stream before lines are left out.
pub(crate) const LINES_PER_READER: usize = 64;
/// Readers of the stream at one time: windows of people, and room for those that are opened anew. An assumption;
/// whatever there are more of reads `/metrics`.
pub(crate) const MOST_READERS: usize = 64;
/// How long samples of a source that is read more often are gathered, so that every reader is woken, and every
/// connection written to, for several at once: nobody reads numbers that change faster.
const GATHER: Duration = Duration::from_millis(500);

/// A line of the stream, in UTF-8 and with its end. One text for all readers, so that those who are slow cost no memory
/// each.
pub(crate) type Line = Bytes;

/// `line` as text.
pub(crate) fn text_of(line: &Line) -> &str {
    str::from_utf8(line).expect("lines are JSON")
}

/// `event` as a line of the stream.
pub(super) fn line_of(event: &Event) -> Line {
    write_line(event).into()
}

/// The readers, and the samples that they were not told of yet.
#[derive(Debug)]
pub(super) struct Readers {
    readers: Vec<Reader>,
    /// How long samples are gathered.
    gather: Duration,
    gathered: Vec<Arc<Sample>>,
    /// When samples were last told.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Reader {
    lines: Sender<Line>,
    missed: u64,
}

/// The status of every source, as lines, for a reader that missed lines.
pub(super) type Statuses<'a> = &'a dyn Fn() -> Vec<Line>;

impl Readers {
    /// Nobody, yet, of samples that come every `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            readers: Vec::new(),
            gather: if interval < GATHER { GATHER } else { Duration::ZERO },
            gathered: Vec::new(),
            told: None,
        }
    }

    /// Readers that are still there.
    pub(super) fn count(&mut self) -> usize {
        self.readers.retain(|reader| !reader.lines.is_closed());
        self.readers.len()
    }

    /// Adds a reader, who is told `beginning` first. Those who are there are to be told what was gathered before.
    pub(super) fn add(&mut self, lines: Sender<Line>, beginning: &[Line]) {
        let mut reader = Reader { lines, missed: 0 };
        for line in beginning {
            reader.send(line, &[]);
        }
        self.readers.push(reader);
    }

    /// Lets all readers go.
    pub(super) fn clear(&mut self) {
        self.readers.clear();
        self.gathered.clear();
    }

    /// Tells of `sample`, at once or with the next ones; whether nothing waits to be told.
    pub(super) fn gather(&mut self, sample: Arc<Sample>, now: Instant, statuses: Statuses<'_>) -> bool {
        if self.readers.is_empty() {
            return true;
        }
        self.gathered.push(sample);
        self.tell_due(now, statuses);
        self.gathered.is_empty()
    }

    /// Tells of the samples that were gathered for long enough.
    pub(super) fn tell_due(&mut self, now: Instant, statuses: Statuses<'_>) {
        let since = |told| now.saturating_duration_since(told);
        if self.told.is_none_or(|told| since(told) >= self.gather) {
            self.tell_gathered(now, statuses);
        }
    }

    /// Tells of all samples that were gathered.
    pub(super) fn tell_gathered(&mut self, now: Instant, statuses: Statuses<'_>) {
        let samples = std::mem::take(&mut self.gathered);
        if samples.is_empty() {
            return;
        }
        self.told = Some(now);
        let lines: Vec<Line> = samples.iter().map(|sample| write_sample(sample).into()).collect();
        self.tell_lines(&lines, statuses);
    }

    /// Tells of `event`, after what was gathered before.
    pub(super) fn tell(&mut self, event: &Event, now: Instant, statuses: Statuses<'_>) {
        // Most of the time nobody reads.
        if self.readers.is_empty() {
            return;
        }
        self.tell_gathered(now, statuses);
        self.tell_lines(&[line_of(event)], statuses);
    }

    /// Tells one reader after the other of all `lines`: whoever is woken by the first finds the others.
    fn tell_lines(&mut self, lines: &[Line], statuses: Statuses<'_>) {
        let may_lack = |reader: &Reader| reader.missed > 0 || reader.lines.capacity() < lines.len();
        let statuses = if self.readers.iter().any(may_lack) {
            statuses()
        } else {
            Vec::new()
        };
        self.readers
            .retain_mut(|reader| lines.iter().all(|line| reader.send(line, &statuses)));
    }
}

impl Reader {
    /// Sends a line if there is room, else counts it; whether the reader is still there.
    ///
    /// A reader that missed lines is told so, and `statuses`, since one of those may have been among them: a
    /// source that is silent is told once. They go together, when there is room for all and for the line.
    fn send(&mut self, line: &Line, statuses: &[Line]) -> bool {
        if self.missed > 0 && self.lines.capacity() > 1 + statuses.len() {
            let missed = line_of(&Event::Missed(self.missed));
            let together = std::iter::once(&missed).chain(statuses);
            // The board alone sends, so that the room stays; a reader that left wants none of it.
            if together.cloned().all(|line| self.lines.try_send(line).is_ok()) {
                self.missed = 0;
            }
        }
        if self.lines.try_send(line.clone()).is_err() {
            self.missed += 1;
        }
        !self.lines.is_closed()
    }
}
