//! Saving, closing and what happens to files meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, ViewportCommand, ViewportEvent, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{App, Home, Scenario, Start};
use tempfile::TempDir;

use crate::support::{SMALL, open, retype, shows, typed, until, until_checked};

/// A window on files of a folder of its own, each with the text of the small scenario.
fn on_files(names: &[&str]) -> (TempDir, Vec<PathBuf>, Harness<'static, App>) {
    let folder = tempfile::tempdir().expect("there is a folder for what passes");
    let files: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    for file in &files {
        fs::write(file, SMALL).expect("it can be written");
    }
    let read = |file: &PathBuf| Scenario::read(&file.display().to_string()).expect("it was written");
    let mut harness = open(Start {
        scenarios: files.iter().map(read).collect(),
        ..Start::default()
    });
    until_checked(&mut harness);
    (folder, files, harness)
}

fn edited() -> String {
    SMALL.replace("steps = 2", "steps = 3")
}

fn held(file: &Path) -> String {
    fs::read_to_string(file).expect("there is a file")
}

fn until_shown(harness: &mut Harness<'_, App>, words: &str) {
    until(harness, words, |harness| shows(harness, words));
}

fn press(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press_modifiers(Modifiers::COMMAND, key);
    harness.run_steps(3);
}

fn click(harness: &mut Harness<'_, App>, button: &str) {
    harness.get_by_role_and_label(Role::Button, button).click();
    harness.run_steps(3);
}

fn is_edited(harness: &Harness<'_, App>) -> bool {
    let document = harness.state().document();
    document.is_edited(document.front)
}

fn until_saved(harness: &mut Harness<'_, App>) {
    until(harness, "the save", |harness| !is_edited(harness));
}

fn commands(harness: &Harness<'_, App>) -> Vec<ViewportCommand> {
    let output = &harness.output().viewport_output;
    output
        .get(&ViewportId::ROOT)
        .map(|root| root.commands.clone())
        .unwrap_or_default()
}

/// Types `path` over what the question for a path proposes.
fn type_path(harness: &mut Harness<'_, App>, path: &str) {
    harness.get_by_label("Path").focus();
    harness.run_steps(2);
    press(harness, Key::A);
    harness.get_by_label("Path").type_text(path);
    harness.run_steps(3);
}

/// Asks the window to close, as the button of its frame does; whether it does.
fn closes(harness: &mut Harness<'_, App>) -> bool {
    let root = harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
    root.events.push(ViewportEvent::Close);
    harness.step();
    let stays = commands(harness).contains(&ViewportCommand::CancelClose);
    harness.run_steps(2);
    !stays
}

#[test]
fn what_was_typed_is_marked_until_the_shortcut_saves_it() {
    let (_folder, files, mut harness) = on_files(&["plan.scenario.toml"]);
    assert!(!shows(&harness, "•"), "nothing was typed");
    retype(&mut harness, &edited());
    harness.get_by_label("Plan: plan •");
    assert!(shows(&harness, "edited, not saved: "), "in words too");
    press(&mut harness, Key::S);
    until_saved(&mut harness);
    assert_eq!(held(&files[0]), edited());
    assert!(!shows(&harness, "•"), "no mark is left");
    let save = harness.get_by_role_and_label(Role::Button, "Save");
    assert!(save.accesskit_node().is_disabled(), "there is nothing to save");
}

#[test]
fn the_title_of_the_window_names_the_scenario_and_marks_edits() {
    let (_folder, _files, mut harness) = on_files(&["plan.scenario.toml"]);
    let mut titles = Vec::new();
    harness.get_by_label("Scenario text").focus();
    harness.step();
    harness.get_by_label("Scenario text").type_text("#");
    for _ in 0..4 {
        harness.step();
        titles.extend(commands(&harness));
    }
    let edited = ViewportCommand::Title("• plan — Orrery".to_owned());
    assert!(titles.contains(&edited), "{titles:?}");
}

