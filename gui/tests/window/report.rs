//! The decision sheet: made of a run, made up, written.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use orrery_gui::{App, Document};

use crate::support::{SMALL, open_text, shows, until_checked, until_document};

/// The endings of the forms of a sheet.
const ENDINGS: [&str; 4] = ["html", "png", "svg", "csv"];

#[test]
fn the_sheet_of_a_run_is_made_up_and_exported_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_sheet();
    assert!(shows(&harness, "SIMULATED, NOT MEASURED"), "it says what it is");
    assert!(shows(&harness, "memory headroom"));
    let document = harness.state().document();
    let waiting = document
        .waited_for()
        .expect("stages wait for each other")
        .sentence();
    assert!(shows(&harness, &waiting), "{waiting}");
    assert!(
        shows(&harness, "What decides the step"),
        "its scenario is open as it was"
    );

    harness.get_by_label("Memo").focus();
    harness.run_steps(2);
    harness.get_by_label("Memo").type_text("Buy <two> nodes.");
    harness.run_steps(2);
    harness.get_by_label("expectations").click();
    let path = folder.path().join("sheet");
    export_to(&mut harness, &path);
    export_in_every_form(&mut harness, &path);
    for ending in ENDINGS {
        let file = path.with_extension(ending);
        assert!(
            file.metadata().unwrap().len() > 500,
            "{ending} is more than a frame"
        );
    }
    let html = std::fs::read_to_string(path.with_extension("html")).unwrap();
    assert!(html.contains("Buy &lt;two&gt; nodes."), "the memo is text");
    assert!(html.contains("simulated, not measured"));
    assert!(html.contains(&waiting), "whom the ranks wait for");
    assert!(!html.contains("<h2>Expectations"), "a section was left out");
    let csv = std::fs::read_to_string(path.with_extension("csv")).unwrap();
    assert!(csv.lines().any(|line| line.starts_with("figure,MFU,0.")), "{csv}");
}

#[test]
fn what_became_of_every_export_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet");
    let mut harness = open_sheet();
    export_to(&mut harness, &path);
    export_in_every_form(&mut harness, &path);
    for ending in ENDINGS {
        let words = format!("wrote {}", path.with_extension(ending).display());
        assert!(shows(&harness, &words), "what became of each is said: {words}");
    }
    harness.get_by_role_and_label(Role::Button, "HTML").click();
    harness.run_steps(2);
    assert!(
        shows(&harness, "click again to replace it"),
        "nothing is replaced unasked"
    );
    harness.get_by_role_and_label(Role::Button, "HTML").click();
    let replaced = |document: &Document| document.sheets.written[0].outcome == Ok(true);
    until_document(&mut harness, "the replacement", replaced);
    assert!(shows(&harness, "sheet.html, in place of an older file"));
    assert_eq!(
        harness.state().document().sheets.written.len(),
        4,
        "one for each file"
    );

    std::fs::write(folder.path().join("blocked"), "no folder").unwrap();
    export_to(&mut harness, &folder.path().join("blocked/sheet"));
    let blocked = folder.path().join("blocked/sheet");
    export_in_every_form(&mut harness, &blocked);
    for ending in ENDINGS {
        let file = blocked.with_extension(ending);
        let document = harness.state().document();
        let export = document.sheets.written.iter().find(|one| one.path == file);
        let why = export.expect("it is said").words();
        assert!(why.contains("cannot write"), "{why}");
        assert!(shows(&harness, &why), "{why}");
    }
}

/// A window with the sheet of a run.
fn open_sheet() -> Harness<'static, App> {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num8);
    harness.run_steps(3);
    harness.get_by_label("A sheet needs a run");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    until_document(&mut harness, "the sheet", |document| {
        document.sheets.prepared.is_some()
    });
    harness
}

/// Clicks the button of every form, and waits until it is said what became of each file.
fn export_in_every_form(harness: &mut Harness<'_, App>, path: &Path) {
    for ending in ENDINGS {
        harness
            .get_by_role_and_label(Role::Button, &ending.to_uppercase())
            .click();
        let file = path.with_extension(ending);
        until_document(harness, ending, |document| {
            document.sheets.written.iter().any(|export| export.path == file)
        });
    }
}

/// Types where sheets go, without an ending.
fn export_to(harness: &mut Harness<'_, App>, path: &Path) {
    harness.get_by_label("Export to").focus();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(1);
    harness
        .get_by_label("Export to")
        .type_text(&path.display().to_string());
    harness.run_steps(2);
}

#[test]
fn a_new_run_takes_the_place_of_the_sheet_that_was_picked() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    let run = |harness: &mut Harness<'_, App>, num: usize| {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
        until_document(harness, "the end", |document| document.runs.kept.len() == num);
    };
    run(&mut harness, 1);
    harness.run_steps(3);
    harness.get_by_label("#1 small: simulated, A").click();
    harness.run_steps(3);
    harness.get_by_label("Show its sheet").click();
    harness.run_steps(3);
    let sheet = |document: &Document| document.sheet_run().map(|run| run.id);
    assert_eq!(sheet(&harness.state().document()), Some(1));
    run(&mut harness, 2);
    assert_eq!(sheet(&harness.state().document()), Some(2));
}
