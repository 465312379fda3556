//! What NCCL's inspector plugin writes down: a JSON object for each collective and rank (`ext-profiler/inspector` of
//! NCCL, output format v4). Records of point-to-point transfers are passed over.

use orrery_telemetry::{Collective, UnixTime};
use orrery_units::{Bytes, BytesPerSec, SimDuration};
use serde::Deserialize;
use thiserror::Error;

/// Why a record is none.
#[derive(Debug, Error)]
pub enum InspectorError {
    /// It is not JSON, or not in the shape of the inspector.
    #[error("record {record}: {fault}")]
    Malformed {
        /// Which, counted from 1.
        record: usize,
        /// What is wrong.
        fault: serde_json::Error,
    },
    /// It is of a version that this program does not know.
    #[error(
        "record {record}: the inspector writes format `{version}`, this program reads v4\nuse NCCL 2.28 or newer"
    )]
    OtherVersion {
        /// Which, counted from 1.
        record: usize,
        /// Its version.
        version: String,
    },
    /// A number in it is none.
    #[error("record {record}: `{field}` is {value}, which is no rate")]
    NoRate {
        /// Which, counted from 1.
        record: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

#[derive(Deserialize)]
struct Record {
    header: Header,
    metadata: Metadata,
    coll_perf: Option<Performance>,
}

#[derive(Deserialize)]
struct Header {
    id: String,
    rank: u32,
    n_ranks: u32,
    nnodes: u32,
}

#[derive(Deserialize)]
struct Metadata {
    inspector_output_format_version: String,
    dump_timestamp_us: u64,
    hostname: String,
    pid: u32,
}

#[derive(Deserialize)]
struct Performance {
    coll: String,
    coll_sn: u64,
    coll_msg_size_bytes: u64,
    coll_exec_time_us: u64,
    coll_algobw_gbs: f64,
    coll_busbw_gbs: f64,
}

/// The collectives of `text`, record by record, in whatever lines they stand.
///
/// # Errors
/// At the first record that is none; those before it are lost. [`parse_inspector_line`] reads one by one.
pub fn parse_inspector(text: &str) -> Result<Vec<Collective>, InspectorError> {
    let records = serde_json::Deserializer::from_str(text).into_iter::<Record>();
    let mut collectives = Vec::new();
    for (number, record) in (1..).zip(records) {
        let record = record.map_err(|fault| InspectorError::Malformed {
            record: number,
            fault,
        })?;
        collectives.extend(collective_of(number, record)?);
    }
    Ok(collectives)
}

/// The collective on a line; nothing when the line is of something else that the inspector writes.
///
/// # Errors
/// When the line is no record of the inspector.
pub fn parse_inspector_line(line: &str) -> Result<Option<Collective>, InspectorError> {
    let record =
        serde_json::from_str(line).map_err(|fault| InspectorError::Malformed { record: 1, fault })?;
    collective_of(1, record)
}

fn collective_of(number: usize, record: Record) -> Result<Option<Collective>, InspectorError> {
    let Record {
        header,
        metadata,
        coll_perf,
    } = record;
    let version = metadata.inspector_output_format_version;
    if !version.starts_with("v4.") {
        return Err(InspectorError::OtherVersion {
            record: number,
            version,
        });
    }
    let Some(performance) = coll_perf else {
        return Ok(None);
    };
    let rate = |field, gigabytes: f64| {
        // Short collectives have a time of 0 and a rate of infinity, which JSON cannot say; 0 is what is written.
        let is_rate = gigabytes.is_finite() && gigabytes >= 0.0;
        let no_rate = InspectorError::NoRate {
            record: number,
            field,
            value: gigabytes,
        };
        let rate = if gigabytes > 0.0 {
            BytesPerSec::new(gigabytes * 1e9)
        } else {
            BytesPerSec::default()
        };
        is_rate.then_some(rate).ok_or(no_rate)
    };
    Ok(Some(Collective {
        communicator: header.id,
        rank: header.rank,
        num_ranks: header.n_ranks,
        num_nodes: header.nnodes,
        node: metadata.hostname,
        pid: metadata.pid,
        sequence: performance.coll_sn,
        operation: performance.coll,
        bytes: Bytes::new(performance.coll_msg_size_bytes),
        duration: SimDuration::from_picos(performance.coll_exec_time_us.saturating_mul(1_000_000)),
        algorithm_bandwidth: rate("coll_algobw_gbs", performance.coll_algobw_gbs)?,
        bus_bandwidth: rate("coll_busbw_gbs", performance.coll_busbw_gbs)?,
        at: UnixTime::from_millis(metadata.dump_timestamp_us / 1_000),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As NCCL's own description shows it, and one record more, of a transfer between two ranks.
    const TEXT: &str = include_str!("../../tests/imports/nccl-inspector.jsonl");

    #[test]
    fn a_record_becomes_a_collective() {
        let collectives = parse_inspector(TEXT).unwrap();
        assert_eq!(collectives.len(), 2, "the transfer is none");
        let first = &collectives[0];
        assert_eq!(
            (&*first.communicator, first.rank, first.num_ranks),
            ("0x7f8c496ae9f661", 2, 8)
        );
        assert_eq!(
            (&*first.node, first.pid, first.sequence),
            ("example-hostname", 1_639_453, 1_407)
        );
        assert_eq!(
            (&*first.operation, first.bytes),
            ("AllReduce", Bytes::new(17_179_869_184))
        );
        assert_eq!(first.duration, SimDuration::from_micros(61_974));
        assert_eq!(first.at, UnixTime::from_millis(1_748_030_377_748));
        // 17.18 GB in 61.974 ms, and 2 (8 − 1) / 8 of that on the bus.
        let computed = first.bytes.as_f64() / first.duration.as_secs();
        assert!(
            (first.algorithm_bandwidth.get() / computed - 1.0).abs() < 1e-6,
            "{computed}"
        );
        assert!((first.bus_bandwidth.get() / (computed * 1.75) - 1.0).abs() < 1e-6);
        assert_eq!(collectives[1].operation, "ReduceScatter");
    }

    #[test]
    fn records_are_read_alike_in_one_line_and_in_many() {
        let by_line: Vec<Collective> = TEXT
            .lines()
            .filter_map(|line| parse_inspector_line(line).unwrap())
            .collect();
        assert_eq!(by_line, parse_inspector(TEXT).unwrap());
        let spread: String = TEXT.lines().map(|line| line.replace(',', ",\n ")).collect();
        assert_eq!(parse_inspector(&spread).unwrap(), by_line);
    }

    #[test]
    fn what_is_no_record_is_named() {
        let with = |old: &str, new: &str| {
            let text = TEXT.lines().next().unwrap().replace(old, new);
            parse_inspector(&text).unwrap_err().to_string()
        };
        let fault = with("v4.0", "v5.1");
        assert!(fault.contains("`v5.1`") && fault.contains("v4"), "{fault}");
        assert!(with("277.210914", "-1").contains("coll_algobw_gbs"));
        assert!(with("\"rank\":2", "\"rank\":-2").starts_with("record 1: "));
        assert!(with("\"coll_sn\":1407,", "").contains("coll_sn"));
        assert!(parse_inspector_line("{").is_err());
    }
}
