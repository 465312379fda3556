//! What the daemon costs: eight devices read ten times a second, twenty scrapers at once, ten readers of the stream.
//!
//! `cargo bench -p orrery-collector --bench serving [-- SECONDS]` starts the daemon as a process of its own, with
//! the library that plays NVML, and prints each figure beside the bar of the design: at most 30 MiB resident, 1 % of
//! one core, and 5 ms for 99 of 100 scrapes. Scrapers keep their connections and ask for gzip, as Prometheus
//! does, and ask all at the same instant, once a second, which is the worst they can do. The time of the library that plays
//! NVML is in the daemon's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

const NUM_DEVICES: usize = 8;
const NUM_LINKS: usize = 18;
const NUM_SCRAPERS: usize = 20;
const NUM_READERS: usize = 10;
const DEFAULT_SECONDS: u64 = 20;

/// Time on a processor of the threads of one name.
type Busy = BTreeMap<String, Duration>;

/// The daemon; killed when it is dropped.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Daemon {
    fn start(library: &Path, script: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orrery-collector"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--interval",
                "100ms",
                "--source",
                "fake",
            ])
            .arg("--nvml-library")
            .arg(library)
            .env("ORRERY_FAKE_NVML_SCRIPT", script)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = errors.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            rest.strip_suffix("/metrics")?.parse().ok()
        });
        // The pipe stays open for as long as the daemon writes.
        thread::spawn(move || errors.for_each(drop));
        Self {
            child,
            address: address.expect("it says where it listens"),
        }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }

    /// A field of `/proc/PID/status`, in KiB.
    fn kibibytes(&self, field: &str) -> f64 {
        let status = self.proc("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .expect("the kernel tells it");
        let number = line.split_whitespace().next().expect("a number");
        number.parse().expect("a number")
    }

    /// Time on a processor since the start, by the name of the thread.
    fn busy(&self) -> Busy {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let mut busy = Busy::new();
        for task in tasks {
            let folder = task.expect("a thread").path();
            let told = |file| std::fs::read_to_string(folder.join(file)).expect("the kernel tells it");
            let (name, stat) = (told("comm"), told("schedstat"));
            let nanos = stat.split_whitespace().next().expect("a number");
            let nanos = Duration::from_nanos(nanos.parse().expect("a number"));
            // Threads of devices differ by their number alone.
            let name = name
                .trim()
                .trim_end_matches(|letter: char| letter.is_ascii_digit());
            *busy.entry(name.to_owned()).or_default() += nanos;
        }
        busy
    }

    /// The shares of one core since `before`, which was taken at `start`.
    fn shares(&self, before: &Busy, start: Instant) -> BTreeMap<String, f64> {
        let seconds = start.elapsed().as_secs_f64();
        let shares = self.busy().into_iter().map(|(name, now)| {
            let spent = now - before.get(&name).copied().unwrap_or_default();
            (name, spent.as_secs_f64() / seconds)
        });
        shares.collect()
    }
}

/// The library that plays NVML, built like this bench.
fn library() -> PathBuf {
    // …/release/orrery-collector
    let release = Path::new(env!("CARGO_BIN_EXE_orrery-collector"))
        .parent()
        .expect("a folder");
    let target = release.parent().expect("the target folder");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "orrery-fake-nvml",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the library builds");
    release.join("libnvidia_ml.so")
}

/// Devices that tell everything a Hopper does, over all of their links.
fn script() -> serde_json::Value {
    let mut fields = json!({
        "82": [70], "185": [510_000], "186": [515_000, 520_000],
        "74": [1_000_000_000], "251": [2_000_000_000], "252": [0], "253": [0],
        "142": [1], "143": [2], "144": [0], "145": [0], "230": [0],
        "138/all": [100], "139/all": [200], "197": [4096], "198": [8192],
    });
    for link in 0..NUM_LINKS {
        for (field, value) in [("138", 60), ("139", 120), ("161", 7), ("162", 0), ("163", 1)] {
            fields[format!("{field}/{link}")] = json!([value]);
        }
    }
    let device = |index: usize| {
        json!({
            "name": "NVIDIA H100 80GB HBM3", "uuid": format!("GPU-{index}"),
            "utilization_percent": [[97, 40]], "memory_bytes": [[85_899_345_920u64, 536_870_912, 64_424_509_440u64]],
            "power_milliwatts": [612_250, 598_125, 640_500], "power_limit_milliwatts": [700_000],
            "energy_millijoules": (0..100).map(|n| 1_000_000 + 61_000 * n).collect::<Vec<u64>>(),
            "sm_clock_megahertz": [1755, 1740], "memory_clock_megahertz": [2619],
            "temperature_celsius": [61, 62], "throttle_bits": [0, 4],
            "gpm": {"1": 97.1, "2": 83.3, "3": 31.2, "5": 46.5, "10": 52.7, "12": 11.9, "60": 70_000.5, "61": 70_100.5,
                "6": 0.0, "7": 46.0, "9": 0.5, "11": 1.0, "13": 2.0, "20": 4.0, "21": 5.0},
            "performance_state": [0], "fields": fields, "links": vec![true; NUM_LINKS],
            "ecc": [[5, 0, 50, 1]], "pcie": [5, 16], "pcie_replays": [3],
            "processes": [{"pid": 4_000_000, "memory_bytes": 64_424_509_440u64}],
            "mig": {"is_enabled": false}, "tells_xids": true,
        })
    };
    json!({"driver": "580.95.05", "devices": (0..NUM_DEVICES).map(device).collect::<Vec<_>>()})
}

