//! What NCCL did between hosts, as a table and as JSON.

use std::net::IpAddr;

use orrery_kernels::device::{Launching, Measurement};
use orrery_operation::CollectiveOp;
use orrery_units::{Bytes, SimDuration};
use serde_json::{Value, json};

use super::super::report::size;

/// One collective of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct NcclRow {
    /// Which.
    pub op: CollectiveOp,
    /// Size as nccl-tests counts it.
    pub bytes: u64,
    /// Ranks.
    pub ranks: usize,
    /// Times of the latest rank, checked at every one.
    pub measured: Measurement,
}

/// Everything that was measured: of NCCL, and of nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct NcclReport {
    /// Ranks.
    pub ranks: usize,
    /// Where each rank came from.
    pub hosts: Vec<IpAddr>,
    /// Collectives.
    pub rows: Vec<NcclRow>,
}

/// The label of everything here; results of TCP have another and are a type of their own.
const TRANSPORT: &str = "nccl";

fn seconds(picos: u64) -> f64 {
    SimDuration::from_picos(picos).as_secs()
}

impl NcclRow {
    /// Algorithm and bus bandwidth of the median, in bytes per second.
    #[must_use]
    pub fn bandwidths(&self) -> (f64, f64) {
        let (bytes, time) = (Bytes::new(self.bytes), self.measured.median());
        let algorithm = CollectiveOp::algorithm_bandwidth(bytes, time).get();
        let bus = self.op.bus_bandwidth(self.ranks as u64, bytes, time).get();
        (algorithm, bus)
    }

    const fn launching(&self) -> &'static str {
        match self.measured.launching {
            Launching::Graph => "graph",
            Launching::Stream(_) => "stream",
        }
    }

    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let (algorithm, bus) = self.bandwidths();
        let micros = |picos: u64| seconds(picos) * 1e6;
        format!(
            "{:<15}{:>10}{:>6}{:>12.1}{:>12.1}{:>12.1}{:>10.3}{:>10.3}{:>10.1e}{:>8}",
            self.op.name(),
            size(self.bytes),
            self.measured.samples,
            micros(self.measured.p50_picos),
            micros(self.measured.p95_picos),
            micros(self.measured.max_picos),
            algorithm / 1e9,
            bus / 1e9,
            self.measured.error.unwrap_or(f64::NAN),
            self.launching(),
        )
    }

    fn json(&self) -> Value {
        let (algorithm, bus) = self.bandwidths();
        let time = &self.measured;
        let (low, high) = time.median_interval_picos;
        json!({
            "op": self.op.name(), "transport": TRANSPORT, "ranks": self.ranks, "bytes": self.bytes,
            "launches": time.launches, "launching": time.launching, "error": time.error,
            "t": {
                "n": time.samples, "min": seconds(time.min_picos), "p5": seconds(time.p5_picos),
                "p50": seconds(time.p50_picos), "p95": seconds(time.p95_picos), "p99": seconds(time.p99_picos),
                "max": seconds(time.max_picos), "mad": seconds(time.mad_picos),
                "ci95": [seconds(low), seconds(high)],
            },
            "algbw_bytes_per_second": algorithm, "busbw_bytes_per_second": bus,
        })
    }
}

impl NcclReport {
    /// Nothing measured yet.
    pub(in super::super) const fn new(ranks: usize) -> Self {
        Self {
            ranks,
            hosts: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The table, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("transport {TRANSPORT}, {} ranks", self.ranks)];
        if !self.rows.is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "{:<15}{:>10}{:>6}{:>12}{:>12}{:>12}{:>10}{:>10}{:>10}{:>8}",
                "collective",
                "size",
                "n",
                "p50 us",
                "p95 us",
                "max us",
                "alg GB/s",
                "bus GB/s",
                "error",
                "from"
            ));
            lines.extend(self.rows.iter().map(NcclRow::line));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// One object, `collective/1`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "schema": "collective/1", "transport": TRANSPORT, "ranks": self.ranks, "hosts": self.hosts,
            "collectives": self.rows.iter().map(NcclRow::json).collect::<Vec<_>>(),
        })
    }
}
