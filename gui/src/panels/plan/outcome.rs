//! What is wrong with the scenario, and what came out of its last run.

use eframe::egui::{Button, Grid, RichText, ScrollArea, Ui};
use orrery_report::{Check, Verdict};
use orrery_scenario::{Diagnostic, Severity};

use super::{Jump, View};
use crate::app::{Command, Commands};
use crate::document::{Finished, Item};
use crate::words::thousands;
use crate::{Document, figures, theme};

/// Draws the faults of the text, if there are any, and the results of the last run.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    if document.checked.is_none() {
        ui.weak("Checking the scenario…");
    } else if document.diagnostics.is_empty() {
        ui.weak("No problems in the scenario.");
    }
    for (place, diagnostic) in document.diagnostics.iter().enumerate() {
        if problem(ui, document, diagnostic, (view, commands)) {
            let item = Item::Problem(document.revision, place);
            commands.send(Command::Select(Some(item)));
        }
    }
    if let Some(fault) = &document.fault {
        ui.colored_label(theme::bad(ui.visuals()), format!("The run failed: {fault}"));
    }
    if let Some(finished) = &document.finished {
        results(ui, document, finished, commands);
    }
}

/// A fault with what is proposed against it; whether it was clicked.
fn problem(
    ui: &mut Ui,
    document: &Document,
    diagnostic: &Diagnostic,
    (view, commands): (&mut View, &Commands),
) -> bool {
    let Diagnostic {
        severity,
        file,
        line,
        column,
        code,
        message,
        ..
    } = diagnostic;
    let color = match severity {
        Severity::Error => theme::bad(ui.visuals()),
        Severity::Warning => theme::warn(ui.visuals()),
    };
    let here = *file == document.file;
    let place = if here {
        format!("line {line}:{column}")
    } else {
        format!("{file}, line {line}:{column}")
    };
    let words = RichText::new(format!("{place} [{code}] {message}")).color(color);
    let meaning = orrery_scenario::explain(code).unwrap_or("No code of a scenario.");
    let leads = if here {
        "Click to go to the line."
    } else {
        "It is in a file that this scenario extends; click to open it there."
    };
    let button = ui.add(Button::new(words).frame(false).wrap());
    let clicked = button
        .on_hover_text(format!("{code}: {meaning}\n\n{leads}"))
        .clicked();
    if clicked {
        let file = if here { file.clone() } else { document.beside(file) };
        view.jump = Some(Jump {
            file: file.clone(),
            place: (*line, *column),
        });
        if !here {
            commands.send(Command::OpenFile(file));
        }
    }
    if here && document.checked == Some(document.revision) {
        quick_fixes(ui, document, diagnostic, (view, commands));
    }
    if diagnostic.notes.is_empty() && diagnostic.help.is_none() {
        return clicked;
    }
    ui.indent(("help", line, column, code), |ui| {
        for note in &diagnostic.notes {
            ui.label(note);
        }
        if let Some(help) = &diagnostic.help {
            ui.label(RichText::new(format!("help: {help}")).color(theme::good(ui.visuals())));
        }
    });
    clicked
}

/// A button for each change that the message proposes.
fn quick_fixes(
    ui: &mut Ui,
    document: &Document,
    diagnostic: &Diagnostic,
    (view, commands): (&mut View, &Commands),
) {
    let fixes = document.fixes(diagnostic);
    if fixes.is_empty() {
        return;
    }
    let mut taken = None;
    ui.horizontal_wrapped(|ui| {
        ui.add_space(18.0);
        for fix in fixes {
            let button = Button::new(format!("Fix: {}", fix.title)).small();
            let hint = match &fix.leads_to {
                None => {
                    "Changes this in the text, and nothing else; this fault is then gone and no other comes"
                        .to_owned()
                }
                Some(next) => format!("Changes this in the text, and nothing else. What comes next: {next}"),
            };
            if ui.add(button).on_hover_text(hint).clicked() {
                taken = Some(fix.text.clone());
            }
        }
    });
    if let Some(text) = taken {
        view.change(text, commands);
    }
}

