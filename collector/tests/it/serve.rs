//! `serve` as a process: addresses that it refuses or warns of, and signals that end it.

use std::process::Command;

use crate::http::{Listener, get};
use crate::process::{Server, command, run};

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
fn an_address_for_all_machines_is_taken_when_asked_for_and_warned_of() {
    let local = Server::start(serve("127.0.0.1:0", &[]));
    assert!(!local.preface.contains("WARN"), "{}", local.preface);
    let remote = Server::start(serve("0.0.0.0:0", &["--allow-remote"]));
    let warning = &remote.preface;
    assert!(
        warning.contains("WARN") && warning.contains("can be reached from other machines"),
        "{warning}"
    );
    let here = ([127, 0, 0, 1], remote.address.port()).into();
    assert!(get(here, "/metrics").1.contains("orrery_up 1\n"));
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
    }
}

#[test]
fn bad_arguments_end_with_2_and_say_what_would_do() {
    for (arguments, fix) in [
        (&["serve", "--interval", "5"][..], "`1s`"),
        (&["serve", "--interval", "1ms"], "100 ms and 1 h"),
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
