//! The daemon over HTTP on loopback, on a machine that may have no device at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use orrery_collector::{Daemon, Settings, SourceKind};
use orrery_telemetry::{Event, Origin, read_line};

fn settings(source: SourceKind) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        sources: vec![source],
        interval: Duration::from_millis(100),
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".into()),
        ..Settings::default()
    }
}

fn connect(daemon: &Daemon, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).expect("the daemon listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time above zero");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("the request is sent");
    stream
}

fn get(daemon: &Daemon, path: &str) -> String {
    let mut text = String::new();
    connect(daemon, path)
        .read_to_string(&mut text)
        .expect("an answer comes");
    text
}

/// Asks for the metrics until they hold `wanted`.
fn metrics_with(daemon: &Daemon, wanted: &str) -> String {
    for _ in 0..200 {
        let text = get(daemon, "/metrics");
        if text.contains(wanted) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("`{wanted}` never came:\n{}", get(daemon, "/metrics"));
}

#[test]
fn without_a_driver_it_is_up_and_says_why_each_source_is_absent() {
    let daemon = Daemon::start(&settings(SourceKind::Nvml)).unwrap();
    let text = metrics_with(&daemon, "no NVIDIA driver library");
    assert!(text.contains("\norrery_up 1"), "{text}");
    assert!(
        text.contains(r#"orrery_source_up{source="nvml",reason="no NVIDIA driver library"#),
        "{text}"
    );
    assert!(
        text.contains(r#"orrery_source_up{source="demo",reason="not asked for"#),
        "{text}"
    );
    assert!(!text.contains("orrery_gpu_"), "{text}");
    assert!(text.contains("# EOF"), "{text}");
    assert!(get(&daemon, "/healthz").contains(r#""status":"ok""#));
}

#[test]
fn the_demonstration_says_so_on_every_row_and_on_the_stream() {
    let daemon = Daemon::start(&settings(SourceKind::Demo)).unwrap();
    let text = metrics_with(&daemon, "orrery_gpu_power_watts{");
    let rows = text.lines().filter(|line| line.starts_with("orrery_gpu_"));
    for row in rows {
        assert!(
            row.contains(r#"{source="demo",demo="true",node="demo-node-"#),
            "{row}"
        );
    }
    let mut sequences = Vec::new();
    for line in BufReader::new(connect(&daemon, "/stream")).lines() {
        let line = line.unwrap();
        // Heads and chunk lengths stand on lines of their own.
        if !line.starts_with('{') {
            continue;
        }
        if let Event::Sample(sample) = read_line(&line).unwrap() {
            assert_eq!((sample.origin, sample.devices.len()), (Origin::Demo, 32));
            sequences.push(sample.sequence);
        }
        if sequences.len() == 3 {
            break;
        }
    }
    assert!(
        sequences.windows(2).all(|pair| pair[0] < pair[1]),
        "{sequences:?}"
    );
}

#[test]
fn bad_addresses_end_with_2_and_name_the_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, fix) in [
        ("0.0.0.0:0", "--allow-remote"),
        (&taken, "--listen"),
        ("nonsense", "--listen"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_orrery-collector"))
            .args(["serve", "--source", "demo", "--listen", address])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&run.stderr);
        assert_eq!(
            (run.status.code(), words.contains(fix)),
            (Some(2), true),
            "{address}: {words}"
        );
    }
}

#[test]
fn signals_end_it_with_130_and_143() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_orrery-collector"))
            .args(["serve", "--source", "demo", "--listen", "127.0.0.1:0"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let errors = run.stderr.take().unwrap();
        BufReader::new(errors).read_line(&mut line).unwrap();
        let killed = Command::new("kill")
            .args([signal, &run.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        assert_eq!(run.wait().unwrap().code(), Some(code), "{signal}");
    }
}
