//! The live stream on the wire: one JSON object a line, `{"schema":"stream/1","event":{KIND: …}}`.
//!
//! A stream begins with a `heartbeat`, a `source` line for every source, the last `sample` of each that
//! gives some and an `alert` for each that stands. Then come samples as they are taken (of a source that is read more than
//! twice a second a few together), a `source` line whenever a source changes (it fell silent, it is back, it is
//! tried again at another time), and a `heartbeat` at least every interval, or every second or five seconds where that
//! is shorter or longer. A reader that hears nothing for longer than the last heartbeat promised has lost the collector;
//! one that hears heartbeats and no samples has a collector whose sources are quiet, and the last `source`
//! lines say why. Kinds may be added within one version: a reader gets [`Event::Unknown`] for those it does
//! not know, and goes on.

use std::io::{self, BufRead};

use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::judge::Alert;
use crate::{Sample, SourceStatus, UnixTime};

/// The version of the stream; a reader refuses any other.
pub const SCHEMA: &str = "stream/1";
/// How much of a line an error repeats, in characters.
const EXCERPT: usize = 80;
/// What most lines take at most, and what a device adds to one, in bytes: room that is not asked for twice.
const SHORT: usize = 512;
const OF_DEVICE: usize = 3 << 10;
/// The kinds of event that this version of the program knows, as they stand on the wire.
const KINDS: [&str; 6] = ["source", "sample", "missed", "heartbeat", "alert", "unknown"];

/// What the stream tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A source changed, or the stream began: then one of these for every source comes first.
    Source(SourceStatus),
    /// A sample.
    Sample(Sample),
    /// This many lines were not sent because this reader was too slow.
    Missed(u64),
    /// The collector is alive, whether or not there is news.
    Heartbeat(Heartbeat),
    /// An alert was raised, grew worse or was cleared, or the stream began and it stands.
    Alert(Alert),
    /// An event of a kind that this program does not know, by the name of its kind; it can be passed over.
    Unknown(String),
}

/// A sign of life, and when the next one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The collector's wall clock when it was sent.
    pub sent: UnixTime,
    /// The next heartbeat follows within this time; a reader that waits twice as long has lost the collector.
    pub next_within: SimDuration,
}

/// Why a line is no event.
#[derive(Debug, Error)]
pub enum WireError {
    /// The line is not JSON, or not in the shape of the schema.
    #[error("no `stream/1` event: {fault}: `{excerpt}`")]
    Malformed {
        /// What is wrong.
        fault: String,
        /// The beginning of the line.
        excerpt: String,
    },
    /// The line is of another version.
    #[error("the collector speaks `{0}`, this program `stream/1`\nuse the same release on both sides")]
    OtherVersion(String),
}

/// Why a stream has no next event.
#[derive(Debug, Error)]
pub enum StreamError {
    /// A line is no event.
    #[error("line {line}: {fault}")]
    Line {
        /// Which line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: WireError,
    },
    /// Nothing more can be read.
    #[error("the stream broke after line {line}: {fault}")]
    Broken {
        /// The last line that was read, counted from 1.
        line: u64,
        /// What the system said.
        fault: io::Error,
    },
}

#[derive(Serialize)]
struct LineOut<E> {
    schema: &'static str,
    event: E,
}

/// [`Event::Sample`] of a sample that somebody else keeps.
#[derive(Serialize)]
struct SampleOut<'a> {
    sample: &'a Sample,
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

#[derive(Deserialize)]
struct LineIn {
    event: Event,
}

/// Only the kind of an event, for kinds that are not known.
#[derive(Deserialize)]
struct Outline {
    event: serde_json::Map<String, serde_json::Value>,
}

/// `event` as one line, with its line end.
#[must_use]
pub fn write_line(event: &Event) -> String {
    write(event, SHORT)
}

/// As [`write_line`] of an [`Event::Sample`], without taking the sample.
#[must_use]
pub fn write_sample(sample: &Sample) -> String {
    write(SampleOut { sample }, SHORT + sample.devices.len() * OF_DEVICE)
}