/// One scrape over a connection that stays; how long it took and how many bytes it gave.
fn scrape(stream: &mut BufReader<TcpStream>) -> (Duration, usize) {
    let start = Instant::now();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\
                   Accept-Encoding: gzip\r\n\r\n";
    stream
        .get_mut()
        .write_all(request.as_bytes())
        .expect("it is sent");
    let mut length = 0;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a head comes");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body comes");
    (start.elapsed(), length)
}

/// Reads the stream for ever; counts the lines.
fn read_stream(address: SocketAddr, lines: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .write_all(b"GET /stream HTTP/1.0\r\n\r\n")
        .expect("it is sent");
    thread::spawn(move || {
        for _line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.fetch_add(1, Ordering::Relaxed);
        }
    });
}

struct Load {
    waits: Vec<Duration>,
    bytes: usize,
    /// Shares of one core, by thread.
    busy: BTreeMap<String, f64>,
    lines: u64,
}

fn load(daemon: &Daemon, seconds: u64) -> Load {
    let lines = Arc::new(AtomicU64::new(0));
    for _ in 0..NUM_READERS {
        read_stream(daemon.address, lines.clone());
    }
    let together = Arc::new(Barrier::new(NUM_SCRAPERS));
    let (start, busy) = (Instant::now(), daemon.busy());
    let scrapers = (0..NUM_SCRAPERS).map(|_| {
        let mut stream = BufReader::new(TcpStream::connect(daemon.address).expect("the daemon listens"));
        let together = together.clone();
        thread::spawn(move || {
            let mut taken = Vec::new();
            for _ in 0..seconds {
                thread::sleep(Duration::from_secs(1));
                together.wait();
                taken.push(scrape(&mut stream));
            }
            taken
        })
    });
    let scrapers: Vec<_> = scrapers.collect();
    let taken: Vec<(Duration, usize)> = scrapers
        .into_iter()
        .flat_map(|one| one.join().expect("it ends"))
        .collect();
    let busy = daemon.shares(&busy, start);
    let mut waits: Vec<Duration> = taken.iter().map(|(wait, _)| *wait).collect();
    waits.sort();
    Load {
        waits,
        bytes: taken.last().map_or(0, |(_, bytes)| *bytes),
        busy,
        lines: lines.load(Ordering::Relaxed),
    }
}

/// Of `sorted`, what `percent` of 100 do not exceed, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1].as_secs_f64() * 1e3
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn print(name: &str, value: f64, unit: &str, bar: Option<f64>) {
    let verdict = bar.map(|bar| {
        let word = if value <= bar { "kept" } else { "EXCEEDED" };
        format!("   bar {bar} {unit}: {word}")
    });
    println!("{name:<46}{value:>10.3} {unit}{}", verdict.unwrap_or_default());
}

/// The sum against its bar, and its parts.
fn print_shares(name: &str, shares: &BTreeMap<String, f64>) {
    let sum: f64 = shares.values().sum();
    print(name, sum * 100.0, "% of a core", Some(1.0));
    for (thread, share) in shares {
        print(&format!("  {thread}"), share * 100.0, "% of a core", None);
    }
}

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let seconds: u64 = seconds.unwrap_or(DEFAULT_SECONDS);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script.json");
    std::fs::write(&path, script().to_string()).expect("a file");
    let daemon = Daemon::start(&library(), &path);
    thread::sleep(Duration::from_secs(2));
    let (start, busy) = (Instant::now(), daemon.busy());
    thread::sleep(Duration::from_secs(seconds));
    let alone = daemon.shares(&busy, start);
    let load = load(&daemon, seconds);
    print_shares("processor, nobody asks", &alone);
    print_shares("processor, 20 scrapers and 10 readers", &load.busy);
    print(
        "resident now",
        daemon.kibibytes("VmRSS:") / 1024.0,
        "MiB",
        Some(30.0),
    );
    print(
        "resident at most",
        daemon.kibibytes("VmHWM:") / 1024.0,
        "MiB",
        Some(30.0),
    );
    print(
        "scrape, half of them within",
        percentile(&load.waits, 50),
        "ms",
        None,
    );
    print(
        "scrape, 99 of 100 within",
        percentile(&load.waits, 99),
        "ms",
        Some(5.0),
    );
    print("scrape, all within", percentile(&load.waits, 100), "ms", None);
    print("scrapes", load.waits.len() as f64, "", None);
    print(
        "size of a page on the way",
        load.bytes as f64 / 1024.0,
        "KiB",
        None,
    );
    print(
        "lines to each reader in a second",
        load.lines as f64 / (NUM_READERS as u64 * seconds) as f64,
        "",
        None,
    );
}
