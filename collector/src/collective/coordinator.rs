//! Rank 0's other half: waits for the ranks, tells them what to measure, and says who has gone when one has.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use orrery_kernels::statistics::Summary;
use orrery_units::SimDuration;

use super::control::{Answer, Case, Operation, Order, hear, say};
use super::report::{PairRow, Report, Row, ranks as rank_names};
use super::{CollectiveError, Session, Sweep};
use crate::server::Token;

/// Repeats before those that count.
const WARM_UPS: usize = 5;
/// Fewest and most repeats that count.
const REPEATS: (usize, usize) = (5, 200);
/// Size of a message whose latency is measured.
const LATENCY_BYTES: u64 = 8;
/// Time that a repeat may take beyond what the ranks themselves allow, until the silent one is known.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What a rank's reader hands on: what was said, or that the connection has ended.
type Heard = (usize, Option<Answer>);

/// The ranks, once all are here.
pub(super) struct Ranks<'a> {
    pub(super) session: &'a Session,
    streams: Vec<TcpStream>,
    answers: Receiver<Heard>,
}

/// Measures `sweep` with all ranks of `session`, filling `report` as it goes.
pub(super) fn measure(
    session: &Session,
    sweep: &Sweep,
    listener: TcpListener,
    report: &mut Report,
    progress: &mut dyn FnMut(&str),
) -> Result<(), CollectiveError> {
    let connections = sweep.connections.iter().copied().max().unwrap_or(1);
    let (mut ranks, addresses) = gather(session, &listener)?;
    drop(listener);
    let key = session_key();
    report.addresses.clone_from(&addresses);
    ranks.tell(&Order::Meet {
        session: key,
        addresses,
        connections,
    })?;
    ranks.collect(
        0..session.ranks,
        "connecting to each other",
        session.timeout * 2 + GRACE,
    )?;
    progress(&format!("{} ranks are connected", session.ranks));
    for &operation in &sweep.operations {
        for &connections in &sweep.connections {
            if operation == Operation::PingPong {
                // Latency is that of one connection; more of them share nothing of 8 bytes.
                if Some(&connections) == sweep.connections.first() {
                    pairs(&mut ranks, sweep, report, progress)?;
                }
                continue;
            }
            for &bytes in &sweep.sizes {
                let case = Case {
                    operation,
                    bytes,
                    connections,
                    pair: (0, 0),
                    warm_ups: WARM_UPS,
                    repeats: 1,
                };
                let row = ranks.row(case, sweep.budget)?;
                progress(&row.line());
                report.rows.push(row);
            }
        }
    }
    ranks.tell(&Order::Stop)
}

fn pairs(
    ranks: &mut Ranks<'_>,
    sweep: &Sweep,
    report: &mut Report,
    progress: &mut dyn FnMut(&str),
) -> Result<(), CollectiveError> {
    let count = ranks.session.ranks;
    for first in 0..count {
        for second in first + 1..count {
            let case = Case {
                operation: Operation::PingPong,
                bytes: LATENCY_BYTES,
                connections: 1,
                pair: (first, second),
                warm_ups: WARM_UPS,
                repeats: 1,
            };
            let row = ranks.row(case, sweep.budget)?;
            let pair = PairRow::of(first, second, &row);
            progress(&pair.line());
            report.pairs.push(pair);
        }
    }
    Ok(())
}

/// A number that strangers do not guess by chance: connections of another session are sent away by it.
fn session_key() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Keyed by the system's random numbers.
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

