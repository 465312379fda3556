//! Timeline: the last step of the run in front, or all of a run that was chosen.

use eframe::egui::{self, Ui};

use crate::app::{Command, Commands};
use crate::document::Run;
use crate::timeline::{self, Shared, View};
use crate::{Document, figures, theme};

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let Some(model) = document.timeline() else {
        nothing(ui, document);
        return;
    };
    match document.runs.viewed() {
        Some(run) => chosen(ui, document, run, commands),
        None => marks(ui, document),
    }
    if let Some(run) = document.runs.viewed().filter(|run| !run.explained.is_empty()) {
        ui.label(&run.explained);
    }
    figures::waiting(ui, document, document.waited_for(), commands);
    let shared = Shared {
        selection: &document.selection,
        commands,
    };
    timeline::show_shared(ui, model, view, shared);
}

/// Which run was chosen, and the way back.
fn chosen(ui: &mut Ui, document: &Document, run: &Run, commands: &Commands) {
    ui.horizontal_wrapped(|ui| {
        ui.strong(run.title());
        if run.whole.is_none() {
            ui.weak("kept no timeline; this is that of the scenario in front");
        }
        if document.finished.is_some() && ui.small_button("Back to the scenario's run").clicked() {
            commands.send(Command::View(None));
        }
    });
}

/// What is to be known before the timeline is read: whether it is all there, and whether another comes.
fn marks(ui: &mut Ui, document: &Document) {
    let finished = document.finished.as_deref();
    if let Some(reason) = finished.and_then(|finished| finished.partial.as_ref()) {
        ui.horizontal_wrapped(|ui| {
            ui.colored_label(theme::warn(ui.visuals()), "PARTIAL");
            ui.label(format!(
                "The run stopped early ({reason}): what was recorded until then."
            ));
        });
    }
    if let Some(running) = running_here(document) {
        ui.horizontal(|ui| {
            progress(ui, running, 160.0);
            ui.label("A run is under way; this is the timeline of the one before.");
        });
    }
}

/// What is said when there is no timeline.
fn nothing(ui: &mut Ui, document: &Document) {
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.4 - 20.0).max(0.0));
        if let Some(running) = running_here(document) {
            let verb = if running.stopping {
                "Stopping"
            } else {
                "Simulating"
            };
            ui.label(format!("{verb} {}: its timeline appears here.", running.name));
            progress(ui, running, 280.0);
        } else if let Some(fault) = &document.fault {
            ui.colored_label(theme::bad(ui.visuals()), "The last run ended without results.");
            ui.label(fault);
        } else if document
            .finished
            .as_ref()
            .is_some_and(|run| run.experts.is_some())
        {
            ui.label("Policies are compared by a closed form, which has no spans; see Experts.");
        } else if let Some(reason) = document.finished.as_ref().and_then(|run| run.partial.as_ref()) {
            ui.label(format!(
                "The last run was stopped before it had a step to show ({reason}). Run it again for its timeline."
            ));
        } else if document.finished.is_some() {
            ui.label(
                "This run kept no timeline. Name \"timeline\" in `outputs` under [run] and run it again.",
            );
        } else {
            ui.label("No run yet: its timeline appears here.");
            let refusal = document.run_refusal();
            ui.weak(refusal.map_or_else(
                || "Press Run in the plan, or Ctrl+Enter.".to_owned(),
                |refusal| format!("It cannot be run now: {refusal}."),
            ));
        }
    });
}

/// The run under way, if it is one of the scenario in front.
fn running_here(document: &Document) -> Option<&crate::Running> {
    document
        .running
        .as_ref()
        .filter(|running| running.place == document.front)
}

fn progress(ui: &mut Ui, running: &crate::Running, width: f32) {
    let bar = match running.share() {
        Some(share) => egui::ProgressBar::new(share).show_percentage(),
        None => egui::ProgressBar::new(0.0).text(format!("{} tasks", running.tasks_done)),
    };
    ui.add(bar.desired_width(width));
}
