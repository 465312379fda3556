//! Damaged traces: whatever stands in a file, reading, joining and replaying end with a result or a reason.

use std::fs::File;
use std::io::{Read, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use orrery_engine::{Options, RunControl, run};
use orrery_replay::{Graph, Timing, attribute, critical_path, totals, waits};
use orrery_trace::kineto::{join, read};
use orrery_trace::{Recording, inspector, pipeline};
use orrery_units::{Key, Seed};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const RANK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../tests/truth/traces/kineto/param_dlrm_8rank/rank-7.json.gz"
);
/// Recordings that the engine runs, every so many.
const RUN_EVERY: u32 = 20;
/// Events that are kept of the file, every so many.
const EVERY: usize = 40;

/// A small trace with events of every sort.
fn small() -> Vec<u8> {
    let mut text = String::new();
    GzDecoder::new(File::open(RANK).expect("it is shipped"))
        .read_to_string(&mut text)
        .expect("a text");
    let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let wanted = |(at, event): &(usize, &serde_json::Value)| {
        at % EVERY == 0
            || event["name"]
                .as_str()
                .is_some_and(|name| name.contains("nccl") || name.contains("Profiler"))
    };
    let kept: Vec<&serde_json::Value> = events
        .iter()
        .enumerate()
        .filter(wanted)
        .map(|(_, event)| event)
        .collect();
    serde_json::to_vec(
        &serde_json::json!({"distributedInfo": {"rank": 7, "world_size": 8}, "traceEvents": kept}),
    )
    .expect("plain data")
}

fn below(key: Key, bound: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a small text"
    )]
    let place = (key.uniform() * bound as f64) as usize;
    place.min(bound.saturating_sub(1))
}

