//! Sweeps of collectives, and tables of efficiency over many nodes.

use std::path::Path;

use orrery_operation::CollectiveOp;
use orrery_profile::fit::{TransferRow, rounded, transfer};
use orrery_profile::{Bottleneck, CollectiveCurve, Provenance, Range, RatioTable};
use orrery_units::{Bytes, SimDuration};

use super::Fault;
use super::table::{self, Row};

/// The operation that files call `name`.
fn op(name: &str) -> Option<CollectiveOp> {
    match name {
        "all_reduce" => Some(CollectiveOp::AllReduce),
        "all_gather" => Some(CollectiveOp::AllGather),
        "reduce_scatter" => Some(CollectiveOp::ReduceScatter),
        "alltoall" => Some(CollectiveOp::AllToAll),
        "sendrecv" => Some(CollectiveOp::SendRecv),
        _ => None,
    }
}

fn row(row: &Row, column: &str) -> Option<TransferRow> {
    Some(TransferRow {
        bytes: Bytes::new(row.count("size_bytes")?),
        time: row.micros(column)?,
    })
}

/// Sizes from `least` of an nccl-tests sweep, in place where it has that.
pub(crate) fn sweep(truth: &Path, file: &str, least: u64) -> Result<Vec<TransferRow>, Fault> {
    let table = table::rows(truth, &format!("nccl/{file}.csv"))?;
    let rows = table
        .iter()
        .filter_map(|r| row(r, "ip_time_us").or_else(|| row(r, "oop_time_us")))
        .filter(|r| r.bytes.get() >= least && r.time > SimDuration::ZERO);
    Ok(rows.collect())
}

/// A curve fitted to `rows`.
pub(crate) fn curve(
    op: CollectiveOp,
    nodes: u32,
    ranks_per_node: u32,
    rows: &[TransferRow],
    provenance: Provenance,
) -> Option<CollectiveCurve> {
    let (law, fitted) = transfer(rows)?;
    let sizes = rows.iter().map(|row| row.bytes.get());
    Some(CollectiveCurve {
        op,
        nodes,
        ranks_per_node,
        law,
        bytes: Range {
            min: sizes.clone().min()?,
            max: sizes.max()?,
        },
        fitted,
        provenance,
    })
}

/// Curves of one node from the aiconfigurator file `file`; `large` adds sizes that it lacks for eight ranks.
pub(crate) fn one_node(
    truth: &Path,
    file: &str,
    large: impl Fn(CollectiveOp) -> Option<&'static str>,
) -> Result<Vec<CollectiveCurve>, Fault> {
    let table = table::rows(truth, &format!("nccl/{file}.csv"))?;
    let mut curves = Vec::new();
    for name in ["all_reduce", "all_gather", "reduce_scatter", "alltoall"] {
        for ranks in [2_u32, 4, 8] {
            let mine = |r: &&Row| r.text("collective") == name && r.text("gpus") == ranks.to_string();
            let mut rows: Vec<TransferRow> = table
                .iter()
                .filter(mine)
                .filter_map(|r| row(r, "time_us"))
                .collect();
            let Some(op) = op(name) else { continue };
            let mut source = format!("tests/truth/nccl/{file}.csv");
            if let Some(more) = large(op).filter(|_| ranks == 8) {
                rows.extend(sweep(truth, more, 1 << 30)?);
                source.push_str(&format!(" and {more}.csv from 1 GiB"));
            }
            let provenance = Provenance {
                measured_by: "NVIDIA (aiconfigurator)".to_owned(),
                source,
                rows: format!("{name}, {ranks} ranks"),
                date: "2025".to_owned(),
                version: "ai-dynamo/aiconfigurator@095f58a".to_owned(),
                note: "Four-parameter law; one process with threads.".to_owned(),
            };
            curves.extend(curve(op, 1, ranks, &rows, provenance));
        }
    }
    Ok(curves)
}

/// The efficiency tables of SimAI; columns without every size are left out.
pub(crate) fn ratios(truth: &Path) -> Result<Vec<RatioTable>, Fault> {
    let rings = [
        CollectiveOp::AllReduce,
        CollectiveOp::AllGather,
        CollectiveOp::ReduceScatter,
    ];
    Ok(vec![
        ratio(truth, "simai_nic_ratio", &rings, Bottleneck::Network)?,
        ratio(truth, "simai_nvlink_ratio", &rings, Bottleneck::Node)?,
        ratio(
            truth,
            "simai_ata_ratio",
            &[CollectiveOp::AllToAll],
            Bottleneck::Network,
        )?,
    ])
}

/// The same ratios, lowered where a larger size would take less time than a smaller one: the table is smoothed to two
/// digits, and in a few places they say so.
fn never_faster(bytes: &[Bytes], mut ratios: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for at in 1..ratios.len() {
        let growth = bytes[at].as_f64() / bytes[at - 1].as_f64();
        for column in 0..ratios[at].len() {
            let most = ratios[at - 1][column] * growth;
            ratios[at][column] = ratios[at][column].min(rounded(most * 0.999));
        }
    }
    ratios
}

fn ratio(
    truth: &Path,
    file: &str,
    ops: &[CollectiveOp],
    bottleneck: Bottleneck,
) -> Result<RatioTable, Fault> {
    const COLUMNS: [(u32, &str); 7] = [
        (2, "n2_16g"),
        (4, "n4_32g"),
        (8, "n8_64g"),
        (16, "n16_128g"),
        (32, "n32_256g"),
        (64, "n64_512g"),
        (128, "n128_1024g"),
    ];
    let table = table::rows(truth, &format!("nccl/{file}.csv"))?;
    let complete: Vec<(u32, &str)> = COLUMNS
        .into_iter()
        .filter(|(_, column)| table.iter().all(|row| row.number(column).is_some()))
        .collect();
    let values = |row: &Row| -> Vec<f64> {
        complete
            .iter()
            .filter_map(|(_, column)| row.number(column))
            .collect()
    };
    let bytes: Vec<Bytes> = table
        .iter()
        .filter_map(|row| row.count("size_bytes").map(Bytes::new))
        .collect();
    let ratios = table.iter().map(values).collect();
    Ok(RatioTable {
        ops: ops.to_vec(),
        bottleneck,
        nic_share: 0.97,
        nodes: complete.iter().map(|&(nodes, _)| nodes).collect(),
        ratios: never_faster(&bytes, ratios),
        bytes,
        provenance: Provenance {
            measured_by: "Alibaba (SimAI)".to_owned(),
            source: format!("tests/truth/nccl/{file}.csv"),
            rows: "columns with every size".to_owned(),
            date: "2024".to_owned(),
            version: "aliyun/SimAI@cef83f9".to_owned(),
            note: "Empirical table, machine not stated (H800 class); theory counts 48.5 of 50 GB/s per NIC."
                .to_owned(),
        },
    })
}
