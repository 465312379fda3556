//! Collectives between hosts: over TCP, which is what a network does where there is no NCCL, or by NCCL. One is never mixed
//! with the other.
//!
//! One process is the coordinator and rank 0, the others come to it and show a token. Over TCP every rank holds connections to
//! every other one, and one thread moves all bytes, so that a rank costs one core at most; by NCCL a rank has a device, and a
//! worker that drives it (`nccl`). Data is real: every sum is checked.

mod control;
mod coordinator;
mod mesh;
mod nccl;
mod operation;
mod rank;
mod report;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

pub use control::Operation;
pub use nccl::{NcclReport, NcclRow, NcclSweep, Seat};
pub use report::{PairRow, Report, Row};
use serde::{Deserialize, Serialize};

use crate::server::{MAKE_TOKEN, SHORTEST};

/// What moves the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP over the hosts' own network.
    #[default]
    Tcp,
    /// NCCL, between devices.
    Nccl,
}

/// What is measured, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where rank 0 listens for the others.
    pub coordinator: SocketAddr,
    /// Which rank this is.
    pub rank: usize,
    /// How many there are.
    pub ranks: usize,
    /// What moves the bytes.
    pub transport: Transport,
    /// What every rank must show to be let in.
    pub token: String,
    /// Longest that nothing may happen: while ranks come, and while bytes are on their way.
    pub timeout: Duration,
}

/// What rank 0 has measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Operations.
    pub operations: Vec<Operation>,
    /// Sizes in bytes, as nccl-tests counts them; multiples of 4.
    pub sizes: Vec<u64>,
    /// Connections between two ranks.
    pub connections: Vec<usize>,
    /// Time for each size, after a few repeats to warm up.
    pub budget: Duration,
}

