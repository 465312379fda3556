//! `collective` across network namespaces, as on hosts that share a switch: real sums, a table, and a killed peer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStderr, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Held, command, run};
use crate::skips::skip;

const RANKS: usize = 4;

/// A switch and a namespace for each rank, gone when this is dropped.
struct Network {
    prefix: String,
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|fault| format!("`ip` does not run: {fault}; install iproute2"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {}: {said}", arguments.join(" "))),
    }
}

impl Network {
    /// None, and noted, where namespaces cannot be made.
    fn new(name: &str) -> Option<Self> {
        let network = Self {
            prefix: format!("orrery-{}-{name}", std::process::id()),
        };
        match network.make() {
            Ok(()) => Some(network),
            Err(reason) => {
                skip("netns", &reason.replace('\n', ", "));
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let switch = self.namespace("s");
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for rank in 0..RANKS {
            let (own, port) = (self.namespace(&rank.to_string()), format!("p{rank}"));
            ip(&["netns", "add", &own])?;
            let link = [
                "-n", &own, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &switch,
            ];
            ip(&link)?;
            ip(&[
                "-n",
                &own,
                "addr",
                "add",
                &format!("10.77.0.{}/24", rank + 1),
                "dev",
                "eth0",
            ])?;
            ip(&["-n", &own, "link", "set", "lo", "up"])?;
            ip(&["-n", &own, "link", "set", "eth0", "up"])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0"])?;
            ip(&["-n", &switch, "link", "set", &port, "up"])?;
        }
        Ok(())
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A rank of a session in its own namespace.
    fn rank(&self, rank: usize, arguments: &[&str]) -> Held {
        let (rank_text, ranks) = (rank.to_string(), RANKS.to_string());
        let fixed = [
            "collective",
            "--coordinator",
            "10.77.0.1:29500",
            "--rank",
            &rank_text,
            "--ranks",
            &ranks,
        ];
        let inner = command(&[&fixed, arguments].concat());
        let mut outer = Command::new("ip");
        outer.args(["netns", "exec", &self.namespace(&rank_text)]);
        outer.arg(inner.get_program()).args(inner.get_args());
        outer.env("ORRERY_COLLECTIVE_TOKEN", "a word");
        Held::start(&mut outer)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in ["s", "0", "1", "2", "3"] {
            // What was never made cannot be taken away.
            let _absent = ip(&["netns", "del", &self.namespace(name)]);
        }
    }
}

#[test]
fn four_hosts_add_up_and_print_their_tables() {
    let Some(network) = Network::new("a") else { return };
    let arguments = [
        "--size",
        "4 KiB,1 MiB",
        "--connections",
        "1,4,8",
        "--budget",
        "50ms",
    ];
    let others: Vec<Held> = (1..RANKS).map(|rank| network.rank(rank, &arguments)).collect();
    let (code, table, words) = network.rank(0, &arguments).wait();
    assert_eq!(code, Some(0), "{table}{words}");
    // What it measured, for whoever runs this test to see.
    writeln!(std::io::stderr(), "{table}").expect("somebody reads");
    assert!(table.starts_with("transport tcp, 4 ranks\n"), "{table}");
    let rows = |name: &str| table.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((rows("all_reduce"), rows("all_to_all")), (6, 6), "{table}");
    assert_eq!(
        table.lines().filter(|line| line.contains(" - ")).count(),
        6,
        "a line for each pair: {table}"
    );
    for other in others {
        let (code, out, words) = other.wait();
        assert_eq!((code, out.as_str()), (Some(0), ""), "{words}");
    }
}

/// One size so often that a sweep of it does not end by itself while something happens to a peer.
fn many_sizes() -> String {
    ["16 MiB"; 100].join(",")
}

/// Waits until rank 0 says that all ranks are connected, and a moment more; whoever reads goes on with what it says.
fn until_connected(first: &mut Held) -> BufReader<ChildStderr> {
    let mut words = BufReader::new(first.words());
    let mut line = String::new();
    while !line.contains("are connected") {
        line.clear();
        let read = words.read_line(&mut line).expect("it says lines");
        assert!(read > 0, "rank 0 ends before all ranks are connected");
    }
    std::thread::sleep(Duration::from_millis(500));
    words
}

/// What is said until the end.
fn rest(words: &mut BufReader<ChildStderr>) -> String {
    let mut text = String::new();
    words.read_to_string(&mut text).expect("it says text");
    text
}

/// The host of rank 2 goes away while others wait for it: rank 0 names it within the timeout, and the others end too.
#[test]
fn a_killed_peer_is_named_within_the_timeout() {
    let Some(network) = Network::new("b") else { return };
    let sizes = many_sizes();
    let arguments = [
        "--op",
        "all-reduce",
        "--size",
        &sizes,
        "--connections",
        "4",
        "--budget",
        "10min",
        "--timeout",
        "4s",
        "--format",
        "json",
    ];
    let mut first = network.rank(0, &arguments);
    let mut others: Vec<Held> = (1..RANKS).map(|rank| network.rank(rank, &arguments)).collect();
    let mut words = until_connected(&mut first);
    others[1].kill();
    let begin = Instant::now();
    let words = rest(&mut words);
    let (code, out, _) = first.wait();
    let took = begin.elapsed();
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(took < Duration::from_secs(8), "it took {took:?}: {words}");
    assert!(
        words.contains("rank 2 (10.77.0.3) has ended without a word while all_reduce of 16 MiB"),
        "{words}"
    );
    assert!(words.contains("= help:"), "{words}");
    let report: Value = serde_json::from_str(&out).expect("what there is, is a report");
    assert_eq!(
        (&report["schema"], &report["transport"]),
        (&"collective/1".into(), &"tcp".into())
    );
    for (at, other) in others.into_iter().enumerate() {
        let (code, _, words) = other.wait();
        let expected = if at == 1 { None } else { Some(3) };
        assert_eq!(code, expected, "rank {}: {words}", at + 1);
    }
}

/// A host that falls silent (its cable is pulled) is known by the timeout alone.
#[test]
fn a_silent_peer_is_named_after_the_timeout() {
    let Some(network) = Network::new("c") else { return };
    let sizes = many_sizes();
    let arguments = [
        "--op",
        "all-reduce",
        "--size",
        &sizes,
        "--connections",
        "1",
        "--budget",
        "10min",
        "--timeout",
        "2s",
    ];
    let mut first = network.rank(0, &arguments);
    let others: Vec<Held> = (1..RANKS).map(|rank| network.rank(rank, &arguments)).collect();
    let mut words = until_connected(&mut first);
    ip(&["-n", &network.namespace("s"), "link", "set", "p3", "down"]).expect("the switch is ours");
    let begin = Instant::now();
    let words = rest(&mut words);
    let (code, out, _) = first.wait();
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(
        begin.elapsed() < Duration::from_secs(12),
        "{:?}: {words}",
        begin.elapsed()
    );
    assert!(
        words.contains("nothing moved between this rank and rank"),
        "{words}"
    );
    for mut other in others {
        // The one that was cut off waits for a coordinator that it cannot hear.
        other.kill();
    }
}

#[test]
fn a_session_that_cannot_be_is_refused() {
    let fixed = ["collective", "--coordinator", "127.0.0.1:1", "--rank", "0"];
    for (more, words) in [
        (["--ranks", "1"], "--ranks 1 is not from 2 to 256"),
        (["--ranks", "x"], "invalid value 'x'"),
        (["--size", "7 B"], "--ranks"),
        (["--transport", "ib"], "possible values: tcp"),
    ] {
        let (code, _, said) = run(&[&fixed[..], &more].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
