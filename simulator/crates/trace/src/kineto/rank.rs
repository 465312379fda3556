//! One file: the events of one rank.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{Arguments, Event, Id, nanos};
use super::scan::{Fault, Scanner};

/// The longest event that is believed, nanoseconds: an hour.
const LONGEST_EVENT: u64 = 3_600_000_000_000;

/// No launch is known.
pub(super) const NO_CORRELATION: u32 = u32::MAX;

/// What events of one file ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    /// A stream of a device.
    Stream {
        /// Number of the device on its node.
        device: i64,
        /// Number of the stream.
        stream: i64,
    },
    /// A thread of the host.
    Thread(i64),
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Kernel,
    Copy,
    Runtime,
    /// A mark of the trainer or the framework on a thread.
    Annotation,
}

/// An event as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) track: u32,
    pub(super) name: u32,
    pub(super) start: u64,
    pub(super) duration: u64,
    pub(super) bytes: u64,
    pub(super) correlation: u32,
    pub(super) role: Role,
}

/// What a kernel says of the collective that it is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collective {
    /// Its name in the framework, such as `allreduce`.
    pub name: String,
    /// Name of its process group.
    pub group: Option<String>,
    /// What the trainer calls that group.
    pub description: Option<String>,
    /// Its number in the group.
    pub sequence: Option<u64>,
    /// Ranks of the group.
    pub group_size: Option<u64>,
    /// Elements given.
    pub elements_in: Option<u64>,
    /// Elements got.
    pub elements_out: Option<u64>,
    /// Format of an element.
    pub dtype: Option<String>,
    /// Elements given to each rank, of an exchange with uneven splits.
    pub split_in: Vec<u64>,
    /// Elements got from each rank.
    pub split_out: Vec<u64>,
}

/// Where and why reading stopped before the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Byte of the text (unpacked).
    pub byte: u64,
    /// Why.
    pub reason: String,
}

/// What a file holds of a rank.
#[derive(Clone, Debug, Default)]
pub struct RankTrace {
    /// The rank, where the file says it.
    pub rank: Option<u32>,
    /// Ranks of the job, where the file says it.
    pub world_size: Option<u32>,
    /// Names of the devices of the node.
    pub devices: Vec<String>,
    /// Events of the file, kept or not.
    pub events: u64,
    /// Where reading stopped, if that was before the end.
    pub stopped: Option<Stop>,
    /// Events that could not be read, and the first of them.
    pub unreadable: (u64, Option<Stop>),
    pub(super) names: Vec<String>,
    pub(super) tracks: Vec<Track>,
    pub(super) kept: Vec<Kept>,
    /// By the event that it belongs to.
    pub(super) collectives: Vec<(u32, Collective)>,
    /// (number, start, duration) of each step, nanoseconds.
    pub(super) steps: Vec<(u64, u64, u64)>,
    indices: Indices,
    name_places: HashMap<String, u32>,
    track_places: HashMap<Track, u32>,
}

/// Numbers that the profiler gave to host operators, without a gap when all are there.
#[derive(Clone, Copy, Debug, Default)]
struct Indices {
    count: u64,
    most: i64,
    least: i64,
}

#[derive(Deserialize)]
struct Distributed {
    rank: Option<u32>,
    world_size: Option<u32>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    name: String,
}

/// Reads a trace from its unpacked text.
///
/// # Errors
/// When it is no trace: no JSON object or array, or without events. A trace that is damaged further on is no error: what
/// lies before is given, with [`RankTrace::stopped`].
pub fn read(source: impl Read) -> Result<RankTrace, String> {
    let mut scanner = Scanner::new(source);
    let mut trace = RankTrace::default();
    let outcome = match scanner.peek() {
        Ok(Some(b'{')) => object(&mut scanner, &mut trace),
        Ok(Some(b'[')) => events(&mut scanner, &mut trace),
        Ok(Some(_)) => return Err("this is no trace: it begins with neither { nor [".to_owned()),
        Ok(None) => return Err("the file is empty".to_owned()),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = outcome {
        let byte = scanner.position();
        let reason = told(&fault);
        if trace.events == 0 {
            return Err(format!("no event was read: stopped at byte {byte}: {reason}"));
        }
        trace.stopped = Some(Stop { byte, reason });
    } else if trace.events == 0 {
        return Err("there is no `traceEvents` in it, or it is empty".to_owned());
    }
    trace.name_places = HashMap::new();
    trace.track_places = HashMap::new();
    Ok(trace)
}

fn told(fault: &Fault) -> String {
    match fault {
        Fault::Source(fault) => format!("reading failed: {fault}"),
        Fault::Ended => "the text ends inside a value".to_owned(),
        Fault::Unexpected(byte) => format!("`{}` cannot stand there", char::from(*byte).escape_default()),
        Fault::TooLong => "a single value is longer than 16 MiB".to_owned(),
    }
}

/// The object around the events: `{"schemaVersion": 1, …, "traceEvents": […]}`.
fn object(scanner: &mut Scanner<impl Read>, trace: &mut RankTrace) -> Result<(), Fault> {
    scanner.expect(b'{')?;
    loop {
        match scanner.peek()?.ok_or(Fault::Ended)? {
            b'}' => return Ok(()),
            b',' => scanner.skip(),
            b'"' => {
                let key = scanner.value()?.to_vec();
                scanner.expect(b':')?;
                match key.as_slice() {
                    br#""traceEvents""# => events(scanner, trace)?,
                    br#""distributedInfo""# => {
                        let found: Option<Distributed> = serde_json::from_slice(scanner.value()?).ok();
                        trace.rank = found.as_ref().and_then(|found| found.rank);
                        trace.world_size = found.and_then(|found| found.world_size);
                    }
                    br#""deviceProperties""# => {
                        let found: Vec<Device> = serde_json::from_slice(scanner.value()?).unwrap_or_default();
                        trace.devices = found.into_iter().map(|device| device.name).collect();
                    }
                    _ => {
                        scanner.value()?;
                    }
                }
            }
            other => return Err(Fault::Unexpected(other)),
        }
    }
}

