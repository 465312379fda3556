//! `/stream`: who reads it is told of silence and return, of the next try, and that the collector lives.

use std::time::{Duration, Instant};

use orrery_collector::{Daemon, SourceKind};
use orrery_telemetry::{Event, Origin, SourceState, read_line};

use crate::http::{Gated, Listener, connect_with, get, get_head, settings};

#[test]
fn samples_come_in_order_and_say_that_they_are_made_up() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let mut stream = Listener::new(daemon.address());
    let sequences: Vec<u64> = (0..3)
        .map(|_| {
            stream.find("a sample", |event| match event {
                Event::Sample(sample) => {
                    assert_eq!((sample.origin, sample.devices.len()), (Origin::Demo, 32));
                    Some(sample.sequence)
                }
                _ => None,
            })
        })
        .collect();
    assert!(
        sequences.windows(2).all(|pair| pair[0] < pair[1]),
        "{sequences:?}"
    );
}

#[test]
fn an_open_stream_tells_that_a_source_hangs_and_that_it_is_back() {
    let (open, gate) = Gated::with_gate();
    let daemon = Daemon::start_with(&settings(Vec::new()), vec![("test", open)]).unwrap();
    let mut stream = Listener::new(daemon.address());
    stream.status("test", |status| status.state == SourceState::Live);
    gate.send(Duration::from_millis(2500)).unwrap();
    let silent = stream.status("test", |status| !status.is_up());
    assert_eq!(silent.reason, "no answer for more than three intervals");
    assert!(silent.remedy.contains("dmesg"), "{}", silent.remedy);
    // The link is seen to live while the source does not.
    stream.heartbeat();
    stream.heartbeat();
    let back = stream.status("test", |status| status.is_up());
    assert_eq!((back.state, back.reason.as_str()), (SourceState::Live, ""));
    stream.find("a sample", |event| {
        matches!(event, Event::Sample(_)).then_some(())
    });
}

#[test]
fn a_source_that_cannot_be_opened_says_when_it_is_tried_again() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Nvml])).unwrap();
    let mut stream = Listener::new(daemon.address());
    let first = stream.status("nvml", |status| status.next_try.is_some());
    assert!(first.reason.starts_with("no NVIDIA driver library"), "{first:?}");
    assert!(first.remedy.contains("install the NVIDIA driver"), "{first:?}");
    let mut tries = vec![first];
    for _ in 0..4 {
        let before = tries.last().and_then(|status| status.next_try);
        tries.push(stream.status("nvml", |status| status.next_try > before));
    }
    let at: Vec<u64> = tries
        .iter()
        .map(|status| status.next_try.unwrap().as_millis())
        .collect();
    // At most 0.2 s and at least 1.2 s, if the first wait was seen; more of both, if not.
    assert!(at[4] - at[3] > 2 * (at[1] - at[0]), "the waits grow: {at:?}");
}

#[test]
fn heartbeats_come_as_promised_when_there_is_nothing_else() {
    let daemon = Daemon::start(&settings(Vec::new())).unwrap();
    let mut stream = Listener::new(daemon.address());
    let promised = Duration::from_secs_f64(stream.heartbeat().next_within.as_secs());
    // Not more often than a second, however often sources are read.
    assert_eq!(promised, Duration::from_secs(1));
    let start = Instant::now();
    for _ in 0..5 {
        stream.heartbeat();
    }
    // Five promised times, and room for a busy machine.
    assert!(
        start.elapsed() < 5 * promised + Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_stream_ends_with_its_daemon() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let mut stream = Listener::new(daemon.address());
    stream.heartbeat();
    drop(daemon);
    while stream.next().is_some() {}
}

#[test]
fn the_readers_of_a_stream_are_bounded_and_a_place_comes_free() {
    let mut settings = settings(Vec::new());
    settings.serving.limits.streams_per_client = 100;
    let daemon = Daemon::start(&settings).unwrap();
    let mut readers: Vec<Listener> = (0..64).map(|_| Listener::new(daemon.address())).collect();
    let (head, body) = get(daemon.address(), "/stream");
    assert!(head.starts_with("HTTP/1.0 503 "), "{head}");
    assert!(body.contains("64 readers") && body.contains("/metrics"), "{body}");
    let (head, text) = get(daemon.address(), "/metrics");
    assert!(head.contains(" 200 "), "the other pages are served: {head}");
    assert!(text.contains("\norrery_stream_readers 64\n"), "{text}");
    readers.truncate(32);
    let start = Instant::now();
    while get_head(daemon.address(), "/stream").contains(" 503 ") {
        assert!(start.elapsed() < Duration::from_secs(20), "no place came free");
    }
    readers[0].heartbeat();
}

#[test]
fn one_address_has_so_many_streams_and_no_more() {
    let daemon = Daemon::start(&settings(Vec::new())).unwrap();
    let mut readers: Vec<Listener> = (0..16).map(|_| Listener::new(daemon.address())).collect();
    let (head, body) = get(daemon.address(), "/stream");
    assert!(head.contains(" 503 ") && head.contains("retry-after"), "{head}");
    assert!(body.contains("this address"), "{body}");
    readers.pop();
    let start = Instant::now();
    while get_head(daemon.address(), "/stream").contains(" 503 ") {
        assert!(start.elapsed() < Duration::from_secs(20), "no place came free");
    }
    readers[0].heartbeat();
}

#[test]
fn a_browser_gets_server_sent_events() {
    use std::io::BufRead as _;

    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let stream = connect_with(daemon.address(), "/stream", "Accept: text/event-stream\r\n");
    let lines = std::io::BufReader::new(stream)
        .lines()
        .map(|line| line.expect("a line comes"));
    let mut lines = lines.skip_while(|line| {
        assert!(!line.contains("jsonl"), "{line}");
        !line.is_empty()
    });
    lines.next();
    for _ in 0..5 {
        let line = lines.next().unwrap();
        read_line(line.strip_prefix("data: ").expect(&line)).unwrap();
        assert_eq!(lines.next().as_deref(), Some(""), "an empty line ends an event");
    }
}
