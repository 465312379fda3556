//! Logs of NCCL's inspector plugin (format v4.0): a JSON object for each collective of each communicator of a process.
//!
//! With `NCCL_INSPECTOR_DUMP_VERBOSE=1` a collective has the times of its kernels on the clock of its host, and is matched
//! by communicator and number. Without, it has its duration alone: it is laid before the instant at which it was written
//! out, and nobody knows whom it waited for.

use std::collections::BTreeMap;
use std::io::Read;

use orrery_timeline::OpClass;
use serde::Deserialize;

use crate::kineto::scan::{Fault, Scanner};
use crate::kineto::{DeviceWork, RankBuilder, RankTrace, Stop, told};

/// What stands in a log and in no trace.
pub const MARK: &str = "\"coll_perf\"";

#[derive(Deserialize)]
struct Record {
    header: Header,
    metadata: Metadata,
    coll_perf: Collective,
}

#[derive(Deserialize)]
struct Header {
    id: String,
    rank: u32,
    n_ranks: u32,
}

#[derive(Deserialize)]
struct Metadata {
    dump_timestamp_us: u64,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    pid: u64,
}

#[derive(Deserialize)]
struct Collective {
    coll: String,
    coll_sn: u64,
    #[serde(default)]
    coll_msg_size_bytes: u64,
    coll_exec_time_us: u64,
    event_trace_ts: Option<Times>,
}

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    kernel_events: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    kernel_start_ts: u64,
    kernel_stop_ts: u64,
}

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its processes, in the order of their hosts and numbers.
    pub ranks: Vec<RankTrace>,
    /// Collectives without times of their own.
    pub untimed: u64,
}

/// A process of a log on its way.
struct Process {
    builder: RankBuilder,
    /// Its communicators, each a lane.
    communicators: Vec<String>,
    /// Ranks of the largest of them, and which the process is.
    largest: (u32, u32),
}

/// Reads a log from its text.
///
/// # Errors
/// When no collective was read; the text says where reading stopped and why.
pub fn read(source: impl Read) -> Result<Log, String> {
    let mut scanner = Scanner::new(source);
    let mut processes: BTreeMap<(String, u64), Process> = BTreeMap::new();
    let mut log = Log::default();
    let (mut read, mut unreadable): (u64, (u64, Option<Stop>)) = (0, (0, None));
    let stopped = loop {
        match scanner.peek() {
            Ok(None) => break None,
            Ok(Some(b'{')) => {}
            Ok(Some(other)) => break Some(stop(&scanner, &Fault::Unexpected(other))),
            Err(fault) => break Some(stop(&scanner, &fault)),
        }
        let byte = scanner.position();
        let value = match scanner.value() {
            Ok(value) => value,
            Err(fault) => {
                let reason = told(&fault);
                break Some(Stop { byte, reason });
            }
        };
        match serde_json::from_slice::<Record>(value) {
            Ok(record) => {
                read += 1;
                log.untimed += u64::from(!add(&mut processes, &record));
            }
            Err(fault) => {
                unreadable.0 += 1;
                let reason = fault.to_string();
                unreadable.1.get_or_insert(Stop { byte, reason });
            }
        }
    };
    if read == 0 {
        let why = stopped.or(unreadable.1).map_or_else(
            || "it is empty".to_owned(),
            |stop| format!("stopped at byte {}: {}", stop.byte, stop.reason),
        );
        return Err(format!(
            "no collective was read: {why}\n  = help: a log of NCCL's inspector is meant, a JSON object for each collective"
        ));
    }
    log.ranks = processes.into_values().map(Process::finish).collect();
    if let Some(first) = log.ranks.first_mut() {
        first.stopped = stopped;
        first.unreadable.0 += unreadable.0;
        first.unreadable.1 = first.unreadable.1.take().or(unreadable.1);
    }
    Ok(log)
}

fn stop<R: Read>(scanner: &Scanner<R>, fault: &Fault) -> Stop {
    Stop {
        byte: scanner.position(),
        reason: told(fault),
    }
}

/// Adds a collective; whether it has times of its own.
fn add(processes: &mut BTreeMap<(String, u64), Process>, record: &Record) -> bool {
    let key = (record.metadata.hostname.clone(), record.metadata.pid);
    let process = processes.entry(key).or_insert_with(|| Process {
        builder: RankBuilder::new(None, 0),
        communicators: Vec::new(),
        largest: (0, 0),
    });
    let Header { id, rank, n_ranks } = &record.header;
    process.largest = process.largest.max((*n_ranks, *rank));
    let known = process.communicators.iter().position(|known| known == id);
    let lane = known.unwrap_or_else(|| {
        process.communicators.push(id.clone());
        process.communicators.len() - 1
    });
    let stream = (0, i64::try_from(lane).unwrap_or(0));
    if known.is_none() {
        let name = format!("communicator {id} of {n_ranks}");
        process.builder.name_stream(stream, name);
    }
    let about = &record.coll_perf;
    let channels = about
        .event_trace_ts
        .as_ref()
        .map(|times| times.kernel_events.as_slice());
    let timed = channels.and_then(|channels| {
        let start = channels.iter().map(|channel| channel.kernel_start_ts).min()?;
        let end = channels.iter().map(|channel| channel.kernel_stop_ts).max()?;
        (start > 0 && end >= start).then_some((start, end))
    });
    let written = record.metadata.dump_timestamp_us;
    let (start, end) = timed.unwrap_or((written.saturating_sub(about.coll_exec_time_us), written));
    let nanos = |micros: u64| micros.saturating_mul(1000);
    let name = format!("nccl{}", about.coll);
    let bytes = about.coll_msg_size_bytes;
    process.builder.device(
        (DeviceWork::Kernel, &name),
        stream,
        (nanos(start), nanos(end)),
        (None, bytes),
    );
    if timed.is_some() {
        let group = (id.as_str(), u64::from(*n_ranks));
        process
            .builder
            .collective(&about.coll, group, about.coll_sn, bytes);
    } else {
        process.builder.counts_as(class(&about.coll));
    }
    timed.is_some()
}

