//! The window driven by accessible labels, without a renderer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::{App, Command, Start};
use crate::document::{Device, Document, FleetEvent, FleetSnapshot, Node};

/// Two steps of Llama 3 8B on one node: a fraction of a second.
const SMALL: &str = include_str!("small.scenario.toml");

fn open(text: &str) -> Harness<'static, App> {
    let start = Start {
        file: "small.scenario.toml".to_owned(),
        text: text.to_owned(),
        ..Start::default()
    };
    Harness::builder()
        .with_size([1400.0, 900.0])
        .build_eframe(|context| App::new(&context.egui_ctx, start))
}

/// Steps until `done`, for a minute at most: the machine may be busy.
fn until(harness: &mut Harness<'_, App>, what: &str, done: impl Fn(&Document) -> bool) {
    let began = Instant::now();
    while !done(&harness.state().document) {
        assert!(began.elapsed() < Duration::from_secs(60), "never came: {what}");
        harness.step();
        thread::sleep(Duration::from_millis(5));
    }
    harness.run_steps(3);
}

fn checked(document: &Document) -> bool {
    document.checked == Some(document.revision)
}

/// Types `text` over what the editor holds.
fn retype(harness: &mut Harness<'_, App>, text: &str) {
    harness.get_by_label("Scenario text").focus();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(1);
    harness.get_by_label("Scenario text").type_text(text);
    harness.run_steps(2);
}

#[test]
fn an_error_is_listed_with_its_help_and_gone_when_repaired() {
    let mut harness = open(SMALL);
    until(&mut harness, "the first check", checked);
    harness.get_by_label("No problems in the scenario.");
    retype(&mut harness, &SMALL.replace("tp = 2", "tp = 3"));
    until(&mut harness, "the check of the error", checked);
    let count = harness.query_all_by_label_contains("] ").count();
    assert!(count > 0, "the fault is listed");
    assert!(
        !harness.state().document.diagnostics.is_empty(),
        "the fault is found"
    );
    let run = harness.get_by_role_and_label(Role::Button, "Run");
    assert!(run.accesskit_node().is_disabled(), "what is wrong is not run");
    retype(&mut harness, SMALL);
    until(&mut harness, "the check of the repair", checked);
    harness.get_by_label("No problems in the scenario.");
}

#[test]
fn a_scenario_runs_to_its_end_and_its_timeline_zooms() {
    let mut harness = open(SMALL);
    until(&mut harness, "the check", checked);
    harness.get_by_label("No run yet: its timeline appears here.");
    harness.get_by_role_and_label(Role::Button, "Run").click();
    until(&mut harness, "the end", |document| document.finished.is_some());
    harness.get_by_label("Results of small");
    harness.get_by_label("step time");
    let model = harness
        .state()
        .document
        .finished
        .as_ref()
        .unwrap()
        .timeline
        .clone()
        .unwrap();
    assert!(model.len() > 100, "{} spans", model.len());
    let shown = |harness: &Harness<'_, App>| {
        let node = harness.query_all_by_label_contains("shows ").next().unwrap();
        node.accesskit_node()
            .value()
            .or_else(|| node.accesskit_node().label())
            .unwrap()
    };
    let all = shown(&harness);
    harness.get_by_label("Zoom in").click();
    harness.run_steps(3);
    let closer = shown(&harness);
    assert_ne!(all, closer, "the button zooms");
    let lane = harness.query_all_by_label_contains(" · ").next().unwrap().rect();
    harness.hover_at(lane.right_center() + eframe::egui::vec2(200.0, 0.0));
    harness.run_steps(2);
    harness.key_press(Key::W);
    harness.run_steps(3);
    assert_ne!(closer, shown(&harness), "the key zooms");
    harness.get_by_label("Fit").click();
    harness.run_steps(3);
    assert_eq!(all, shown(&harness), "and everything is seen again");
}

#[test]
fn a_run_is_cancelled_and_keeps_what_it_has() {
    let mut harness = open(&SMALL.replace("steps = 2", "steps = 4000"));
    until(&mut harness, "the check", checked);
    harness.get_by_role_and_label(Role::Button, "Run").click();
    let under_way = |document: &Document| document.running.as_ref().is_some_and(|run| run.tasks_done > 0);
    until(&mut harness, "progress", under_way);
    harness.get_by_role_and_label(Role::Button, "Stop").click();
    until(&mut harness, "the end", |document| {
        document.running.is_none() && document.finished.is_some()
    });
    harness.get_by_label_contains("Partial results: ");
    assert!(
        harness.state().document.fault.is_none(),
        "a cancelled run is no fault"
    );
}

fn snapshot() -> FleetEvent {
    let device = Device {
        utilization: Some(0.5),
        ..Device::default()
    };
    FleetEvent::Snapshot(Arc::new(FleetSnapshot {
        source: "127.0.0.1".to_owned(),
        demo: false,
        nodes: vec![Node {
            name: "node-a".to_owned(),
            devices: vec![device],
        }],
    }))
}

#[test]
fn the_fleet_is_empty_then_heard_lost_and_heard_again() {
    let mut harness = open(SMALL);
    harness.run_steps(2);
    harness.get_by_label("No collectors yet");
    let feed = harness.state().fleet_feed();
    feed.send(snapshot()).unwrap();
    harness.run_steps(2);
    harness.get_by_label("node-a GPU 0: 50 %");
    assert!(
        harness.query_by_label_contains("DEMO").is_none(),
        "a real feed is not marked"
    );
    feed.send(FleetEvent::Lost("connection refused".to_owned()))
        .unwrap();
    harness.run_steps(2);
    harness.get_by_label_contains("Collector lost: connection refused");
    harness.get_by_label("node-a GPU 0: 50 %");
    feed.send(snapshot()).unwrap();
    harness.run_steps(2);
    assert!(
        harness.query_by_label_contains("Collector lost").is_none(),
        "it speaks again"
    );
}

#[test]
fn the_demo_cluster_is_marked_and_stops_when_asked() {
    let mut harness = open(SMALL);
    harness.run_steps(2);
    harness.get_by_label("Start demo cluster").click();
    until(&mut harness, "the demo", |document| {
        document.fleet.latest.is_some()
    });
    harness.get_by_label(" DEMO ");
    harness.get_by_label_contains("devices: 32 (DEMO)");
    harness.state().commands.send(Command::Demo(false));
    until(&mut harness, "the loss", |document| document.fleet.lost.is_some());
    harness.get_by_label_contains("Collector lost: the demo feed was stopped");
}
