//! Perfetto's trace format (protobuf, `TrackEvent`), which ui.perfetto.dev reads: smaller than JSON, with units of counters
//! and arrows that survive.
//!
//! A process for each program, a thread for each lane, a slice for each span, an arrow where a span was released by one of
//! another lane, a counter track for each counter. Times are whole nanoseconds there: picoseconds are cut off.

mod message;

use std::collections::BTreeMap;
use std::io::{self, Write};

use orrery_timeline::{OpClass, Span, Timeline};
use prost::Message as _;

use message::{
    Annotation, Counter, Event, EventType, Interned, InternedName, Packet, Process, SIZE_BYTES, Thread,
    Trace, Track, Value,
};

/// All packets are of one sequence, whose first one begins anew and whose others need what that one interned.
const SEQUENCE: u32 = 1;
const CLEARED: u32 = 1;
const NEEDS_INTERNED: u32 = 2;

/// What is said of a span beside its name: the names of the annotations, by their number from 1 on.
const ANNOTATIONS: [&str; 6] = ["step", "layer", "microbatch", "flops", "bytes", "evidence"];

/// Writes `timeline` as a Perfetto trace.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_perfetto(timeline: &Timeline, out: &mut impl Write) -> io::Result<()> {
    let mut writer = Writer {
        tracks: Tracks::of(timeline),
        timeline,
        out,
    };
    writer.put(Packet {
        flags: Some(CLEARED),
        interned: Some(interned(timeline)),
        ..Packet::default()
    })?;
    writer.name_tracks()?;
    let arrows = arrows(timeline);
    let mut leaving = arrows.as_slice();
    for (number, span) in (0_u32..).zip(timeline.spans()) {
        let mine = leaving.partition_point(|&(from, _)| from <= number);
        let (of_span, rest) = leaving.split_at(mine);
        leaving = rest;
        writer.span(number, &span, of_span)?;
    }
    writer.counters()
}

/// Tracks by number: of the programs first, then of the lanes, then of the counters; zero is the track of everything.
struct Tracks<'t> {
    programs: BTreeMap<&'t str, u64>,
    first_lane: u64,
    first_counter: u64,
}

impl<'t> Tracks<'t> {
    fn of(timeline: &'t Timeline) -> Self {
        let of_lanes = timeline.lanes.iter().map(|lane| lane.program.as_str());
        let of_counters = timeline.counters.iter().map(|counter| counter.program.as_str());
        let mut programs = BTreeMap::new();
        for program in of_lanes.chain(of_counters) {
            let next = programs.len() as u64 + 1;
            programs.entry(program).or_insert(next);
        }
        let first_lane = programs.len() as u64 + 1;
        Self {
            first_counter: first_lane + timeline.lanes.len() as u64,
            programs,
            first_lane,
        }
    }
}

struct Writer<'t, W> {
    timeline: &'t Timeline,
    tracks: Tracks<'t>,
    out: &'t mut W,
}

