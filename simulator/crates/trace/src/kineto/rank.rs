//! One file: the events of one rank.

use std::collections::HashMap;
use std::io::Read;

use orrery_timeline::OpClass;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::collective::{Collective, GroupHead, Groups, moved, splits};
use super::event::{Arguments, Event, Id, Label, nanos};
use super::loads::Splits;
use super::scan::{Fault, Scanner};

/// The longest event that is believed, nanoseconds: an hour.
const LONGEST_EVENT: u64 = 3_600_000_000_000;

/// The name of events that name lanes of a timeline.
pub(super) const LANE_NAME: &str = "orrery_lane_name";

/// No launch is known.
pub(super) const NO_CORRELATION: u32 = u32::MAX;

/// What events of one file ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Track {
    /// A stream of a device of the node.
    Stream { device: i64, stream: i64 },
    /// A thread of a process of the host.
    Thread { process: i64, thread: i64 },
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// What an event of a trace of a timeline says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// How it counts.
    pub(super) class: OpClass,
    /// Its step in the count of marks.
    pub(super) step: Option<u64>,
    /// Labels of the trainer: (chunk or layer, microbatch).
    pub(super) tag: (u32, u32),
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
    /// What the rank may be, where the file says it of a part of the job alone.
    pub guess: Option<u32>,
    /// Ranks of the job, where the file says it.
    pub world_size: Option<u32>,
    /// Names of the devices of the node.
    pub devices: Vec<String>,
    /// Events of the file, kept or not.
    pub events: u64,
    /// Whether its head is that of PyTorch's profiler.
    pub is_profilers: bool,
    /// Where reading stopped, if that was before the end.
    pub stopped: Option<Stop>,
    /// Events that could not be read, and the first of them.
    pub unreadable: (u64, Option<Stop>),
    /// What times count from, nanoseconds of Unix time; zero where they are Unix time themselves.
    pub(super) base: u64,
    pub(super) names: Vec<String>,
    pub(super) tracks: Vec<Track>,
    /// Processes and threads that have a text for a number: place `n` is called `TEXTS + n`.
    pub(super) texts: Vec<String>,
    pub(super) kept: Vec<Kept>,
    /// By the event that it belongs to, in order.
    pub(super) collectives: Vec<(u32, Collective)>,
    pub(super) groups: Groups,
    /// Sizes of exchanges with uneven splits, by event, in order.
    pub(super) splits: Vec<(u32, Splits)>,
    /// What events say of themselves that a profiler does not, by event, in order.
    pub(super) said: Vec<(u32, Said)>,
    /// Names of streams, where events give them: (device, stream) and the name.
    pub(super) lane_names: Vec<((i64, i64), String)>,
    /// (number, start, duration) of each step, nanoseconds.
    pub(super) steps: Vec<(u64, u64, u64)>,
    indices: Indices,
    heads: Vec<GroupHead>,
    name_places: HashMap<String, u32>,
    track_places: HashMap<Track, u32>,
}

/// The number of the first process or thread that has a text for one.
const TEXTS: i64 = i64::MIN;

/// Numbers that the profiler gave to what it recorded of the host, without a gap when all are there.
#[derive(Clone, Copy, Debug, Default)]
struct Indices {
    count: u64,
    most: i64,
    least: i64,
}

#[derive(Deserialize)]
struct Distributed<'a> {
    rank: Option<u32>,
    world_size: Option<u32>,
    #[serde(borrow)]
    pg_config: Option<&'a RawValue>,
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
        Ok(Some(_)) => return Err(remedied("this is no trace: it begins with neither { nor [")),
        Ok(None) => return Err(remedied("the file is empty")),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = outcome {
        let byte = scanner.position();
        let reason = told(&fault);
        if trace.events == 0 {
            return Err(remedied(&format!(
                "no event was read: stopped at byte {byte}: {reason}"
            )));
        }
        trace.stopped = Some(Stop { byte, reason });
    } else if trace.events == 0 {
        return Err(remedied("there is no `traceEvents` in it, or it is empty"));
    }
    let heads = std::mem::take(&mut trace.heads);
    trace.close(&heads);
    Ok(trace)
}

fn remedied(reason: &str) -> String {
    format!(
        "{reason}\n  = help: a trace of PyTorch's profiler is meant, as `export_chrome_trace` writes it, also packed (.gz)"
    )
}

pub(crate) fn told(fault: &Fault) -> String {
    match fault {
        Fault::Source(fault) => format!("reading failed: {fault}"),
        Fault::Ended => "the text ends inside a value".to_owned(),
        Fault::Unexpected(byte) => format!("`{}` cannot stand there", char::from(*byte).escape_default()),
        Fault::TooLong => "a single value is longer than 16 MiB".to_owned(),
    }
}

