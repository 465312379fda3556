//! Recordings: the lines of a stream in a file, compressed, after one line that says what they are.
//!
//! Zstandard over `{"schema":"recording/1",…}` and then lines of `stream/1`, in the order in which they came. A
//! recording whose end is missing, because what wrote it was killed or its disk was full, is read up to there.

use std::io::{self, BufRead, BufReader, Read, Write};

use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Event, Origin, Sample, UnixTime, WireError, read_line};

/// The version of recordings; a reader refuses any other.
pub const RECORDING_SCHEMA: &str = "recording/1";
/// How hard the writer packs: zstd's own default, at which a second of eight devices costs microseconds.
const LEVEL: i32 = 3;
/// The longest line that is read, in bytes: a sample of a thousand devices is below a tenth of it.
const LONGEST_LINE: u64 = 32 << 20;

/// What a recording is, on its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// [`RECORDING_SCHEMA`].
    pub schema: String,
    /// The release that wrote it.
    pub version: String,
    /// The machine on which it was written.
    pub node: String,
    /// What the numbers are: the least real of its sources when it was begun.
    pub origin: Origin,
    /// When it was begun.
    pub started: UnixTime,
    /// The time between two samples of a source.
    pub interval: SimDuration,
}

/// Why a recording cannot be read, or not further.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file is something else.
    #[error("this is no recording: {0}\n`orrery-collector record -o FILE` makes one")]
    NoRecording(String),
    /// It is of another version.
    #[error("the recording is `{0}`, and this program reads `recording/1`\nuse the release that made it")]
    OtherVersion(String),
    /// Its end is missing.
    #[error("the recording breaks off after line {line}: {fault}")]
    BrokenOff {
        /// The last whole line, counted from 1.
        line: u64,
        /// What the system said.
        fault: io::Error,
    },
    /// A line is no event.
    #[error("line {line} of the recording: {fault}")]
    Line {
        /// Which line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: WireError,
    },
}

/// Writes a recording; [`RecordingWriter::finish`] ends it.
pub struct RecordingWriter<W: Write> {
    lines: zstd::Encoder<'static, W>,
}

/// Reads the samples of a recording.
pub struct RecordingReader<R: Read> {
    header: RecordingHeader,
    lines: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    /// Lines that were read.
    line: u64,
    ended: bool,
}

impl<W: Write> std::fmt::Debug for RecordingWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingWriter").finish_non_exhaustive()
    }
}

impl<R: Read> std::fmt::Debug for RecordingReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut reader = f.debug_struct("RecordingReader");
        reader.field("header", &self.header).field("line", &self.line);
        reader.finish_non_exhaustive()
    }
}

impl RecordingHeader {
    /// The header of a recording that this release begins.
    #[must_use]
    pub fn new(node: &str, origin: Origin, started: UnixTime, interval: SimDuration) -> Self {
        Self {
            schema: RECORDING_SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: node.to_owned(),
            origin,
            started,
            interval,
        }
    }
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording in `file` with `header`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(file: W, header: &RecordingHeader) -> io::Result<Self> {
        let mut lines = zstd::Encoder::new(file, LEVEL)?;
        let mut text = serde_json::to_string(header).expect("a header is plain data");
        text.push('\n');
        lines.write_all(text.as_bytes())?;
        Ok(Self { lines })
    }

    /// Writes one line of a stream, with its line end, as [`crate::write_line`] makes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.lines.write_all(line.as_bytes())
    }

    /// Lets everything that was written so far be read, whatever ends this process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    /// Ends the recording, and gives the file back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> io::Result<W> {
        let mut file = self.lines.finish()?;
        file.flush()?;
        Ok(file)
    }
}

impl<R: Read> RecordingReader<R> {
    /// A reader of `file`.
    ///
    /// # Errors
    /// When it is no recording, or one of another version.
    pub fn new(file: R) -> Result<Self, RecordingError> {
        let no_recording = |fault: &dyn std::fmt::Display| RecordingError::NoRecording(fault.to_string());
        let lines = zstd::Decoder::new(file).map_err(|fault| no_recording(&fault))?;
        let mut lines = BufReader::new(lines);
        let first = next_line(&mut lines).map_err(|fault| no_recording(&fault))?;
        let first = first.ok_or_else(|| no_recording(&"it is empty"))?;
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(&first).map_err(|fault| no_recording(&fault))?;
        if head.schema != RECORDING_SCHEMA {
            return Err(if head.schema.starts_with("recording/") {
                RecordingError::OtherVersion(head.schema)
            } else {
                no_recording(&format!("it is `{}`", head.schema))
            });
        }
        Ok(Self {
            header: serde_json::from_str(&first).map_err(|fault| no_recording(&fault))?,
            lines,
            line: 1,
            ended: false,
        })
    }

    /// What the recording is.
    #[must_use]
    pub fn header(&self) -> &RecordingHeader {
        &self.header
    }

