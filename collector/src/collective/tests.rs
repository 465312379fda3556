//! Sessions over loopback, a thread for each rank.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::operation::{initial, wrong_parts, wrong_sums};
use super::{CollectiveError, Operation, Report, Session, Sweep, Transport, take_part};

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn session(coordinator: SocketAddr, rank: usize, ranks: usize) -> Session {
    Session {
        coordinator,
        rank,
        ranks,
        transport: Transport::Tcp,
        token: "word".to_owned(),
        timeout: Duration::from_secs(20),
    }
}

fn sweep(sizes: &[u64]) -> Sweep {
    Sweep {
        operations: vec![Operation::PingPong, Operation::AllReduce, Operation::AllToAll],
        sizes: sizes.to_vec(),
        connections: vec![1, 3],
        budget: Duration::from_millis(5),
    }
}

type Ended = (Option<Report>, Result<(), CollectiveError>);

fn run(sessions: Vec<Session>, sweep: &Sweep) -> Vec<Ended> {
    thread::scope(|scope| {
        let running: Vec<_> = sessions
            .into_iter()
            .map(|session| scope.spawn(move || take_part(&session, sweep, &mut |_line| {})))
            .collect();
        running.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Sizes that no number of ranks or connections divides, and one that a socket's buffer does not hold.
#[test]
fn every_operation_is_correct_for_every_number_of_ranks() {
    for ranks in [2, 3, 4] {
        let address = free_address();
        let sessions = (0..ranks).map(|rank| session(address, rank, ranks)).collect();
        let mut ended = run(sessions, &sweep(&[4, 4092, 1 << 20]));
        for (rank, (_, outcome)) in ended.iter().enumerate() {
            assert!(outcome.is_ok(), "rank {rank} of {ranks}: {outcome:?}");
        }
        let report = ended.swap_remove(0).0.unwrap();
        assert!(report.is_correct(), "{}", report.text());
        assert_eq!(report.pairs.len(), ranks * (ranks - 1) / 2);
        assert_eq!(report.rows.len(), 2 * 2 * 3, "operations, connections, sizes");
        for row in &report.rows {
            let (algorithm, bus) = row.bandwidths();
            assert!(row.time.count >= 5 && algorithm > 0.0 && bus > 0.0, "{row:?}");
        }
        let json = report.json();
        assert_eq!(json["transport"], "tcp");
        assert_eq!(json["collectives"].as_array().unwrap().len(), 12);
    }
}

#[test]
fn a_wrong_number_is_counted() {
    let sum = |element: usize| 3.0 * (element % 251) as f32 + 3.0;
    let mut data: Vec<f32> = (0..300).map(sum).collect();
    assert_eq!(wrong_sums(3, &data), 0);
    data[17] += 1.0;
    assert_eq!(wrong_sums(3, &data), 1);
    // Part `p` of rank 1's result is part 1 of rank `p`.
    let mut parts: Vec<f32> = (0..4).map(|at| initial(at / 2, 2 + at % 2)).collect();
    assert_eq!(wrong_parts(1, 2, &parts), 0);
    parts.swap(0, 3);
    assert_eq!(wrong_parts(1, 2, &parts), 2);
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let mut alone = session(free_address(), 0, 3);
    alone.timeout = Duration::from_millis(300);
    let begin = Instant::now();
    let (_, outcome) = take_part(&alone, &sweep(&[4]), &mut |_line| {});
    let fault = outcome.unwrap_err().to_string();
    assert!(
        fault.starts_with("ranks 1, 2 did not come to 127.0.0.1:"),
        "{fault}"
    );
    assert!(
        fault.contains("= help: start it with the same --coordinator"),
        "{fault}"
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_rank_with_another_word_is_sent_away() {
    let address = free_address();
    let mut sessions = vec![session(address, 0, 2), session(address, 1, 2)];
    sessions[0].timeout = Duration::from_millis(600);
    sessions[1].token = "another".to_owned();
    let ended = run(sessions, &sweep(&[4]));
    let fault = |rank: usize| ended[rank].1.as_ref().unwrap_err().to_string();
    assert!(fault(0).starts_with("rank 1 did not come"), "{}", fault(0));
    assert!(fault(1).contains("sent this rank away"), "{}", fault(1));
}

#[test]
fn sessions_that_cannot_be_are_refused_before_anything_is_opened() {
    let good = session("127.0.0.1:1".parse().unwrap(), 0, 2);
    let refused = |change: &dyn Fn(&mut Session, &mut Sweep), words: &str| {
        let (mut session, mut sweep) = (good.clone(), sweep(&[4]));
        change(&mut session, &mut sweep);
        let fault = take_part(&session, &sweep, &mut |_line| {}).1.unwrap_err();
        assert!(matches!(fault, CollectiveError::Session(_)), "{fault:?}");
        assert!(fault.to_string().contains(words), "{fault}");
    };
    refused(&|session, _| session.ranks = 1, "--ranks 1");
    refused(&|session, _| session.rank = 2, "--rank 2 is not from 0 to 1");
    refused(
        &|session, _| session.coordinator = "0.0.0.0:1".parse().unwrap(),
        "no address",
    );
    refused(&|session, _| session.timeout = Duration::ZERO, "--timeout");
    refused(&|_, sweep| sweep.sizes = vec![6], "--size 6");
    refused(&|_, sweep| sweep.connections = vec![0], "--connections 0");
}
