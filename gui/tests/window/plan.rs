//! A scenario from text to results.

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{Document, Scenario, Start};

use crate::support::{
    SMALL, open, open_text, open_with_a_run, retype, shows, typed, until_checked, until_document,
    until_under_way,
};

#[test]
fn an_error_is_listed_with_its_fix_stops_the_run_and_is_gone_when_repaired() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.get_by_label("No problems in the scenario.");
    harness.get_by_label("No run yet: its timeline appears here.");
    retype(&mut harness, &SMALL.replace("tp = 2", "tp = 3"));
    until_checked(&mut harness);
    let faults = harness.state().document().diagnostics.clone();
    let fault = faults.first().expect("a third of eight devices is a fault");
    let line = format!("line {}:{} [{}]", fault.line, fault.column, fault.code);
    let help = format!(
        "help: {}",
        fault.help.as_ref().expect("there is a value that works")
    );
    harness.get_by_label(&help);
    let run = harness.get_by_role_and_label(Role::Button, "Run");
    assert!(run.accesskit_node().is_disabled(), "what is wrong is not run");
    harness.get_by_label_contains(&line).click();
    harness.run_steps(3);
    let editor = harness.get_by_label("Scenario text");
    assert!(
        editor.accesskit_node().is_focused(),
        "the fault leads to its line"
    );
    let start = editor
        .accesskit_node()
        .raw_text_selection()
        .map(|selection| selection.focus);
    assert!(start.is_some(), "the cursor is in the text");
    retype(&mut harness, SMALL);
    until_checked(&mut harness);
    harness.get_by_label("No problems in the scenario.");
    harness.get_by_role_and_label(Role::Button, "Run").click();
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    harness.get_by_label("Results of small");
    harness.get_by_label("step time");
}

#[test]
fn the_shortcuts_run_and_stop() {
    let mut harness = open_text(&SMALL.replace("steps = 2", "steps = 4000"));
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_under_way(&mut harness);
    assert!(shows(&harness, "tasks/s"), "the pace is shown");
    harness.key_press(Key::Escape);
    until_document(&mut harness, "the end", |document| {
        document.running.is_none() && document.finished.is_some()
    });
    harness.get_by_label_contains("Partial results: ");
}

#[test]
fn escape_clears_what_is_selected_before_it_stops_the_run() {
    let mut harness = open_with_a_run();
    harness.get_by_role_and_label(Role::Button, "Zoom in").click();
    harness.run_steps(2);
    harness.get_by_role(Role::Canvas).focus();
    harness.run_steps(2);
    harness.key_press(Key::Period);
    harness.run_steps(3);
    assert!(shows(&harness, "released by"), "a span is selected");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(!shows(&harness, "released by"), "nothing is selected");
    let stopping = |document: &Document| document.running.as_ref().is_none_or(|run| run.stopping);
    assert!(!stopping(&harness.state().document()), "the run goes on");
    harness.key_press(Key::Escape);
    until_document(&mut harness, "the end", |document| document.running.is_none());
}

#[test]
fn a_run_is_cancelled_and_keeps_what_it_has() {
    let mut harness = open_text(&SMALL.replace("steps = 2", "steps = 4000"));
    until_checked(&mut harness);
    harness.get_by_role_and_label(Role::Button, "Run").click();
    let counted = |document: &Document| {
        document
            .running
            .as_ref()
            .is_some_and(|run| run.remaining().is_some())
    };
    until_document(&mut harness, "the remaining time", counted);
    assert!(shows(&harness, " s left"), "the remaining time is shown");
    harness.get_by_role_and_label(Role::Button, "Stop").click();
    until_document(&mut harness, "the end", |document| {
        document.running.is_none() && document.finished.is_some()
    });
    harness.get_by_label_contains("Partial results: ");
    assert!(
        harness.state().document().fault.is_none(),
        "a cancelled run is no fault"
    );
}

#[test]
fn several_files_keep_their_texts_and_their_results() {
    let other = SMALL.replace("name = \"small\"", "name = \"other\"");
    let scenarios = [
        ("a/small.scenario.toml", SMALL),
        ("b/other.scenario.toml", &other),
    ];
    let mut harness = open(Start {
        scenarios: scenarios.map(|(file, text)| Scenario::new(file, text)).into(),
        run_at_once: true,
        ..Start::default()
    });
    until_document(&mut harness, "the first run", |document| {
        document.finished.is_some()
    });
    harness.get_by_label("Results of small");
    harness.get_by_label("other").click();
    harness.run_steps(3);
    assert_eq!(typed(&harness), other);
    assert!(!shows(&harness, "Results of "), "it was not run yet");
    retype(&mut harness, &other.replace("steps = 2", "steps = 3"));
    until_checked(&mut harness);
    harness.get_by_role_and_label(Role::Button, "Run").click();
    until_document(&mut harness, "the second run", |document| {
        document.finished.is_some()
    });
    harness.get_by_label("Results of other");
    harness.get_by_label("small").click();
    until_checked(&mut harness);
    harness.get_by_label("Results of small");
    assert!(!shows(&harness, "was edited since"), "its text is as it was run");
    assert_eq!(typed(&harness), SMALL);
}