    fn next_event(&mut self) -> Option<Result<Event, RecordingError>> {
        match next_line(&mut self.lines) {
            Ok(None) => None,
            Ok(Some(text)) => {
                self.line += 1;
                let line = self.line;
                Some(read_line(&text).map_err(|fault| RecordingError::Line { line, fault }))
            }
            Err(fault) => Some(Err(RecordingError::BrokenOff {
                line: self.line,
                fault,
            })),
        }
    }
}

/// The samples; after an error there are none.
impl<R: Read> Iterator for RecordingReader<R> {
    type Item = Result<Sample, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_event() {
                Some(Ok(Event::Sample(sample))) => return Some(Ok(sample)),
                Some(Ok(_)) => {}
                Some(Err(fault)) => {
                    self.ended = true;
                    return Some(Err(fault));
                }
                None => self.ended = true,
            }
        }
        None
    }
}

/// The next line, if there is one; half a line is a fault.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    lines.take(LONGEST_LINE).read_until(b'\n', &mut text)?;
    match text.last() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(text)
            .map(Some)
            .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault)),
        Some(_) if text.len() as u64 == LONGEST_LINE => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"))
        }
        Some(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line has no end")),
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{SimTime, Watts};

    use super::*;
    use crate::{Absence, DeviceIdentity, DeviceSample, Reading, write_line};

    fn header() -> RecordingHeader {
        let started = UnixTime::from_millis(1_700_000_000_000);
        RecordingHeader::new("node-0", Origin::Fake, started, SimDuration::from_millis(1000))
    }

    fn sample(sequence: u64) -> Sample {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 0,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let watts = 300.125 + sequence as f64;
        device.power = Reading::Value(Watts(watts));
        Sample {
            source: "nvml".to_owned(),
            origin: Origin::Fake,
            sequence,
            at: SimTime::ZERO,
            taken: UnixTime::from_millis(1_700_000_000_000 + sequence),
            devices: vec![device],
            host: None,
            collectives: Vec::new(),
        }
    }

    /// A recording of `num` samples, flushed after every one, with other events between them.
    fn recorded(num: u64) -> Vec<u8> {
        let mut writer = RecordingWriter::new(Vec::new(), &header()).unwrap();
        for sequence in 0..num {
            writer.write(&write_line(&Event::Missed(sequence))).unwrap();
            writer
                .write(&write_line(&Event::Sample(sample(sequence))))
                .unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn samples_come_back_to_the_last_bit() {
        let bytes = recorded(5);
        let reader = RecordingReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.header(), &header());
        let samples: Vec<Sample> = reader.map(Result::unwrap).collect();
        assert_eq!(samples, (0..5).map(sample).collect::<Vec<_>>());
    }

    #[test]
    fn a_recording_that_breaks_off_anywhere_is_read_up_to_there_and_says_so() {
        let bytes = recorded(6);
        let mut most = 0;
        for length in 0..bytes.len() {
            let reader = match RecordingReader::new(&bytes[..length]) {
                Ok(reader) => reader,
                Err(RecordingError::NoRecording(_)) => continue,
                Err(other) => panic!("{length} bytes: {other}"),
            };
            let (mut found, mut faults) = (0, Vec::new());
            for read in reader {
                match read {
                    Ok(read) => {
                        assert_eq!(read, sample(found), "{length} bytes");
                        found += 1;
                    }
                    Err(fault) => faults.push(fault),
                }
            }
            assert!(
                matches!(faults[..], [RecordingError::BrokenOff { .. }]),
                "{length} bytes: {faults:?}"
            );
            assert!(found >= most, "more bytes are no fewer samples");
            most = found;
        }
        assert_eq!(most, 6, "only the end mark was missing at last");
    }

    #[test]
    fn what_is_no_recording_is_told_with_what_makes_one() {
        let text = "{\"schema\":\"stream/1\"}\n";
        let other = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let newer = zstd::encode_all(&b"{\"schema\":\"recording/2\",\"more\":1}\n"[..], 1).unwrap();
        for (bytes, words) in [
            (&b""[..], "record -o FILE"),
            (text.as_bytes(), "record -o FILE"),
            (&other, "`stream/1`"),
            (&newer, "`recording/2`"),
        ] {
            let fault = RecordingReader::new(bytes).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[test]
    fn a_line_that_is_no_event_is_named_and_ends_it() {
        let mut writer = RecordingWriter::new(Vec::new(), &header()).unwrap();
        writer.write(&write_line(&Event::Sample(sample(0)))).unwrap();
        writer.write("nonsense\n").unwrap();
        writer.write(&write_line(&Event::Sample(sample(1)))).unwrap();
        let bytes = writer.finish().unwrap();
        let read: Vec<_> = RecordingReader::new(&bytes[..]).unwrap().collect();
        assert!(
            matches!(read[..], [Ok(_), Err(RecordingError::Line { line: 3, .. })]),
            "{read:?}"
        );
    }
}
