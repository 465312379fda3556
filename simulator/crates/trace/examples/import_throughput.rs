//! How fast traces of a profiler are read, and how much of them is held.
//!
//! `cargo run --release -p orrery-trace --example import_throughput [MEGABYTES]`: 500 MB over eight ranks by default,
//! made as they are read. Prints megabytes per second of processor time, and bytes held beside those of the timeline.

mod made;

use std::io::{self, Write as _};

use made::{Made, RANKS};
use orrery_trace::kineto::{join, read};

/// Bytes of a span in a timeline: lane, kind, start, duration, step, tag, cause, FLOPs, bytes, evidence.
const SPAN: usize = 4 + 4 + 8 + 8 + 2 + 8 + 8 + 8 + 8 + 1;

/// Seconds of processor time of this process so far, in ticks of 10 ms.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_memory() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or_else(String::new, |line| {
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: u64 = std::env::args().nth(1).map_or(Ok(500), |text| text.parse())?;
    let each = megabytes * 1_000_000 / RANKS;
    // What it takes to make the text is measured first, and taken off.
    let began = processor_time();
    for rank in 0..RANKS {
        io::copy(&mut Made::new(rank, each), &mut io::sink())?;
    }
    let making = processor_time() - began;
    let began = processor_time();
    let ranks = (0..RANKS)
        .map(|rank| read(Made::new(rank, each)))
        .collect::<Result<Vec<_>, _>>()?;
    let reading = processor_time() - began - making;
    let began = processor_time();
    let joined = join(ranks);
    let joining = processor_time() - began;
    let recording = &joined.recording;
    let held = recording.operations.len() * size_of::<orrery_trace::Operation>() + recording.after.len() * 8;
    let timeline = recording.operations.len() * SPAN;
    let rate = |seconds: f64| f64::from(u32::try_from(megabytes).unwrap_or(u32::MAX)) / seconds;
    writeln!(
        io::stdout(),
        "{megabytes} MB of {RANKS} ranks: read in {reading:.2} s of processor time, {:.0} MB/s; joined in {joining:.2} s, \
         {:.0} MB/s in all\n{} operations, {} collectives matched; held {:.1} MB, a compact timeline of them {:.1} MB; \
         peak of the process {}",
        rate(reading),
        rate(reading + joining),
        recording.operations.len(),
        joined.report.collectives,
        held as f64 / 1e6,
        timeline as f64 / 1e6,
        peak_memory()
    )?;
    Ok(())
}
