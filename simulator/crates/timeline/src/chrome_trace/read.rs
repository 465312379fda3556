//! In: what the writer wrote, and nothing looser.

use std::collections::BTreeMap;

use orrery_units::{Bytes, Evidence, Flops, KindId, LaneId, SimDuration, SimTime};
use serde_json::Value;

use crate::{KindTable, OpClass, Span, Timeline, TimelineBuilder};

/// A text that is no trace of ours.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadTraceError {
    /// It is not JSON at all.
    Json(String),
    /// A field is missing or of another type.
    Field {
        /// Number of the event, if it is one.
        event: Option<usize>,
        /// The field.
        field: &'static str,
    },
}

impl std::fmt::Display for ReadTraceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(reason) => write!(f, "not a JSON text: {reason}"),
            Self::Field {
                event: Some(event),
                field,
            } => {
                write!(
                    f,
                    "event {event} has no usable `{field}`\nonly traces written by Orrery are read"
                )
            }
            Self::Field { event: None, field } => {
                write!(f, "no usable `{field}`\nonly traces written by Orrery are read")
            }
        }
    }
}

impl std::error::Error for ReadTraceError {}

/// Reads a trace that [`write_chrome_trace`](crate::write_chrome_trace) wrote; equal to what was written.
///
/// Counters keep their order by program and name of first appearance.
///
/// # Errors
/// When `trace` is not JSON or lacks what the writer writes.
pub fn read_chrome_trace(trace: &str) -> Result<Timeline, ReadTraceError> {
    let root: Value = serde_json::from_str(trace).map_err(|error| ReadTraceError::Json(error.to_string()))?;
    let header = Fields {
        event: None,
        value: &root["orrery"],
    };
    let events = root["traceEvents"].as_array();
    let events = events.ok_or(ReadTraceError::Field {
        event: None,
        field: "traceEvents",
    })?;
    let mut reader = Reader {
        builder: TimelineBuilder::new(kinds(&header)?, usize::MAX),
        programs: BTreeMap::new(),
        lanes: BTreeMap::new(),
        counters: BTreeMap::new(),
    };
    for (event, value) in events.iter().enumerate() {
        let event = Some(event);
        reader.take(&Fields { event, value })?;
    }
    let mut timeline = reader.builder.finish();
    timeline.dropped = header.number("dropped")?;
    Ok(timeline)
}

fn kinds(header: &Fields<'_>) -> Result<KindTable, ReadTraceError> {
    let mut kinds = KindTable::new();
    let list = header.value["kinds"].as_array();
    for kind in list.ok_or_else(|| header.fault("kinds"))? {
        let name = kind[0].as_str().ok_or_else(|| header.fault("kinds"))?;
        let class = OpClass::ALL.into_iter().find(|class| kind[1] == class.name());
        kinds.intern(name, class.ok_or_else(|| header.fault("kinds"))?);
    }
    Ok(kinds)
}

struct Reader {
    builder: TimelineBuilder,
    programs: BTreeMap<u64, String>,
    lanes: BTreeMap<(u64, u64), LaneId>,
    counters: BTreeMap<(u64, String), usize>,
}

impl Reader {
    fn take(&mut self, event: &Fields<'_>) -> Result<(), ReadTraceError> {
        let process = event.number("pid")?;
        match event.text("ph")? {
            "M" => self.name(event, process),
            "X" => self.span(event, process),
            "C" => self.point(event, process),
            // Arrows repeat what the spans' arguments say.
            "s" | "f" => Ok(()),
            _ => Err(event.fault("ph")),
        }
    }

    fn name(&mut self, event: &Fields<'_>, process: u64) -> Result<(), ReadTraceError> {
        let name = event.arguments().text("name")?;
        match event.text("name")? {
            "process_name" => {
                self.programs.insert(process, name.to_owned());
            }
            "thread_name" => {
                let program = self.programs.get(&process).ok_or_else(|| event.fault("pid"))?;
                let lane = self.builder.add_lane(program, name);
                self.lanes.insert((process, event.number("tid")?), lane);
            }
            _ => {}
        }
        Ok(())
    }

