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

/// What a table of sweeps holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Sweeps on platforms.
    pub(super) sweeps: Vec<Sweep>,
    /// Rows that belong to no platform or operation, and why.
    pub(super) lost: Vec<(String, String)>,
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
pub(super) fn sweeps(table: &Table, file: &str) -> Option<Found> {
    let published = ["collective", "gpus", "size_bytes", "time_us"];
    if table.has(&published) {
        return Some(vendor(table, file, published, 1e-6));
    }
    let joined = ["op_name", "num_gpus", "bytes", "latency_ms"];
    if table.has(&joined) {
        return Some(vendor(table, file, joined, 1e-3));
    }
    let timed = ["ip_time_us", "oop_time_us", "derived_time_us", "time_us"];
    if !table.has(&["size_bytes"]) || !timed.iter().any(|column| table.has(&[column])) {
        return None;
    }
    Some(match nccl_tests(table, file) {
        Ok(sweep) => Found {
            sweeps: vec![sweep],
            lost: Vec::new(),
        },
        Err(reason) => {
            let numbered = table.rows.iter().enumerate();
            Found {
                sweeps: Vec::new(),
                lost: numbered
                    .map(|(at, row)| {
                        let size = field(row, "size_bytes");
                        let name = if size.is_empty() {
                            (at + 1).to_string()
                        } else {
                            size.to_owned()
                        };
                        (format!("{file}/{name}"), reason.clone())
                    })
                    .collect(),
            }
        }
    })
}

/// Why a device cannot be placed.
fn no_device(gpu: &str) -> String {
    format!("gpu: `{gpu}` is not in scenarios/hardware/families.csv")
}

/// A sweep of nccl-tests, in place where it has that; else the fact for want of which it cannot be placed.
fn nccl_tests(table: &Table, file: &str) -> Result<Sweep, String> {
    let word = table
        .fact("collective")
        .split([' ', ','])
        .next()
        .unwrap_or_default();
    let op = operation(word).ok_or("collective")?;
    let ranks: f64 = table.fact("ranks").parse().map_err(|_not_a_number| "ranks")?;
    let nodes: f64 = table.fact("nodes").parse().map_err(|_not_a_number| "nodes")?;
    if !(ranks >= 1.0 && nodes >= 1.0 && ranks >= nodes) {
        return Err("ranks".to_owned());
    }
    let place = place(table, file, ranks, nodes).ok_or_else(|| no_device(table.fact("gpu")))?;
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
    Ok(sweep)
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
fn vendor(table: &Table, file: &str, columns: [&str; 4], unit: f64) -> Found {
    let mut places: BTreeMap<(String, String), Option<Place>> = BTreeMap::new();
    let mut all: BTreeMap<String, Sweep> = BTreeMap::new();
    let mut lost = Vec::new();
    for (at, row) in table.rows.iter().enumerate() {
        let system = field(row, "system");
        let (op, ranks) = (field(row, columns[0]), field(row, columns[1]));
        let place = places
            .entry((system.to_owned(), ranks.to_owned()))
            .or_insert_with(|| vendor_place(table, file, system, number(row, columns[1])));
        let measured = vendor_point(row, columns, unit).and_then(|point| {
            let gpu = if system.is_empty() {
                table.fact("gpu")
            } else {
                system
            };
            let place = place.clone().ok_or_else(|| no_device(gpu))?;
            Ok((point, place))
        });
        let of = if system.is_empty() {
            String::new()
        } else {
            format!("{system}:")
        };
        let name = format!("{file}:{of}{op}:{ranks}");
        match measured {
            Ok((mut point, place)) => {
                point.call.nodes = place.nodes;
                let sweep = all.entry(name.clone()).or_insert_with(|| Sweep {
                    name,
                    place,
                    points: Vec::new(),
                    skipped: Vec::new(),
                });
                sweep.points.push(point);
            }
            Err(reason) => lost.push((format!("{name}/{}", at + 1), reason)),
        }
    }
    Found {
        sweeps: all.into_values().collect(),
        lost,
    }
}

/// Where the vendor measured: one domain of NVLinks, threads of one process.
fn vendor_place(table: &Table, file: &str, system: &str, ranks: Option<f64>) -> Option<Place> {
    let mut here = Table {
        facts: table.facts.clone(),
        ..Table::default()
    };
    if !system.is_empty() {
        here.facts.insert(0, ("gpu".to_owned(), system.to_owned()));
    }
    let threads = ("launcher", "one process with -t N threads");
    here.facts.push((threads.0.to_owned(), threads.1.to_owned()));
    place(&here, file, ranks.filter(|&ranks| ranks >= 1.0)?, 1.0)
}

fn vendor_point(row: &BTreeMap<String, String>, columns: [&str; 4], unit: f64) -> Result<Point, String> {
    let [op, ranks, bytes, time] = columns;
    let positive = |column: &str| {
        let value = number(row, column).filter(|&value| value > 0.0);
        value.ok_or_else(|| column.to_owned())
    };
    Ok(Point {
        call: Call {
            op: operation(field(row, op)).ok_or_else(|| op.to_owned())?,
            ranks: positive(ranks)?,
            nodes: 1.0,
            bytes: Bytes::from_f64(positive(bytes)?),
            out_of_place: true,
            forced: Forced::None,
            tuned: false,
        },
        seconds: positive(time)? * unit,
    })
}
