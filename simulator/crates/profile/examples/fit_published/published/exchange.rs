//! Expert exchanges: DeepEP's tables, NCCL's all-to-all.

use std::path::Path;

use orrery_operation::CollectiveOp;
use orrery_profile::fit::{minimise, rounded, summary};
use orrery_profile::{CollectiveCurve, ExchangeCurve, Provenance, RatioTable};
use orrery_units::SimDuration;

use super::Fault;
use super::table;

/// Tokens of a DeepEP benchmark, hidden width, experts, chosen experts, groups, chosen groups (deepep.csv, header).
const TOKENS: f64 = 4096.0;
const HIDDEN: f64 = 7168.0;
const EXPERTS: u32 = 256;
const CHOSEN: u32 = 8;
const GROUPS: u32 = 8;
const CHOSEN_GROUPS: u32 = 4;
/// NVLink rate of an H100 as the rings of NCCL use it, bytes per second.
const NODE_RATE: f64 = 360e9;

/// Nodes of the public training trace: 64 expert-parallel ranks, eight on each.
const TRACE_NODES: f64 = 8.0;

/// One row: bytes on the network and inside the node, and the time that the printed bandwidth means.
struct Bound {
    network: f64,
    node: f64,
    seconds: f64,
}

/// Chance that none of the chosen experts falls on `blocked` of `among` experts.
fn missed(among: u32, blocked: u32) -> f64 {
    (0..CHOSEN)
        .map(|i| f64::from((among - blocked).saturating_sub(i)) / f64::from(among - i))
        .product()
}

