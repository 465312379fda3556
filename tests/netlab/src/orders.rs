//! What the command and the processes of the ranks say to each other: one JSON object a line.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What the command asks of a rank, on its standard input; the end of input ends the rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Close the ring: connect to the next rank.
    Connect {
        /// Which rank this is.
        rank: usize,
        /// How many there are.
        ranks: usize,
        /// Where the next one listens.
        next: SocketAddr,
    },
    /// Let a small message go round.
    Circulate {
        /// How often.
        laps: usize,
    },
    /// Reduce a vector over all ranks, again and again.
    AllReduce {
        /// Numbers in the vector.
        elements: usize,
        /// How often.
        repeats: usize,
        /// Pause before each, in which buckets fill.
        pause_micros: u64,
    },
}

/// What a rank answers, on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It runs and listens here.
    Listening(SocketAddr),
    /// It has both neighbours.
    Connected,
    /// How long each lap took, in nanoseconds; only the first rank looks at the clock.
    Laps(Vec<u64>),
    /// How long each all-reduce took it, in nanoseconds, and how many elements were wrong in all.
    Reduced {
        /// One for each repeat.
        nanos: Vec<u64>,
        /// Elements that were not the sum, over all repeats.
        wrong: usize,
    },
    /// It cannot go on.
    Fault(String),
}