/// Waits for every rank; where each listens.
pub(super) fn gather<'a>(
    session: &'a Session,
    listener: &TcpListener,
) -> Result<(Ranks<'a>, Vec<SocketAddr>), CollectiveError> {
    let network = |source| CollectiveError::Network {
        doing: "waiting for ranks".to_owned(),
        source,
    };
    listener.set_nonblocking(true).map_err(network)?;
    let (queue, answers) = mpsc::channel();
    let mut places: Vec<Option<(TcpStream, SocketAddr)>> = Vec::new();
    places.resize_with(session.ranks, || None);
    let deadline = Instant::now() + session.timeout;
    while places.iter().any(Option::is_none) {
        match listener.accept() {
            Ok((stream, from)) => match admit(session, stream) {
                Ok((rank, stream, _)) if places[rank].is_some() => {
                    super::tell(&format!("a second rank {rank} from {from} is sent away"));
                    drop(stream);
                }
                Ok((rank, stream, data)) => {
                    let reader = stream.try_clone().map_err(network)?;
                    let queue = queue.clone();
                    std::thread::spawn(move || listen(rank, reader, &queue));
                    places[rank] = Some((stream, data));
                }
                Err(reason) => super::tell(&format!("{from} is sent away: {reason}")),
            },
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => {
                places.iter().flatten().for_each(|(stream, _)| end(stream));
                let missing = (0..session.ranks).filter(|&rank| places[rank].is_none());
                return Err(CollectiveError::Missing {
                    missing: rank_names(missing),
                    coordinator: session.coordinator,
                    seconds: session.timeout.as_secs(),
                });
            }
        }
    }
    let (streams, addresses) = places.into_iter().flatten().unzip();
    let ranks = Ranks {
        session,
        streams,
        answers,
    };
    Ok((ranks, addresses))
}

/// Longest that somebody who has come may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(2);

fn admit(session: &Session, stream: TcpStream) -> Result<(usize, TcpStream, SocketAddr), String> {
    let words = |fault: std::io::Error| fault.to_string();
    let expected = Token::of(session.token.as_bytes());
    stream.set_nonblocking(false).map_err(words)?;
    stream.set_nodelay(true).map_err(words)?;
    stream.set_read_timeout(Some(INTRODUCTION)).map_err(words)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(words)?);
    let hello: Option<Answer> = hear(&mut reader).map_err(words)?;
    stream.set_read_timeout(None).map_err(words)?;
    match hello {
        Some(Answer::Hello { token, .. }) if !expected.is(token.as_bytes()) => {
            Err("its token is another".to_owned())
        }
        Some(Answer::Hello { transport, .. }) if transport != session.transport => Err(format!(
            "it moves bytes by {}, not {}",
            transport.name(),
            session.transport.name()
        )),
        Some(Answer::Hello { ranks, .. }) if ranks != session.ranks => {
            Err(format!("it counts {ranks} ranks, not {}", session.ranks))
        }
        Some(Answer::Hello { rank, .. }) if rank >= session.ranks => Err(format!("there is no rank {rank}")),
        Some(Answer::Hello { rank, data, .. }) => Ok((rank, stream, data)),
        _ => Err("it is no rank".to_owned()),
    }
}

fn listen(rank: usize, stream: TcpStream, queue: &Sender<Heard>) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(answer)) = hear(&mut reader) {
        if queue.send((rank, Some(answer))).is_err() {
            return;
        }
    }
    // Nobody may be waiting any more.
    let _over = queue.send((rank, None));
}

/// Ends a connection for everybody who holds it: its reader has a handle of its own.
fn end(stream: &TcpStream) {
    // One that has ended cannot be ended.
    let _ended = stream.shutdown(std::net::Shutdown::Both);
}

impl Drop for Ranks<'_> {
    fn drop(&mut self) {
        self.streams.iter().for_each(end);
    }
}

