//! The live stream on the wire: one JSON object a line, `{"schema":"stream/1", EVENT}`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Sample, SourceStatus};

/// The version of the stream; a reader refuses any other.
pub const SCHEMA: &str = "stream/1";

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
}

/// Why a line is no event.
#[derive(Debug, Error)]
pub enum WireError {
    /// The line is not JSON, or not in the shape of the schema.
    #[error("this line is no `stream/1` event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The line is of another version.
    #[error("the collector speaks `{0}`, this program `stream/1`\nuse the same release on both sides")]
    OtherVersion(String),
}

#[derive(Serialize)]
struct LineOut<'a> {
    schema: &'a str,
    event: &'a Event,
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

#[derive(Deserialize)]
struct LineIn {
    event: Event,
}

/// `event` as one line, with its line end.
#[must_use]
pub fn write_line(event: &Event) -> String {
    let line = LineOut {
        schema: SCHEMA,
        event,
    };
    let mut text = serde_json::to_string(&line).expect("events are plain data");
    text.push('\n');
    text
}

/// The event on `line`.
///
/// # Errors
/// When the line is of another version or malformed. The version is looked at first, so that a newer shape is
/// reported as a newer version.
pub fn read_line(line: &str) -> Result<Event, WireError> {
    let head: Head = serde_json::from_str(line)?;
    if head.schema != SCHEMA {
        return Err(WireError::OtherVersion(head.schema));
    }
    Ok(serde_json::from_str::<LineIn>(line)?.event)
}

#[cfg(test)]
mod tests {
    use orrery_units::{Ratio, SimTime, Watts};

    use super::*;
    use crate::{Absence, DeviceIdentity, DeviceSample, Origin, Reading, UnixTime};

    #[test]
    fn a_sample_survives_the_wire() {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 3,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::Failed("a \"quoted\" reason".to_owned()));
        device.power = Reading::Value(Watts(512.25));
        device.throttles = Reading::Value(Vec::new());
        device.activity.tensor = Reading::Value(Ratio::clamped(0.1));
        device.activity.dram = Reading::absent(Absence::NotYet);
        let event = Event::Sample(Sample {
            source: "nvml".to_owned(),
            origin: Origin::Fake,
            sequence: 7,
            at: SimTime::from_picos(u64::MAX - 1),
            taken: UnixTime::from_millis(1_700_000_000_123),
            devices: vec![device],
        });
        let line = write_line(&event);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(r#""dram":{"absent":"not_yet"}"#), "{line}");
        assert_eq!(read_line(&line).unwrap(), event);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let fault = read_line(r#"{"schema":"stream/2","event":{"news":1}}"#).unwrap_err();
        assert!(fault.to_string().contains("`stream/2`"), "{fault}");
        assert!(matches!(read_line("nonsense"), Err(WireError::Malformed(_))));
    }
}
