//! Sweeps of nccl-tests and of the vendor's data base, as calls with measured times.

use std::collections::BTreeMap;

use orrery_operation::CollectiveOp;
use orrery_units::Bytes;
use orrery_workload::collective::law::{Call, Forced};

use super::machine::{Place, place};
use super::table::{Table, field, number};

/// One size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// The call.
    pub(super) call: Call,
    /// Measured time, seconds.
    pub(super) seconds: f64,
}

/// A sweep on one platform.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// Name of the file, and what of it.
    pub(super) name: String,
    /// Where.
    pub(super) place: Place,
    /// What was measured.
    pub(super) points: Vec<Point>,
    /// Sizes that tell nothing, and which field says so.
    pub(super) skipped: Vec<(u64, &'static str)>,
}

/// The operation that files call `name`.
pub(crate) fn operation(name: &str) -> Option<CollectiveOp> {
    let plain = name.to_ascii_lowercase().replace(['_', '-', ' '], "");
    Some(match plain.as_str() {
        "allreduce" => CollectiveOp::AllReduce,
        "allgather" => CollectiveOp::AllGather,
        "reducescatter" => CollectiveOp::ReduceScatter,
        "alltoall" => CollectiveOp::AllToAll,
        "broadcast" => CollectiveOp::Broadcast,
        "reduce" => CollectiveOp::Reduce,
        "sendrecv" => CollectiveOp::SendRecv,
        _ => return None,
    })
}

/// The sweeps in a table; none when it is no table of sweeps.
pub(super) fn sweeps(table: &Table, file: &str) -> Option<Vec<Sweep>> {
    if table.has(&["collective", "gpus", "size_bytes", "time_us"]) {
        return Some(vendor(
            table,
            file,
            ["collective", "gpus", "size_bytes", "time_us"],
            1e-6,
        ));
    }
    if table.has(&["op_name", "num_gpus", "bytes", "latency_ms"]) {
        return Some(vendor(
            table,
            file,
            ["op_name", "num_gpus", "bytes", "latency_ms"],
            1e-3,
        ));
    }
    let timed = ["ip_time_us", "oop_time_us", "derived_time_us", "time_us"];
    if !table.has(&["size_bytes"]) || !timed.iter().any(|column| table.has(&[column])) {
        return None;
    }
    Some(nccl_tests(table, file).into_iter().collect())
}

/// A sweep of nccl-tests, in place where it has that.
fn nccl_tests(table: &Table, file: &str) -> Option<Sweep> {
    let word = table.fact("collective").split([' ', ',']).next()?;
    let op = operation(word)?;
    let ranks: f64 = table.fact("ranks").parse().ok()?;
    let nodes: f64 = table.fact("nodes").parse().unwrap_or(1.0);
    let place = place(table, file, ranks, nodes)?;
    let remarks = table.remarks();
    let call = Call {
        op,
        ranks,
        nodes: place.nodes,
        bytes: Bytes::ZERO,
        out_of_place: false,
        forced: forced(table.fact("algo")),
        tuned: ["ctas", "env2", "min_nchannels"]
            .iter()
            .any(|word| remarks.contains(word)),
    };
    // What a source calls anomalous below a size is not compared.
    let least = if remarks.contains("use 1 mib and up") {
        1 << 20
    } else {
        0
    };
    let mut sweep = Sweep {
        name: file.to_owned(),
        place,
        points: Vec::new(),
        skipped: Vec::new(),
    };
    for row in &table.rows {
        let Some(bytes) = number(row, "size_bytes").filter(|bytes| (0.0..1e18).contains(bytes)) else {
            continue;
        };
        let bytes = Bytes::from_f64(bytes);
        let in_place = number(row, "ip_time_us");
        let measured = in_place
            .or_else(|| number(row, "oop_time_us"))
            .or_else(|| number(row, "derived_time_us"))
            .or_else(|| number(row, "time_us"))
            .filter(|&time| time > 0.0);
        // A time derived from a bandwidth of two decimals is known to 5 % only from 0.1 GB/s on.
        let coarse = number(row, "derived_time_us").is_some()
            && number(row, "ip_busbw_GBps").is_some_and(|bandwidth| bandwidth < 0.1);
        match measured {
            None => sweep.skipped.push((bytes.get(), "time_us")),
            Some(_) if coarse => sweep.skipped.push((bytes.get(), "ip_busbw_GBps")),
            Some(_) if bytes.get() < least => sweep.skipped.push((bytes.get(), "quality")),
            Some(micros) => {
                let out_of_place = in_place.is_none() && number(row, "oop_time_us").is_some();
                let call = Call {
                    bytes,
                    out_of_place,
                    ..call
                };
                let seconds = micros * 1e-6;
                sweep.points.push(Point { call, seconds });
            }
        }
    }
    Some(sweep)
}

fn forced(algorithm: &str) -> Forced {
    if algorithm.contains("NCCL_PROTO=LL128") {
        Forced::RingLowLatency128
    } else if algorithm.contains("NCCL_ALGO=Ring") {
        Forced::Ring
    } else if algorithm.contains("SHARP") {
        Forced::Sharp
    } else {
        Forced::None
    }
}

/// The sweeps of the vendor's data base: one per operation and number of devices, out of place.
fn vendor(table: &Table, file: &str, columns: [&str; 4], unit: f64) -> Vec<Sweep> {
    let [op_column, ranks_column, bytes_column, time_column] = columns;
    let mut all: BTreeMap<String, Sweep> = BTreeMap::new();
    for row in &table.rows {
        let (Some(op), Some(ranks)) = (operation(field(row, op_column)), number(row, ranks_column)) else {
            continue;
        };
        let system = field(row, "system");
        let mut table_here = Table {
            facts: table.facts.clone(),
            ..Table::default()
        };
        if !system.is_empty() {
            table_here.facts.insert(0, ("gpu".to_owned(), system.to_owned()));
        }
        table_here
            .facts
            .push(("launcher".to_owned(), "one process with -t N threads".to_owned()));
        let Some(place) = place(&table_here, file, ranks, 1.0) else {
            continue;
        };
        let (Some(bytes), Some(time)) = (number(row, bytes_column), number(row, time_column)) else {
            continue;
        };
        let of = if system.is_empty() {
            String::new()
        } else {
            format!("{system}:")
        };
        let name = format!("{file}:{of}{}:{ranks}", field(row, op_column));
        let point = Point {
            call: Call {
                op,
                ranks,
                nodes: place.nodes,
                bytes: Bytes::from_f64(bytes),
                out_of_place: true,
                forced: Forced::None,
                tuned: false,
            },
            seconds: time * unit,
        };
        let sweep = all.entry(name.clone()).or_insert_with(|| Sweep {
            name,
            place,
            points: Vec::new(),
            skipped: Vec::new(),
        });
        sweep.points.push(point);
    }
    all.into_values().collect()
}
