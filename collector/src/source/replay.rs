//! A recording, played: each reading gives what was recorded next, whatever the source that it was recorded from.
//!
//! A reading is a sample of the source that leads, the one that the recording begins with, together with what
//! other sources gave until its next sample. Samples get the time at which they are played.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use orrery_telemetry::{DeviceSample, Origin, RecordingError, RecordingReader, Sample};

use super::{Source, SourceError, Taken};

/// How far a recording was played: whoever opens the source again goes on there.
#[derive(Debug, Default)]
pub(crate) struct Place(Mutex<Option<Playing>>);

#[derive(Debug)]
struct Playing {
    reader: RecordingReader<File>,
    /// The sample that begins the next reading.
    next: Option<Sample>,
    /// Why there is no more, once that is so.
    end: Option<SourceError>,
    num_played: u64,
}

/// What is played at one time.
struct Played {
    origin: Origin,
    taken: Taken,
}

/// A recording as a source.
#[derive(Debug)]
pub(crate) struct ReplaySource {
    place: Arc<Place>,
    origin: Origin,
}

impl ReplaySource {
    /// The recording at `path`, from `place` on.
    ///
    /// # Errors
    /// When it is no recording, or was played to its end.
    pub(crate) fn open(path: Option<&Path>, place: Arc<Place>) -> Result<Self, SourceError> {
        let path = path.ok_or_else(|| {
            SourceError::new("there is no recording to play", "name it with `--recording FILE`")
        })?;
        let mut playing = place.0.lock().unwrap_or_else(PoisonError::into_inner);
        if playing.is_none() {
            let file = File::open(path).map_err(|fault| {
                let reason = format!("the recording `{}` cannot be read: {fault}", path.display());
                SourceError::new(reason, "name another with `--recording FILE`")
            })?;
            let mut first = Playing {
                reader: RecordingReader::new(file).map_err(|fault| told(&fault))?,
                next: None,
                end: None,
                num_played: 0,
            };
            first.advance();
            *playing = Some(first);
        }
        let known = playing.as_ref().expect("it was just opened");
        let origin = known
            .next
            .as_ref()
            .map_or(known.reader.header().origin, |next| next.origin);
        let end = known.end.clone().filter(|_| known.next.is_none());
        drop(playing);
        end.map_or(Ok(Self { place, origin }), Err)
    }
}

impl Source for ReplaySource {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        self.take(sequence).map(|taken| taken.devices)
    }

    fn take(&mut self, _sequence: u64) -> Result<Taken, SourceError> {
        let mut playing = self.place.0.lock().unwrap_or_else(PoisonError::into_inner);
        let playing = playing.as_mut().expect("it was opened");
        let played = playing.take()?;
        self.origin = played.origin;
        Ok(played.taken)
    }
}

impl Playing {
    /// Reads the next sample; without one, why.
    fn advance(&mut self) {
        self.next = match self.reader.next() {
            Some(Ok(sample)) => Some(sample),
            Some(Err(fault)) => {
                self.end = Some(told(&fault));
                None
            }
            None => {
                let reason = format!("the recording has ended after {} readings", self.num_played);
                let end = SourceError::new(reason, "start the collector again to play it again");
                self.end.get_or_insert(end);
                None
            }
        };
    }

    /// The next sample of the source that leads, with what the others gave until its next one.
    fn take(&mut self) -> Result<Played, SourceError> {
        let Some(first) = self.next.take() else {
            return Err(self
                .end
                .clone()
                .unwrap_or_else(|| "the recording has ended".into()));
        };
        self.num_played += 1;
        let mut played = Played {
            origin: first.origin,
            taken: Taken {
                devices: first.devices,
                host: first.host,
                collectives: first.collectives,
                ..Taken::default()
            },
        };
        self.advance();
        while let Some(next) = self.next.take_if(|next| next.source != first.source) {
            played.origin = least_real(played.origin, next.origin);
            played.taken.devices.extend(next.devices);
            // Two machines in one reading cannot be told apart; the first is the leader's.
            played.taken.host = played.taken.host.or(next.host);
            played.taken.collectives.extend(next.collectives);
            self.advance();
        }
        Ok(played)
    }
}

/// The one of two that says more loudly that a number is not of a device.
const fn least_real(one: Origin, other: Origin) -> Origin {
    match (one, other) {
        (Origin::Demo, _) | (_, Origin::Demo) => Origin::Demo,
        (Origin::Fake, _) | (_, Origin::Fake) => Origin::Fake,
        (Origin::Live, Origin::Live) => Origin::Live,
    }
}

/// What a recording says of itself: the remedy is on the line after the reason.
fn told(fault: &RecordingError) -> SourceError {
    let words = fault.to_string();
    match words.split_once('\n') {
        Some((reason, remedy)) => SourceError::new(reason, remedy),
        None => SourceError::new(words, "what it holds up to there was played"),
    }
}