/// How a collective counts of which only the name is known: by what such ones mostly are.
fn class(name: &str) -> OpClass {
    match name.to_ascii_lowercase().as_str() {
        "alltoall" => OpClass::Dispatch,
        "send" | "recv" | "sendrecv" => OpClass::Pipeline,
        _ => OpClass::Data,
    }
}

impl Process {
    fn finish(mut self) -> RankTrace {
        let (n_ranks, rank) = self.largest;
        self.builder.about(Vec::new(), Some(rank));
        let mut trace = self.builder.finish();
        trace.world_size = Some(n_ranks);
        trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kineto::join;

    /// A line of the log of a process: its rank in a communicator of two, a number, and times if it is verbose.
    fn line(rank: u32, number: u64, (start, end): (u64, u64), is_verbose: bool) -> String {
        let trace = format!(
            r#", "event_trace_ts": {{"coll_start_ts": {start}, "coll_stop_ts": {start}, "kernel_events": [
            {{"channel_id": 0, "kernel_start_ts": {start}, "kernel_stop_ts": {end}, "kernel_record_ts": {end}}},
            {{"channel_id": 1, "kernel_start_ts": {}, "kernel_stop_ts": {}, "kernel_record_ts": {end}}}]}}"#,
            start + 1,
            end - 1
        );
        format!(
            r#"{{"header": {{"id": "0xe62dedaa97644a", "rank": {rank}, "n_ranks": 2, "nnodes": 1}},
            "metadata": {{"inspector_output_format_version": "v4.0", "git_rev": "", "rec_mechanism": "nccl_profiler_interface",
            "dump_timestamp_us": {}, "hostname": "node-1", "pid": {}}},
            "coll_perf": {{"coll": "ReduceScatter", "coll_sn": {number}, "coll_msg_size_bytes": 2147483648,
            "coll_exec_time_us": {}, "coll_timing_source": "kernel_gpu", "coll_algobw_gbs": 418.4,
            "coll_busbw_gbs": 366.1{}}}}}
"#,
            end + 500,
            400 + rank,
            end - start,
            if is_verbose { trace } else { String::new() }
        )
    }

    const NOON: u64 = 1_752_867_229_000_000;

    #[test]
    fn verbose_collectives_meet_by_communicator_and_number() {
        let of = |rank: u32, late: u64| {
            let lines = [
                line(rank, 7, (NOON + late, NOON + 100), true),
                line(rank, 8, (NOON + 200 + late, NOON + 300), true),
            ];
            read(lines.concat().as_bytes()).expect("a log").ranks
        };
        let joined = join([of(0, 0), of(1, 40)].concat());
        assert_eq!((joined.report.collectives, joined.report.incomplete), (2, None));
        let recording = joined.recording;
        assert_eq!(
            recording.lanes.iter().next().expect("a lane").name,
            "communicator 0xe62dedaa97644a of 2"
        );
        let micros: Vec<u64> = recording
            .operations
            .iter()
            .map(|operation| operation.duration.as_picos() / 1_000_000)
            .collect();
        assert_eq!(
            micros,
            [100, 100, 60, 60],
            "from the first channel's start to the last one's end"
        );
    }

    #[test]
    fn without_times_nobody_knows_whom_they_waited_for() {
        let lines = [0, 1].map(|rank| line(rank, 7, (NOON, NOON + 80), false));
        let log = read(lines.concat().as_bytes()).expect("a log");
        assert_eq!((log.untimed, log.ranks.len()), (2, 2), "a rank for each process");
        let joined = join(log.ranks);
        assert_eq!(joined.report.collectives, 0);
        assert_eq!(joined.recording.operations.len(), 2);
    }

    #[test]
    fn a_damaged_log_gives_what_lies_before() {
        let whole = line(0, 7, (NOON, NOON + 80), true);
        let log = read(format!("{whole}{}", &whole[..90]).as_bytes()).expect("one was read");
        let rank = &log.ranks[0];
        assert_eq!(rank.num_operations(), 1);
        assert!(
            rank.stopped
                .as_ref()
                .expect("it stops")
                .reason
                .contains("ends inside"),
            "{:?}",
            rank.stopped
        );
        for text in ["", "{}", "hello"] {
            assert!(
                read(text.as_bytes()).expect_err("no log").contains("= help:"),
                "{text}"
            );
        }
    }
}
