//! Figures of both runs, and what differs in how they were made.

use eframe::egui::{Grid, Label, RichText, Ui};
use orrery::compare::Comparison;

use crate::theme;

/// Least width of a column of settings.
const LEAST_COLUMN: f32 = 90.0;

/// Figures that either run has, with what changed.
pub(super) fn figures(ui: &mut Ui, comparison: &Comparison, other: &str) {
    Grid::new("figures").num_columns(4).striped(true).show(ui, |ui| {
        head(ui, ["figure", "A", other, "change"]);
        for figure in &comparison.figures {
            ui.label(figure.label).on_hover_text(figure.key);
            ui.label(figure.shown(0));
            ui.label(figure.shown(1));
            ui.strong(figure.change());
            ui.end_row();
        }
    });
    if comparison.kinds.is_empty() {
        return;
    }
    ui.add_space(6.0);
    Grid::new("critical path")
        .num_columns(4)
        .striped(true)
        .show(ui, |ui| {
            head(ui, ["on the critical path", "A", other, "change"]);
            for kind in &comparison.kinds {
                let [a, b] = kind.picos;
                ui.label(&kind.kind);
                for picos in [a, b] {
                    ui.label(orrery::compare::shown(picos).trim_start_matches('+'));
                }
                ui.strong(orrery::compare::shown(b - a));
                ui.end_row();
            }
        });
}

/// Keys that the two differ in.
pub(super) fn settings(ui: &mut Ui, comparison: &Comparison, other: &str) {
    if comparison.settings.is_empty() {
        ui.label("No key of the configuration differs.");
        return;
    }
    // Three columns in the width that there is: what is looked for stands in the last.
    let each = ((ui.available_width() - 2.0 * ui.spacing().item_spacing.x) / 3.0).max(LEAST_COLUMN);
    Grid::new("settings")
        .num_columns(3)
        .striped(true)
        .min_col_width(each)
        .max_col_width(each)
        .show(ui, |ui| {
            head(ui, ["key", "A", other]);
            for setting in &comparison.settings {
                ui.add(Label::new(RichText::new(&setting.key).monospace()).wrap());
                for value in &setting.values {
                    let words = match value {
                        Some(value) => RichText::new(cut(value)),
                        None => RichText::new("not given").color(theme::faded(ui.visuals())),
                    };
                    let label = ui.add(Label::new(words).wrap());
                    if let Some(value) = value {
                        label.on_hover_text(value);
                    }
                }
                ui.end_row();
            }
        });
}

fn head<const N: usize>(ui: &mut Ui, words: [&str; N]) {
    for words in words {
        ui.weak(words);
    }
    ui.end_row();
}

/// `value` in so many characters as a column holds.
fn cut(value: &str) -> String {
    const LONGEST: usize = 40;
    if value.chars().count() <= LONGEST {
        return value.to_owned();
    }
    let beginning: String = value.chars().take(LONGEST).collect();
    format!("{beginning}…")
}
