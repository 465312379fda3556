//! Reads a source at its own pace, on its own thread, into a bounded channel; what does not fit is counted.
//!
//! A source that cannot be opened, that gives nothing any more, or of which a device is lost, is closed and
//! opened again, at waits that grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use orrery_telemetry::{Absence, DeviceIdentity, Sample, SourceStatus};
use orrery_units::{SimDuration, SimTime};

use crate::board::{absent, wall_clock};
use crate::retry::Retry;
use crate::source::{self, OpenSource, Source, SourceError, Taken};
use crate::threads::{Stop, Threads};
use crate::{Settings, SourceKind};

/// How long a single reading may take, beyond its interval, before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Readings for which a lost device is left alone before the source is opened again. That costs the other
/// devices: some driver calls, and a reading when the opening takes longer than an interval.
const READINGS_BETWEEN_TRIES: u32 = 4;
/// Time between the preparation of a source and its reading: nvml.h asks for that between two samples of activity.
const PREPARED: Duration = Duration::from_millis(100);

/// What a sampler tells the board.
#[derive(Debug)]
pub(crate) enum Message {
    /// A sample.
    Sample {
        sample: Sample,
        /// When the reading began: no value is older.
        began: Instant,
        /// When the source is opened again to find a lost device; now, when that is next.
        next_try: Option<Instant>,
    },
    /// The source gives nothing.
    Absent {
        source: &'static str,
        error: SourceError,
        /// When it is opened again; never, if it ended.
        next_try: Option<Instant>,
    },
}

/// One source and what its thread needs.
pub(crate) struct Sampler {
    pub(crate) name: &'static str,
    pub(crate) open: OpenSource,
    pub(crate) interval: Duration,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) out: SyncSender<Message>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) stand_in: Option<StandIn>,
    /// Why the source gives nothing once it was asked to stop.
    pub(crate) farewell: &'static str,
}

/// A source that runs only until the one it stands in for gave its first sample.
pub(crate) struct StandIn {
    /// Until it is started.
    pub(crate) sampler: Option<Box<Sampler>>,
    /// The stand-in's own wish to stop.
    pub(crate) stop: Arc<Stop>,
}

/// Why a sampler reads a source no longer.
enum End {
    Stopped,
    /// It is to be opened again at once.
    Reopen,
    Failed(SourceError),
}

/// Where a sampler stands, whatever became of its source meanwhile.
struct Progress {
    start: Instant,
    sequence: u64,
    retry: Retry,
    /// The devices of the last reading.
    devices: Vec<DeviceIdentity>,
}

