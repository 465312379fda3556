//! The command as a whole: its processes, its packets and what it leaves behind.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Small and quick: two speeds, one size.
const SMALL: [&str; 6] = [
    "--json",
    "--ranks=3",
    "--repeats=1",
    "--size=192 KiB",
    "--rate=100 Mbit/s",
    "--rate=200 Mbit/s",
];

fn netlab(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orrery-netlab"));
    command.args(SMALL).args(arguments);
    command
}

fn namespaces_of(process: u32) -> Vec<String> {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let text = listed.map_or_else(|_absent| String::new(), |output| text(&output.stdout));
    let ours = format!("orrery-{process}-");
    let names = text.lines().filter(|line| line.starts_with(&ours));
    names.map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the output is that of a measurement; how near it came is the machine's affair here, which runs other
/// tests beside this one.
fn check_measured(output: &Output) {
    let said = text(&output.stderr);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "ended with {code:?}: {said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the output is JSON");
    let rows = report["rows"].as_array().expect("there are rows");
    assert_eq!(rows.len(), 2, "one size, two speeds");
    for row in rows {
        let (measured, predicted) = (&row["measured_seconds"], &row["predicted_seconds"]);
        assert!(measured.as_f64() > Some(0.0), "{row}");
        assert!(predicted.as_f64() > Some(0.0), "{row}");
        assert_eq!(row["size_bytes"], 192 * 1024, "{row}");
    }
    let mean = report["mean_error"].as_f64().expect("the mean is a number");
    assert_eq!(
        code == Some(0),
        mean <= 0.15,
        "the code says what the mean is: {mean}"
    );
}

#[test]
fn over_loopback_without_root() {
    let output = netlab(&["--loopback"]).output().unwrap();
    check_measured(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["loopback"], true);
}

/// Namespaces where the machine has them; where not, the command says so and what to do.
#[test]
fn in_namespaces_and_nothing_is_left() {
    let child = netlab(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    match output.status.code() {
        Some(2 | 3) => {
            let said = text(&output.stderr);
            assert!(said.contains("--loopback"), "a way out is named: {said}");
            skip(&said);
        }
        _ => check_measured(&output),
    }
    assert_eq!(namespaces_of(process), Vec::<String>::new());
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let mut child = netlab(&["--rate=1 Mbit/s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = child.id();
    let deadline = Instant::now() + Duration::from_secs(20);
    while namespaces_of(process).len() < 4 && Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(
                matches!(status.code(), Some(2 | 3)),
                "ended before the signal: {status}"
            );
            skip("no namespaces on this machine");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill")
        .args(["-INT", &process.to_string()])
        .status()
        .unwrap();
    assert!(killed.success(), "it was still running");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(namespaces_of(process), Vec::<String>::new());
}

#[test]
fn a_bad_command_line_runs_nothing() {
    for arguments in [
        ["--loopback", "--ranks=1"],
        ["--loopback", "--size=6 B"],
        ["--loopback", "--rate=7"],
    ] {
        let output = netlab(&arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

/// Notes what cannot run here for the closing line of `tests/run`; fails where it is required.
fn skip(reason: &str) {
    let required = std::env::var("ORRERY_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name == "netns"),
        "netns is required: {reason}"
    );
    if let Ok(path) = std::env::var("ORRERY_SKIPS") {
        use std::io::Write as _;
        let reason = reason.lines().next().unwrap_or_default();
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "netns: {reason}").expect("the list of skips can be written");
    }
}
