//! What Escape leaves, and when it stops the run.

use eframe::egui::Key;
use eframe::egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::App;

use crate::support::{open_with_a_run, shows, until_document};

fn goes_on(harness: &Harness<'_, App>) -> bool {
    let document = harness.state().document();
    document.running.as_ref().is_some_and(|run| !run.stopping)
}

/// Presses Escape and lets the run end.
fn stop(harness: &mut Harness<'_, App>) {
    harness.key_press(Key::Escape);
    until_document(harness, "the end", |document| document.running.is_none());
}

#[test]
fn escape_leaves_a_text_field_before_it_stops_the_run() {
    let mut harness = open_with_a_run();
    for field in ["Scenario text", "Collector address", "Search kinds"] {
        harness.get_by_label(field).focus();
        harness.run_steps(2);
        let focused = harness.get_by_label(field).accesskit_node().is_focused();
        assert!(focused, "{field} has the focus");
        harness.key_press(Key::Escape);
        harness.run_steps(3);
        let focused = harness.get_by_label(field).accesskit_node().is_focused();
        assert!(!focused, "{field} was left");
        assert!(goes_on(&harness), "leaving {field} stopped the run");
    }
    stop(&mut harness);
}

#[test]
fn escape_closes_a_menu_before_it_stops_the_run() {
    let mut harness = open_with_a_run();
    // The field of the editor is left first, so that the menu alone has something to leave.
    harness.get_by_role(Role::Canvas).focus();
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::Button, "Keys").click();
    harness.run_steps(3);
    assert!(shows(&harness, "fit everything"), "the menu is open");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(!shows(&harness, "fit everything"), "the menu is closed");
    assert!(goes_on(&harness), "closing a menu stopped the run");
    stop(&mut harness);
}
