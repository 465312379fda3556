//! Collectives as shapes: what is exchanged among how many, and what each rank must send.

use orrery_units::Bytes;
use serde::{Deserialize, Serialize};

/// What a collective does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectiveOp {
    /// Everybody ends with the sum of everybody's data.
    AllReduce,
    /// Everybody ends with everybody's part.
    AllGather,
    /// Everybody ends with its part of the sum.
    ReduceScatter,
    /// Everybody sends a part of its own to everybody.
    AllToAll,
    /// One rank's data to all.
    Broadcast,
    /// The sum to one rank.
    Reduce,
    /// One rank to another.
    SendRecv,
}

/// A collective of `ranks` ranks over `bytes`.
///
/// `bytes` is the total as nccl-tests counts it: the buffer of an all-reduce, the gathered buffer of an
/// all-gather, the input of a reduce-scatter, what one rank sends in all in an all-to-all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Collective {
    /// What it does.
    pub op: CollectiveOp,
    /// Ranks that take part.
    pub ranks: u64,
    /// The size, as nccl-tests counts it.
    pub bytes: Bytes,
}

impl CollectiveOp {
    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllReduce => "all_reduce",
            Self::AllGather => "all_gather",
            Self::ReduceScatter => "reduce_scatter",
            Self::AllToAll => "all_to_all",
            Self::Broadcast => "broadcast",
            Self::Reduce => "reduce",
            Self::SendRecv => "send_recv",
        }
    }

    /// Bus bandwidth over algorithm bandwidth for `ranks` ranks (nccl-tests, doc/PERFORMANCE.md):
    /// all-reduce `2 (n − 1) / n`; all-gather, reduce-scatter, all-to-all `(n − 1) / n`; others 1.
    /// Worked: all-reduce of 8: 1.75.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rank counts are small")]
    pub fn bus_factor(self, ranks: u64) -> f64 {
        let others = (ranks.max(1) - 1) as f64 / ranks.max(1) as f64;
        match self {
            Self::AllReduce => 2.0 * others,
            Self::AllGather | Self::ReduceScatter | Self::AllToAll => others,
            Self::Broadcast | Self::Reduce | Self::SendRecv => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_factors_are_those_of_nccl_tests() {
        assert!((CollectiveOp::AllReduce.bus_factor(8) - 1.75).abs() < 1e-12);
        assert!((CollectiveOp::AllGather.bus_factor(8) - 0.875).abs() < 1e-12);
        assert!((CollectiveOp::Broadcast.bus_factor(8) - 1.0).abs() < 1e-12);
    }
}
