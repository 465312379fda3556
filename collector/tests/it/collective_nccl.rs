//! `collective --transport nccl` between two "hosts" on loopback, with a driver and a library that are fakes and add up for
//! real: who is let in, what is measured, and what becomes of a rank that goes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::fake_cuda::driver;
use crate::process::{Held, command};

/// Drivers and tokens of a session.
struct Session {
    libraries: TempDir,
    coordinator: SocketAddr,
    /// Devices of each host.
    devices: usize,
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("it has an address")
}

impl Session {
    fn new(libraries: &[&str]) -> Self {
        Self {
            libraries: driver(libraries),
            coordinator: free_address(),
            devices: 2,
        }
    }

    /// A file of this mode that holds `token`.
    fn token(&self, name: &str, token: &str, mode: u32) -> PathBuf {
        let path = self.libraries.path().join(name);
        std::fs::write(&path, format!("{token}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        path
    }

    fn right(&self) -> PathBuf {
        self.token("token", "0123456789abcdef0123456789abcdef", 0o600)
    }

    /// Rank `rank` of two, each with a device of its own.
    fn rank(&self, rank: usize, token: Option<&Path>, more: &[&str]) -> Held {
        let (coordinator, rank) = (self.coordinator.to_string(), rank.to_string());
        let mut command = command(&["collective", "--ranks", "2", "--coordinator", &coordinator]);
        command.args(["--rank", &rank, "--device", &rank, "--timeout", "4s"]);
        if let Some(token) = token {
            command.arg("--token-file").arg(token);
        }
        if !more.contains(&"--transport") {
            command.args(["--transport", "nccl"]);
        }
        command
            .args(more)
            .env("LD_LIBRARY_PATH", self.libraries.path())
            .env("ORRERY_FAKE_CUDA_DEVICES", self.devices.to_string());
        Held::start(&mut command)
    }
}

const SHORT: [&str; 6] = [
    "--size",
    "4 KiB,64 KiB",
    "--budget",
    "200ms",
    "--op",
    "all-reduce,all-gather",
];

#[test]
fn two_hosts_add_up_and_their_results_are_those_of_nccl() {
    let session = Session::new(&["libnccl.so"]);
    let token = session.right();
    let other = session.rank(1, Some(&token), &SHORT);
    let (code, out, words) = session
        .rank(0, Some(&token), &[&SHORT[..], &["--format", "json"]].concat())
        .wait();
    assert_eq!(code, Some(0), "{out}{words}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["schema"], &report["transport"]),
        (&"collective/1".into(), &"nccl".into())
    );
    let rows = report["collectives"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{out}");
    for row in rows {
        let (op, error) = (row["op"].as_str().unwrap(), row["error"].as_f64().unwrap());
        assert!(error < 1e-2 && (error > 0.0) == (op == "all_reduce"), "{row}");
        assert_eq!(
            (&row["transport"], &row["launching"]),
            (&"nccl".into(), &"graph".into()),
            "{row}"
        );
        assert!(row["t"]["p50"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(
        !out.contains("0123456789abcdef") && !words.contains("0123456789abcdef"),
        "{out}{words}"
    );
    let (code, out, words) = other.wait();
    assert_eq!((code, out.as_str()), (Some(0), ""), "{words}");
}

/// Ranks of NCCL are let in by a token in a file that is theirs alone, and by nothing else.
#[test]
fn without_a_token_of_its_own_no_rank_begins() {
    let session = Session::new(&["libnccl.so"]);
    let shared = session.token("shared", "0123456789abcdef", 0o644);
    let short = session.token("short", "word", 0o600);
    for (token, more, expected) in [
        (None, &[][..], "let in by a token of 16 characters at least"),
        (
            None,
            &["--token", "0123456789abcdef0123"],
            "name it with --token-file",
        ),
        (
            Some(shared.as_path()),
            &[],
            "others may read the secret, its mode is 644",
        ),
        (
            Some(short.as_path()),
            &[],
            "a token is 16 to 4096 visible ASCII characters",
        ),
    ] {
        for rank in [0, 1] {
            let (code, out, words) = session.rank(rank, token, more).wait();
            assert_eq!((code, out.as_str()), (Some(2), ""), "{words}");
            assert!(words.contains(expected), "{words}");
        }
    }
    let (code, _, words) = session
        .rank(0, Some(&session.right()), &["--op", "ping-pong"])
        .wait();
    assert_eq!(code, Some(2), "{words}");
    assert!(
        words.contains("--op ping-pong is not one of --transport nccl"),
        "{words}"
    );
}

/// Whoever shows another token, or comes by TCP, is sent away, and so is one that shows nothing: none of them hears a word.
#[test]
fn a_wrong_token_and_another_transport_are_sent_away() {
    let session = Session::new(&["libnccl.so"]);
    let (right, wrong) = (session.right(), session.token("wrong", "fedcba9876543210", 0o600));
    let first = session.rank(0, Some(&right), &SHORT);
    let wrong = session.rank(1, Some(&wrong), &SHORT);
    let by_tcp = session.rank(1, Some(&right), &["--transport", "tcp"]);
    let begin = Instant::now();
    let mut stranger = loop {
        match TcpStream::connect(session.coordinator) {
            Ok(stream) => break stream,
            Err(fault) => assert!(begin.elapsed() < Duration::from_secs(4), "{fault}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let hello = r#"{"Hello":{"rank":1,"ranks":2,"transport":"nccl","token":"","data":"127.0.0.1:1"}}"#;
    stranger.write_all(format!("{hello}\n").as_bytes()).unwrap();
    stranger.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heard = Vec::new();
    // The connection may be reset instead of closed: either way nothing is said.
    let _ended = stranger.read_to_end(&mut heard);
    assert_eq!(heard, b"", "nothing is said to strangers");
    let (code, out, words) = first.wait();
    assert_eq!(code, Some(3), "{out}{words}");
    for expected in [
        "is sent away: its token is another",
        "is sent away: it moves bytes by tcp, not nccl",
        "rank 1 did not come",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    for rank in [wrong, by_tcp] {
        let (code, _, words) = rank.wait();
        assert_eq!(code, Some(3), "{words}");
        assert!(words.contains("sent this rank away"), "{words}");
    }
}

#[test]
fn without_a_library_or_a_device_it_is_told_what_is_missing() {
    let without_second = Session {
        devices: 1,
        ..Session::new(&["libnccl.so"])
    };
    for (session, expected) in [
        (
            Session::new(&[]),
            "rank 0 says: `libnccl.so` was not found; help: pip install nvidia-nccl-cu12",
        ),
        (without_second, "rank 1 says: opening device 1: "),
    ] {
        let token = session.right();
        let other = session.rank(1, Some(&token), &SHORT);
        let (code, out, words) = session.rank(0, Some(&token), &SHORT).wait();
        assert_eq!(code, Some(3), "{out}{words}");
        assert!(words.contains(expected), "{expected}: {words}");
        let (code, _, words) = other.wait();
        assert_eq!(code, Some(3), "{words}");
    }
}

/// A host that goes is named by rank 0, whose own worker waits inside the library and is ended with it.
#[test]
fn a_host_that_goes_is_named_at_once() {
    let session = Session::new(&["libnccl.so"]);
    let token = session.right();
    let long = ["--size", "64 KiB", "--budget", "10min", "--op", "all-reduce"];
    let mut other = session.rank(1, Some(&token), &long);
    let mut first = session.rank(0, Some(&token), &long);
    let mut words = BufReader::new(first.words());
    let mut said = String::new();
    while !said.contains("2 ranks have met") {
        let read = words.read_line(&mut said).expect("it is text");
        assert!(read > 0, "it goes on: {said}");
    }
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    other.kill();
    other.wait();
    words.read_to_string(&mut said).expect("it is text");
    let (code, ..) = first.wait();
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("rank 1 (127.0.0.1) has ended without a word while all_reduce of 64 KiB"),
        "{said}"
    );
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}
