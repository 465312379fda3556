//! Plan: the scenario as text, its faults, Run and Stop, and what came out.

mod colours;
mod editor;
mod outcome;

use eframe::egui::{self, Button, ProgressBar, ScrollArea, Ui};
use orrery_units::with_si_prefix;

use crate::Document;
use crate::app::{Command, Commands};
use crate::document::Running;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    draft: String,
    opened: Option<u64>,
    /// The line, from 1, and the column, from 1, that the editor goes to.
    jump: Option<(usize, usize)>,
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    if document.shelf.len() > 1 {
        ui.horizontal_wrapped(|ui| tabs(ui, document, commands));
        ui.separator();
    }
    ui.horizontal(|ui| {
        run_and_stop(ui, document, commands);
        ui.add(egui::Label::new(egui::RichText::new(&document.file).weak()).truncate());
    });
    if let Some(running) = &document.running {
        progress(ui, running);
    }
    let upper = (ui.available_height() * 0.5).max(120.0);
    ScrollArea::both()
        .id_salt("scenario")
        .max_height(upper)
        .auto_shrink([false, false])
        .show(ui, |ui| editor::show(ui, document, view, commands));
    ui.separator();
    ScrollArea::vertical()
        .id_salt("outcome")
        .auto_shrink([false, false])
        .show(ui, |ui| outcome::show(ui, document, view));
}

/// The open scenarios, by the names of their files.
fn tabs(ui: &mut Ui, document: &Document, commands: &Commands) {
    for (place, shelved) in document.shelf.iter().enumerate() {
        let is_front = place == document.front;
        let file = if is_front { &document.file } else { &shelved.file };
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let name = name.strip_suffix(".scenario.toml").unwrap_or(name);
        if ui.selectable_label(is_front, name).on_hover_text(file).clicked() {
            commands.send(Command::Front(place));
        }
    }
}

fn run_and_stop(ui: &mut Ui, document: &Document, commands: &Commands) {
    let refusal = document.run_refusal();
    let run = ui.add_enabled(refusal.is_none(), Button::new("Run"));
    if run
        .on_hover_text("Ctrl+Enter (Cmd+Enter on a Mac)")
        .on_disabled_hover_text(refusal.unwrap_or_default())
        .clicked()
    {
        commands.send(Command::Run);
    }
    let can_stop = document.running.as_ref().is_some_and(|running| !running.stopping);
    if ui
        .add_enabled(can_stop, Button::new("Stop"))
        .on_hover_text("Esc")
        .clicked()
    {
        commands.send(Command::Stop);
    }
}

fn progress(ui: &mut Ui, running: &Running) {
    let Running {
        name,
        tasks_done: done,
        tasks_expected,
        stopping,
        ..
    } = running;
    let words = match tasks_expected {
        _ if *stopping => format!("stopping {name}…"),
        Some(_) => format!("{name}: {:.0} %", running.share().unwrap_or(0.0) * 100.0),
        None => format!("{name}: counting its tasks"),
    };
    ui.add(ProgressBar::new(running.share().unwrap_or(0.0)).text(words));
    let mut facts = match tasks_expected {
        Some(expected) => vec![format!("{done} of {expected} tasks")],
        None => vec![format!("{done} tasks")],
    };
    facts.extend(running.pace().map(|pace| with_si_prefix(pace, "tasks/s")));
    facts.extend(running.remaining().map(|seconds| format!("{seconds:.0} s left")));
    ui.weak(facts.join(", "));
}
