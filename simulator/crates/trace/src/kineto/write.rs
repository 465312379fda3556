//! A timeline as traces of the shape that PyTorch's profiler writes, one a rank, for programs that read those.
//!
//! Every span is a kernel on a stream of its lane. What a profiler does not know stands in arguments of its own, which
//! [`read`](super::read) takes: the class of the span (`Op class`), its step, layer and microbatch; and an event for each
//! lane that names it. Times are microseconds with three decimals: picoseconds are cut off.

use std::collections::BTreeMap;
use std::io::{self, Write};

use orrery_timeline::{Span, Timeline};
use orrery_units::SimTime;

use super::rank::LANE_NAME;

/// The ranks of a timeline, and when each step is under way on any of them.
#[derive(Debug)]
pub struct Ranks<'t> {
    timeline: &'t Timeline,
    /// Programs with their rank, in the order of ranks.
    ranks: Vec<(u32, &'t str)>,
    steps: BTreeMap<u16, (SimTime, SimTime)>,
}

impl<'t> Ranks<'t> {
    /// The ranks of `timeline`: programs by the number in their name, such as `rank 17`, where all have one of their own,
    /// else in the order of their lanes.
    #[must_use]
    pub fn of(timeline: &'t Timeline) -> Self {
        let mut programs: Vec<&str> = Vec::new();
        for lane in timeline.lanes.iter() {
            if programs.last() != Some(&lane.program.as_str()) && !programs.contains(&lane.program.as_str()) {
                programs.push(&lane.program);
            }
        }
        let numbers: Option<BTreeMap<u32, &str>> = programs
            .iter()
            .map(|&program| Some((program.rsplit_once(' ')?.1.parse().ok()?, program)))
            .collect();
        let numbers = numbers.filter(|numbers| numbers.len() == programs.len());
        let ranks = match numbers {
            Some(numbers) => numbers.into_iter().collect(),
            None => (0..).zip(programs).collect(),
        };
        let mut steps: BTreeMap<u16, (SimTime, SimTime)> = BTreeMap::new();
        for span in timeline.spans() {
            let end = span.start + span.duration;
            let step = steps.entry(span.step).or_insert((span.start, end));
            *step = (step.0.min(span.start), step.1.max(end));
        }
        Self {
            timeline,
            ranks,
            steps,
        }
    }

    /// Their numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranks.iter().map(|&(number, _)| number)
    }
}

/// Writes the trace of rank `number`.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_rank(ranks: &Ranks<'_>, number: u32, out: &mut impl Write) -> io::Result<()> {
    let timeline = ranks.timeline;
    let found = ranks.ranks.iter().find(|&&(known, _)| known == number);
    let program = found.map_or("", |&(_, program)| program);
    write!(
        out,
        "{{\"schemaVersion\":1,\"baseTimeNanoseconds\":0,\"distributedInfo\":{{\"backend\":\"nccl\",\"rank\":{number},\
         \"world_size\":{}}},\"traceEvents\":[\n{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{number},\"tid\":0,\
         \"args\":{{\"name\":{}}}}}",
        ranks.ranks.len(),
        text(program)
    )?;
    for (id, lane) in timeline.lanes.iter_enumerated() {
        if lane.program == program {
            write!(
                out,
                ",\n{{\"ph\":\"M\",\"name\":\"{LANE_NAME}\",\"pid\":{number},\"tid\":{},\"args\":{{\"name\":{}}}}}",
                id.get(),
                text(&lane.name)
            )?;
        }
    }
    for (step, &(start, end)) in &ranks.steps {
        write!(
            out,
            ",\n{{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#{step}\",\"pid\":{number},\"tid\":0,\
             \"ts\":{},\"dur\":{}}}",
            micros(nanos(start)),
            micros(nanos(end) - nanos(start))
        )?;
    }
    for span in timeline.spans() {
        if timeline.lanes[span.lane].program == program {
            write_span(timeline, number, &span, out)?;
        }
    }
    out.write_all(b"\n]}\n")
}

fn write_span(timeline: &Timeline, number: u32, span: &Span, out: &mut impl Write) -> io::Result<()> {
    let kind = timeline.kinds.kind(span.kind);
    let (start, end) = (nanos(span.start), nanos(span.start + span.duration));
    let (lane, bytes) = (span.lane.get(), span.bytes.get());
    write!(
        out,
        ",\n{{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":{},\"pid\":{number},\"tid\":{lane},\"ts\":{},\"dur\":{},\"args\":{{\
         \"device\":{number},\"stream\":{lane},\"bytes\":{bytes},\"Op class\":\"{}\",\"Step\":{},\"Layer\":{},\
         \"Microbatch\":{}}}}}",
        text(&kind.name),
        micros(start),
        micros(end - start),
        kind.class.name(),
        span.step,
        span.tag.0,
        span.tag.1
    )
}

fn nanos(at: SimTime) -> u64 {
    at.as_picos() / 1000
}

/// Nanoseconds as microseconds, exactly.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

/// `text` as a JSON string.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
