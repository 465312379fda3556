//! Curves of collectives: time over size for one operation among one shape of group.

use orrery_operation::CollectiveOp;
use orrery_units::{Bytes, BytesPerSec, SimDuration};
use serde::{Deserialize, Serialize};

use crate::{Fitted, Provenance, Range};

/// The four-parameter law of a transfer: `t = a + d · S / (S + s₁) + S / B`.
///
/// `a` is launch and latency, `d` the fill of the pipeline, reached around size `s₁`, and `B` the peak. It fits
/// 49 published sweeps with 5.6 % mean error where latency and bandwidth alone give 17.5 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferLaw {
    /// Time before the first byte moves.
    pub latency_picos: SimDuration,
    /// Time to fill the pipeline.
    pub fill_picos: SimDuration,
    /// Size around which the pipeline is filled.
    pub fill_bytes: Bytes,
    /// Peak, as size over time (what nccl-tests calls algorithm bandwidth).
    pub bandwidth: BytesPerSec,
}

/// A collective as measured on one shape of group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectiveCurve {
    /// Operation.
    pub op: CollectiveOp,
    /// Nodes.
    pub nodes: u32,
    /// Ranks on each.
    pub ranks_per_node: u32,
    /// The law with its fitted parameters; size as nccl-tests counts it.
    pub law: TransferLaw,
    /// Sizes measured. Beyond it the law itself is used, and the answer is called extrapolated.
    pub bytes: Range,
    /// How well the law agrees with what was measured.
    pub fitted: Fitted,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// Which ports limit a collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// NICs.
    Network,
    /// The node's own network.
    Node,
}

/// Achieved over theoretical bus bandwidth, by size and number of nodes of eight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioTable {
    /// Operations that it covers.
    pub ops: Vec<CollectiveOp>,
    /// Which ports limit it.
    pub bottleneck: Bottleneck,
    /// Share of a NIC's line rate that the theoretical bandwidth counts.
    pub nic_share: f64,
    /// Numbers of nodes, ascending.
    pub nodes: Vec<u32>,
    /// Sizes, ascending.
    pub bytes: Vec<Bytes>,
    /// One row per size, one column per number of nodes.
    pub ratios: Vec<Vec<f64>>,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl TransferLaw {
    /// Time of the fill and of the bytes, without the latency.
    ///
    /// `d · S / (S + s₁) + S / B`. Worked (H100, 2 nodes, all-reduce: d = 75 us, s₁ = 1 MiB, B = 238 GB/s), 1 GiB:
    /// 4.587 ms.
    #[must_use]
    pub fn moving(&self, size: Bytes) -> SimDuration {
        SimDuration::from_secs(self.moving_seconds(size.as_f64()))
    }

    /// Time in all.
    #[must_use]
    pub fn time(&self, size: Bytes) -> SimDuration {
        self.latency_picos + self.moving(size)
    }

    pub(crate) fn moving_seconds(&self, size: f64) -> f64 {
        let filled = size / (size + self.fill_bytes.as_f64()).max(1.0);
        self.fill_picos
            .as_secs()
            .mul_add(filled, size / self.bandwidth.get())
    }
}

impl RatioTable {
    /// The ratio at `size` among `nodes`, interpolated in the logarithms of both; clamped to the table, where
    /// the second answer is false.
    #[must_use]
    pub fn at(&self, size: Bytes, nodes: u32) -> (f64, bool) {
        let sizes: Vec<f64> = self.bytes.iter().map(|b| b.as_f64().ln()).collect();
        let counts: Vec<f64> = self.nodes.iter().map(|&n| f64::from(n).ln()).collect();
        let (row, row_share, row_inside) = bracket(&sizes, size.as_f64().max(1.0).ln());
        let (column, column_share, column_inside) = bracket(&counts, f64::from(nodes.max(1)).ln());
        let value = |r: usize, c: usize| {
            let row = &self.ratios[r.min(self.ratios.len() - 1)];
            row[c.min(row.len() - 1)].ln()
        };
        let along = |r| {
            let (low, high) = (value(r, column), value(r, column + 1));
            column_share.mul_add(high - low, low)
        };
        let (low, high) = (along(row), along(row + 1));
        let ratio = row_share.mul_add(high - low, low).exp();
        (ratio, row_inside && column_inside)
    }
}

/// Where `at` lies in `axis`: the index below it, the share of the way to the next, and whether it is inside.
fn bracket(axis: &[f64], at: f64) -> (usize, f64, bool) {
    let (first, last) = (axis[0], axis[axis.len() - 1]);
    if at <= first {
        return (0, 0.0, at >= first - 1e-9);
    }
    if at >= last {
        return (axis.len() - 1, 0.0, at <= last + 1e-9);
    }
    let above = axis.partition_point(|&value| value <= at);
    let (low, high) = (axis[above - 1], axis[above]);
    (above - 1, (at - low) / (high - low), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_parameter_law_worked() {
        let law = TransferLaw {
            latency_picos: SimDuration::from_micros(29),
            fill_picos: SimDuration::from_micros(75),
            fill_bytes: Bytes::new(1 << 20),
            bandwidth: BytesPerSec::new(238e9),
        };
        let moving = law.moving(Bytes::new(1 << 30)).as_secs();
        assert!((moving - 4.587e-3).abs() < 1e-6, "{moving}");
    }

    #[test]
    fn ratios_interpolate_and_clamp() {
        let table = RatioTable {
            ops: vec![CollectiveOp::AllReduce],
            bottleneck: Bottleneck::Network,
            nic_share: 0.97,
            nodes: vec![2, 8],
            bytes: vec![Bytes::new(1 << 20), Bytes::new(1 << 22)],
            ratios: vec![vec![0.4, 0.1], vec![0.8, 0.4]],
            provenance: Provenance::default(),
        };
        assert!((table.at(Bytes::new(1 << 20), 2).0 - 0.4).abs() < 1e-12);
        assert!((table.at(Bytes::new(1 << 20), 4).0 - 0.2).abs() < 1e-12);
        let (beyond, inside) = table.at(Bytes::new(1 << 30), 64);
        assert!((beyond - 0.4).abs() < 1e-12 && !inside);
    }
}