#[test]
fn what_ships_is_not_overwritten_but_asked_a_path_for() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.scenario.toml");
    let shipped = Scenario {
        home: Home::Shipped,
        ..Scenario::new("scenarios/training/shipped.scenario.toml", SMALL)
    };
    let mut harness = open(Start {
        scenarios: vec![shipped],
        ..Start::default()
    });
    until_checked(&mut harness);
    retype(&mut harness, &edited());
    press(&mut harness, Key::S);
    harness.get_by_label("Save the scenario as");
    type_path(
        &mut harness,
        &folder.path().join("no/own.toml").display().to_string(),
    );
    click(&mut harness, "Save file");
    until_shown(&mut harness, "there is no such folder");
    type_path(&mut harness, &own.display().to_string());
    click(&mut harness, "Save file");
    until_saved(&mut harness);
    assert_eq!(held(&own), edited());
    assert!(!Path::new("scenarios/training/shipped.scenario.toml").exists());
    let document = harness.state().document();
    assert_eq!(
        document.file,
        own.display().to_string(),
        "it goes on with that file"
    );
    retype(&mut harness, SMALL);
    press(&mut harness, Key::S);
    until_saved(&mut harness);
    assert_eq!(held(&own), SMALL, "and saves there without a question");
}

#[test]
fn saving_over_another_file_asks_first() {
    let (folder, files, mut harness) = on_files(&["plan.scenario.toml", "other.scenario.toml"]);
    let third = folder.path().join("third.toml");
    fs::write(&third, "theirs").unwrap();
    retype(&mut harness, &edited());
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    harness.run_steps(3);
    type_path(&mut harness, &files[1].display().to_string());
    click(&mut harness, "Save file");
    harness.get_by_label("that file is open in another tab");
    type_path(&mut harness, &third.display().to_string());
    click(&mut harness, "Save file");
    until_shown(&mut harness, "There is such a file already");
    assert_eq!(held(&third), "theirs");
    click(&mut harness, "Overwrite");
    until_saved(&mut harness);
    assert_eq!(held(&third), edited());
    assert_eq!(held(&files[0]), SMALL, "the file it came from is as it was");
}

#[test]
fn closing_asks_what_becomes_of_edits() {
    let (_folder, files, mut harness) = on_files(&["plan.scenario.toml", "other.scenario.toml"]);
    retype(&mut harness, &edited());
    press(&mut harness, Key::W);
    harness.get_by_label("plan was edited");
    click(&mut harness, "Cancel");
    assert_eq!(typed(&harness), edited(), "nothing is lost");
    press(&mut harness, Key::W);
    click(&mut harness, "Save and close");
    until(&mut harness, "the other in front", |harness| {
        harness.state().document().shelf.len() == 1
    });
    assert_eq!(held(&files[0]), edited());
    retype(&mut harness, &edited());
    press(&mut harness, Key::W);
    click(&mut harness, "Close without saving");
    harness.get_by_label("No scenario is open");
    assert_eq!(held(&files[1]), SMALL);
    click(&mut harness, "Open the example");
    until(&mut harness, "the example", |harness| {
        typed(harness).contains("deepseek")
    });
}

#[test]
fn the_window_closes_at_once_or_asks_for_every_edited_scenario() {
    let (_folder, files, mut harness) = on_files(&["plan.scenario.toml", "other.scenario.toml"]);
    assert!(closes(&mut harness), "nothing was edited");
    retype(&mut harness, &edited());
    harness.get_by_label("other").click();
    until_checked(&mut harness);
    retype(&mut harness, &edited());
    assert!(!closes(&mut harness), "there are edits");
    harness.get_by_label("plan was edited");
    click(&mut harness, "Save and quit");
    until_shown(&mut harness, "other was edited");
    assert_eq!(held(&files[0]), edited());
    click(&mut harness, "Cancel");
    assert!(!closes(&mut harness), "it was not meant");
    click(&mut harness, "Quit without saving");
    until(&mut harness, "the end", |harness| {
        commands(harness).contains(&ViewportCommand::Close)
    });
    assert_eq!(held(&files[1]), SMALL);
    assert!(closes(&mut harness), "it was asked already");
}

#[test]
fn opening_another_file_keeps_what_was_typed() {
    let (folder, files, mut harness) = on_files(&["plan.scenario.toml"]);
    let other = folder.path().join("other.scenario.toml");
    fs::write(&other, SMALL).unwrap();
    retype(&mut harness, &edited());
    press(&mut harness, Key::O);
    // The folder of the scenario is listed; a click is enough.
    until_shown(&mut harness, "other.scenario.toml");
    click(&mut harness, "other.scenario.toml");
    until(&mut harness, "the other", |harness| {
        harness.state().document().shelf.len() == 2
    });
    assert_eq!(typed(&harness), SMALL);
    // Going back in the text of one must not bring in that of the other.
    harness.get_by_label("Scenario text").focus();
    harness.run_steps(2);
    press(&mut harness, Key::Z);
    assert_eq!(typed(&harness), SMALL);
    harness.get_by_label("plan •").click();
    harness.run_steps(3);
    assert_eq!(typed(&harness), edited());
    assert_eq!(held(&files[0]), SMALL);
}