fn events(scanner: &mut Scanner<impl Read>, trace: &mut RankTrace) -> Result<(), Fault> {
    scanner.expect(b'[')?;
    loop {
        match scanner.peek()?.ok_or(Fault::Ended)? {
            b']' => {
                scanner.skip();
                return Ok(());
            }
            b',' => scanner.skip(),
            b'{' => {
                let byte = scanner.position();
                trace.take(scanner.value()?, byte);
            }
            other => return Err(Fault::Unexpected(other)),
        }
    }
}

impl RankTrace {
    /// Takes the event whose text is `text`.
    fn take(&mut self, text: &[u8], byte: u64) {
        self.events += 1;
        let event = match serde_json::from_slice::<Event<'_>>(text) {
            Ok(event) => event,
            // Names with raw control characters are written by some profilers; what they stand for does not matter here.
            Err(_) if text.iter().any(|&byte| byte < b' ') => {
                let mended: Vec<u8> = text.iter().map(|&byte| byte.max(b' ')).collect();
                match serde_json::from_slice::<Event<'_>>(&mended) {
                    Ok(event) => {
                        self.keep(&event);
                        return;
                    }
                    Err(fault) => return self.lose(byte, &fault),
                }
            }
            Err(fault) => return self.lose(byte, &fault),
        };
        self.keep(&event);
    }

    fn lose(&mut self, byte: u64, fault: &serde_json::Error) {
        self.unreadable.0 += 1;
        self.unreadable.1.get_or_insert_with(|| Stop {
            byte,
            reason: fault.to_string(),
        });
    }

    fn keep(&mut self, event: &Event<'_>) {
        if event.ph != "X" {
            return;
        }
        let role = match event.cat.as_ref() {
            "kernel" | "Kernel" => Role::Kernel,
            "gpu_memcpy" | "gpu_memset" | "Memcpy" | "Memset" => Role::Copy,
            "cuda_runtime" | "cuda_driver" | "Runtime" => Role::Runtime,
            "user_annotation" => Role::Annotation,
            "cpu_op" | "Operator" => return self.indices.add(event.args.index),
            _ => return,
        };
        let duration = event
            .dur
            .and_then(nanos)
            .filter(|&duration| duration <= LONGEST_EVENT);
        let start = event
            .ts
            .and_then(nanos)
            .filter(|start| start.checked_add(LONGEST_EVENT).is_some());
        let (Some(start), Some(duration)) = (start, duration) else {
            self.unreadable.0 += 1;
            return;
        };
        if role == Role::Annotation {
            self.indices.add(event.args.index);
            if let Some(number) = step_number(&event.name) {
                self.steps.push((number, start, duration));
                return;
            }
            if !event.name.starts_with("nccl:") {
                return;
            }
        }
        let track = match role {
            Role::Kernel | Role::Copy => Track::Stream {
                device: event.args.device.0.or(event.pid.0).unwrap_or(0),
                stream: event.args.stream.0.or(event.tid.0).unwrap_or(0),
            },
            Role::Runtime | Role::Annotation => Track::Thread(event.tid.0.unwrap_or(0)),
        };
        let correlation = event
            .args
            .correlation
            .count()
            .and_then(|number| u32::try_from(number).ok());
        let kept = Kept {
            track: self.track(track),
            name: self.name(&event.name),
            start,
            duration,
            bytes: event.args.bytes.count().unwrap_or(0),
            correlation: correlation.unwrap_or(NO_CORRELATION),
            role,
        };
        if let Some(collective) = collective(&event.args) {
            let at = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
            self.collectives.push((at, collective));
        }
        self.kept.push(kept);
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.name_places.get(name) {
            return known;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.name_places.insert(name.to_owned(), place);
        place
    }

    fn track(&mut self, track: Track) -> u32 {
        let next = u32::try_from(self.tracks.len()).unwrap_or(u32::MAX);
        let place = *self.track_places.entry(track).or_insert(next);
        if place == next {
            self.tracks.push(track);
        }
        place
    }

    /// Share of the host operators that the profiler counted which the file holds; one without any.
    #[must_use]
    pub fn completeness(&self) -> f64 {
        self.indices.share()
    }
}