/// One of a few ways to damage a text, by lot.
fn damage(text: &[u8], seed: Seed, number: u64) -> Vec<u8> {
    let mut text = text.to_vec();
    let draw = |what: u64, bound: usize| below(seed.at("damage", &[number, what]), bound);
    for round in 0..=draw(0, 4) as u64 {
        let what = round * 10;
        let at = draw(what + 1, text.len());
        match draw(what + 2, 7) {
            0 => text[at] = u8::try_from(draw(what + 3, 256)).expect("a byte"),
            1 => text.truncate(at.max(1)),
            2 => text.insert(at, b"{}[]\",:\\0-9e."[draw(what + 3, 13)]),
            3 => {
                text.remove(at);
            }
            4 => {
                // A digit more or less: times and numbers far from the others.
                if let Some(digit) = text[at..].iter().position(u8::is_ascii_digit) {
                    text.splice(at + digit..at + digit, b"999".iter().copied());
                }
            }
            5 => {
                let to = (at + draw(what + 3, 400)).min(text.len());
                let part = text[at..to].to_vec();
                text.splice(at..at, part);
            }
            _ => {
                let to = (at + draw(what + 3, 400)).min(text.len());
                text.drain(at..to);
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

/// What came of damaged files.
#[derive(Debug, Default)]
struct Count {
    whole: u32,
    partial: u32,
    refused: u32,
    circles: u32,
    ran: u32,
}

/// Everything that is done with a recording, by one timing each.
fn whole_path(recording: &Recording, count: &mut Count) {
    let spans = recording.timeline(1000);
    assert!(spans.len() <= 1000, "a budget is one");
    let graph = match Graph::new(recording) {
        Ok(graph) => graph,
        Err(fault) => {
            assert!(!fault.to_string().is_empty(), "a refusal has a reason");
            count.circles += 1;
            return;
        }
    };
    let timing = Timing::measured(&graph);
    let ends = graph.evaluate(&timing.clone().begun_together(&graph));
    let steps = [graph.step_times(&ends).len(), totals(&graph).steps.len()];
    assert_eq!(steps, [recording.steps.len(); 2], "every step is counted");
    assert_eq!(waits(&graph).len(), recording.programs.len(), "so is every rank");
    if let Some((_, path)) = critical_path(&graph) {
        assert!(path.len() <= 2 * recording.operations.len(), "twice an operation");
    }
    if (count.whole + count.partial).is_multiple_of(RUN_EVERY) {
        engine(&graph, &timing);
        count.ran += 1;
    }
    // The first timing of a part is enough; each of them is alike.
    let mut timings = 0;
    let attribution = attribute(&graph, &mut |_, _| {
        timings += 1;
        timings < 3
    });
    if let Some(attribution) = attribution {
        assert!(
            attribution.slowdown().is_finite() && attribution.delay_slowdown().is_finite(),
            "no number"
        );
    }
    let _changed = [
        timing.with_network(&graph, 2.0),
        timing.with_slow_ranks_at_median(&graph),
        timing.with_even_computation(&graph),
    ];
}

/// The engine ends when the closed form does.
fn engine(graph: &Graph<'_>, timing: &Timing) {
    let step = graph.recording().steps_apart.then_some(0);
    let mut driver = graph.driver(timing, step);
    let options = Options {
        lookahead: graph.most_tasks(),
        ..Options::default()
    };
    let outcome = run(&mut driver, &options, &RunControl::default()).expect("an order blocks nowhere");
    let ends = graph.evaluate(timing);
    let operations = graph.recording().operations.iter().zip(&ends.ends);
    let mine = operations.filter(|(operation, _)| step.is_none_or(|step| operation.step == step));
    let last = mine.map(|(_, &end)| end).max().unwrap_or_default();
    let engine = outcome.totals.steps.iter().map(|step| step.end).max();
    assert_eq!(engine.unwrap_or_default(), last, "both know the same waits");
}

/// Reads a damaged trace of a profiler, twice as if it were two ranks, and goes the whole path.
fn profiled(source: impl Read, most_events: u64, count: &mut Count) {
    let rank = match read(source) {
        Ok(rank) => rank,
        Err(reason) => {
            assert!(!reason.is_empty(), "a refusal has a reason");
            count.refused += 1;
            return;
        }
    };
    assert!(rank.events <= most_events, "no more events than bytes");
    match &rank.stopped {
        Some(stop) => {
            assert!(stop.byte <= most_events && !stop.reason.is_empty(), "{stop:?}");
            count.partial += 1;
        }
        None => count.whole += 1,
    }
    let facts = rank.facts();
    assert!(
        facts.kernels + facts.copies <= rank.num_operations() as u64,
        "{facts:?}"
    );
    whole_path(&join(vec![rank.clone(), rank]).recording, count);
}

#[test]
fn ten_thousand_damaged_traces() {
    let text = small();
    let seed = Seed::new(20_261_130);
    let mut count = Count::default();
    for number in 0..10_000 {
        let damaged = damage(&text, seed, number);
        profiled(damaged.as_slice(), damaged.len() as u64, &mut count);
    }
    let enough = count.whole > 1000 && count.partial > 1000 && count.refused > 10 && count.ran > 100;
    assert!(enough, "{count:?}");
}

/// The packed file is damaged, so that unpacking fails or gives another text.
#[test]
fn two_thousand_damaged_packed_traces() {
    let text = small();
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&text).expect("a vector can be written");
    let packed = packer.finish().expect("a vector can be written");
    let seed = Seed::new(20_261_201);
    let mut count = Count::default();
    for number in 0..2000 {
        let damaged = damage(&packed, seed, number);
        // What a stream of so many bytes may unpack to.
        let most = damaged.len() as u64 * 1100;
        profiled(MultiGzDecoder::new(damaged.as_slice()), most, &mut count);
    }
    assert!(count.partial > 100 && count.refused > 100, "{count:?}");
}

/// A small job by operation: two stages of two replicas, four microbatches in two steps.
fn table() -> Vec<u8> {
    const COLUMNS: [&str; 9] = [
        "dp_rank", "stage", "rank", "step", "start_ts", "duration", "seq_id", "gmc", "mb_id",
    ];
    let mut rows: Vec<(&str, [f64; 9])> = Vec::new();
    for (step, replica, stage) in (0..8).map(|at| (at / 4, at / 2 % 2, at % 2)) {
        let [step, replica, stage] = [step, replica, stage].map(f64::from);
        let rank = stage * 2.0 + replica;
        let mut at = stage;
        for (of, microbatch) in (0..4)
            .map(|at| ("forward-compute", at))
            .chain((0..4).map(|at| ("backward-compute", at)))
        {
            let microbatch = f64::from(microbatch);
            rows.push((
                of,
                [replica, stage, rank, step, at, 1.0, microbatch, stage, microbatch],
            ));
            at += 1.0;
        }
        rows.push((
            "optimizer",
            [replica, stage, rank, step, at, 0.5, 0.0, -1.0, -1.0],
        ));
    }
    let schema = format!(
        "message rows {{ required binary optype (UTF8); {} }}",
        COLUMNS.map(|name| format!("required double {name};")).join(" ")
    );
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("a vector");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("the types");
    let texts: Vec<ByteArray> = rows.iter().map(|(of, _)| ByteArray::from(*of)).collect();
    let typed = column.typed::<ByteArrayType>();
    typed
        .write_batch(&texts, None, None)
        .expect("a vector can be written");
    column.close().expect("a column");
    for at in 0..COLUMNS.len() {
        let mut column = group.next_column().expect("a column").expect("numbers");
        let numbers: Vec<f64> = rows.iter().map(|(_, row)| row[at]).collect();
        let typed = column.typed::<DoubleType>();
        typed
            .write_batch(&numbers, None, None)
            .expect("a vector can be written");
        column.close().expect("a column");
    }
    group.close().expect("a group");
    writer.into_inner().expect("a vector")
}

/// A log of NCCL's inspector, of two processes.
#[test]
fn two_thousand_damaged_logs() {
    let line = |rank: u64, number: u64| {
        let (start, end) = (
            1_752_867_229_000_000 + number * 900 + rank * 40,
            1_752_867_229_000_800 + number * 900,
        );
        format!(
            r#"{{"header": {{"id": "0x7f", "rank": {rank}, "n_ranks": 2, "nnodes": 1}}, "metadata":
            {{"inspector_output_format_version": "v4.0", "dump_timestamp_us": {end}, "hostname": "a", "pid": {}}},
            "coll_perf": {{"coll": "AllReduce", "coll_sn": {number}, "coll_msg_size_bytes": 64, "coll_exec_time_us": 20,
            "event_trace_ts": {{"kernel_events": [{{"channel_id": 0, "kernel_start_ts": {start},
            "kernel_stop_ts": {end}}}]}}}}}}
"#,
            70 + rank
        )
    };
    let text: String = (0..16).map(|at| line(at % 2, at / 2)).collect();
    let seed = Seed::new(20_261_203);
    let mut count = Count::default();
    for number in 0..2000 {
        match inspector::read(damage(text.as_bytes(), seed, number).as_slice()) {
            Ok(log) => {
                count.whole += 1;
                whole_path(&join(log.ranks).recording, &mut count);
            }
            Err(reason) => {
                assert!(reason.contains("= help:"), "{reason}");
                count.refused += 1;
            }
        }
    }
    assert!(count.whole > 1000 && count.refused > 10, "{count:?}");
}

#[test]
fn two_thousand_damaged_tables() {
    let table = table();
    let rows = pipeline::read(table.clone().into()).expect("a trace by operation");
    assert_eq!(rows.len(), 72);
    let seed = Seed::new(20_261_202);
    let mut count = Count::default();
    for number in 0..2000 {
        let damaged = damage(&table, seed, number);
        let recording = pipeline::read(damaged.into()).and_then(|rows| pipeline::recording(&rows));
        match recording {
            Ok(recording) => {
                count.whole += 1;
                whole_path(&recording, &mut count);
            }
            Err(reason) => {
                assert!(!reason.is_empty(), "a refusal has a reason");
                count.refused += 1;
            }
        }
    }
    assert!(count.whole > 20 && count.refused > 500, "{count:?}");
}