#[test]
fn a_path_that_is_pasted_is_the_whole_path_and_not_the_end_of_one() {
    let (_folder, _files, mut harness) = on_files(&["plan.scenario.toml"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other.scenario.toml");
    fs::write(&other, SMALL).unwrap();
    press(&mut harness, Key::O);
    until_shown(&mut harness, "plan.scenario.toml");
    // Nothing is clicked or cleared before.
    harness
        .get_by_label("Path")
        .type_text(&other.display().to_string());
    harness.run_steps(3);
    click(&mut harness, "Open file");
    until(&mut harness, "the other", |harness| {
        harness.state().document().shelf.len() == 2
    });
    assert_eq!(harness.state().document().file, other.display().to_string());
}

#[test]
fn a_file_that_cannot_be_opened_says_why_where_it_was_typed() {
    let (_folder, _files, mut harness) = on_files(&["plan.scenario.toml"]);
    press(&mut harness, Key::O);
    type_path(&mut harness, "no/such.toml");
    click(&mut harness, "Open file");
    until_shown(&mut harness, "no such file or folder: no/such.toml");
    harness.get_by_label("Open a scenario, a run, a trace or a recorded load");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(
        !shows(&harness, "Open a scenario, a run, a trace or a recorded load"),
        "Escape leaves it"
    );
}

#[test]
fn a_file_that_changed_meanwhile_is_noticed_and_not_overwritten_unasked() {
    let (_folder, files, mut harness) = on_files(&["plan.scenario.toml"]);
    let theirs = SMALL.replace("steps = 2", "steps = 5");
    retype(&mut harness, &edited());
    fs::write(&files[0], &theirs).unwrap();
    // Before the next look.
    press(&mut harness, Key::S);
    until_shown(&mut harness, "The file changed on disk");
    assert_eq!(held(&files[0]), theirs, "theirs is safe");
    let question = shows(&harness, "Take the file's text");
    assert!(question, "it is asked");
    click(&mut harness, "Cancel");
    until_shown(&mut harness, "The file changed on disk.");
    assert_eq!(typed(&harness), edited());
    click(&mut harness, "Reload");
    assert_eq!(typed(&harness), theirs);
    assert!(!is_edited(&harness));
    let again = SMALL.replace("steps = 2", "steps = 6");
    fs::write(&files[0], &again).unwrap();
    until_shown(&mut harness, "The file changed on disk.");
    click(&mut harness, "Keep this text");
    assert!(is_edited(&harness), "the file holds another text");
    press(&mut harness, Key::S);
    until_saved(&mut harness);
    assert_eq!(held(&files[0]), theirs);
    fs::remove_file(&files[0]).unwrap();
    until_shown(&mut harness, "Saving writes it again");
    click(&mut harness, "Save");
    until(&mut harness, "the file", |_| files[0].exists());
    until(&mut harness, "the notice to go", |harness| {
        !shows(harness, "Saving writes it again")
    });
    assert_eq!(held(&files[0]), theirs);
}

#[test]
fn typing_goes_on_where_it_was_when_a_question_is_left() {
    let (_folder, _files, mut harness) = on_files(&["plan.scenario.toml"]);
    retype(&mut harness, &edited());
    press(&mut harness, Key::W);
    assert!(shows(&harness, "plan was edited"), "it is asked");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(!shows(&harness, "plan was edited"), "Escape leaves the question");
    let editor = harness.get_by_label("Scenario text");
    assert!(
        editor.accesskit_node().is_focused(),
        "the editor has the focus again"
    );
    press(&mut harness, Key::Z);
    assert_eq!(typed(&harness), SMALL, "undo is heard");
    assert!(!is_edited(&harness));
}

#[test]
fn a_save_that_is_asked_for_during_another_comes_after_it() {
    let (_folder, files, mut harness) = on_files(&["plan.scenario.toml"]);
    let last = SMALL.replace("steps = 2", "steps = 4");
    retype(&mut harness, &edited());
    for _ in 0..3 {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
        harness.step();
    }
    retype(&mut harness, &last);
    press(&mut harness, Key::S);
    until_saved(&mut harness);
    assert!(!shows(&harness, "The file changed on disk"), "it was this window");
    assert_eq!(held(&files[0]), last);
}
