//! A window without a renderer, and patience.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use eframe::egui::{DroppedFile, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{App, Document, Scenario, Start};

/// Two steps of Llama 3 8B on one node: a fraction of a second.
pub(crate) const SMALL: &str = include_str!("small.scenario.toml");

/// Time of the window's clock that a step takes.
const STEP: Duration = Duration::from_millis(5);

/// A window on `start`.
pub(crate) fn open(start: Start) -> Harness<'static, App> {
    let mut harness = Harness::builder()
        .with_size([1440.0, 900.0])
        // As long as a step of `until` takes at least, so that the window's clock is not ahead of the daemon's.
        .with_step_dt(STEP.as_secs_f32())
        .build_eframe(|context| App::new(&context.egui_ctx, start));
    harness.run_steps(2);
    harness
}

/// A file that is dropped.
#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|fault| fault.to_string())
    }
}

/// Drops `file` on the window.
pub(crate) fn drop_on(harness: &mut Harness<'_, App>, file: PathBuf) {
    harness.input_mut().dropped_files.push(Arc::new(Dropped(file)));
}

/// A window on one scenario, which is not run.
pub(crate) fn open_text(text: &str) -> Harness<'static, App> {
    open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", text)],
        ..Start::default()
    })
}

/// Steps until `done`, for a minute at most: the machine may be busy.
pub(crate) fn until(harness: &mut Harness<'_, App>, what: &str, done: impl Fn(&Harness<'_, App>) -> bool) {
    let began = Instant::now();
    while !done(harness) {
        assert!(began.elapsed() < Duration::from_secs(60), "never came: {what}");
        harness.step();
        thread::sleep(STEP);
    }
    harness.run_steps(3);
}

/// [`until`] the document is as wished.
pub(crate) fn until_document(harness: &mut Harness<'_, App>, what: &str, done: impl Fn(&Document) -> bool) {
    until(harness, what, |harness| done(&harness.state().document()));
}

/// Steps until the text is checked.
pub(crate) fn until_checked(harness: &mut Harness<'_, App>) {
    let checked = |document: &Document| document.checked == Some(document.revision);
    until_document(harness, "the check", checked);
}

/// Whether something whose label contains `words` is shown.
pub(crate) fn shows(harness: &Harness<'_, App>, words: &str) -> bool {
    harness.query_all_by_label_contains(words).next().is_some()
}

/// Steps until a run is under way.
pub(crate) fn until_under_way(harness: &mut Harness<'_, App>) {
    let under_way = |document: &Document| document.running.as_ref().is_some_and(|run| run.tasks_done > 0);
    until_document(harness, "progress", under_way);
}

/// A window with the timeline of a short run and a long run under way.
pub(crate) fn open_with_a_run() -> Harness<'static, App> {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    retype(&mut harness, &SMALL.replace("steps = 2", "steps = 4000"));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until_under_way(&mut harness);
    harness
}

/// Types `text` over what the editor holds.
pub(crate) fn retype(harness: &mut Harness<'_, App>, text: &str) {
    harness.get_by_label("Scenario text").focus();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(1);
    harness.get_by_label("Scenario text").type_text(text);
    harness.run_steps(2);
}

/// What the editor holds.
pub(crate) fn typed(harness: &Harness<'_, App>) -> String {
    let editor = harness.get_by_label("Scenario text");
    editor.accesskit_node().value().unwrap_or_default()
}