fn results(ui: &mut Ui, document: &Document, finished: &Finished, commands: &Commands) {
    ui.add_space(4.0);
    ui.strong(format!("Results of {}", finished.name));
    if document.is_edited_since(document.front, finished.revision) {
        ui.colored_label(
            theme::warn(ui.visuals()),
            "The scenario was edited since this run.",
        );
    }
    let warnings = finished
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .count();
    match &finished.partial {
        Some(why) => ui.colored_label(theme::warn(ui.visuals()), format!("Partial results: {why}")),
        None if finished.failed => ui.colored_label(theme::bad(ui.visuals()), "An expectation failed."),
        None if finished.checks.is_empty() => ui.label("Finished; the scenario expects nothing."),
        None if warnings > 0 => {
            let words = format!("No expectation failed; warnings: {warnings}.");
            ui.colored_label(theme::warn(ui.visuals()), words)
        }
        None => ui.colored_label(theme::good(ui.visuals()), "Every expectation holds."),
    };
    ui.label(&finished.verdict);
    figures::waiting(ui, document, finished.waited_for.as_ref(), commands);
    for check in &finished.checks {
        expectation(ui, check);
    }
    ui.add_space(4.0);
    ScrollArea::horizontal()
        .id_salt("headlines")
        .show(ui, |ui| headlines(ui, finished));
    let wall = finished.wall.as_secs_f64();
    if finished.experts.is_some() {
        ui.weak("Loads, times and plans of each policy are in Experts.");
    }
    ui.weak(format!("{} simulated in {wall:.2} s", finished.extent));
}

fn headlines(ui: &mut Ui, finished: &Finished) {
    Grid::new("headlines")
        .num_columns(3)
        .striped(true)
        .show(ui, |ui| {
            for headline in &finished.headlines {
                ui.label(headline.label).on_hover_text(headline.key);
                ui.strong(thousands(&headline.value));
                ui.weak(thousands(&in_one_unit(&headline.interval)))
                    .on_hover_text("80 % interval");
                ui.end_row();
            }
        });
}

/// An interval with its unit once, if both ends have the same: `13 … 25.4 s` for `13 s … 25.4 s`.
fn in_one_unit(interval: &str) -> String {
    let ends = interval.split_once(" … ");
    let parts = ends.and_then(|(low, high)| Some((low.split_once(' ')?, high.split_once(' ')?)));
    match parts {
        Some(((low, unit), (high, same))) if unit == same => format!("{low} … {high} {unit}"),
        _ => interval.to_owned(),
    }
}

fn expectation(ui: &mut Ui, check: &Check) {
    let visuals = ui.visuals();
    let (mark, color) = match check.verdict {
        Verdict::Pass => ("pass", theme::good(visuals)),
        Verdict::Skipped => ("skipped", theme::warn(visuals)),
        Verdict::Fail | Verdict::NoData | Verdict::NoBaseline if check.fails_run() => {
            ("FAIL", theme::bad(visuals))
        }
        Verdict::Fail | Verdict::NoData | Verdict::NoBaseline => ("warn", theme::warn(visuals)),
    };
    let line = ui.colored_label(color, format!("{mark}  {}: {}", check.id, check.outcome()));
    line.on_hover_text(format!(
        "{}\n{}",
        check.text,
        check.why.as_deref().unwrap_or_default()
    ));
}

#[cfg(test)]
mod tests {
    use super::in_one_unit;

    #[test]
    fn an_interval_names_its_unit_once() {
        let shown = ["13 s … 25.4 s", "823 ms … 1.17 s", "1 … 2", ""].map(in_one_unit);
        assert_eq!(shown, ["13 … 25.4 s", "823 ms … 1.17 s", "1 … 2", ""]);
    }
}
