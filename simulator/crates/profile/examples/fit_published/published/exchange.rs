//! Expert exchanges: DeepEP's tables, NCCL's all-to-all.

use std::path::Path;

use orrery_operation::CollectiveOp;
use orrery_profile::fit::{minimise, rounded, summary};
use orrery_profile::{CollectiveCurve, ExchangeCurve, Provenance, RatioTable};
use orrery_units::SimDuration;

use super::{Fault, h800, table};

/// Tokens of a DeepEP benchmark, hidden width, experts, chosen experts, and most nodes of a token (deepep.csv, header).
const TOKENS: f64 = 4096.0;
const HIDDEN: f64 = 7168.0;
const EXPERTS: u32 = 256;
const CHOSEN: u32 = 8;
const CHOSEN_NODES: u32 = 4;
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

/// Ranks, or nodes, among `places` that a token goes to, when its experts are the best of those of the best
/// `admitted` of `nodes` nodes.
///
/// A node is admitted for its best scores, so that every admitted node is visited (drawn with normal scores: 3.99 of 4
/// nodes). The ranks of an admitted node are drawn uniformly with its experts: `places s (1 − Π (1 − s' E / (E − i)))`.
fn reached(places: u32, nodes: u32) -> f64 {
    let admitted = nodes.min(CHOSEN_NODES);
    let limited = admitted < nodes;
    if limited && places == nodes {
        return f64::from(admitted);
    }
    let open = f64::from(admitted) / f64::from(nodes);
    let among = EXPERTS * admitted / nodes;
    let held = EXPERTS / places;
    let missed: f64 = (0..CHOSEN)
        .map(|i| f64::from((among - held).saturating_sub(i)) / f64::from(among - i))
        .product();
    f64::from(places) * open * (1.0 - missed)
}

/// A release of DeepEP: its rows of deepep.csv, when and where they were published, and what a provenance says of it.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    version: &'static str,
    date: &'static str,
    source: &'static str,
    note: &'static str,
    /// Whether the public training trace ran it.
    traced: bool,
}

/// As first released, closest in time to the training of DeepSeek-V3.
pub(crate) const FIRST: Release = Release {
    version: "V1-first",
    date: "2025-02",
    source: "deepseek-ai/DeepEP@ebfe47e",
    note: "As first released, closest in time to the training of DeepSeek-V3; `first_dispatch`: forward's over backward's in \
           the training trace.",
    traced: true,
};

/// As it was later, before its second version.
pub(crate) const LATER: Release = Release {
    version: "V1",
    date: "2025-06",
    source: "deepseek-ai/DeepEP@dd758ca",
    note: "As it was before its second version.",
    traced: false,
};

fn bounds(truth: &Path, release: Release) -> Result<Vec<Bound>, Fault> {
    let mut rows = Vec::new();
    for row in table::rows(truth, "deepep.csv")? {
        if row.text("version") != release.version || row.text("kernel") != "normal" {
            continue;
        }
        let ranks = row.count("ep_ranks").ok_or("deepep.csv: no ep_ranks")?;
        let ranks = u32::try_from(ranks)?;
        let nodes = ranks / 8;
        let (on_rank, on_node) = (reached(ranks, nodes), reached(nodes, nodes));
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
pub(crate) fn deepep(truth: &Path, release: Release) -> Result<ExchangeCurve, Fault> {
    let rows = bounds(truth, release)?;
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
        first_dispatch: if release.traced {
            first_dispatch(truth)?
        } else {
            1.0
        },
        num_units: 24,
        fitted: summary(&errors(network, node)),
        provenance: Provenance {
            measured_by: "DeepSeek (DeepEP)".to_owned(),
            source:
                "tests/truth/deepep.csv; latency and handshake: tests/truth/aic_deepep_normal_multinode.csv, \
                     deepseek_v3_train_profile_kernels.csv"
                    .to_owned(),
            rows: format!(
                "{} normal, EP 8-64, dispatch and combine; latency: H100, 1 token, 1 and 2 nodes; handshake: \
                 dispatch of 1,024 to 8,192 tokens on 2 and 8 nodes of H100, and the shortest notify kernels of \
                 the training trace",
                release.version
            ),
            date: release.date.to_owned(),
            version: release.source.to_owned(),
            note: format!(
                "{} Printed bandwidths count copies that stay on the own node or rank; bytes that cross a port were \
                 derived with 8 of 256 experts on at most four nodes, each of which is visited. Latency is kernel and \
                 notification at one token. The handshake is what notification takes beyond it, the mean of \
                 benchmark and trace.",
                release.note
            ),
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

/// Time of forward's dispatch over that of backward's in the public training trace: the same bytes, but only the first
/// computes where its rows go, a kernel of its own, and carries their indices and weights; both ran beside compute.
fn first_dispatch(truth: &Path) -> Result<f64, Fault> {
    let median = |phase, kernel| -> Result<f64, Fault> {
        let row = h800::row_of(truth, phase, kernel)?;
        row.number("median_us")
            .ok_or_else(|| "a dispatch without its median".into())
    };
    let first = median("dispatch(F)", "dpsk::ep::cuda::get_dispatch_layout")?
        + median("dispatch(F)", "ep.internode.dispatch<false>")?;
    let again = median("combine(B)", "ep.internode.dispatch<true>")?;
    Ok(rounded(first / again))
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
        first_dispatch: 1.0,
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
