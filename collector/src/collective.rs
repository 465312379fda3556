//! Collectives over TCP between hosts: what a network does where there is no NCCL, never mixed with what NCCL does.
//!
//! One process is the coordinator and rank 0, the others come to it. Every rank holds connections to every other one,
//! and one thread moves all bytes, so that a rank costs one core at most. Data is real: every sum is checked.

mod control;
mod coordinator;
mod mesh;
mod operation;
mod rank;
mod report;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

pub use control::Operation;
pub use report::{PairRow, Report, Row};

/// What is measured, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where rank 0 listens for the others.
    pub coordinator: SocketAddr,
    /// Which rank this is.
    pub rank: usize,
    /// How many there are.
    pub ranks: usize,
    /// What every rank must know to be let in.
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
    if let Err(fault) = check(session, sweep) {
        return (None, Err(fault));
    }
    if session.rank > 0 {
        return (None, rank::serve(session));
    }
    let listener = match std::net::TcpListener::bind(session.coordinator) {
        Ok(listener) => listener,
        Err(source) => {
            let doing = format!("listening on {}", session.coordinator);
            return (None, Err(CollectiveError::Network { doing, source }));
        }
    };
    let mut told = session.clone();
    if let Ok(address) = listener.local_addr() {
        // Port 0 took any free one.
        told.coordinator = address;
    }
    progress(&format!(
        "rank 0 of {} waits at {} for the others",
        told.ranks, told.coordinator
    ));
    std::thread::scope(|scope| {
        let own = scope.spawn(|| rank::serve(&told));
        let mut report = Report::new(&told);
        let outcome = coordinator::measure(&told, sweep, listener, &mut report, progress);
        // Its end follows from that of the others; what it says of it is said already.
        let own = own.join();
        if own.is_err() {
            let what = "rank 0 panicked".to_owned();
            let doing = "its part".to_owned();
            return (
                Some(report),
                outcome.and(Err(CollectiveError::Lost { what, doing })),
            );
        }
        (Some(report), outcome)
    })
}

fn check(session: &Session, sweep: &Sweep) -> Result<(), CollectiveError> {
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
    if let Some(size) = sweep
        .sizes
        .iter()
        .find(|&&size| size == 0 || size % 4 != 0 || size > 1 << 33)
    {
        return fault(format!("--size {size} is no multiple of 4 bytes up to 8 GiB"));
    }
    if let Some(count) = sweep
        .connections
        .iter()
        .find(|&&count| !(1..=16).contains(&count))
    {
        return fault(format!("--connections {count} is not from 1 to 16"));
    }
    Ok(())
}

/// Writes `line` where a person follows what goes on; nobody may be there.
pub(crate) fn tell(line: &str) {
    let _gone = writeln!(io::stderr(), "orrery-collector: {line}");
}

#[cfg(test)]
mod tests;
