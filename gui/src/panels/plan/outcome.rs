//! What is wrong with the scenario, and what came out of its last run.

use eframe::egui::{Button, Grid, RichText, ScrollArea, Ui};
use orrery_report::{Check, Verdict};
use orrery_scenario::{Diagnostic, Severity};

use super::View;
use crate::document::Finished;
use crate::{Document, theme};

/// Draws the faults of the text, if there are any, and the results of the last run.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View) {
    if document.checked.is_none() {
        ui.weak("Checking the scenario…");
    } else if document.diagnostics.is_empty() {
        ui.weak("No problems in the scenario.");
    }
    for diagnostic in document.diagnostics.iter() {
        problem(ui, diagnostic, view);
    }
    if let Some(fault) = &document.fault {
        ui.colored_label(theme::BAD, format!("The run failed: {fault}"));
    }
    if let Some(finished) = &document.finished {
        results(ui, finished, document.revision);
    }
}

fn problem(ui: &mut Ui, diagnostic: &Diagnostic, view: &mut View) {
    let Diagnostic {
        severity,
        line,
        column,
        code,
        message,
        ..
    } = diagnostic;
    let color = match severity {
        Severity::Error => theme::BAD,
        Severity::Warning => theme::WARN,
    };
    let words = RichText::new(format!("line {line}:{column} [{code}] {message}")).color(color);
    let meaning = orrery_scenario::explain(code).unwrap_or("No code of a scenario.");
    let button = ui.add(Button::new(words).frame(false).wrap());
    if button
        .on_hover_text(format!("{code}: {meaning}\n\nClick to go to the line."))
        .clicked()
    {
        view.jump = Some((*line, *column));
    }
    ui.indent(("help", line, column, code), |ui| {
        for note in &diagnostic.notes {
            ui.label(note);
        }
        if let Some(help) = &diagnostic.help {
            ui.label(RichText::new(format!("help: {help}")).color(theme::GOOD));
        }
    });
}

fn results(ui: &mut Ui, finished: &Finished, revision: u64) {
    ui.add_space(4.0);
    ui.strong(format!("Results of {}", finished.name));
    if finished.revision != revision {
        ui.colored_label(theme::WARN, "The scenario was edited since this run.");
    }
    let warnings = finished
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .count();
    match &finished.partial {
        Some(why) => ui.colored_label(theme::WARN, format!("Partial results: {why}")),
        None if finished.failed => ui.colored_label(theme::BAD, "An expectation failed."),
        None if finished.checks.is_empty() => ui.label("Finished; the scenario expects nothing."),
        None if warnings > 0 => {
            let words = format!("No expectation failed; warnings: {warnings}.");
            ui.colored_label(theme::WARN, words)
        }
        None => ui.colored_label(theme::GOOD, "Every expectation holds."),
    };
    ui.label(&finished.verdict);
    for check in &finished.checks {
        expectation(ui, check);
    }
    ui.add_space(4.0);
    ScrollArea::horizontal()
        .id_salt("headlines")
        .show(ui, |ui| headlines(ui, finished));
    let wall = finished.wall.as_secs_f64();
    ui.weak(format!("{} tasks simulated in {wall:.2} s", finished.tasks));
}

fn headlines(ui: &mut Ui, finished: &Finished) {
    Grid::new("headlines")
        .num_columns(3)
        .striped(true)
        .show(ui, |ui| {
            for headline in &finished.headlines {
                ui.label(headline.label).on_hover_text(headline.key);
                ui.strong(&headline.value);
                ui.weak(&headline.interval).on_hover_text("80 % interval");
                ui.end_row();
            }
        });
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
