//! The parsers of Prometheus's own Python client, which somebody else wrote: each reads its format whole and strictly,
//! and both see the same numbers. `collector/tests/fetch-parsers.sh` installs them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use orrery_collector::{Daemon, SourceKind};
use serde_json::{Value, json};

use crate::fake_nvml::{device, driver};
use crate::http::{PATIENCE, get_with, metrics_until, settings};
use crate::process::ended;
use crate::skips::skip;

/// Reads a page from standard input by the parser that is named; prints the families with the number of their rows.
const READ: &str = "
import importlib, json, sys
parser = importlib.import_module(sys.argv[1])
families = list(parser.text_string_to_metric_families(sys.stdin.read()))
print(json.dumps({family.name: [family.type, family.unit, len(family.samples)] for family in families}))
";

fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a folder in the target folder");
    let python = target.join("parsers/bin/python");
    if python.exists() {
        return Some(python);
    }
    skip(
        "parsers",
        "prometheus-client is not installed (collector/tests/fetch-parsers.sh)",
    );
    None
}

/// The families of `page`, as `parser` reads them.
fn parse(python: &Path, parser: &str, page: &str) -> Result<Value, String> {
    let mut child = Command::new(python)
        .args(["-c", READ, parser])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(page.as_bytes()).expect("it reads");
    drop(input);
    match ended(&child.wait_with_output().expect("it ends")) {
        (Some(0), out, _) => Ok(serde_json::from_str(&out).expect("it prints JSON")),
        (_, _, words) => Err(words),
    }
}

const OPEN: &str = "prometheus_client.openmetrics.parser";
const PLAIN: &str = "prometheus_client.parser";

/// `/metrics` in both formats, taken while its rows stay the same.
fn pages(address: SocketAddr) -> (String, String) {
    let open = || get_with(address, "/metrics", "Accept: application/openmetrics-text\r\n").1;
    let num_lines = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    let start = Instant::now();
    loop {
        let (before, plain, after) = (open(), get_with(address, "/metrics", "").1, open());
        // An alert may come or go meanwhile.
        if num_lines(&before) == num_lines(&after) {
            return (after, plain);
        }
        assert!(start.elapsed() < PATIENCE, "its rows never stay");
    }
}

fn hold(python: &Path, address: SocketAddr) {
    let (open, plain) = pages(address);
    let (_, dcgm) = get_with(address, "/metrics/dcgm", "");
    let read =
        |parser, page: &str| parse(python, parser, page).unwrap_or_else(|words| panic!("{words}\n{page}"));
    let (families, same) = (read(OPEN, &open), read(PLAIN, &plain));
    assert!(num_rows(&families) > 10, "{families}");
    assert_eq!(num_rows(&families), num_rows(&same), "{families}\n{same}");
    read(PLAIN, &dcgm);
}

fn num_rows(families: &Value) -> u64 {
    let families = families.as_object().expect("families by name").values();
    families
        .map(|family| family[2].as_u64().expect("a number of rows"))
        .sum()
}

#[test]
fn strict_parsers_of_somebody_else_read_every_page() {
    let Some(python) = python() else { return };
    // A device that tells everything, with an error, under a name that needs escapes.
    let xids = json!({"xids": [{"device": 0, "code": 79, "times": 1, "after": 60}]});
    let (_driver, server) = driver(&[device("GPU-\"a\\b\"", &json!({}))], &xids).serve_kept();
    metrics_until(server.address, "an error", |text| {
        text.contains("orrery_gpu_xid_last")
    });
    hold(&python, server.address);
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo, SourceKind::Nvml])).unwrap();
    metrics_until(daemon.address(), "readings", |text| {
        text.contains("orrery_gpu_up")
    });
    hold(&python, daemon.address());
    let families = get_with(
        daemon.address(),
        "/metrics",
        "Accept: application/openmetrics-text\r\n",
    )
    .1;
    let broken = families.replacen("# EOF\n", "", 1);
    assert!(parse(&python, OPEN, &broken).is_err(), "it would say so");
}
