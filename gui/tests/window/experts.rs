//! A balancing scenario from text to pictures.

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{App, Arrangement, Scenario, Start};

use crate::support::{open, shows, until_checked, until_document};

/// Four policies for 160 steps of a prefill unit.
const DRIFT: &str = include_str!("drift.scenario.toml");

fn open_drift() -> Harness<'static, App> {
    open(Start {
        scenarios: vec![Scenario::new("drift.scenario.toml", DRIFT)],
        arrangement: Some(Arrangement::Experts),
        ..Start::default()
    })
}

/// Clicks where the pointer is then, as a person does: a picture has to know which of its cells is meant.
fn click_at(harness: &mut Harness<'_, App>, pos: Pos2) {
    harness.hover_at(pos);
    harness.run_steps(2);
    for pressed in [true, false] {
        harness.event(Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
        harness.run_steps(2);
    }
}

#[test]
fn policies_are_run_and_two_of_them_are_held_beside_each_other() {
    let mut harness = open_drift();
    harness.get_by_label("No loads of experts yet");
    harness.get_by_label_contains("Open: Hot experts that move");
    until_checked(&mut harness);
    harness.get_by_label("No problems in the scenario.");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    harness.get_by_label("Every expectation holds.");
    assert!(
        shows(&harness, "Balancing pays: oracle saves "),
        "the verdict is a sentence"
    );
    harness.get_by_role_and_label(Role::Button, "A: static");
    harness.get_by_role_and_label(Role::Image, "Loads of devices under static");
    harness.get_by_role_and_label(Role::Image, "Loads of devices under eplb");
    harness.get_by_role_and_label(Role::Button, "B: eplb").click();
    harness.run_steps(3);
    let oracle = harness.query_all_by_role_and_label(Role::Button, "oracle").next();
    oracle.expect("every policy can be chosen").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Image, "Loads of devices under oracle");
    harness.get_by_role_and_label(Role::Image, "Traffic under oracle");
    harness
        .get_by_role_and_label(Role::CheckBox, "sort experts by load")
        .click();
    harness.run_steps(3);
    let picture = harness
        .get_by_role_and_label(Role::Image, "Loads of experts")
        .rect();
    click_at(&mut harness, picture.left_top() + vec2(20.0, 10.0));
    let facts = harness
        .state()
        .document()
        .facts(0.0)
        .expect("a load is looked at");
    assert_eq!(facts.what, "load", "{facts:?}");
    assert!(
        facts.text().contains("x the mean of its layer"),
        "{}",
        facts.text()
    );
    harness.get_by_label("imbalance, p95");
}

#[test]
fn a_balancing_run_is_stopped_and_a_training_run_has_no_loads() {
    let mut harness = open_drift();
    let long = DRIFT.replace("steps = 60", "steps = 60000");
    crate::support::retype(&mut harness, &long);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_document(&mut harness, "progress", |document| {
        document.running.as_ref().is_some_and(|run| run.tasks_done > 0)
    });
    assert!(shows(&harness, "steps/s"), "the pace is one of steps");
    let run = harness.get_by_role_and_label(Role::Button, "Run");
    assert!(run.accesskit_node().is_disabled(), "one run at a time");
    harness.get_by_role_and_label(Role::Button, "Stop").click();
    until_document(&mut harness, "the end", |document| document.running.is_none());
    assert!(
        shows(&harness, "Partial results: "),
        "what there is of it says so"
    );
}