#[test]
fn a_fault_is_mended_by_its_quick_fix() {
    let mut harness = open_text(&SMALL.replace("tp = 2", "tp = 3 # a third"));
    until_checked(&mut harness);
    let document = harness.state().document();
    let fault = document
        .diagnostics
        .first()
        .expect("a third of eight devices is a fault");
    let fixes = document.fixes(fault).to_vec();
    let words = format!("Fix: {}", fixes.first().expect("it proposes a value").title);
    harness.get_by_role_and_label(Role::Button, &words).click();
    harness.run_steps(3);
    until_checked(&mut harness);
    assert_eq!(typed(&harness), fixes[0].text, "the editor has it");
    assert!(typed(&harness).contains("# a third"), "the comment stays");
    harness.get_by_label("No problems in the scenario.");
}

#[test]
fn the_form_changes_the_text_and_what_it_comes_to() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.get_by_label("Form").click();
    harness.run_steps(3);
    let outlined = |document: &Document| {
        document
            .outline
            .as_ref()
            .is_some_and(|(of, _)| *of == document.revision)
    };
    until_document(&mut harness, "the outline", outlined);
    let before = harness.state().document().outline.clone().unwrap().1;
    assert_eq!((before.device.count, before.dp), (8, 2));
    assert!(shows(&harness, "stage 0: "), "memory is told by stage");
    harness.get_by_role_and_label(Role::Button, "Double TP").click();
    harness.run_steps(3);
    until_checked(&mut harness);
    until_document(&mut harness, "the outline", outlined);
    let after = harness.state().document();
    assert_eq!(after.outline.as_ref().unwrap().1.dp, 1);
    assert_eq!(
        *after.text,
        *SMALL.replace("tp = 2", "tp = 4"),
        "nothing else is touched"
    );
}

#[test]
fn a_price_of_the_form_is_an_amount_of_today_that_stands_there_again() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.get_by_label("Form").click();
    harness.run_steps(3);
    harness
        .get_by_role_and_label(Role::SpinButton, "price of a GPU-hour")
        .click();
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.event(Event::Text("2.5".to_owned()));
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    until_checked(&mut harness);
    let document = harness.state().document();
    assert!(document.diagnostics.is_empty(), "{:?}", document.diagnostics);
    assert!(
        document.text.contains("gpu_hour = \"2.50 USD\""),
        "{}",
        document.text
    );
    assert!(document.text.contains("priced_on = \"20"), "{}", document.text);
    let field = harness.get_by_role_and_label(Role::SpinButton, "price of a GPU-hour");
    let shown = field.accesskit_node().value().unwrap_or_default();
    assert!(shown.contains("2.5"), "{shown}");
}

/// Types `text` over the price of the form.
fn type_price(harness: &mut egui_kittest::Harness<'_, orrery_gui::App>, text: &str) {
    harness
        .get_by_role_and_label(Role::SpinButton, "price of a GPU-hour")
        .click();
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.event(Event::Text(text.to_owned()));
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(3);
}

#[test]
fn a_price_is_taken_however_it_is_written_or_refused_with_the_reason() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.get_by_label("Form").click();
    harness.run_steps(3);
    for (typed, written) in [
        ("$3.25/h", "gpu_hour = \"3.25 USD\""),
        ("1,99 €", "gpu_hour = \"1.99 EUR\""),
        ("1500", "gpu_hour = \"1500 EUR\""),
        ("2.125 cny", "gpu_hour = \"2.125 CNY\""),
    ] {
        type_price(&mut harness, typed);
        until_checked(&mut harness);
        let document = harness.state().document();
        assert!(document.text.contains(written), "{typed}: {}", document.text);
        assert!(document.diagnostics.is_empty(), "{:?}", document.diagnostics);
        let plan = document.training_plan().unwrap();
        let price = plan.price.as_ref().expect("it is applied");
        assert!(written.ends_with(&format!("{}\"", price.currency)), "{price:?}");
    }
    let before = harness.state().document().text.clone();
    for (typed, why) in [
        ("2 GBP", "not taken: `gbp` is no currency"),
        (
            "60 USD/day",
            "not taken: a price is that of one GPU-hour, not of one `day`",
        ),
        ("cheap", "not taken: there is no number in `cheap`"),
    ] {
        type_price(&mut harness, typed);
        assert!(crate::support::shows(&harness, why), "{typed}");
        assert_eq!(harness.state().document().text, before, "nothing is changed");
    }
}

#[test]
fn an_edit_that_is_taken_back_is_none() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    retype(&mut harness, &SMALL.replace("tp = 2", "tp = 4"));
    until_checked(&mut harness);
    assert!(crate::support::shows(&harness, "was edited since this run"));
    assert!(crate::support::shows(&harness, "edited since its run"));
    retype(&mut harness, SMALL);
    until_checked(&mut harness);
    assert!(
        !crate::support::shows(&harness, "edited since"),
        "the text is as it was run"
    );
}
