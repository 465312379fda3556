//! Latency-bandwidth bounds of collectives: the oracle of tests.

use orrery_operation::CollectiveOp;
use orrery_units::{Bytes, BytesPerSec, SimDuration};

/// Time of a ring collective when nothing else uses the ring.
///
/// `steps · α + S · steps / (n · B)`, with `2 (n − 1)` steps for all-reduce and `n − 1` for all-gather and
/// reduce-scatter: each step sends one n-th of the data (Thakur 2005). Ignores reduction arithmetic and
/// protocol overhead. Worked: 8 ranks, 1 GiB, 1 us, 360 GB/s, all-gather: 2.617 ms.
#[must_use]
pub fn ring(op: CollectiveOp, ranks: u32, size: Bytes, step: SimDuration, rate: BytesPerSec) -> SimDuration {
    let rounds = if op == CollectiveOp::AllReduce { 2.0 } else { 1.0 };
    let steps = rounds * f64::from(ranks.max(1) - 1);
    step.scaled(steps)
        + SimDuration::from_secs(size.as_f64() * steps / (f64::from(ranks.max(1)) * rate.get()))
}

/// Time of a uniform all-to-all: no port sends faster than its capacity.
///
/// `S · (n − n_local) / n / B_network` or `S · (n − 1) / n / B_node`, the longer, for `S` bytes sent by each of
/// `n` ranks, `n_local` of them on one node. Worked: 16 ranks on 2 nodes, 1 GiB, 450 and 50 GB/s: 10.74 ms.
#[must_use]
pub fn uniform_all_to_all(
    ranks: u32,
    ranks_per_node: u32,
    size: Bytes,
    node: BytesPerSec,
    network: BytesPerSec,
) -> SimDuration {
    let total = f64::from(ranks.max(1));
    let inside = size.as_f64() * (total - 1.0) / total / node.get();
    let across = size.as_f64() * (total - f64::from(ranks_per_node)).max(0.0) / total / network.get();
    SimDuration::from_secs(inside.max(across))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let gib = Bytes::new(1 << 30);
        let micro = SimDuration::from_micros(1);
        let ring = ring(CollectiveOp::AllGather, 8, gib, micro, BytesPerSec::new(360e9)).as_secs();
        assert!((ring - 2.617e-3).abs() < 1e-6, "{ring}");
        let (node, network) = (BytesPerSec::new(450e9), BytesPerSec::new(50e9));
        let exchange = uniform_all_to_all(16, 8, gib, node, network).as_secs();
        assert!((exchange - 10.74e-3).abs() < 1e-5, "{exchange}");
    }
}