impl Indices {
    fn add(&mut self, index: Id) {
        let Some(index) = index.0 else { return };
        (self.least, self.most) = match self.count {
            0 => (index, index),
            _ => (self.least.min(index), self.most.max(index)),
        };
        self.count += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn share(self) -> f64 {
        if self.count == 0 {
            return 1.0;
        }
        let all = self.most.saturating_sub(self.least).saturating_add(1);
        (self.count as f64 / all as f64).min(1.0)
    }
}

/// The number in `ProfilerStep#12`.
fn step_number(name: &str) -> Option<u64> {
    name.strip_prefix("ProfilerStep#")?.trim().parse().ok()
}

fn collective(args: &Arguments<'_>) -> Option<Collective> {
    let name = args.collective.as_ref()?;
    Some(Collective {
        name: name.to_string(),
        group: args.group.as_ref().map(ToString::to_string),
        description: args.description.as_ref().map(ToString::to_string),
        sequence: args.sequence.count(),
        group_size: args.group_size.count(),
        elements_in: args.elements_in.count(),
        elements_out: args.elements_out.count(),
        dtype: args.dtype.as_ref().map(ToString::to_string),
        split_in: splits(args.split_in),
        split_out: splits(args.split_out),
    })
}

/// `[1, 2, 3]`, also within quotes.
fn splits(value: Option<&RawValue>) -> Vec<u64> {
    let text = value.map_or("", RawValue::get).trim_matches('"').trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let numbers = inner
        .unwrap_or("")
        .split(',')
        .map(|number| number.trim().parse().ok());
    numbers.collect::<Option<Vec<u64>>>().unwrap_or_default()
}

/// Bytes of an element of a collective, by the name of its format.
pub(super) fn bytes_of_element(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "Double" | "Long" | "ComplexFloat" => 8,
        "Float" | "Int" => 4,
        "Half" | "BFloat16" | "Short" => 2,
        "Byte" | "Char" | "Bool" => 1,
        other if other.starts_with("Float8") => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"{"distributedInfo": {"rank": 3, "world_size": 8}, "deviceProperties": [{"name": "H100"}], "#;

    fn trace(events: &str) -> RankTrace {
        read(format!("{HEAD}\"traceEvents\": [{events}], \"traceName\": \"x\"}}").as_bytes())
            .expect("a trace")
    }

    const KERNEL: &str = r#"{"ph": "X", "cat": "kernel", "name": "ncclDevKernel_SendRecv", "pid": 0, "tid": 7, "ts": 10.5,
        "dur": 2, "args": {"device": 1, "stream": 9, "correlation": 4, "Collective name": "all_to_allv", "dtype": "BFloat16",
        "In split size": "[1, 2]", "Out split size": [3, 4], "Seq": 12, "Group size": 2}}"#;

    #[test]
    fn an_event_is_kept_with_its_collective() {
        let trace = trace(KERNEL);
        assert_eq!((trace.rank, trace.world_size), (Some(3), Some(8)));
        assert_eq!(trace.devices, ["H100"]);
        assert_eq!(trace.tracks, [Track::Stream { device: 1, stream: 9 }]);
        let kept = trace.kept[0];
        assert_eq!((kept.start, kept.duration, kept.correlation), (10_500, 2000, 4));
        let (_, collective) = &trace.collectives[0];
        assert_eq!(
            (&collective.split_in, &collective.split_out),
            (&vec![1, 2], &vec![3, 4])
        );
        assert_eq!(collective.sequence, Some(12));
    }

    #[test]
    fn a_damaged_file_gives_what_lies_before() {
        let text = format!("{HEAD}\"traceEvents\": [{KERNEL}, {{\"ph\": \"X\", \"cat\"");
        let trace = read(text.as_bytes()).expect("an event was read");
        assert_eq!(trace.kept.len(), 1);
        let stop = trace.stopped.expect("it does not end");
        assert!(stop.reason.contains("ends inside"), "{stop:?}");
        assert_eq!(stop.byte, text.rfind("{\"ph\"").expect("it is there") as u64);
    }

    #[test]
    fn one_bad_event_costs_that_event() {
        let trace = trace(&format!(
            "{{\"ph\": X}}, {KERNEL}, {{\"ph\": \"X\", \"name\": \"a\u{1}b\"}}"
        ));
        assert_eq!((trace.events, trace.kept.len(), trace.unreadable.0), (3, 1, 1));
    }

    #[test]
    fn other_files_are_refused() {
        for text in [
            "",
            "hello",
            "{\"a\": 1}",
            "[]",
            "{\"traceEvents\": [",
            "{\"traceEvents\": 3}",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
