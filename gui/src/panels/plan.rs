//! Plan: the scenario as text, its faults, Run and Stop, and what came out.

use eframe::egui::{self, Grid, ProgressBar, RichText, ScrollArea, TextEdit, Ui};
use orrery_report::{Check, Verdict};
use orrery_scenario::Diagnostic;

use crate::app::{Command, Commands};
use crate::document::{Finished, Running};
use crate::{Document, theme};

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    draft: String,
    opened: Option<u64>,
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    ui.horizontal_wrapped(|ui| {
        run_and_stop(ui, document, commands);
        ui.weak(&document.file);
    });
    if let Some(running) = &document.running {
        progress(ui, running);
    }
    let upper = (ui.available_height() * 0.5).max(120.0);
    ScrollArea::both()
        .id_salt("scenario")
        .max_height(upper)
        .auto_shrink([false, false])
        .show(ui, |ui| editor(ui, document, view, commands));
    ui.separator();
    ScrollArea::both()
        .id_salt("outcome")
        .auto_shrink([false, false])
        .show(ui, |ui| outcome(ui, document));
}

fn run_and_stop(ui: &mut Ui, document: &Document, commands: &Commands) {
    let refusal = document.run_refusal();
    let run = ui.add_enabled(refusal.is_none(), egui::Button::new("Run"));
    if run
        .on_hover_text("Ctrl+Enter")
        .on_disabled_hover_text(refusal.unwrap_or_default())
        .clicked()
    {
        commands.send(Command::Run);
    }
    let can_stop = document.running.as_ref().is_some_and(|running| !running.stopping);
    if ui
        .add_enabled(can_stop, egui::Button::new("Stop"))
        .on_hover_text("Esc")
        .clicked()
    {
        commands.send(Command::Stop);
    }
}

fn editor(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    if view.opened != Some(document.opened) {
        view.draft = document.text.to_string();
        view.opened = Some(document.opened);
    }
    let edit = TextEdit::multiline(&mut view.draft)
        .code_editor()
        .desired_width(f32::INFINITY);
    let response = ui.add(edit);
    let name = || egui::WidgetInfo::labeled(egui::Role::MultilineTextInput, true, "Scenario text");
    response.widget_info(name);
    if response.changed() {
        commands.send(Command::Edit(view.draft.as_str().into()));
    }
}

fn progress(ui: &mut Ui, running: &Running) {
    let done = running.tasks_done;
    let words = match (running.stopping, running.tasks_expected) {
        (true, _) => format!("stopping {}…", running.name),
        (false, Some(expected)) => format!("{}: {done} of {expected} tasks", running.name),
        (false, None) => format!("{}: {done} tasks", running.name),
    };
    ui.add(ProgressBar::new(running.share().unwrap_or(0.0)).text(words));
}

fn outcome(ui: &mut Ui, document: &Document) {
    if document.checked.is_none() {
        ui.weak("Checking the scenario…");
    } else if document.diagnostics.is_empty() {
        ui.weak("No problems in the scenario.");
    }
    for diagnostic in document.diagnostics.iter() {
        problem(ui, diagnostic);
    }
    if let Some(fault) = &document.fault {
        ui.colored_label(theme::BAD, format!("The run failed: {fault}"));
    }
    if let Some(finished) = &document.finished {
        results(ui, finished, document.revision);
    }
}

fn problem(ui: &mut Ui, diagnostic: &Diagnostic) {
    let Diagnostic {
        line,
        column,
        code,
        message,
        ..
    } = diagnostic;
    ui.colored_label(theme::BAD, format!("line {line}:{column} [{code}] {message}"));
    if !diagnostic.snippet.trim().is_empty() {
        ui.label(RichText::new(diagnostic.snippet.trim()).monospace());
    }
    for note in &diagnostic.notes {
        ui.label(format!("  {note}"));
    }
    if let Some(help) = &diagnostic.help {
        ui.label(format!("help: {help}"));
    }
}

fn results(ui: &mut Ui, finished: &Finished, revision: u64) {
    ui.add_space(4.0);
    ui.strong(format!("Results of {}", finished.name));
    if finished.revision != revision {
        ui.colored_label(theme::WARN, "The scenario was edited since this run.");
    }
    match &finished.partial {
        Some(why) => ui.colored_label(theme::WARN, format!("Partial results: {why}")),
        None if finished.failed => ui.colored_label(theme::BAD, "An expectation failed."),
        None if finished.checks.is_empty() => ui.label("Finished; the scenario expects nothing."),
        None => ui.colored_label(theme::GOOD, "Every expectation holds."),
    };
    ui.label(&finished.verdict);
    Grid::new("headlines")
        .num_columns(3)
        .striped(true)
        .show(ui, |ui| {
            for headline in &finished.headlines {
                ui.label(headline.label).on_hover_text(headline.key);
                ui.strong(&headline.value);
                ui.weak(&headline.interval);
                ui.end_row();
            }
        });
    for check in &finished.checks {
        expectation(ui, check);
    }
    let wall = finished.wall.as_secs_f64();
    ui.weak(format!("{} tasks simulated in {wall:.2} s", finished.tasks));
}

fn expectation(ui: &mut Ui, check: &Check) {
    let (mark, color) = match check.verdict {
        Verdict::Pass => ("pass", theme::GOOD),
        Verdict::Skipped => ("skipped", theme::WARN),
        Verdict::Fail | Verdict::NoData | Verdict::NoBaseline if check.fails_run() => ("FAIL", theme::BAD),
        Verdict::Fail | Verdict::NoData | Verdict::NoBaseline => ("warn", theme::WARN),
    };
    let line = ui.colored_label(color, format!("{mark}  {}: {}", check.id, check.outcome()));
    line.on_hover_text(format!(
        "{}\n{}",
        check.text,
        check.why.as_deref().unwrap_or_default()
    ));
}