impl<W: Write> Writer<'_, W> {
    /// A trace of one packet: traces one behind the other are one trace.
    fn put(&mut self, mut packet: Packet) -> io::Result<()> {
        packet.sequence = Some(SEQUENCE);
        packet.flags = packet.flags.or(Some(NEEDS_INTERNED));
        let trace = Trace {
            packets: vec![packet],
        };
        self.out.write_all(&trace.encode_to_vec())
    }

    fn describe(&mut self, track: Track) -> io::Result<()> {
        self.put(Packet {
            track: Some(track),
            ..Packet::default()
        })
    }

    fn name_tracks(&mut self) -> io::Result<()> {
        let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        for (&program, &number) in &self.tracks.programs.clone() {
            self.describe(Track {
                number: Some(number),
                process: Some(Process {
                    number: Some(small(number)),
                    name: Some(program.to_owned()),
                }),
                ..Track::default()
            })?;
        }
        for (lane, number) in self.timeline.lanes.iter().zip(self.tracks.first_lane..) {
            let program = self.tracks.programs[lane.program.as_str()];
            self.describe(Track {
                number: Some(number),
                parent: Some(program),
                thread: Some(Thread {
                    process: Some(small(program)),
                    number: Some(small(number)),
                    name: Some(lane.name.clone()),
                }),
                ..Track::default()
            })?;
        }
        for (counter, number) in self.timeline.counters.iter().zip(self.tracks.first_counter..) {
            let in_bytes = counter.unit == "B";
            self.describe(Track {
                number: Some(number),
                parent: self.tracks.programs.get(counter.program.as_str()).copied(),
                name: Some(counter.name.clone()),
                counter: Some(Counter {
                    unit: in_bytes.then_some(SIZE_BYTES),
                    unit_name: (!in_bytes).then(|| counter.unit.to_owned()),
                }),
                ..Track::default()
            })?;
        }
        Ok(())
    }

    /// A slice: its begin and its end. `leaving` are the arrows that leave it, (from, to).
    fn span(&mut self, number: u32, span: &Span, leaving: &[(u32, u32)]) -> io::Result<()> {
        let lane = self.tracks.first_lane + u64::from(span.lane.get());
        let kind = self.timeline.kinds.kind(span.kind);
        let arrives = span
            .released_by
            .filter(|&from| self.timeline.span(from).lane != span.lane);
        let begin = Event {
            of: Some(EventType::SliceBegin as i32),
            track: Some(lane),
            name: Some(u64::from(span.kind.get()) + 1),
            categories: vec![kind.class as u64 + 1],
            annotations: annotations(span),
            leaving: leaving.iter().map(|&(_, to)| arrow(to)).collect(),
            arriving: arrives.map(|_| arrow(number)).into_iter().collect(),
            ..Event::default()
        };
        let end = Event {
            of: Some(EventType::SliceEnd as i32),
            track: Some(lane),
            ..Event::default()
        };
        for (at, event) in [(span.start, begin), (span.start + span.duration, end)] {
            self.event(at.as_picos(), event)?;
        }
        Ok(())
    }

    fn counters(&mut self) -> io::Result<()> {
        for (counter, number) in self.timeline.counters.iter().zip(self.tracks.first_counter..) {
            for &(at, value) in &counter.points {
                let event = Event {
                    of: Some(EventType::Counter as i32),
                    track: Some(number),
                    value: Some(value),
                    ..Event::default()
                };
                self.event(at.as_picos(), event)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, picos: u64, event: Event) -> io::Result<()> {
        self.put(Packet {
            nanos: Some(picos / 1000),
            event: Some(event),
            ..Packet::default()
        })
    }
}

/// The number of the arrow that arrives at span `to`.
fn arrow(to: u32) -> u64 {
    u64::from(to) + 1
}

/// Arrows (from, to) between spans of different lanes, by where they leave.
fn arrows(timeline: &Timeline) -> Vec<(u32, u32)> {
    let mut arrows: Vec<(u32, u32)> = (0_u32..)
        .zip(timeline.spans())
        .filter_map(|(to, span)| {
            let from = span.released_by?;
            (timeline.span(from).lane != span.lane).then_some((from, to))
        })
        .collect();
    arrows.sort_unstable();
    arrows
}

/// Names that packets refer to by number.
fn interned(timeline: &Timeline) -> Interned {
    let name = |(number, name): (u64, String)| InternedName {
        number: Some(number),
        name: Some(name),
    };
    let kinds = timeline.kinds.iter().map(|(_, kind)| kind.name.clone());
    let classes = OpClass::ALL.iter().map(|class| class.name().to_owned());
    let annotations = ANNOTATIONS.iter().map(|&name| name.to_owned());
    Interned {
        categories: (1..).zip(classes).map(name).collect(),
        names: (1..).zip(kinds).map(name).collect(),
        annotations: (1..).zip(annotations).map(name).collect(),
    }
}

fn annotations(span: &Span) -> Vec<Annotation> {
    let values: [Value; 6] = [
        Value::Whole(u64::from(span.step)),
        Value::Whole(u64::from(span.tag.0)),
        Value::Whole(u64::from(span.tag.1)),
        Value::Number(span.flops.get()),
        Value::Whole(span.bytes.get()),
        Value::Text(span.evidence.name().to_owned()),
    ];
    let annotation = |(number, value)| Annotation {
        name: Some(number),
        value: Some(value),
    };
    (1..).zip(values).map(annotation).collect()
}

#[cfg(test)]
mod tests;
