//! A real Prometheus: it scrapes the daemon over TLS with the token and answers a query; `promtool` finds nothing to
//! say about the text. Debian's package `prometheus` has both.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orrery_collector::{Daemon, SourceKind, Tls};
use serde_json::Value;

use crate::access::{TOKEN, token_file};
use crate::http::{get, get_with, metrics_until, settings};
use crate::skips::has_command;

/// A server that is killed when it is dropped.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// What `promtool` says of `text`, if anything.
pub(crate) fn promtool(arguments: &[&str], text: &str) -> Result<(), String> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

#[test]
fn promtool_has_nothing_to_say_about_the_text() {
    if !has_command("promtool", "prometheus") {
        return;
    }
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo, SourceKind::Nvml])).unwrap();
    metrics_until(daemon.address(), "readings", |text| text.contains("orrery_gpu_"));
    let (head, text) = get_with(daemon.address(), "/metrics", "");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    promtool(&["check", "metrics"], &text).unwrap();
    let broken = text.replacen("# TYPE", "# TIPE", 1) + "x{ 1\n";
    assert!(
        promtool(&["check", "metrics"], &broken).is_err(),
        "it would say so"
    );
}

/// A free port of this machine.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

pub(crate) fn start_prometheus(
    folder: &Path,
    daemon: SocketAddr,
    token: &Path,
    root: &Path,
) -> (Running, SocketAddr) {
    let jobs: String = [("own", "/metrics"), ("dcgm", "/metrics/dcgm")]
        .into_iter()
        .map(|(name, path)| {
            format!(
                "  - job_name: {name}\n    metrics_path: {path}\n    scheme: https\n    authorization:\n      \
                 credentials_file: {token}\n    tls_config:\n      ca_file: {root}\n    static_configs:\n      - \
                 targets: ['{daemon}']\n",
                token = token.display(),
                root = root.display(),
            )
        })
        .collect();
    let text = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{jobs}");
    let configuration = folder.join("prometheus.yml");
    std::fs::write(&configuration, text).expect("a file");
    let address = free_address();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=error")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    (Running(child), address)
}

/// The numbers that `query` gives, once there are some.
pub(crate) fn ask(prometheus: SocketAddr, query: &str) -> Vec<f64> {
    let start = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if std::net::TcpStream::connect(prometheus).is_ok() {
            let (_, body) = get(prometheus, &format!("/api/v1/query?query={query}"));
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
            let numbers = rows
                .iter()
                .filter_map(|row| row["value"][1].as_str()?.parse().ok());
            let numbers: Vec<f64> = numbers.collect();
            if !numbers.is_empty() {
                return numbers;
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no answer to `{query}`"
        );
    }
}

#[test]
fn prometheus_scrapes_the_daemon_and_answers_queries() {
    if !has_command("prometheus", "prometheus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_token_folder, token) = token_file(TOKEN, 0o600);
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.data_dir = Some(folder.path().to_owned());
    settings.serving.tls = Some(Tls::Generated);
    settings.serving.token_file = Some(token.clone());
    let daemon = Daemon::start(&settings).unwrap();
    let root = folder.path().join("tls/cert.pem");
    let (_running, prometheus) = start_prometheus(folder.path(), daemon.address(), &token, &root);
    assert_eq!(
        ask(prometheus, "count(orrery_gpu_power_watts%7Bdemo=%22true%22%7D)"),
        [32.0]
    );
    assert_eq!(ask(prometheus, "count(DCGM_FI_DEV_SM_CLOCK)"), [32.0]);
    assert_eq!(
        ask(prometheus, "sum(up)"),
        [2.0],
        "both pages are read without a fault"
    );
    let power = ask(prometheus, "sum(orrery_gpu_power_watts)")[0];
    assert!(
        (32.0 * 100.0..32.0 * 700.0).contains(&power),
        "{power} W of 32 devices"
    );
    // The energy counter is a counter there: its rate is a power.
    let rate = ask(prometheus, "sum(irate(orrery_gpu_energy_joules_total%5B15s%5D))")[0];
    assert!(
        (0.5 * power..1.5 * power).contains(&rate),
        "{rate} W for {power} W"
    );
}
