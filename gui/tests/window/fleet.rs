//! The fleet over HTTP from a real daemon, there, lost and there again.

use std::net::SocketAddr;
use std::time::Duration;

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_collector::{Daemon, Settings, SourceKind, StoreSettings};
use orrery_gui::{App, Link, Scenario, Start};

use crate::support::{SMALL, open, open_text, shows, until, until_document};

/// A daemon that plays the demonstration at `address`, ten times a second.
fn daemon(address: SocketAddr) -> Daemon {
    Daemon::start(&Settings {
        listen: address,
        sources: vec![SourceKind::Demo],
        interval: Duration::from_millis(100),
        ..Settings::for_window()
    })
    .expect("loopback can be listened on")
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn open_on(urls: &[String]) -> Harness<'static, App> {
    open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        collectors: urls.to_vec(),
        ..Start::default()
    })
}

fn until_shown(harness: &mut Harness<'_, App>, words: &str) {
    until(harness, words, |harness| shows(harness, words));
}

/// The first device of the demonstration.
const DEVICE: &str = "demo-node-0 device 0: ";

#[test]
fn a_collector_is_lost_with_a_reason_and_live_again_when_it_is_back() {
    let first = daemon(any_port());
    let address = first.address();
    let mut harness = open_on(&[format!("http://{address}")]);
    until_shown(&mut harness, DEVICE);
    harness.get_by_label_contains(": live, heard");
    assert!(!shows(&harness, ", not live"), "every device is live");
    drop(first);
    until_shown(&mut harness, "Collector lost: ");
    let document = harness.state().document();
    let why = match &document.fleet.collectors[0].link {
        Link::Lost { why, .. } => why.clone(),
        other => panic!("it is {other:?}"),
    };
    assert!(!why.is_empty(), "there is a reason");
    harness.get_by_label_contains(DEVICE);
    assert!(shows(&harness, ", not live"), "what is shown is old");
    harness.get_by_label("collectors lost: 1 of 1");
    // Nobody is there now, which is another reason than the end of the stream.
    until_shown(&mut harness, "connection refused, retrying in ");
    let second = daemon(address);
    harness.get_by_label("Retry now").click();
    until(&mut harness, "live again", |harness| {
        shows(harness, ": live, heard") && !shows(harness, ", not live")
    });
    assert!(!shows(&harness, "Collector lost"), "it is back");
    drop(second);
}

#[test]
fn no_cell_of_a_node_is_cut_off_in_the_overview() {
    let daemon = daemon(any_port());
    let mut harness = open_on(&[format!("http://{}", daemon.address())]);
    let last = "demo-node-0 device 7: ";
    until_shown(&mut harness, last);
    let cell = harness.get_by_label_contains(last).rect();
    let words = "Click a device for its readings";
    let beside = harness.get_by_label_contains(words).rect();
    assert!(
        cell.right() < beside.left() || cell.bottom() < beside.top(),
        "{cell:?} lies under {beside:?}"
    );
    assert!(cell.right() < harness.get_by_label("Inspector").rect().left());
    drop(daemon);
}

#[test]
fn the_demonstration_is_marked_wherever_it_shows() {
    let daemon = daemon(any_port());
    let mut harness = open_on(&[format!("http://{}", daemon.address())]);
    until_shown(&mut harness, DEVICE);
    harness.get_by_label(" DEMO ");
    harness.get_by_label("devices: 32 (DEMO)");
    let cells = harness.query_all_by_label_contains(" device ");
    let labels = cells.filter_map(|cell| cell.accesskit_node().label());
    let cells: Vec<String> = labels.filter(|label| label.starts_with("demo-node-")).collect();
    let marked = cells.iter().filter(|label| label.contains("(DEMO)")).count();
    assert!(marked >= 32, "{cells:?}");
    let rows = harness.query_all_by_label_contains("DEMO, ").count();
    assert_eq!(rows, 4, "every node says so");
    drop(daemon);
}

#[test]
fn a_device_is_looked_at_and_stragglers_want_a_look() {
    let daemon = daemon(any_port());
    let mut harness = open_on(&[format!("http://{}", daemon.address())]);
    until_shown(&mut harness, DEVICE);
    // The demonstration has one device whose clock stays low.
    let straggler = "demo-node-2 5: ";
    until_shown(&mut harness, straggler);
    assert!(shows(&harness, "SM clock 1"), "the clock is why");
    harness.get_by_label_contains(straggler).click();
    harness.run_steps(3);
    let named = harness.query_all_by_label("demo-node-2 device 5").count();
    assert_eq!(named, 2, "its last minutes, and the inspector");
    harness.get_by_label_contains("SM clock, last ");
    harness.get_by_label("memory bandwidth");
    let cell = harness.get_by_label_contains("demo-node-2 device 5: ");
    let label = cell.accesskit_node().label().unwrap_or_default();
    assert!(label.contains("MHz") && label.contains("wants a look"), "{label}");
    drop(daemon);
}

#[test]
fn a_collector_is_added_by_its_address() {
    let daemon = daemon(any_port());
    let mut harness = open_text(SMALL);
    harness.get_by_label("No collectors yet");
    let field = |harness: &mut Harness<'_, App>, text: &str| {
        harness.get_by_label("Collector address").focus();
        harness.run_steps(2);
        harness.get_by_label("Collector address").type_text(text);
        harness.run_steps(2);
    };
    field(&mut harness, "ftp://");
    harness.get_by_label("Connect").click();
    harness.run_steps(3);
    harness.get_by_label_contains("collectors speak http");
    harness.get_by_label("Collector address").focus();
    harness.key_press_modifiers(eframe::egui::Modifiers::COMMAND, eframe::egui::Key::A);
    harness.run_steps(2);
    field(&mut harness, &daemon.address().to_string());
    harness.get_by_label("Connect").click();
    until_shown(&mut harness, DEVICE);
    drop(daemon);
}