impl Ranks<'_> {
    pub(super) fn tell(&mut self, order: &Order) -> Result<(), CollectiveError> {
        (0..self.streams.len()).try_for_each(|rank| self.tell_one(rank, order))
    }

    pub(super) fn tell_one(&mut self, rank: usize, order: &Order) -> Result<(), CollectiveError> {
        say(&mut self.streams[rank], order)
            .map_err(|_fault| lost(format!("rank {rank} has ended"), "giving orders"))
    }

    /// One answer of every rank of `those`. A rank that has ended is the reason; ranks that complain of it are not.
    pub(super) fn collect(
        &mut self,
        those: Range<usize>,
        doing: &str,
        patience: Duration,
    ) -> Result<Vec<Answer>, CollectiveError> {
        let mut answers: Vec<Option<Answer>> = vec![None; self.session.ranks];
        let mut complaint: Option<String> = None;
        let mut deadline = Instant::now() + patience;
        while answers[those.clone()].iter().any(Option::is_none) {
            match self
                .answers
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok((rank, None)) => {
                    let address = self.streams[rank].peer_addr();
                    let at = address
                        .map(|address| format!(" ({})", address.ip()))
                        .unwrap_or_default();
                    return Err(lost(format!("rank {rank}{at} has ended without a word"), doing));
                }
                Ok((rank, Some(Answer::Fault(fault)))) => {
                    // Whoever it complains of may be heard to end in a moment.
                    complaint.get_or_insert_with(|| format!("rank {rank} says: {fault}"));
                    deadline = deadline.min(Instant::now() + Duration::from_millis(500));
                    answers[rank] = Some(Answer::Ready);
                }
                Ok((rank, Some(answer))) => answers[rank] = Some(answer),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let silent = those.clone().filter(|&rank| answers[rank].is_none());
                    let silent = format!("{} did not answer in {patience:?}", rank_names(silent));
                    return Err(lost(complaint.unwrap_or(silent), doing));
                }
            }
        }
        match complaint {
            Some(complaint) => Err(lost(complaint, doing)),
            None => Ok(answers.drain(those).flatten().collect()),
        }
    }

    /// Measures `case`: once to see how long it takes, then as often as the budget allows.
    fn row(&mut self, case: Case, budget: Duration) -> Result<Row, CollectiveError> {
        let (first, ..) = self.run(case)?;
        let once = first.first().copied().unwrap_or(1).max(1);
        let fitting = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX) / once;
        let repeats = usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .clamp(REPEATS.0, REPEATS.1);
        let (nanos, wrong, resent) = self.run(Case {
            warm_ups: 0,
            repeats,
            ..case
        })?;
        let times: Vec<SimDuration> = nanos.into_iter().map(SimDuration::from_nanos).collect();
        let summary =
            Summary::of(&times).ok_or_else(|| lost("no rank measured".to_owned(), &case.to_string()))?;
        Ok(Row {
            operation: case.operation,
            bytes: case.bytes,
            connections: case.connections,
            ranks: self.session.ranks,
            time: summary,
            wrong,
            resent,
        })
    }

    /// Times of every repeat, the latest rank's each: a collective ends when the last one does. For a pair, the first's.
    fn run(&mut self, case: Case) -> Result<(Vec<u64>, u64, Option<u64>), CollectiveError> {
        self.tell(&Order::Run(case))?;
        // Ranks give up by themselves when nothing moves; that is heard well before this.
        let patience =
            (self.session.timeout + GRACE) * u32::try_from(case.warm_ups + case.repeats).unwrap_or(u32::MAX);
        let answers = self.collect(0..self.session.ranks, &case.to_string(), patience)?;
        let (mut latest, mut wrong, mut resent) = (vec![0; case.repeats], 0, Some(0));
        for (rank, answer) in answers.into_iter().enumerate() {
            let Answer::Done {
                nanos,
                wrong: own,
                resent: again,
            } = answer
            else {
                return Err(lost(
                    format!("rank {rank} answered something else"),
                    &case.to_string(),
                ));
            };
            wrong += own;
            resent = resent.zip(again).map(|(sum, own)| sum + own);
            if case.operation != Operation::PingPong || rank == case.pair.0 {
                latest
                    .iter_mut()
                    .zip(nanos)
                    .for_each(|(latest, own)| *latest = own.max(*latest));
            }
        }
        Ok((latest, wrong, resent))
    }
}

pub(super) fn lost(what: String, doing: &str) -> CollectiveError {
    CollectiveError::Lost {
        what,
        doing: doing.to_owned(),
    }
}
