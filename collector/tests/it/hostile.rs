//! Clients that mean no good: ten thousand malformed requests, heads that never end, streams that nobody reads. The
//! daemon answers before, meanwhile and afterwards, and has no more threads, files or memory than before.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use orrery_units::Seed;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use crate::http::{PATIENCE, get};
use crate::process::{Server, command};

const NUM_MALFORMED: u64 = 10_000;
/// More than there are places for one address.
const NUM_SLOW: usize = 300;
/// What the allocator may keep of what clients made it ask for, in KiB. An assumption.
const KEPT_KIB: u64 = 8 << 10;

/// How long nothing changes in a process that is at peace.
const QUIET: Duration = Duration::from_millis(500);

/// What a process has of the system.
#[derive(Clone, Copy, Debug)]
struct Usage {
    threads: u64,
    files: usize,
    resident_kib: u64,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let field = |name: &str| -> u64 {
            let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
            let value = lines.next().and_then(|rest| rest.split_whitespace().nth(1));
            value
                .and_then(|value| value.parse().ok())
                .expect("the kernel tells it")
        };
        Self {
            threads: field("Threads"),
            files: std::fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("it runs")
                .count(),
            resident_kib: field("VmRSS"),
        }
    }

    /// What it has once that is the same for a while: connections that ended are let go.
    fn once_quiet(pid: u32) -> Self {
        let start = Instant::now();
        let mut last = (Self::of(pid), start);
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let usage = Self::of(pid);
            if (usage.threads, usage.files) != (last.0.threads, last.0.files) {
                last = (usage, Instant::now());
            } else if last.1.elapsed() > QUIET || start.elapsed() > PATIENCE {
                return usage;
            }
        }
    }
}

fn serve(more: &[&str]) -> Server {
    let mut command = command(&["serve", "--source", "demo", "--listen", "127.0.0.1:0"]);
    command.args(more);
    let server = Server::start(command);
    // What is made at the first use is there from here on.
    for page in ["/metrics", "/metrics/dcgm", "/healthz", "/nowhere"] {
        get(server.address, page);
    }
    server
}

#[expect(clippy::print_stderr, reason = "the figures are what this test is for")]
fn compare(what: &str, before: Usage, after: Usage) {
    eprintln!("{what}: before {before:?}, after {after:?}");
    assert_eq!(after.threads, before.threads, "{what}: threads");
    assert!(
        after.files <= before.files,
        "{what}: files: {before:?}, {after:?}"
    );
    assert!(
        after.resident_kib <= before.resident_kib + KEPT_KIB,
        "{what}: memory: {before:?}, {after:?}"
    );
}

/// The `number`-th malformed request: drawn anew every time, the same in every run.
fn malformed(number: u64) -> Vec<u8> {
    let mut rng = Seed::new(8).at("malformed request", &[number]).rng();
    let mut noise = |most: usize| -> Vec<u8> {
        let length = rng.random_range(0..=most);
        (0..length).map(|_| rng.random()).collect()
    };
    let junk = noise(200);
    let long = noise(20_000);
    let good = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n";
    let line = |start: &[u8], end: &[u8]| [start, &junk, end].concat();
    match number % 16 {
        0 => junk,
        1 => long,
        2 => {
            let mut flipped = good.to_vec();
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..flipped.len());
                flipped[at] = rng.random();
            }
            flipped
        }
        3 => good[..rng.random_range(0..good.len())].to_vec(),
        4 => line(b"GET /", b" HTTP/1.1\r\n\r\n"),
        5 => line(b"GET /metrics HTTP/", b"\r\n\r\n"),
        6 => line(b"GET /metrics HTTP/1.1\r\n", b": x\r\n\r\n"),
        7 => line(b"GET /metrics HTTP/1.1\r\nAccept: ", b"\r\n\r\n"),
        8 => [
            b"GET /healthz HTTP/1.1\r\n".to_vec(),
            b"A: b\r\n".repeat(rng.random_range(60..3000)),
        ]
        .concat(),
        9 => {
            let lengths = [
                "-1",
                "99999999999999999999",
                "0x10",
                "1, 2",
                "+5",
                " ",
                "1\r\nContent-Length: 2",
            ];
            let length = lengths.choose(&mut rng).expect("there are some");
            format!("POST /metrics HTTP/1.1\r\nContent-Length: {length}\r\n\r\nxx").into_bytes()
        }
        10 => line(
            b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"\r\n0\r\n\r\n",
        ),
        11 => b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        12 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x04\0\0\0\0\0".to_vec(),
        13 => line(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b""),
        14 => [&good[..good.len() - 4], &b"\nX:\ty\r\n z\r\r\n\0\r\n\r\n"[..]].concat(),
        _ => [good.repeat(rng.random_range(2..40)), junk].concat(),
    }
}

/// Sends `request` and reads whatever is answered, up to the end of the connection.
fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    // The daemon may hang up in the middle.
    let _sent = stream.write_all(request);
    let _shut = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn ten_thousand_malformed_requests_leave_no_trace() {
    let server = serve(&["--request-rate", "1000000"]);
    let pid = server.child.id();
    // The same kinds of requests, so that what the allocator keeps for them is there already.
    for number in 0..200 {
        send(server.address, &malformed(number));
    }
    let before = Usage::once_quiet(pid);
    for number in 0..NUM_MALFORMED {
        let answer = send(server.address, &malformed(number));
        let text = String::from_utf8_lossy(&answer);
        let is_http = text.is_empty() || text.starts_with("HTTP/1.1 ") || text.starts_with("HTTP/1.0 ");
        assert!(is_http, "request {number}: {text:.100}");
        if number % 1000 == 0 {
            assert!(
                get(server.address, "/metrics").1.contains("orrery_up 1\n"),
                "after {number}"
            );
        }
    }
    compare("10,000 malformed requests", before, Usage::once_quiet(pid));
    assert!(get(server.address, "/healthz").0.contains(" 200 "));
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(143), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are what this test is for")]
fn slow_clients_keep_nobody_from_asking_and_leave_no_trace() {
    let server = serve(&[]);
    let pid = server.child.id();
    let open = || TcpStream::connect(server.address).expect("the daemon listens");
    let mut warm: Vec<TcpStream> = (0..NUM_SLOW).map(|_| open()).collect();
    warm.clear();
    std::thread::sleep(Duration::from_millis(200));
    let before = Usage::once_quiet(pid);
    let head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let mut slow: Vec<TcpStream> = (0..NUM_SLOW).map(|_| open()).collect();
    // Streams that nobody reads, as many as one address may have.
    let mut deaf: Vec<TcpStream> = (0..16).map(|_| open()).collect();
    for stream in &mut deaf {
        stream
            .write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("it is sent");
    }
    let mut waits = Vec::new();
    for round in 0..20 {
        for stream in &mut slow {
            // Those that were let go get an error.
            let _sent = stream.write_all(&head[2 * round..2 * round + 2]);
        }
        let start = Instant::now();
        assert!(
            get(server.address, "/metrics").0.contains(" 200 "),
            "in round {round}"
        );
        waits.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let meanwhile = Usage::of(pid);
    eprintln!(
        "{NUM_SLOW} slow clients and 16 deaf streams: {meanwhile:?}, a scrape took {:?} at most",
        waits.iter().max()
    );
    assert!(
        meanwhile.files < before.files + 140,
        "128 connections of one address: {meanwhile:?}"
    );
    drop((slow, deaf));
    compare("slow clients", before, Usage::once_quiet(pid));
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(143), "{log}");
}
