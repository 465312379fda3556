//! What the coordinator and the ranks say to each other: one JSON object a line, over one connection for each rank.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde::{Deserialize, Serialize};

use super::Transport;
use crate::calibrate;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Everybody ends with the sum: a ring.
    AllReduce,
    /// Everybody sends a part of its own to everybody: pairs, one step after the other.
    AllToAll,
    /// One message there and back, for every pair.
    PingPong,
}

/// One measurement: an operation of one size over so many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) operation: Operation,
    /// Size as nccl-tests counts it.
    pub(super) bytes: u64,
    /// Connections between two ranks that share the bytes.
    pub(super) connections: usize,
    /// The two ranks of a ping-pong; the others wait.
    pub(super) pair: (usize, usize),
    pub(super) warm_ups: usize,
    pub(super) repeats: usize,
}

/// To a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Everybody is here: connect to each other.
    Meet {
        /// What connections between ranks begin with.
        session: u64,
        /// Where each rank listens.
        addresses: Vec<SocketAddr>,
        /// Connections between two ranks.
        connections: usize,
    },
    /// Measure.
    Run(Case),
    /// Have the worker of this rank do it: of NCCL alone.
    Worker {
        /// What.
        order: calibrate::Order,
        /// Longest that it takes where all is well.
        seconds: u64,
    },
    /// It is over.
    Stop,
}

/// From a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is here.
    Hello {
        rank: usize,
        ranks: usize,
        /// What it moves bytes by; ranks from before there were two of them say nothing.
        #[serde(default)]
        transport: Transport,
        token: String,
        /// Where it listens for the other ranks.
        data: SocketAddr,
    },
    /// It is connected to everybody.
    Ready,
    /// It has measured.
    Done {
        /// Its own time of every repeat.
        nanos: Vec<u64>,
        /// Numbers that are not what they should be, over all repeats.
        wrong: u64,
        /// TCP segments that were sent again on its host meanwhile, if the system tells.
        resent: Option<u64>,
    },
    /// What its worker answered.
    Worker(calibrate::Answer),
    /// It cannot go on.
    Fault(String),
}

/// Writes one line.
pub(super) fn say<T: Serialize>(stream: &mut TcpStream, what: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Longest line that is read: a table of 256 addresses and 200 times are far below.
const LONGEST: u64 = 1 << 20;

/// Reads one line; none at the end of the stream.
pub(super) fn hear<T: for<'a> Deserialize<'a>>(stream: &mut BufReader<TcpStream>) -> io::Result<Option<T>> {
    let mut line = String::new();
    let mut bounded = io::Read::take(&mut *stream, LONGEST);
    if bounded.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
}

impl Operation {
    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllReduce => "all_reduce",
            Self::AllToAll => "all_to_all",
            Self::PingPong => "ping_pong",
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, size) = (self.operation.name(), super::report::size(self.bytes));
        write!(f, "{name} of {size} over {} connections", self.connections)?;
        if self.operation == Operation::PingPong {
            write!(f, " between ranks {} and {}", self.pair.0, self.pair.1)?;
        }
        Ok(())
    }
}