/// `event` as one line, which may take `bytes`.
fn write(event: impl Serialize, bytes: usize) -> String {
    let line = LineOut {
        schema: SCHEMA,
        event,
    };
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, &line).expect("events are plain data");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// The event on `line`.
///
/// # Errors
/// When the line is of another version or malformed. The version is looked at first, so that a newer shape is
/// reported as a newer version; an event of an unknown kind is no error.
pub fn read_line(line: &str) -> Result<Event, WireError> {
    let malformed = |fault: String| WireError::Malformed {
        fault,
        excerpt: excerpt(line),
    };
    let head: Head = serde_json::from_str(line).map_err(|fault| malformed(fault.to_string()))?;
    if head.schema != SCHEMA {
        return Err(WireError::OtherVersion(head.schema));
    }
    serde_json::from_str::<LineIn>(line)
        .map(|line| line.event)
        .or_else(|fault| unknown_kind(line).ok_or_else(|| malformed(fault.to_string())))
}

/// The event on `line` if it has the outline of one and its kind is not known.
fn unknown_kind(line: &str) -> Option<Event> {
    let outline: Outline = serde_json::from_str(line).ok()?;
    let mut kinds = outline.event.into_iter().map(|(kind, _)| kind);
    let kind = kinds.next().filter(|kind| !KINDS.contains(&kind.as_str()))?;
    kinds.next().is_none().then_some(Event::Unknown(kind))
}

/// The events of `stream`, line by line; an error names its line. Empty lines are passed over, and a stream
/// that broke ends.
pub fn read_events(stream: impl BufRead) -> impl Iterator<Item = Result<Event, StreamError>> {
    let mut broken = false;
    let lines = stream.lines().zip(1u64..);
    let whole = lines.take_while(move |(text, _)| !std::mem::replace(&mut broken, text.is_err()));
    whole.filter_map(|(text, line)| match text {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(read_line(&text).map_err(|fault| StreamError::Line { line, fault })),
        Err(fault) => Some(Err(StreamError::Broken {
            line: line - 1,
            fault,
        })),
    })
}