/// Chance that a token goes to a set of experts that holds whole groups or lies in one, when its experts are drawn
/// from `CHOSEN_GROUPS` of `GROUPS` groups.
fn reached(experts: u32) -> f64 {
    let in_group = EXPERTS / GROUPS;
    let among = CHOSEN_GROUPS * in_group;
    if experts <= in_group {
        let open = f64::from(CHOSEN_GROUPS) / f64::from(GROUPS);
        return open * (1.0 - missed(among, experts));
    }
    let held = experts / in_group;
    let ways = |n: u32, k: u32| -> f64 { (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product() };
    (1..=held.min(CHOSEN_GROUPS))
        .filter(|k| CHOSEN_GROUPS - k <= GROUPS - held)
        .map(|k| {
            let chance = ways(held, k) * ways(GROUPS - held, CHOSEN_GROUPS - k) / ways(GROUPS, CHOSEN_GROUPS);
            chance * (1.0 - missed(among, k * in_group))
        })
        .sum()
}

fn bounds(truth: &Path) -> Result<Vec<Bound>, Fault> {
    let mut rows = Vec::new();
    for row in table::rows(truth, "deepep.csv")? {
        if row.text("version") != "V1" || row.text("kernel") != "normal" {
            continue;
        }
        let ranks = row.count("ep_ranks").ok_or("deepep.csv: no ep_ranks")?;
        let ranks = u32::try_from(ranks)?;
        let nodes = ranks / 8;
        let on_rank = f64::from(ranks) * reached(EXPERTS / ranks);
        let on_node = f64::from(nodes) * if nodes == 1 { 1.0 } else { reached(EXPERTS / nodes) };
        // FP8 with one float per 128 values; combine is BF16.
        let sides = [
            ("dispatch_bw_GBps", HIDDEN + HIDDEN / 32.0),
            ("combine_bw_GBps", HIDDEN * 2.0),
        ];
        for (column, token) in sides {
            let Some(printed) = row.number(column) else {
                continue;
            };
            let logical = TOKENS * token * if nodes == 1 { on_rank } else { on_node };
            rows.push(Bound {
                network: TOKENS * token * on_node * f64::from(nodes - 1) / f64::from(nodes),
                node: TOKENS * token * on_rank * 7.0 / 8.0,
                seconds: logical / (printed * 1e9),
            });
        }
    }
    Ok(rows)
}

/// DeepEP's normal kernels on H800: efficiencies of NIC (50 GB/s) and NVLink (160 GB/s as NCCL counts it).
pub(crate) fn deepep(truth: &Path) -> Result<ExchangeCurve, Fault> {
    let rows = bounds(truth)?;
    let errors = |network: f64, node: f64| -> Vec<f64> {
        let time = |row: &Bound| (row.network / (50e9 * network)).max(row.node / (160e9 * node));
        rows.iter().map(|row| (time(row) / row.seconds).ln()).collect()
    };
    let loss = |logs: &[f64]| -> f64 {
        let logs = [logs[0].min(0.0), logs[1].min(0.0)];
        errors(logs[0].exp(), logs[1].exp()).iter().map(|e| e * e).sum()
    };
    let best = minimise(&[-0.1, -0.1], 400, loss);
    let (network, node) = (rounded(best[0].min(0.0).exp()), rounded(best[1].min(0.0).exp()));
    let (node_latency, network_latency) = latencies(truth)?;
    Ok(ExchangeCurve {
        library: "deepep".to_owned(),
        network_efficiency: network,
        node_efficiency: node,
        node_latency_picos: node_latency,
        network_latency_picos: network_latency,
        handshake_per_node: handshake(truth, network_latency)?,
        num_units: 24,
        fitted: summary(&errors(network, node)),
        provenance: Provenance {
            measured_by: "DeepSeek (DeepEP)".to_owned(),
            source: "tests/truth/deepep.csv; latency and handshake: tests/truth/aic_deepep_normal_multinode.csv, \
                     deepseek_v3_train_profile_kernels.csv"
                .to_owned(),
            rows: "V1 normal, EP 8-64, dispatch and combine; latency: H100, 1 token, 1 and 2 nodes; handshake: \
                   dispatch of 1,024 to 8,192 tokens on 2 and 8 nodes of H100, and the shortest notify kernels of \
                   the training trace"
                .to_owned(),
            date: "2025-06".to_owned(),
            version: "deepseek-ai/DeepEP@dd758ca".to_owned(),
            note: "Printed bandwidths count copies that stay on the own node or rank; bytes that cross a port were \
                   derived with 8 of 256 experts drawn from 4 of 8 groups. Latency is kernel and notification at one \
                   token. The handshake is what notification takes beyond it, the mean of benchmark and trace."
                .to_owned(),
        },
    })
}

/// Time of dispatch or combine of one token, notification included, on one node and on two: means of both.
fn latencies(truth: &Path) -> Result<(SimDuration, SimDuration), Fault> {
    let table = table::rows(truth, "aic_deepep_normal_multinode.csv")?;
    let mean = |nodes: &str| -> Option<SimDuration> {
        let row = table.iter().find(|row| {
            row.text("system") == "h100_sxm" && row.text("node_num") == nodes && row.text("num_token") == "1"
        })?;
        let columns = [
            "dispatch_transmit_us",
            "dispatch_notify_us",
            "combine_transmit_us",
            "combine_notify_us",
        ];
        let sum: f64 = columns.iter().filter_map(|column| row.number(column)).sum();
        Some(SimDuration::from_secs(rounded(sum / 2.0 * 1e-6)))
    };
    let missing = "aic_deepep_normal_multinode.csv: no row of one token";
    Ok((mean("1").ok_or(missing)?, mean("2").ok_or(missing)?))
}

/// What notification takes beyond `latency`, per node beyond the first, over the time of the transfer itself: the
/// mean of a benchmark of dispatch alone and of the public training trace.
///
/// The notification of combine is left out of the benchmark, where it waits for what dispatch left behind. Of the
/// trace the shortest of each kernel counts: the others wait for peers, which a simulation adds by itself.
fn handshake(truth: &Path, latency: SimDuration) -> Result<f64, Fault> {
    let micros = latency.as_secs() * 1e6;
    let (mut beyond, mut moving) = (0.0, 0.0);
    for row in table::rows(truth, "aic_deepep_normal_multinode.csv")? {
        let tokens = row.number("num_token").unwrap_or(0.0);
        let nodes = row.number("node_num").unwrap_or(1.0);
        let large = (1024.0..=8192.0).contains(&tokens) && nodes > 1.0;
        if !large || row.text("system") != "h100_sxm" {
            continue;
        }
        let columns = (
            row.number("dispatch_notify_us"),
            row.number("dispatch_transmit_us"),
        );
        if let (Some(notify), Some(transmit)) = columns {
            beyond += (notify - micros).max(0.0);
            moving += transmit * (nodes - 1.0);
        }
    }
    let benchmark = beyond / moving;
    let (mut beyond, mut moving) = (0.0, 0.0);
    for row in table::rows(truth, "deepseek_v3_train_profile_kernels.csv")? {
        let kernel = row.text("kernel");
        if kernel.contains("notify") {
            beyond += row
                .number("min_us")
                .ok_or("a notify kernel without its shortest")?
                - micros;
        } else if kernel.starts_with("ep.internode") {
            moving += row
                .number("sum_us_per_layer")
                .ok_or("an exchange without its mean")?;
        }
    }
    let trace = beyond / (moving * (TRACE_NODES - 1.0));
    Ok(rounded(f64::midpoint(benchmark, trace)))
}

/// NCCL's all-to-all: NVLink as eight ranks of one node reach it; the network at NCCL's share of the line rate, times
/// the profile's table of efficiencies, which the user of the curve applies.
pub(crate) fn nccl(collectives: &[CollectiveCurve], ratios: &[RatioTable]) -> Result<ExchangeCurve, Fault> {
    let one_node = collectives
        .iter()
        .find(|curve| curve.op == CollectiveOp::AllToAll && curve.nodes == 1 && curve.ranks_per_node == 8)
        .ok_or("no all-to-all of eight ranks")?;
    let table = ratios
        .iter()
        .find(|table| table.ops.contains(&CollectiveOp::AllToAll))
        .ok_or("no table of all-to-all")?;
    let bus = one_node.law.bandwidth.get() * 7.0 / 8.0;
    // A network message costs as the tuner's Simple step over NVLink does not: 14 us (tuning.cc).
    let network = one_node.law.latency_picos + SimDuration::from_micros(14);
    Ok(ExchangeCurve {
        library: "nccl".to_owned(),
        network_efficiency: table.nic_share,
        node_efficiency: rounded(bus / NODE_RATE),
        node_latency_picos: one_node.law.latency_picos,
        network_latency_picos: network,
        handshake_per_node: 0.0,
        num_units: 16,
        fitted: one_node.fitted,
        provenance: Provenance {
            note: "Inside a node: bus bandwidth of all-to-all over 360 GB/s. Between nodes the efficiency is multiplied \
                   by the table of ratios."
                .to_owned(),
            ..one_node.provenance.clone()
        },
    })
}
