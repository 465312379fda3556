//! A rank: comes to the coordinator, connects to the others, does what it is told and keeps its own time.

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::control::{Answer, Case, Operation, Order, hear, say};
use super::mesh::{Mesh, MeshError};
use super::{CollectiveError, Session, operation};

/// Time between two tries to reach a coordinator that is not there yet.
const RETRY: Duration = Duration::from_millis(50);

/// Serves until the coordinator says stop.
///
/// # Errors
/// When the coordinator cannot be reached, ends before it said stop, or another rank has gone.
pub(super) fn serve(session: &Session) -> Result<(), CollectiveError> {
    let gone = |what: &str| gone(session, what);
    let network = |doing: &str| {
        let doing = doing.to_owned();
        move |source| CollectiveError::Network { doing, source }
    };
    let mut stream = reach(session)?;
    let own = stream
        .local_addr()
        .map_err(network("asking for the own address"))?;
    let listener =
        TcpListener::bind(SocketAddr::new(own.ip(), 0)).map_err(network("listening for other ranks"))?;
    let data = listener
        .local_addr()
        .map_err(network("listening for other ranks"))?;
    let hello = Answer::Hello {
        rank: session.rank,
        ranks: session.ranks,
        transport: session.transport,
        token: session.token.clone(),
        data,
    };
    say(&mut stream, &hello).map_err(|_fault| gone("closed the connection at once"))?;
    let mut orders = BufReader::new(stream.try_clone().map_err(network("reading orders"))?);
    let mut mesh: Option<Mesh> = None;
    loop {
        let order = hear(&mut orders).map_err(|fault| gone(&format!("is not understood: {fault}")))?;
        let Some(order) = order else {
            return Err(gone("ended, or sent this rank away"));
        };
        let outcome = match (order, &mesh) {
            (Order::Stop, _) => return Ok(()),
            (
                Order::Meet {
                    session: key,
                    addresses,
                    connections,
                },
                _,
            ) => Mesh::meet(
                session.rank,
                &addresses,
                &listener,
                key,
                connections,
                session.timeout,
            )
            .map(|met| {
                mesh = Some(met);
                Answer::Ready
            }),
            (Order::Run(case), Some(mesh)) => run(mesh, &case),
            (Order::Run(_) | Order::Worker { .. }, _) => {
                return Err(gone("gave an order too early, or one of another transport"));
            }
        };
        let answer = outcome.unwrap_or_else(|fault| Answer::Fault(fault.to_string()));
        say(&mut stream, &answer).map_err(|_fault| gone("ended"))?;
    }
}

/// That the coordinator did `what`.
pub(super) fn gone(session: &Session, what: &str) -> CollectiveError {
    CollectiveError::Coordinator {
        coordinator: session.coordinator,
        what: what.to_owned(),
    }
}

/// The connection to the coordinator, which may start later than this rank.
pub(super) fn reach(session: &Session) -> Result<TcpStream, CollectiveError> {
    let deadline = Instant::now() + session.timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
        match TcpStream::connect_timeout(&session.coordinator, left) {
            Ok(stream) => {
                // Without it a line waits for the acknowledgement of the one before.
                let _slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(fault) if Instant::now() >= deadline => {
                return Err(CollectiveError::Coordinator {
                    coordinator: session.coordinator,
                    what: format!("cannot be reached: {fault}"),
                });
            }
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// Measures one case. Before every repeat all ranks meet, so that nobody's time begins while somebody else is late.
fn run(mesh: &Mesh, case: &Case) -> Result<Answer, MeshError> {
    let elements = usize::try_from(case.bytes / 4).expect("a size was checked");
    // Every rank's part of an all-to-all is as long as another's.
    let elements = match case.operation {
        Operation::AllToAll => elements / mesh.ranks * mesh.ranks,
        Operation::AllReduce | Operation::PingPong => elements,
    };
    let start: Vec<f32> = (0..elements)
        .map(|element| operation::initial(mesh.rank, element))
        .collect();
    let mut data = start.clone();
    let mut scratch = Vec::new();
    let (mut nanos, mut wrong) = (Vec::with_capacity(case.repeats), 0);
    let before = resent_segments();
    for repeat in 0..case.warm_ups + case.repeats {
        data.copy_from_slice(&start);
        mesh.barrier()?;
        let begin = Instant::now();
        match case.operation {
            Operation::AllReduce => operation::all_reduce(mesh, &mut data, &mut scratch, case.connections)?,
            Operation::AllToAll => {
                scratch.resize(elements, 0.0);
                operation::all_to_all(mesh, &start, &mut scratch, case.connections)?;
            }
            Operation::PingPong => operation::ping_pong(mesh, case.pair, &mut data, case.connections)?,
        }
        let spent = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if repeat >= case.warm_ups {
            nanos.push(spent);
        }
        wrong += match case.operation {
            Operation::AllReduce => operation::wrong_sums(mesh.ranks, &data),
            Operation::AllToAll => operation::wrong_parts(mesh.rank, mesh.ranks, &scratch),
            Operation::PingPong => wrong_echo(mesh, case, &data),
        };
    }
    let resent = before
        .zip(resent_segments())
        .map(|(before, after)| after.saturating_sub(before));
    Ok(Answer::Done { nanos, wrong, resent })
}

/// The first of a pair has its own message back, and so has the second.
fn wrong_echo(mesh: &Mesh, case: &Case, data: &[f32]) -> u64 {
    if ![case.pair.0, case.pair.1].contains(&mesh.rank) {
        return 0;
    }
    let expected = |element: usize| operation::initial(case.pair.0, element);
    let numbers = data.iter().enumerate();
    numbers
        .filter(|(at, number)| number.to_bits() != expected(*at).to_bits())
        .count() as u64
}

/// TCP segments that this network namespace has sent again since it began, as the kernel counts them.
fn resent_segments() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/snmp").ok()?;
    resent_in(&text)
}

/// `RetransSegs` of the two lines that begin with `Tcp:`, names and numbers.
fn resent_in(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == "RetransSegs")?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

/// A fault of the system that says nothing of who.
impl From<io::Error> for MeshError {
    fn from(fault: io::Error) -> Self {
        Self::System("the network".to_owned(), fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resent_segments_are_found_by_name() {
        let text = "Ip: A\nIp: 1\nTcp: RtoAlgorithm InSegs RetransSegs InErrs\nTcp: 1 200 17 0\n";
        assert_eq!(resent_in(text), Some(17));
        assert_eq!(resent_in("Tcp: A\n"), None);
    }
}
