//! How fast traces of a profiler are read, and how much of them is held.
//!
//! `cargo run --release -p orrery-trace --example import_throughput [MEGABYTES]`: 500 MB over eight ranks by default,
//! made as they are read. Prints megabytes per second of processor time, and bytes held beside those of the timeline.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};

use orrery_trace::kineto::{join, read};

const RANKS: u64 = 8;
/// Bytes of a span in a timeline: lane, kind, start, duration, step, tag, cause, FLOPs, bytes, evidence.
const SPAN: usize = 4 + 4 + 8 + 8 + 2 + 8 + 8 + 8 + 8 + 1;

/// The text of a trace, made as it is read: a launch, its operator and its kernel, and a collective now and then.
struct Made {
    ready: String,
    at: usize,
    number: u64,
    left: u64,
    rank: u64,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Head,
    Events,
    Done,
}

impl Made {
    fn new(rank: u64, bytes: u64) -> Self {
        Self {
            ready: String::new(),
            at: 0,
            number: 0,
            left: bytes,
            rank,
            state: State::Head,
        }
    }

    fn make(&mut self) {
        self.ready.clear();
        self.at = 0;
        let text = &mut self.ready;
        // Writing to a text cannot fail.
        let _written = match self.state {
            State::Head => {
                self.state = State::Events;
                write!(
                    text,
                    "{{\"schemaVersion\": 1, \"distributedInfo\": {{\"rank\": {}, \"world_size\": {RANKS}}}, \
                     \"traceEvents\": [{{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"tid\": 0, \"ts\": 0}}",
                    self.rank
                )
            }
            State::Events if self.left == 0 => {
                self.state = State::Done;
                write!(text, "]}}")
            }
            State::Events => {
                self.number += 1;
                let result = event_group(text, self.number);
                self.left = self.left.saturating_sub(text.len() as u64);
                result
            }
            State::Done => Ok(()),
        };
    }
}

fn event_group(text: &mut String, number: u64) -> std::fmt::Result {
    let at = 1_694_128_201_000_000 + number * 20;
    write!(
        text,
        ", {{\"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"aten::linear\", \"pid\": 59818, \"tid\": 59818, \"ts\": {at}, \
         \"dur\": 17, \"args\": {{\"External id\": {number}, \"Ev Idx\": {number}, \"Input Dims\": [[4096, 7168], [2048, \
         7168], []], \"Input type\": [\"c10::BFloat16\", \"c10::BFloat16\", \"\"], \"Sequence number\": {number}, \"Fwd \
         thread id\": 0}}}}, {{\"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"pid\": 59818, \
         \"tid\": 59818, \"ts\": {}.250, \"dur\": 5, \"args\": {{\"External id\": {number}, \"cbid\": 211, \
         \"correlation\": {number}}}}}, {{\"ph\": \"s\", \"id\": {number}, \"pid\": 59818, \"tid\": 59818, \"ts\": {at}, \
         \"cat\": \"ac2g\", \"name\": \"ac2g\"}}, {{\"ph\": \"f\", \"id\": {number}, \"pid\": 0, \"tid\": 7, \"ts\": {at}, \
         \"cat\": \"ac2g\", \"name\": \"ac2g\", \"bp\": \"e\"}}",
        at + 3
    )?;
    let start = at + 10;
    if number.is_multiple_of(50) {
        write!(
            text,
            ", {{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevComm*, \
             unsigned long)\", \"pid\": 0, \"tid\": 40, \"ts\": {start}, \"dur\": 15, \"args\": {{\"External id\": {number}, \
             \"queued\": 0, \"device\": 0, \"context\": 1, \"stream\": 40, \"correlation\": {number}, \"Collective name\": \
             \"allreduce\", \"In msg nelems\": 4096, \"Out msg nelems\": 4096, \"Group size\": 8, \"dtype\": \"BFloat16\", \
             \"In split size\": \"[]\", \"Out split size\": \"[]\", \"Process Group Name\": \"0\", \"Seq\": {number}}}}}"
        )
    } else {
        write!(
            text,
            ", {{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_\
             relu_bf16_256x128_64x3_tn_align8>(cutlass_80_tensorop_bf16_s16816gemm::Params)\", \"pid\": 0, \"tid\": 7, \
             \"ts\": {start}, \"dur\": 9.5, \"args\": {{\"External id\": {number}, \"queued\": 0, \"device\": 0, \"context\": \
             1, \"stream\": 7, \"correlation\": {number}, \"registers per thread\": 234, \"shared memory\": 147456, \
             \"blocks per SM\": 2.0, \"warps per SM\": 16.0, \"grid\": [16, 16, 1], \"block\": [256, 1, 1], \"est. achieved \
             occupancy %\": 12}}}}"
        )
    }
}

impl Read for Made {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            if self.at == self.ready.len() {
                if self.state == State::Done {
                    break;
                }
                self.make();
            }
            let rest = &self.ready.as_bytes()[self.at..];
            let count = rest.len().min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&rest[..count]);
            self.at += count;
            filled += count;
        }
        Ok(filled)
    }
}

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