/// Why it could not be measured. Ranks that have gone are named.
#[derive(Debug, thiserror::Error)]
pub enum CollectiveError {
    /// A session that cannot be.
    #[error("{0}")]
    Session(String),
    /// Not every rank came.
    #[error(
        "{missing} did not come to {coordinator} within {seconds} s\n  = help: start it with the same --coordinator, --ranks and --token; check that the port is open"
    )]
    Missing {
        /// Ranks that did not come.
        missing: String,
        /// Where they should have come.
        coordinator: SocketAddr,
        /// How long was waited.
        seconds: u64,
    },
    /// A rank has gone, or says nothing.
    #[error(
        "{what} while {doing} ran\n  = help: see what that rank wrote before it ended; results until then stand above"
    )]
    Lost {
        /// What happened to whom.
        what: String,
        /// What was being measured.
        doing: String,
    },
    /// The coordinator cannot be reached, or ended.
    #[error(
        "the coordinator at {coordinator} {what}\n  = help: start rank 0 there; it tells what went wrong"
    )]
    Coordinator {
        /// Where it should be.
        coordinator: SocketAddr,
        /// What happened.
        what: String,
    },
    /// The network refused what it takes.
    #[error("{doing}: {source}")]
    Network {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes part in `session`. Rank 0 measures `sweep`, prints rows as they come with `progress`, and has a report, which is
/// partial when it ends with an error; the others have none.
///
/// # Errors
/// When the session cannot be, a rank does not come, goes or falls silent, or the coordinator ends.
pub fn take_part(
    session: &Session,
    sweep: &Sweep,
    progress: &mut dyn FnMut(&str),
) -> (Option<Report>, Result<(), CollectiveError>) {
    if let Err(fault) = check(session, &sweep.sizes).and_then(|()| check_connections(sweep)) {
        return (None, Err(fault));
    }
    if session.rank > 0 {
        return (None, rank::serve(session));
    }
    let (told, listener) = match listen(session, progress) {
        Ok(listening) => listening,
        Err(fault) => return (None, Err(fault)),
    };
    let mut report = Report::new(&told);
    let own = || rank::serve(&told);
    let outcome = together(own, || {
        coordinator::measure(&told, sweep, listener, &mut report, progress)
    });
    (Some(report), outcome)
}

/// The same by NCCL: every rank takes part with its `seat`.
///
/// # Errors
/// As [`take_part`], and where a driver or the library is missing or refuses, or a result is wrong.
pub fn take_part_by_nccl(
    session: &Session,
    seat: &Seat,
    sweep: &NcclSweep,
    progress: &mut dyn FnMut(&str),
) -> (Option<NcclReport>, Result<(), CollectiveError>) {
    if let Err(fault) = check(session, &sweep.sizes).and_then(|()| check_token(session)) {
        return (None, Err(fault));
    }
    if session.rank > 0 {
        return (None, nccl::serve(session, seat));
    }
    let (told, listener) = match listen(session, progress) {
        Ok(listening) => listening,
        Err(fault) => return (None, Err(fault)),
    };
    let mut report = NcclReport::new(told.ranks);
    let own = || nccl::serve(&told, seat);
    let outcome = together(own, || {
        nccl::measure(&told, sweep, listener, &mut report, progress)
    });
    (Some(report), outcome)
}

/// Where rank 0 waits for the others: the session with the port that it got.
fn listen(
    session: &Session,
    progress: &mut dyn FnMut(&str),
) -> Result<(Session, TcpListener), CollectiveError> {
    let listener = TcpListener::bind(session.coordinator).map_err(|source| CollectiveError::Network {
        doing: format!("listening on {}", session.coordinator),
        source,
    })?;
    let mut told = session.clone();
    if let Ok(address) = listener.local_addr() {
        // Port 0 took any free one.
        told.coordinator = address;
    }
    progress(&format!(
        "rank 0 of {} waits at {} for the others",
        told.ranks, told.coordinator
    ));
    Ok((told, listener))
}

/// Rank 0's own part beside what it has all ranks do.
fn together(
    own: impl FnOnce() -> Result<(), CollectiveError> + Send,
    measure: impl FnOnce() -> Result<(), CollectiveError>,
) -> Result<(), CollectiveError> {
    std::thread::scope(|scope| {
        let own = scope.spawn(own);
        let outcome = measure();
        // Its end follows from that of the others; what it says of it is said already.
        if own.join().is_err() {
            let what = "rank 0 panicked".to_owned();
            let doing = "its part".to_owned();
            return outcome.and(Err(CollectiveError::Lost { what, doing }));
        }
        outcome
    })
}

/// Who is handed what ranks of NCCL find each other by has shown a token that cannot be guessed.
fn check_token(session: &Session) -> Result<(), CollectiveError> {
    if session.token.len() >= SHORTEST {
        return Ok(());
    }
    Err(CollectiveError::Session(format!(
        "ranks of NCCL are let in by a token of {SHORTEST} characters at least\n  = help: name it with --token-file; make \
         one with `{MAKE_TOKEN}`"
    )))
}

fn check(session: &Session, sizes: &[u64]) -> Result<(), CollectiveError> {
    let fault = |text: String| Err(CollectiveError::Session(text));
    if !(2..=256).contains(&session.ranks) {
        return fault(format!("--ranks {} is not from 2 to 256", session.ranks));
    }
    if session.rank >= session.ranks {
        let last = session.ranks - 1;
        return fault(format!("--rank {} is not from 0 to {last}", session.rank));
    }
    if session.coordinator.ip().is_unspecified() {
        return fault(format!(
            "--coordinator {} is no address that others can connect to\n  = help: name the address of this host that they reach",
            session.coordinator
        ));
    }
    if session.timeout < Duration::from_millis(100) {
        return fault("--timeout is below 100 ms, which a loaded host takes by itself".to_owned());
    }
    if let Some(size) = sizes
        .iter()
        .find(|&&size| size == 0 || size % 4 != 0 || size > 1 << 33)
    {
        return fault(format!("--size {size} is no multiple of 4 bytes up to 8 GiB"));
    }
    Ok(())
}

fn check_connections(sweep: &Sweep) -> Result<(), CollectiveError> {
    let mut wrong = sweep
        .connections
        .iter()
        .filter(|&&count| !(1..=16).contains(&count));
    wrong.next().map_or(Ok(()), |count| {
        Err(CollectiveError::Session(format!(
            "--connections {count} is not from 1 to 16"
        )))
    })
}

impl Transport {
    /// The label of its results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Nccl => "nccl",
        }
    }
}

/// Writes `line` where a person follows what goes on; nobody may be there.
pub(crate) fn tell(line: &str) {
    let _gone = writeln!(io::stderr(), "orrery-collector: {line}");
}

#[cfg(test)]
mod tests;