    fn span(&mut self, event: &Fields<'_>, process: u64) -> Result<(), ReadTraceError> {
        let arguments = event.arguments();
        let lane = self.lanes.get(&(process, event.number("tid")?));
        let evidence = arguments.text("evidence")?;
        let evidence = Evidence::ALL.into_iter().find(|e| e.name() == evidence);
        let released_by = match arguments.value.get("released_by") {
            None => None,
            Some(_) => Some(arguments.small("released_by")?),
        };
        let flops = arguments.value["flops"].as_f64();
        self.builder.add(Span {
            lane: *lane.ok_or_else(|| event.fault("tid"))?,
            kind: KindId::new(arguments.small("kind")?),
            start: SimTime::from_picos(event.picos("ts")?),
            duration: SimDuration::from_picos(event.picos("dur")?),
            step: arguments.small("step")?,
            tag: (arguments.small("layer")?, arguments.small("microbatch")?),
            released_by,
            flops: Flops::new(flops.ok_or_else(|| arguments.fault("flops"))?),
            bytes: Bytes::new(arguments.number("bytes")?),
            evidence: evidence.ok_or_else(|| arguments.fault("evidence"))?,
        });
        Ok(())
    }

    fn point(&mut self, event: &Fields<'_>, process: u64) -> Result<(), ReadTraceError> {
        let name = event.text("name")?.to_owned();
        let value = event.arguments();
        let points = value.value.as_object().and_then(|points| points.iter().next());
        let (unit, held) = points.ok_or_else(|| event.fault("args"))?;
        let unit = ["B", "W", "J", "Hz"].into_iter().find(|known| known == unit);
        let unit = unit.ok_or_else(|| event.fault("args"))?;
        let program = self.programs.get(&process).ok_or_else(|| event.fault("pid"))?;
        let builder = &mut self.builder;
        let counter = self.counters.entry((process, name));
        let counter = counter.or_insert_with_key(|(_, name)| builder.add_counter(program, name, unit));
        let held = held.as_f64().ok_or_else(|| event.fault("args"))?;
        self.builder
            .count(*counter, SimTime::from_picos(event.picos("ts")?), held);
        Ok(())
    }
}

/// Fields of one JSON object.
struct Fields<'a> {
    event: Option<usize>,
    value: &'a Value,
}

impl<'a> Fields<'a> {
    const fn fault(&self, field: &'static str) -> ReadTraceError {
        let event = self.event;
        ReadTraceError::Field { event, field }
    }

    fn arguments(&self) -> Self {
        Self {
            event: self.event,
            value: &self.value["args"],
        }
    }

    fn text(&self, field: &'static str) -> Result<&'a str, ReadTraceError> {
        self.value[field].as_str().ok_or_else(|| self.fault(field))
    }

    fn number(&self, field: &'static str) -> Result<u64, ReadTraceError> {
        self.value[field].as_u64().ok_or_else(|| self.fault(field))
    }

    fn small<N: TryFrom<u64>>(&self, field: &'static str) -> Result<N, ReadTraceError> {
        let number = self.number(field)?;
        N::try_from(number).ok().ok_or_else(|| self.fault(field))
    }

    /// Microseconds with six decimals, as picoseconds.
    fn picos(&self, field: &'static str) -> Result<u64, ReadTraceError> {
        let micros = self.value[field].as_f64().ok_or_else(|| self.fault(field))?;
        // Exact below 2^53 ps: the nearest picosecond is the one that was written.
        let picos = (micros * 1e6).round();
        if !(0.0..1.8e19).contains(&picos) {
            return Err(self.fault(field));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range checked just above"
        )]
        let picos = picos as u64;
        Ok(picos)
    }
}
