//! Out: a streaming writer.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::{Span, SpanId, Timeline};

/// Writes `timeline` as a Chrome trace: the object form, `{"traceEvents": […], …}`.
///
/// Processes are numbered from 1 in order of their first lane, threads from 1 within a process. What the
/// viewer does not need and a reader does (kinds, exact tags, who released whom) stands in `args` and under
/// `orrery`.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_chrome_trace(timeline: &Timeline, out: &mut impl Write) -> io::Result<()> {
    let places = places(timeline);
    out.write_all(b"{\"displayTimeUnit\":\"ns\",\"orrery\":{\"schema\":\"trace/1\",\"dropped\":")?;
    write!(out, "{},\"kinds\":[", timeline.dropped)?;
    for (id, kind) in timeline.kinds.iter() {
        let comma = if id.get() == 0 { "" } else { "," };
        write!(out, "{comma}[{},\"{}\"]", text(&kind.name), kind.class.name())?;
    }
    out.write_all(b"]},\"traceEvents\":[\n")?;
    write!(
        out,
        "{{\"ph\":\"M\",\"pid\":0,\"tid\":0,\"name\":\"trace_written_by\",\"args\":{{\"name\":\"orrery\"}}}}"
    )?;
    let processes = name_lanes(timeline, &places, out)?;
    for (id, span) in (0..).zip(timeline.spans()) {
        write_span(timeline, &places, id, &span, out)?;
    }
    for counter in &timeline.counters {
        let process = processes.get(counter.program.as_str()).copied().unwrap_or(0);
        let (name, unit) = (text(&counter.name), text(counter.unit));
        for (at, value) in &counter.points {
            let at = micros(at.as_picos());
            write!(
                out,
                ",\n{{\"ph\":\"C\",\"pid\":{process},\"tid\":0,\"ts\":{at},\"name\":{name},\"args\":{{{unit}:{value:?}}}}}"
            )?;
        }
    }
    out.write_all(b"\n]}\n")
}

/// Process and thread of each lane.
fn places(timeline: &Timeline) -> Vec<(usize, usize)> {
    let mut processes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut places = Vec::with_capacity(timeline.lanes.len());
    for lane in timeline.lanes.iter() {
        let number = processes.len() + 1;
        let (process, threads) = processes.entry(&lane.program).or_insert((number, 0));
        *threads += 1;
        places.push((*process, *threads));
    }
    places
}

/// Writes names of processes and threads; gives the process of each program.
fn name_lanes<'a>(
    timeline: &'a Timeline,
    places: &[(usize, usize)],
    out: &mut impl Write,
) -> io::Result<BTreeMap<&'a str, usize>> {
    let mut processes = BTreeMap::new();
    for (lane, &(process, thread)) in timeline.lanes.iter().zip(places) {
        if processes.insert(lane.program.as_str(), process).is_none() {
            let name = text(&lane.program);
            write!(
                out,
                ",\n{{\"ph\":\"M\",\"pid\":{process},\"tid\":0,\"name\":\"process_name\",\"args\":{{\"name\":{name}}}}}"
            )?;
        }
        let name = text(&lane.name);
        write!(
            out,
            ",\n{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}"
        )?;
    }
    for counter in &timeline.counters {
        let next = processes.len() + 1;
        if !processes.contains_key(counter.program.as_str()) {
            processes.insert(&counter.program, next);
            let name = text(&counter.program);
            write!(
                out,
                ",\n{{\"ph\":\"M\",\"pid\":{next},\"tid\":0,\"name\":\"process_name\",\"args\":{{\"name\":{name}}}}}"
            )?;
        }
    }
    Ok(processes)
}

fn write_span(
    timeline: &Timeline,
    places: &[(usize, usize)],
    id: SpanId,
    span: &Span,
    out: &mut impl Write,
) -> io::Result<()> {
    let (process, thread) = places[span.lane.index()];
    let kind = timeline.kinds.kind(span.kind);
    write!(
        out,
        ",\n{{\"ph\":\"X\",\"pid\":{process},\"tid\":{thread},\"ts\":{},\"dur\":{},\"name\":{},\"cat\":\"{}\",\"args\":{{",
        micros(span.start.as_picos()),
        micros(span.duration.as_picos()),
        text(&kind.name),
        kind.class.name(),
    )?;
    write!(
        out,
        "\"kind\":{},\"layer\":{},\"microbatch\":{},\"step\":{},\"flops\":{:?},\"bytes\":{},\"evidence\":\"{}\"",
        span.kind.get(),
        span.tag.0,
        span.tag.1,
        span.step,
        span.flops.get(),
        span.bytes.get(),
        span.evidence.name(),
    )?;
    let Some(releaser) = span.released_by else {
        return out.write_all(b"}}");
    };
    write!(out, ",\"released_by\":{releaser}}}}}")?;
    let releaser = timeline.span(releaser);
    if releaser.lane == span.lane {
        return Ok(());
    }
    let (from_process, from_thread) = places[releaser.lane.index()];
    // An arrow leaves from within its slice: at its start, which is always there.
    write!(
        out,
        ",\n{{\"ph\":\"s\",\"pid\":{from_process},\"tid\":{from_thread},\"ts\":{},\"id\":{id},\"name\":\"releases\",\"cat\":\"release\"}}",
        micros(releaser.start.as_picos()),
    )?;
    write!(
        out,
        ",\n{{\"ph\":\"f\",\"bp\":\"e\",\"pid\":{process},\"tid\":{thread},\"ts\":{},\"id\":{id},\"name\":\"releases\",\"cat\":\"release\"}}",
        micros(span.start.as_picos()),
    )
}

/// Picoseconds as microseconds, exactly.
fn micros(picos: u64) -> String {
    format!("{}.{:06}", picos / 1_000_000, picos % 1_000_000)
}

/// `text` as a JSON string.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
