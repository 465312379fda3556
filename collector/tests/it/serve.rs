//! `serve` as a process: addresses that it refuses or warns of, and signals that end it.

use std::process::{Command, Stdio};

use crate::http::{Listener, get};
use crate::process::{Server, command, ended, run};

fn serve(listen: &str, more: &[&str]) -> Command {
    let mut command = command(&["serve", "--source", "demo", "--listen", listen]);
    command.args(more);
    command
}

#[test]
fn bad_addresses_end_with_2_and_name_the_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, fix) in [
        ("0.0.0.0:0", "--allow-remote"),
        ("[::]:0", "--allow-remote"),
        (&taken, "--listen"),
        ("nonsense", "--listen"),
    ] {
        let (code, out, words) = run(&["serve", "--source", "demo", "--listen", address]);
        assert_eq!((code, words.contains(fix)), (Some(2), true), "{address}: {words}");
        assert_eq!(out, "", "faults go to standard error");
    }
}

#[test]
fn an_address_for_all_machines_is_taken_when_asked_for_and_answers_health_alone() {
    let local = Server::start(serve("127.0.0.1:0", &[]));
    assert!(!local.preface.contains("WARN"), "{}", local.preface);
    let remote = Server::start(serve("0.0.0.0:0", &["--allow-remote"]));
    let warning = &remote.preface;
    assert!(
        warning.contains("WARN") && warning.contains("can be reached from other machines"),
        "{warning}"
    );
    let here = ([127, 0, 0, 1], remote.address.port()).into();
    for path in [
        "/metrics",
        "/metrics/dcgm",
        "/stream",
        "/-/ready",
        "/",
        "/nowhere",
        "/healthz/",
        "//healthz",
    ] {
        let (head, body) = get(here, path);
        assert!(
            head.contains(" 403 ") && body.contains("--token-file"),
            "{path}: {head}\n{body}"
        );
    }
    let (head, body) = get(here, "/healthz");
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(body, r#"{"status":"ok"}"#, "it tells strangers nothing else");
}

#[test]
fn signals_end_it_with_130_and_143_even_while_it_is_read() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let server = Server::start(serve("127.0.0.1:0", &[]));
        let mut stream = Listener::new(server.address);
        stream.heartbeat();
        let (found, log) = server.end(signal);
        assert_eq!(found, Some(code), "{signal}: {log}");
        assert!(log.contains("stopping") && !log.contains("left behind"), "{log}");
        assert!(
            !log.contains("WARN"),
            "an end that was asked for is no fault: {log}"
        );
    }
}

#[test]
fn whoever_asks_for_no_page_is_told_the_pages() {
    let server = Server::start(serve("127.0.0.1:0", &[]));
    for (path, code) in [("/", " 200 "), ("/metric", " 404 ")] {
        let (head, body) = get(server.address, path);
        assert!(
            head.starts_with("HTTP/1.0") && head.contains(code),
            "{path}: {head}"
        );
        for page in ["/metrics", "/metrics/dcgm", "/stream", "/healthz", "/-/ready"] {
            assert!(body.contains(page), "{path}: {body}");
        }
    }
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_no_fault() {
    let mut child = command(&["once", "--source", "demo"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (code, _, words) = ended(&child.wait_with_output().unwrap());
    assert_eq!((code, words.as_str()), (Some(0), ""));
}

#[test]
fn bad_arguments_end_with_2_and_say_what_would_do() {
    for (arguments, fix) in [
        (&["serve", "--interval", "5"][..], "`1s`"),
        (&["serve", "--interval", "1ms"], "100 ms and 1 h"),
        (&["serve", "--listen", "127.0.0.1"], "`127.0.0.1:9477`"),
        (&["serve", "--listen", "localhost:9477"], "`127.0.0.1:9477`"),
        (&["serve", "--source", "nvlm"], "nvml"),
        (&["once", "--source", "fake"], "--nvml-library PATH"),
        (&["doctr"], "doctor"),
        (&[], "serve"),
    ] {
        let (code, _, words) = run(arguments);
        assert_eq!(
            (code, words.contains(fix)),
            (Some(2), true),
            "{arguments:?}: {words}"
        );
    }
}

#[test]
fn a_disk_that_is_full_is_told_and_is_no_bug() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut once = command(&["once", "--source", "demo"]);
    let (code, _, words) = ended(&once.stdout(full).output().unwrap());
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("No space left on device"), "{words}");
}
