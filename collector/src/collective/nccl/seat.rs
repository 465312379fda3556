//! A rank of NCCL on its host: has its worker do what the coordinator says, and ends it when that one is gone.

use std::io::BufReader;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::super::control::{Answer, Order, hear, say};
use super::super::rank::{gone, reach};
use super::super::{CollectiveError, Session};
use super::Seat;
use crate::calibrate::{Answer as Said, Order as Wanted, Supervisor, WorkerFault};

/// Between two looks at the worker and at the coordinator.
const LOOK: Duration = Duration::from_millis(2);

/// Serves until the coordinator says stop. The worker does what ranks do and nothing else, with the device of this rank.
///
/// # Errors
/// When the coordinator cannot be reached, or ends before it said stop.
pub(in super::super) fn serve(session: &Session, seat: &Seat) -> Result<(), CollectiveError> {
    let mut stream = reach(session)?;
    let network = |source| CollectiveError::Network {
        doing: "reading orders".to_owned(),
        source,
    };
    let hello = Answer::Hello {
        rank: session.rank,
        ranks: session.ranks,
        transport: session.transport,
        token: session.token.clone(),
        data: stream.local_addr().map_err(network)?,
    };
    say(&mut stream, &hello).map_err(|_fault| gone(session, "closed the connection at once"))?;
    let orders = follow(stream.try_clone().map_err(network)?);
    let mut worker = Supervisor::new(seat.worker.clone(), Duration::ZERO);
    loop {
        let Ok(order) = orders.recv() else {
            return Err(gone(session, "ended, or sent this rank away"));
        };
        let answer = match order {
            Order::Stop => return Ok(()),
            Order::Worker { order, seconds } => {
                let longest = session.timeout + Duration::from_secs(seconds);
                match allowed(order, session, seat) {
                    Some(order) => ask(session, &mut worker, &order, longest, &orders)?,
                    None => Answer::Fault("this is no order of a rank's".to_owned()),
                }
            }
            Order::Meet { .. } | Order::Run(_) => Answer::Fault("this rank moves nothing by TCP".to_owned()),
        };
        say(&mut stream, &answer).map_err(|_fault| gone(session, "ended"))?;
    }
}

/// What the coordinator may have this worker do: what a rank does, with its own device and its own place.
fn allowed(order: Wanted, session: &Session, seat: &Seat) -> Option<Wanted> {
    match order {
        Wanted::Join { identity, .. } => Some(Wanted::Join {
            device: seat.device,
            rank: session.rank,
            ranks: session.ranks,
            identity,
        }),
        Wanted::Identity | Wanted::Begin { .. } | Wanted::Prepare { .. } | Wanted::Time { .. } => Some(order),
        Wanted::Libraries | Wanted::Devices | Wanted::Look { .. } | Wanted::Measure { .. } => None,
    }
}

/// Orders as they come; the end of the connection is the end of them.
fn follow(stream: TcpStream) -> Receiver<Order> {
    let (queue, orders) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        while let Ok(Some(order)) = hear(&mut reader) {
            if queue.send(order).is_err() {
                return;
            }
        }
    });
    orders
}

/// The worker's answer. Ranks wait for each other inside NCCL: a worker whose coordinator is gone is ended at once.
fn ask(
    session: &Session,
    worker: &mut Supervisor,
    order: &Wanted,
    longest: Duration,
    orders: &Receiver<Order>,
) -> Result<Answer, CollectiveError> {
    let deadline = Instant::now() + longest;
    let answer = match worker.tell(order) {
        Err(fault) => Err(fault),
        Ok(()) => loop {
            if let Some(answer) = worker.hear(LOOK) {
                break answer;
            }
            // Nobody gives a second order before the first is answered.
            if orders.try_recv() != Err(TryRecvError::Empty) {
                worker.let_go();
                return Err(gone(session, "ended while this rank measured"));
            }
            if Instant::now() >= deadline {
                worker.let_go();
                break Err(WorkerFault::Silent(longest));
            }
        },
    };
    Ok(match answer {
        Ok(Said::Fault(reason) | Said::Wrong(reason)) => Answer::Fault(in_one_line(&reason)),
        Ok(said) => Answer::Worker(said),
        Err(fault) => Answer::Fault(in_one_line(&fault.to_string())),
    })
}

/// A reason with its remedies, which stand on lines of their own, in one.
fn in_one_line(reason: &str) -> String {
    let lines = reason.lines().map(|line| line.trim_start_matches([' ', '=']));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::Transport;

    /// Whoever is the coordinator has a rank's device do what ranks do, and chooses neither device nor place.
    #[test]
    fn a_coordinator_chooses_neither_device_nor_place() {
        let session = Session {
            coordinator: "127.0.0.1:1".parse().unwrap(),
            rank: 1,
            ranks: 2,
            transport: Transport::Nccl,
            token: String::new(),
            timeout: Duration::from_secs(1),
        };
        let seat = Seat {
            worker: Vec::new(),
            device: 5,
        };
        let identity = "00".repeat(128).parse().unwrap();
        let join = Wanted::Join {
            device: 0,
            rank: 0,
            ranks: 9,
            identity,
        };
        match allowed(join, &session, &seat) {
            Some(Wanted::Join {
                device, rank, ranks, ..
            }) => assert_eq!((device, rank, ranks), (5, 1, 2)),
            other => panic!("{other:?}"),
        }
        for other in [Wanted::Libraries, Wanted::Devices, Wanted::Look { device: 0 }] {
            assert_eq!(allowed(other, &session, &seat), None);
        }
        assert_eq!(in_one_line("no driver\n  = help: so"), "no driver; help: so");
    }
}
