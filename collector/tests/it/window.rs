//! A daemon inside a window's process: at once there, the demonstration where there is no device, gone within a
//! bound.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use orrery_collector::{Daemon, OpenSource, Settings, SourceKind};
use orrery_telemetry::{Event, Origin, SourceState};

use crate::http::{Gated, Listener, settings};

#[test]
fn a_window_starts_its_daemon_without_waiting_for_a_driver() {
    let start = Instant::now();
    let settings = Settings::for_window();
    let daemon = Daemon::start(&settings).unwrap();
    let address = daemon.address();
    // Nothing is opened before it returns; the bound leaves room for a busy machine.
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    assert_eq!(settings.sources, [SourceKind::Nvml]);
    drop(daemon);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_driver_that_takes_for_ever_to_open_keeps_nobody_waiting() {
    let open: OpenSource = Box::new(|| {
        std::thread::sleep(Duration::from_secs(3600));
        Err("an hour has passed".into())
    });
    let start = Instant::now();
    let daemon = Daemon::start_with(&settings(Vec::new()), vec![("slow", open)]).unwrap();
    let mut stream = Listener::new(daemon.address());
    let status = stream.status("slow", |_| true);
    assert_eq!(status.reason, "being opened");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(daemon);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn without_a_driver_the_demonstration_stands_in_and_is_marked() {
    let settings = Settings {
        demo_without_devices: true,
        ..settings(vec![SourceKind::Nvml])
    };
    let daemon = Daemon::start(&settings).unwrap();
    let mut stream = Listener::new(daemon.address());
    let mut nvml = None;
    let sample = stream.find("a sample", |event| match event {
        Event::Source(status) if status.name == "nvml" => {
            nvml = Some(status);
            None
        }
        Event::Sample(sample) => Some(sample),
        _ => None,
    });
    assert_eq!((sample.origin, sample.source.as_str()), (Origin::Demo, "demo"));
    assert_eq!(sample.devices.len(), 32);
    let nvml = nvml.expect("its status comes first");
    assert_eq!(nvml.state, SourceState::Absent);
    let nodes: std::collections::BTreeSet<&str> = sample
        .devices
        .iter()
        .map(|device| device.identity.node.as_str())
        .collect();
    assert_eq!(nodes.len(), 4);
    let num_missing: usize = sample.devices.iter().map(|device| device.absences().len()).sum();
    assert_eq!(num_missing, 1, "every reading but one is there");
}

#[test]
fn a_daemon_whose_driver_hangs_is_gone_within_a_bound() {
    let (open, gate) = Gated::with_gate();
    let daemon = Daemon::start_with(&settings(Vec::new()), vec![("test", open)]).unwrap();
    let mut stream = Listener::new(daemon.address());
    stream.status("test", |status| status.is_up());
    gate.send(Duration::from_secs(3600)).unwrap();
    // The source is seen to hang before the daemon goes.
    stream.status("test", |status| !status.is_up());
    let start = Instant::now();
    drop(daemon);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_daemon_at_peace_is_gone_at_once() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let mut stream = Listener::new(daemon.address());
    stream.heartbeat();
    let start = Instant::now();
    drop(daemon);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