impl Sampler {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self) -> std::io::Result<()> {
        let threads = self.threads.clone();
        threads.start(format!("source-{}", self.name), move || self.run())
    }

    fn run(mut self) {
        let mut progress = Progress {
            start: Instant::now(),
            sequence: 0,
            retry: Retry::new(self.name, &source::node_name(), self.interval),
            devices: Vec::new(),
        };
        let mut is_opened_between_readings = false;
        loop {
            let end = match (self.open)() {
                Ok(mut source) => {
                    source.recall(&progress.devices);
                    if is_opened_between_readings {
                        source.prepare();
                        if self.wait_for_next_reading(progress.start, PREPARED) {
                            break;
                        }
                    }
                    self.read_on(source, &mut progress)
                }
                Err(error) => End::Failed(error),
            };
            is_opened_between_readings = matches!(end, End::Reopen);
            match end {
                End::Stopped => break,
                End::Reopen => {}
                End::Failed(error) => {
                    let wait = progress.retry.next_wait();
                    self.send_absent(error, Some(Instant::now() + wait));
                    self.start_stand_in();
                    if self.stop.wait(wait) {
                        break;
                    }
                }
            }
        }
        self.send_absent(self.farewell.into(), None);
    }

    /// Reads until it has to end; the source is closed then.
    fn read_on(&mut self, mut source: Box<dyn Source>, progress: &mut Progress) -> End {
        let mut next_try: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let sample = match read(self.name, &mut *source, progress.sequence, progress.start) {
                Ok((sample, dropped)) => {
                    self.dropped.fetch_add(dropped, Ordering::Relaxed);
                    sample
                }
                Err(error) => return End::Failed(error),
            };
            progress.sequence += 1;
            if let Some(stand_in) = self.stand_in.take() {
                stand_in.stop.wish();
            }
            let identities = sample.devices.iter().map(|device| &device.identity);
            progress.devices = identities.cloned().collect();
            // Closing does not close a driver that a call is still in, and so finds no lost device.
            let is_lost = sample.devices.iter().any(|device| device.is_lost());
            if is_lost && !source.is_stuck() {
                let retry = &mut progress.retry;
                next_try = next_try.or_else(|| Some(began + lost_device_wait(retry, self.interval)));
            } else {
                next_try = None;
                progress.retry.reset();
            }
            // The wait is a number of readings, of which none is taken at its time to the instant.
            let is_due = next_try.is_some_and(|at| at <= began + self.interval / 2);
            if is_due {
                next_try = Some(began);
            }
            self.send(Message::Sample {
                sample,
                began,
                next_try,
            });
            if is_due {
                return End::Reopen;
            }
            if self.wait_for_next_reading(progress.start, Duration::ZERO) {
                return End::Stopped;
            }
        }
    }

    /// Waits until the next reading is due that is `least` away; whether somebody wishes to stop.
    ///
    /// The pace is kept by the clock, not by the sum of the waits; a reading that would be late is not made up for.
    fn wait_for_next_reading(&self, start: Instant, least: Duration) -> bool {
        let interval = self.interval.as_secs_f64();
        let late = start.elapsed().as_secs_f64() % interval;
        let wait = Duration::from_secs_f64(interval - late);
        let skipped = if wait < least {
            self.interval
        } else {
            Duration::ZERO
        };
        self.stop.wait(wait + skipped)
    }

    fn start_stand_in(&mut self) {
        let sampler = self
            .stand_in
            .as_mut()
            .and_then(|stand_in| stand_in.sampler.take());
        let Some(sampler) = sampler else { return };
        let (name, out) = (sampler.name, sampler.out.clone());
        if let Err(fault) = sampler.start() {
            let absent = Message::Absent {
                source: name,
                error: format!("the system gave no thread: {fault}").into(),
                next_try: None,
            };
            // A board that is full or gone hears of it no more; the log does.
            if out.try_send(absent).is_err() {
                tracing::warn!("{name}: the system gave no thread: {fault}");
            }
        }
    }

    fn send_absent(&self, error: SourceError, next_try: Option<Instant>) {
        self.send(Message::Absent {
            source: self.name,
            error,
            next_try,
        });
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

/// How long a lost device is left alone: the wait of `retry`, in whole intervals and at least
/// [`READINGS_BETWEEN_TRIES`] of them.
///
/// A wait that ended before the next reading would open the source again at every reading, and with it forget
/// what the activity of the other devices counts from. Worked number: at an interval of 60 s the waits of at most
/// 60 s become 240 s.
fn lost_device_wait(retry: &mut Retry, interval: Duration) -> Duration {
    let wait = retry.next_wait().max(READINGS_BETWEEN_TRIES * interval);
    Duration::from_secs_f64(interval.as_secs_f64() * (wait.as_secs_f64() / interval.as_secs_f64()).ceil())
}

/// One sample of each source that `settings` asks for, with the status of each.
///
/// A source whose activity needs two samples is read twice, an interval apart. A driver that does not answer
/// within ten seconds is given up, and its thread left behind.
#[must_use]
pub fn take_one(settings: &Settings) -> (Vec<SourceStatus>, Vec<Sample>) {
    let mut statuses = Vec::new();
    let mut samples = Vec::new();
    for kind in settings.kinds() {
        match take_one_within(kind, settings) {
            Ok(sample) => {
                statuses.push(SourceStatus::up(kind.name(), sample.origin));
                samples.push(sample);
            }
            Err(error) => statuses.push(absent(kind.name(), error)),
        }
    }
    (statuses, samples)
}

fn take_one_within(kind: SourceKind, settings: &Settings) -> Result<Sample, SourceError> {
    let (out, answer) = sync_channel(1);
    let their_settings = settings.clone();
    let take = move || {
        // Nobody waits any more when this fails.
        let _given_up = out.send(take_one_of(kind, &their_settings));
    };
    thread::Builder::new()
        .name(format!("once-{}", kind.name()))
        .spawn(take)
        .map_err(|fault| format!("the system gave no thread: {fault}"))?;
    let hangs = |_timeout| {
        SourceError::new(
            "the driver does not answer",
            "it may hang: see `dmesg` for `NVRM` and `Xid` lines",
        )
    };
    answer.recv_timeout(PATIENCE + settings.interval).map_err(hangs)?
}

fn take_one_of(kind: SourceKind, settings: &Settings) -> Result<Sample, SourceError> {
    let mut source = source::open(kind, settings, &source::Kept::default())?;
    let start = Instant::now();
    let (first, _) = read(kind.name(), &mut *source, 0, start)?;
    let waits = |sample: &Sample| {
        let mut activities = sample.devices.iter().map(|device| &device.activity);
        activities.any(|activity| activity.sm.absence() == Some(&Absence::NotYet))
    };
    if !waits(&first) {
        return Ok(first);
    }
    thread::sleep(settings.interval);
    read(kind.name(), &mut *source, 1, start).map(|(second, _)| second)
}

/// A sample, and how much the source left out.
fn read(
    name: &str,
    source: &mut dyn Source,
    sequence: u64,
    start: Instant,
) -> Result<(Sample, u64), SourceError> {
    // Before the reading: no value is older than its sample says, however long the driver takes.
    let (at, taken) = (start.elapsed(), wall_clock());
    let Taken {
        devices,
        host,
        collectives,
        dropped,
    } = source.take(sequence)?;
    let sample = Sample {
        source: name.to_owned(),
        origin: source.origin(),
        sequence,
        at: SimTime::ZERO + SimDuration::from_secs(at.as_secs_f64()),
        taken,
        devices,
        host,
        collectives,
    };
    Ok((sample, dropped))
}

#[cfg(test)]
mod tests;