#[test]
fn an_address_that_is_no_collector_is_said() {
    let mut harness = open_on(&["http://127.0.0.1:9".to_owned()]);
    until_shown(&mut harness, "Collector not reached: connection refused");
    harness.get_by_label("collectors not reached: 1 of 1");
    assert!(!shows(&harness, "ollector lost"), "it was never there");
    harness.get_by_label("No device was reported yet.");
}

#[test]
fn a_lost_collector_counts_in_no_figure_of_the_fleet() {
    let (first, second) = (daemon(any_port()), daemon(any_port()));
    let urls = [&first, &second].map(|daemon| format!("http://{}", daemon.address()));
    let mut harness = open_on(&urls);
    until_shown(&mut harness, "devices: 64 (DEMO)");
    drop(second);
    until_shown(&mut harness, "devices: 32 live of 64 (DEMO)");
    let document = harness.state().document();
    let places = document.fleet.apart.iter().map(|apart| apart.node);
    let collectors = places.map(|node| document.fleet.nodes[node].collector);
    assert!(
        collectors.into_iter().all(|collector| collector == 0),
        "old values"
    );
    drop(first);
    until_shown(&mut harness, "devices: 0 live of 64 (DEMO)");
    assert!(!shows(&harness, "median "), "nothing is left to have a middle");
}

#[test]
fn many_lost_collectors_leave_room_for_the_rest() {
    let live = daemon(any_port());
    let mut urls = vec![format!("http://{}", live.address())];
    urls.extend((1..60).map(|port| format!("http://127.0.0.1:{port}")));
    let mut harness = open_on(&urls);
    until_shown(&mut harness, "collectors not reached: 59 of 60");
    until_shown(&mut harness, DEVICE);
    let cell = harness.get_by_label_contains(DEVICE).rect();
    assert!(cell.bottom() < 900.0, "the grid is in the window: {cell:?}");
    harness.get_by_label("1 of 60 collectors are live");
    drop(live);
}

/// A window on a daemon that plays the demonstration and keeps its history in `folder`, if one is given.
fn open_on_history(folder: Option<&std::path::Path>) -> (Daemon, Harness<'static, App>) {
    let daemon = Daemon::start(&Settings {
        listen: any_port(),
        sources: vec![SourceKind::Demo],
        interval: Duration::from_millis(100),
        store: folder.map(|folder| StoreSettings {
            flush_interval: Duration::from_millis(100),
            ..StoreSettings::new(folder.to_owned())
        }),
        ..Settings::for_window()
    })
    .expect("loopback can be listened on");
    let mut harness = open_on(&[format!("http://{}", daemon.address())]);
    until_shown(&mut harness, DEVICE);
    harness.get_by_label_contains(DEVICE).click();
    harness.run_steps(3);
    (daemon, harness)
}

/// Waits for the answer to what was asked of the history.
fn until_answered(harness: &mut Harness<'_, App>) {
    until_document(harness, "the history", |document| {
        document.past.as_ref().is_some_and(|past| past.answer.is_some())
    });
}

#[test]
fn the_history_of_a_device_is_asked_of_its_collector() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, mut harness) = open_on_history(Some(folder.path()));
    let has_points = |harness: &Harness<'_, App>| {
        let past = harness.state().document().past.clone();
        let answer = past.and_then(|past| past.answer);
        answer.is_some_and(|answer| answer.is_ok_and(|course| !course.is_empty()))
    };
    harness.get_by_label("History…").click();
    harness.run_steps(1);
    // What was sampled is on disk a moment later.
    for _ in 0..100 {
        until_answered(&mut harness);
        if has_points(&harness) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        harness.get_by_label("Ask again").click();
        harness.run_steps(2);
    }
    assert!(has_points(&harness), "{:?}", harness.state().document().past);
    harness.get_by_label("History of demo-node-0 device 0");
    assert!(
        shows(&harness, "utilization"),
        "that of the colours is shown first"
    );
    let document = harness.state().document();
    let past = document.past.clone().expect("it was asked for");
    assert!(
        past.metrics
            .iter()
            .any(|metric| metric == "orrery_gpu_power_watts"),
        "{:?}",
        past.metrics
    );
    harness.get_by_label("last day").click();
    harness.run_steps(2);
    until_answered(&mut harness);
    let course = harness
        .state()
        .document()
        .past
        .clone()
        .and_then(|past| past.answer);
    let course = course.expect("it came").expect("there is a history");
    let hours = (course.range.1 - course.range.0) / 3600.0;
    assert!((hours - 24.0).abs() < 0.01, "{hours}");
    harness.get_by_label("Show its history").click();
    harness.run_steps(2);
    until_answered(&mut harness);
    assert!(shows(&harness, "power in W"), "the unit is said");
    harness.get_by_label("Close history").click();
    harness.run_steps(3);
    assert!(!shows(&harness, "History of "), "it is put away");
    drop(daemon);
}

#[test]
fn a_collector_that_keeps_no_history_or_is_gone_is_said() {
    let (daemon, mut harness) = open_on_history(None);
    harness.get_by_label("History…").click();
    harness.run_steps(2);
    until_answered(&mut harness);
    assert!(shows(
        &harness,
        "No history: this collector keeps no history: start it with `--data-dir DIR`"
    ));
    drop(daemon);
    until_shown(&mut harness, "connection refused, retrying in ");
    harness.get_by_label("Ask again").click();
    harness.run_steps(2);
    until_answered(&mut harness);
    assert!(shows(&harness, "No history: connection refused"));
}