/// Keys that PyTorch's profiler writes beside the events.
const PROFILERS: [&[u8]; 3] = [
    br#""schemaVersion""#,
    br#""deviceProperties""#,
    br#""distributedInfo""#,
];

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
                trace.is_profilers |= PROFILERS.contains(&key.as_slice());
                match key.as_slice() {
                    br#""traceEvents""# => events(scanner, trace)?,
                    br#""distributedInfo""# => {
                        if let Ok(found) = serde_json::from_slice::<Distributed<'_>>(scanner.value()?) {
                            trace.rank = found.rank;
                            trace.world_size = found.world_size;
                            let heads = found
                                .pg_config
                                .and_then(|heads| serde_json::from_str(heads.get()).ok());
                            trace.heads = heads.unwrap_or_default();
                        }
                    }
                    br#""baseTimeNanoseconds""# => {
                        let base: Id = serde_json::from_slice(scanner.value()?).unwrap_or_default();
                        trace.base = base.count().unwrap_or(0);
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
    #[cfg(test)]
    pub(super) fn of_parts(rank: u32, kept: Vec<Kept>, steps: Vec<(u64, u64, u64)>) -> Self {
        Self {
            rank: Some(rank),
            kept,
            steps,
            ..Self::default()
        }
    }

    /// Takes the event whose text is `text`.
    fn take(&mut self, text: &[u8], byte: u64) {
        self.events += 1;
        let kept = match serde_json::from_slice::<Event<'_>>(text) {
            Ok(event) => self.keep(&event),
            // Names with raw control characters are written by some profilers; what they stand for does not matter here.
            Err(_) if text.iter().any(|&byte| byte < b' ') => {
                let mended: Vec<u8> = text.iter().map(|&byte| byte.max(b' ')).collect();
                match serde_json::from_slice::<Event<'_>>(&mended) {
                    Ok(event) => self.keep(&event),
                    Err(fault) => Err(fault.to_string()),
                }
            }
            Err(fault) => Err(fault.to_string()),
        };
        if let Err(reason) = kept {
            self.unreadable.0 += 1;
            self.unreadable.1.get_or_insert(Stop { byte, reason });
        }
    }

    /// Keeps what of an event is used, if anything is.
    fn keep(&mut self, event: &Event<'_>) -> Result<(), String> {
        // Numbers run over everything that was recorded of the host: operators, calls of Python, instants of memory.
        self.indices.add(event.args.index);
        if event.ph == "M" {
            self.name_lane(event);
        }
        if event.ph != "X" {
            return Ok(());
        }
        let role = match event.cat.as_ref() {
            "kernel" | "Kernel" => Role::Kernel,
            "gpu_memcpy" | "gpu_memset" | "Memcpy" | "Memset" => Role::Copy,
            "cuda_runtime" | "cuda_driver" | "Runtime" => Role::Runtime,
            "user_annotation" => Role::Annotation,
            _ => return Ok(()),
        };
        let step = (role == Role::Annotation)
            .then(|| step_number(&event.name))
            .flatten();
        if role == Role::Annotation && step.is_none() && !event.name.starts_with("nccl:") {
            return Ok(());
        }
        let (start, duration) = times(event)?;
        if let Some(number) = step {
            self.steps.push((number, start, duration));
            return Ok(());
        }
        let kept = Kept {
            track: self.track_of(event, role),
            name: self.name(&event.name),
            start,
            duration,
            bytes: event.args.bytes.count().unwrap_or(0),
            correlation: small(event.args.correlation).unwrap_or(NO_CORRELATION),
            role,
        };
        let at = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        if let Some(said) = said(&event.args) {
            self.said.push((at, said));
        }
        if let Some(name) = &event.args.collective {
            if let Some(splits) = splits(&event.args) {
                self.splits.push((at, splits));
            }
            let collective = Collective {
                name: self.name(name),
                group: self.groups.of(&event.args),
                sequence: event.args.sequence.count(),
                bytes: moved(&event.args),
                source: small(event.args.source),
                destination: small(event.args.destination),
            };
            self.collectives.push((at, collective));
        }
        self.kept.push(kept);
        Ok(())
    }

    /// Keeps the name of a lane of a trace of a timeline; profilers name lanes by their numbers alone.
    fn name_lane(&mut self, event: &Event<'_>) {
        let text = event.args.name.map(RawValue::get);
        let name: Option<String> = text.and_then(|text| serde_json::from_str(text).ok());
        if let (LANE_NAME, Some(name)) = (event.name.as_ref(), name) {
            let place = (self.number(&event.pid), self.number(&event.tid));
            self.lane_names.push((place, name));
        }
    }

    fn track_of(&mut self, event: &Event<'_>, role: Role) -> u32 {
        let (process, thread) = (self.number(&event.pid), self.number(&event.tid));
        let track = match role {
            Role::Kernel | Role::Copy => Track::Stream {
                device: event.args.device.0.unwrap_or(process),
                stream: event.args.stream.0.unwrap_or(thread),
            },
            Role::Runtime | Role::Annotation => Track::Thread { process, thread },
        };
        self.track(track)
    }

    /// The number of a process or thread; one that has a text is given one.
    fn number(&mut self, label: &Label<'_>) -> i64 {
        let Label::Text(text) = label else {
            return label.number().unwrap_or(0);
        };
        // There are a handful of them.
        let known = self.texts.iter().position(|known| known == text);
        let place = known.unwrap_or_else(|| {
            self.texts.push(text.to_string());
            self.texts.len() - 1
        });
        i64::try_from(place).map_or(0, |place| TEXTS + place)
    }

    /// What a process or thread of that number is called.
    pub(super) fn label(&self, number: i64) -> String {
        let place = usize::try_from(number.wrapping_sub(TEXTS)).unwrap_or(usize::MAX);
        self.texts
            .get(place)
            .cloned()
            .unwrap_or_else(|| number.to_string())
    }

    /// What `event` says of itself.
    pub(super) fn said(&self, event: u32) -> Option<&Said> {
        let place = self.said.binary_search_by_key(&event, |(event, _)| *event);
        place.ok().map(|place| &self.said[place].1)
    }

    /// The sizes of `event`, if it is an exchange with uneven splits.
    pub(super) fn splits(&self, event: u32) -> Option<&Splits> {
        let place = self.splits.binary_search_by_key(&event, |(event, _)| *event);
        place.ok().map(|place| &self.splits[place].1)
    }

    /// What is said of the collective of `event`, if it is one.
    pub(super) fn collective(&self, event: u32) -> Option<&Collective> {
        let place = self.collectives.binary_search_by_key(&event, |(event, _)| *event);
        place.ok().map(|place| &self.collectives[place].1)
    }

    /// Lets go of what only reading needs, and completes groups by the head of the file.
    pub(super) fn close(&mut self, heads: &[GroupHead]) {
        self.name_places = HashMap::new();
        self.track_places = HashMap::new();
        self.groups.close(heads);
    }

    pub(super) fn name(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.name_places.get(name) {
            return known;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.name_places.insert(name.to_owned(), place);
        place
    }

    pub(super) fn track(&mut self, track: Track) -> u32 {
        let next = u32::try_from(self.tracks.len()).unwrap_or(u32::MAX);
        let place = *self.track_places.entry(track).or_insert(next);
        if place == next {
            self.tracks.push(track);
        }
        place
    }

    /// Kernels, copies and calls of CUDA that it holds.
    #[must_use]
    pub fn num_operations(&self) -> usize {
        let is_mark = |kept: &&Kept| kept.role == Role::Annotation;
        self.kept.len() - self.kept.iter().filter(is_mark).count()
    }

    /// Share of what the profiler counted of the host which the file holds; one without any.
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

/// What an event says of itself, if it says how it counts.
fn said(arguments: &Arguments<'_>) -> Option<Said> {
    let class = arguments.class.as_ref()?;
    Some(Said {
        class: OpClass::ALL.into_iter().find(|known| known.name() == class)?,
        step: arguments.step.count(),
        tag: (
            small(arguments.layer).unwrap_or(0),
            small(arguments.microbatch).unwrap_or(0),
        ),
    })
}

/// Start and duration, nanoseconds.
fn times(event: &Event<'_>) -> Result<(u64, u64), String> {
    let said =
        |value: Option<&RawValue>| value.map_or_else(|| "missing".to_owned(), |value| value.get().to_owned());
    let start = event.ts.and_then(nanos);
    let start = start.filter(|start| start.checked_add(LONGEST_EVENT).is_some());
    let start = start.ok_or_else(|| format!("`ts` is {}; microseconds are meant", said(event.ts)))?;
    let duration = event
        .dur
        .and_then(nanos)
        .filter(|&duration| duration <= LONGEST_EVENT);
    let duration = duration.ok_or_else(|| {
        format!(
            "`dur` is {}; microseconds of an hour at most are meant",
            said(event.dur)
        )
    })?;
    Ok((start, duration))
}

/// A number that fits 32 bits.
fn small(id: Id) -> Option<u32> {
    id.count().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests;
