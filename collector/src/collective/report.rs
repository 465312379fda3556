//! What was measured, as a table and as JSON.

use std::net::SocketAddr;

use orrery_kernels::statistics::Summary;
use orrery_operation::CollectiveOp;
use orrery_units::{Bytes, SimDuration};
use serde_json::{Value, json};

use super::{Operation, Session};

/// One operation of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Operation.
    pub operation: Operation,
    /// Size as nccl-tests counts it.
    pub bytes: u64,
    /// Connections between two ranks.
    pub connections: usize,
    /// Ranks.
    pub ranks: usize,
    /// Times of the latest rank.
    pub time: Summary,
    /// Numbers that were not what they should be.
    pub wrong: u64,
    /// TCP segments sent again meanwhile, over all hosts, where the system tells.
    pub resent: Option<u64>,
}

/// Latency between two ranks: half of the way there and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    /// One.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Median of half the time there and back.
    pub p50: SimDuration,
    /// 95th percentile of it.
    pub p95: SimDuration,
    /// Times there and back.
    pub count: usize,
    /// Messages that came back changed, in numbers.
    pub wrong: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Ranks.
    pub ranks: usize,
    /// Where each rank listened.
    pub addresses: Vec<SocketAddr>,
    /// Collectives.
    pub rows: Vec<Row>,
    /// Latencies.
    pub pairs: Vec<PairRow>,
}

/// The label of everything here; results of NCCL have another and are never mixed in.
pub(super) const TRANSPORT: &str = "tcp";

/// `64 KiB`.
pub(super) fn size(bytes: u64) -> String {
    Bytes::new(bytes).to_string()
}

/// `rank 2` or `ranks 1, 2`.
pub(super) fn ranks(ranks: impl Iterator<Item = usize>) -> String {
    let mut ranks: Vec<usize> = ranks.collect();
    ranks.sort_unstable();
    ranks.dedup();
    let names: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    format!("{noun} {}", names.join(", "))
}

fn micros(time: SimDuration) -> f64 {
    time.as_secs() * 1e6
}

impl Row {
    /// The collective that this is; none for a ping-pong.
    const fn op(&self) -> Option<CollectiveOp> {
        match self.operation {
            Operation::AllReduce => Some(CollectiveOp::AllReduce),
            Operation::AllToAll => Some(CollectiveOp::AllToAll),
            Operation::PingPong => None,
        }
    }

    /// Algorithm and bus bandwidth of the median, in bytes per second.
    #[must_use]
    pub fn bandwidths(&self) -> (f64, f64) {
        let (bytes, time) = (Bytes::new(self.bytes), self.time.p50);
        let algorithm = CollectiveOp::algorithm_bandwidth(bytes, time).get();
        let bus = self
            .op()
            .map(|op| op.bus_bandwidth(self.ranks as u64, bytes, time).get());
        (algorithm, bus.unwrap_or(algorithm))
    }

    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let (algorithm, bus) = self.bandwidths();
        format!(
            "{:<11}{:>10}{:>6}{:>6}{:>12.1}{:>12.1}{:>12.1}{:>10.3}{:>10.3}{:>7}{:>8}",
            self.operation.name(),
            size(self.bytes),
            self.connections,
            self.time.count,
            micros(self.time.p50),
            micros(self.time.p95),
            micros(self.time.max),
            algorithm / 1e9,
            bus / 1e9,
            self.wrong,
            self.resent.map_or("-".to_owned(), |count| count.to_string()),
        )
    }

    fn json(&self) -> Value {
        let (algorithm, bus) = self.bandwidths();
        let time = &self.time;
        json!({
            "op": self.operation.name(), "transport": TRANSPORT, "ranks": self.ranks, "bytes": self.bytes,
            "connections": self.connections, "wrong": self.wrong, "retransmitted_segments": self.resent,
            "t": {
                "n": time.count, "min": time.min.as_secs(), "p5": time.p5.as_secs(), "p50": time.p50.as_secs(),
                "p95": time.p95.as_secs(), "p99": time.p99.as_secs(), "max": time.max.as_secs(),
                "mad": time.mad.as_secs(),
                "ci95": [time.median_low.as_secs(), time.median_high.as_secs()],
            },
            "algbw_bytes_per_second": algorithm, "busbw_bytes_per_second": bus,
        })
    }
}

impl PairRow {
    pub(super) fn of(first: usize, second: usize, row: &Row) -> Self {
        Self {
            first,
            second,
            p50: row.time.p50.scaled(0.5),
            p95: row.time.p95.scaled(0.5),
            count: row.time.count,
            wrong: row.wrong,
        }
    }

    pub(super) fn line(&self) -> String {
        let pair = format!("{} - {}", self.first, self.second);
        format!(
            "{pair:<11}{:>10}{:>12.1}{:>12.1}{:>7}",
            self.count,
            micros(self.p50),
            micros(self.p95),
            self.wrong
        )
    }
}

impl Report {
    pub(super) fn new(session: &Session) -> Self {
        Self {
            ranks: session.ranks,
            addresses: Vec::new(),
            rows: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Whether every number was what it should be.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.rows.iter().all(|row| row.wrong == 0) && self.pairs.iter().all(|pair| pair.wrong == 0)
    }

    /// The tables, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("transport {TRANSPORT}, {} ranks", self.ranks)];
        if !self.pairs.is_empty() {
            lines.push(String::new());
            lines.push("latency, half of the way there and back of 8 bytes".to_owned());
            lines.push(format!(
                "{:<11}{:>10}{:>12}{:>12}{:>7}",
                "ranks", "repeats", "p50 us", "p95 us", "wrong"
            ));
            lines.extend(self.pairs.iter().map(PairRow::line));
        }
        if !self.rows.is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "{:<11}{:>10}{:>6}{:>6}{:>12}{:>12}{:>12}{:>10}{:>10}{:>7}{:>8}",
                "operation",
                "size",
                "conn",
                "n",
                "p50 us",
                "p95 us",
                "max us",
                "alg GB/s",
                "bus GB/s",
                "wrong",
                "resent"
            ));
            lines.extend(self.rows.iter().map(Row::line));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// One object, `collective/1`.
    #[must_use]
    pub fn json(&self) -> Value {
        let pairs = self.pairs.iter().map(|pair| {
            json!({
                "ranks": [pair.first, pair.second], "bytes": 8, "n": pair.count, "wrong": pair.wrong,
                "half_round_trip": { "p50": pair.p50.as_secs(), "p95": pair.p95.as_secs() },
            })
        });
        let hosts: Vec<String> = self
            .addresses
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        json!({
            "schema": "collective/1", "transport": TRANSPORT, "ranks": self.ranks, "hosts": hosts,
            "latency": pairs.collect::<Vec<_>>(),
            "collectives": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}
