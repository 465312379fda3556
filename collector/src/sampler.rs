//! Reads a source at its own pace, on its own thread, into a bounded channel; what does not fit is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orrery_telemetry::{Sample, SourceStatus, UnixTime};
use orrery_units::{SimDuration, SimTime};

use crate::source::{self, OpenSource, Source};
use crate::{Settings, SourceKind};

/// How long to wait before a source that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What a sampler tells the board.
#[derive(Debug)]
pub(crate) enum Message {
    /// A sample.
    Sample(Sample),
    /// The source gives nothing, with the reason.
    Absent(&'static str, String),
}

/// A wish to stop, which wakes whoever waits.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    wished: Mutex<bool>,
    wake: Condvar,
}

/// One source and what its thread needs.
pub(crate) struct Sampler {
    pub(crate) name: &'static str,
    pub(crate) open: OpenSource,
    pub(crate) interval: Duration,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) out: SyncSender<Message>,
    pub(crate) stop: Arc<Stop>,
}

impl Stop {
    /// Asks everybody to stop.
    pub(crate) fn wish(&self) {
        *self.wished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits for `time` or until somebody wishes to stop; whether somebody does.
    fn wait(&self, time: Duration) -> bool {
        let wished = self.wished.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(wished, time, |wished| !*wished);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sampler {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name(format!("source-{}", self.name))
            .spawn(move || self.run())
    }

    fn run(self) {
        loop {
            match (self.open)() {
                Ok(mut source) => {
                    self.read_until_stop(&mut *source);
                    return;
                }
                Err(reason) => self.send(Message::Absent(self.name, reason)),
            }
            if self.stop.wait(RETRY) {
                return;
            }
        }
    }

    fn read_until_stop(&self, source: &mut dyn Source) {
        let start = Instant::now();
        for sequence in 0.. {
            self.send(match read(self.name, source, sequence, start) {
                Ok(sample) => Message::Sample(sample),
                Err(reason) => Message::Absent(self.name, reason),
            });
            // The pace is kept by the clock, not by the sum of the waits; a late reading is not made up for.
            let interval = self.interval.as_secs_f64();
            let late = start.elapsed().as_secs_f64() % interval;
            if self.stop.wait(Duration::from_secs_f64(interval - late)) {
                return;
            }
        }
    }

    /// Sends without waiting: a reader that is slow must not slow the readings.
    fn send(&self, message: Message) {
        match self.out.try_send(message) {
            // A board that is gone wants nothing more; the wish to stop follows.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// One sample of each source that `settings` asks for, with the status of each.
///
/// A source whose activity needs two samples is read twice, an interval apart.
#[must_use]
pub fn take_one(settings: &Settings) -> (Vec<SourceStatus>, Vec<Sample>) {
    let mut statuses = Vec::new();
    let mut samples = Vec::new();
    for &kind in &settings.sources {
        match take_one_of(kind, settings) {
            Ok(sample) => {
                statuses.push(SourceStatus {
                    name: kind.name().to_owned(),
                    state: sample.origin.into(),
                    reason: String::new(),
                    dropped: 0,
                });
                samples.push(sample);
            }
            Err(reason) => statuses.push(SourceStatus::absent(kind.name(), reason)),
        }
    }
    (statuses, samples)
}

fn take_one_of(kind: SourceKind, settings: &Settings) -> Result<Sample, String> {
    let mut source = source::open(kind, settings.nvml_library.as_deref())?;
    let start = Instant::now();
    let first = read(kind.name(), &mut *source, 0, start)?;
    let waits = |sample: &Sample| {
        let mut activities = sample.devices.iter().map(|device| &device.activity);
        activities.any(|activity| activity.sm.absence() == Some(&orrery_telemetry::Absence::NotYet))
    };
    if !waits(&first) {
        return Ok(first);
    }
    thread::sleep(settings.interval);
    read(kind.name(), &mut *source, 1, start)
}

fn read(name: &str, source: &mut dyn Source, sequence: u64, start: Instant) -> Result<Sample, String> {
    let devices = source.read(sequence)?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Sample {
        source: name.to_owned(),
        origin: source.origin(),
        sequence,
        at: SimTime::ZERO + SimDuration::from_secs(start.elapsed().as_secs_f64()),
        taken: UnixTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)),
        devices,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use orrery_units::Seed;

    use super::*;
    use crate::DemoSource;

    #[test]
    fn what_does_not_fit_the_channel_is_counted_and_leaves_a_gap() {
        let (out, board) = sync_channel(2);
        let (dropped, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(Stop::default()));
        let sampler = Sampler {
            name: "demo",
            open: Box::new(|| Ok(Box::new(DemoSource::new(Seed::new(1))))),
            interval: Duration::from_millis(5),
            dropped: dropped.clone(),
            out,
            stop: stop.clone(),
        };
        let thread = sampler.start().unwrap();
        // Nobody receives until three samples found no room.
        while dropped.load(Ordering::Relaxed) < 3 {
            thread::sleep(Duration::from_millis(1));
        }
        let mut sequences = Vec::new();
        while sequences.len() < 3 {
            let Ok(Message::Sample(sample)) = board.recv() else {
                panic!("the demonstration gives samples")
            };
            sequences.push(sample.sequence);
        }
        stop.wish();
        thread.join().unwrap();
        assert_eq!(sequences[..2], [0, 1]);
        assert!(sequences[2] >= 5, "{sequences:?}");
    }
}