fn excerpt(line: &str) -> String {
    let line = line.trim_end();
    let mut text: String = line.chars().take(EXCERPT).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use orrery_units::{Ratio, SimTime, Watts};

    use super::*;
    use crate::{Absence, DeviceIdentity, DeviceSample, Origin, Reading};

    #[test]
    fn a_sample_survives_the_wire() {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 3,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::Failed("a \"quoted\" reason".into()));
        device.power = Reading::Value(Watts(512.25));
        device.throttles = Reading::Value(Vec::new());
        device.activity.tensor = Reading::Value(Ratio::clamped(0.1));
        device.activity.dram = Reading::absent(Absence::NotYet);
        let sample = Sample {
            source: "nvml".to_owned(),
            origin: Origin::Fake,
            sequence: 7,
            at: SimTime::from_picos(u64::MAX - 1),
            taken: UnixTime::from_millis(1_700_000_000_123),
            devices: vec![device],
            host: None,
            collectives: Vec::new(),
        };
        let line = write_sample(&sample);
        let event = Event::Sample(sample);
        assert_eq!(line, write_line(&event));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(r#""dram":{"absent":"not_yet"}"#), "{line}");
        assert_eq!(read_line(&line).unwrap(), event);
    }

    #[test]
    fn every_other_kind_survives_the_wire() {
        let waiting = SourceStatus {
            next_try: Some(UnixTime::from_millis(1_700_000_000_000)),
            ..SourceStatus::absent("nvml", "no driver")
        };
        let beat = Heartbeat {
            sent: UnixTime::from_millis(5),
            next_within: SimDuration::from_millis(1000),
        };
        for event in [
            Event::Source(waiting),
            Event::Missed(3),
            Event::Heartbeat(beat),
            Event::Unknown("news".to_owned()),
        ] {
            assert_eq!(read_line(&write_line(&event)).unwrap(), event);
        }
        // As a collector of the first release wrote it.
        let old = r#"{"schema":"stream/1","event":{"source":{"name":"nvml","state":"absent","reason":"x","dropped":0}}}"#;
        assert_eq!(
            read_line(old).unwrap(),
            Event::Source(SourceStatus::absent("nvml", "x"))
        );
    }

    #[test]
    fn a_sample_of_an_older_collector_is_read_and_lacks_what_was_added_since() {
        let absent = r#"{"absent":"not_supported"}"#;
        let named = |names: &[&str]| -> String {
            let fields: Vec<String> = names.iter().map(|name| format!("\"{name}\":{absent}")).collect();
            fields.join(",")
        };
        // As the first release wrote it.
        let readings = named(&[
            "utilization",
            "memory_used",
            "memory_free",
            "memory_reserved",
            "memory_total",
            "power",
            "power_limit",
            "energy",
            "sm_clock",
            "memory_clock",
            "temperature",
            "throttles",
        ]);
        let activity = named(&[
            "graphics",
            "sm",
            "occupancy",
            "tensor",
            "dram",
            "fp32",
            "nvlink_receive",
            "nvlink_transmit",
        ]);
        let line = format!(
            r#"{{"schema":"stream/1","event":{{"sample":{{"source":"nvml","origin":"live","sequence":0,"at":0,"taken":0,
            "devices":[{{"identity":{{"node":"n","index":0,"uuid":"u","model":"m"}},{readings},
            "activity":{{{activity}}}}}]}}}}}}"#
        );
        let Event::Sample(sample) = read_line(&line).unwrap() else {
            panic!("it is a sample")
        };
        let device = &sample.devices[0];
        assert_eq!(
            device.absences().len(),
            20,
            "what it wrote: {:?}",
            device.absences()
        );
        assert!(device.xids.absence().is_some_and(Absence::is_not_sent));
        assert!(
            device
                .activity
                .tensor_hmma
                .absence()
                .is_some_and(Absence::is_not_sent)
        );
        assert!(device.presence.is_none() && sample.host.is_none() && sample.collectives.is_empty());
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let fault = read_line(r#"{"schema":"stream/2","event":{"news":1}}"#).unwrap_err();
        assert!(fault.to_string().contains("`stream/2`"), "{fault}");
    }

    #[test]
    fn an_unknown_kind_is_passed_over_and_a_malformed_line_is_named() {
        let stream = concat!(
            r#"{"schema":"stream/1","event":{"weather":{"level":3}},"more":1}"#,
            "\n\n",
            r#"{"schema":"stream/1","event":{"missed":2}}"#,
            "\n",
            r#"{"schema":"stream/1","event":{"missed":"two"}}"#,
            "\nnonsense\n",
            r#"{"schema":"stream/1"}"#,
            "\n",
        );
        let events: Vec<Result<Event, String>> = read_events(stream.as_bytes())
            .map(|event| event.map_err(|fault| fault.to_string()))
            .collect();
        assert_eq!(events[0], Ok(Event::Unknown("weather".to_owned())));
        assert_eq!(events[1], Ok(Event::Missed(2)));
        let faults: Vec<&str> = events[2..]
            .iter()
            .map(|e| e.as_ref().unwrap_err().as_str())
            .collect();
        // The empty line counts.
        assert!(
            faults[0].starts_with("line 4: ") && faults[0].contains(r#"`{"schema":"stream/1""#),
            "{faults:?}"
        );
        assert!(
            faults[1].starts_with("line 5: ") && faults[1].ends_with("`nonsense`"),
            "{faults:?}"
        );
        assert!(
            faults[2].starts_with("line 6: ") && faults[2].contains("missing field `event`"),
            "{faults:?}"
        );
        assert_eq!(faults.len(), 3);
    }

    #[test]
    fn a_stream_that_broke_ends() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let start = &b"{\"schema\":\"stream/1\",\"event\":{\"missed\":2}}\n"[..];
        let stream = io::BufReader::new(io::Read::chain(start, Broken));
        let events: Vec<_> = read_events(stream).take(5).collect();
        assert_eq!(events.len(), 2);
        assert!(matches!(events[1], Err(StreamError::Broken { line: 1, .. })));
    }

    #[test]
    fn a_long_line_is_repeated_in_part() {
        let fault = read_line(&"é".repeat(500)).unwrap_err().to_string();
        assert!(fault.contains('…') && fault.chars().count() < 200, "{fault}");
    }
}
