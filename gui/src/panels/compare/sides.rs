//! The runs that are compared, and the buttons that choose them.

use eframe::egui::{Label, RichText, Sense, Ui, vec2};

use super::NAMES;
use crate::app::{Action, Command, Commands};
use crate::document::{Run, Runs};
use crate::theme;

/// Draws a line for each side.
pub(super) fn show(ui: &mut Ui, runs: &Runs, commands: &Commands) {
    for (place, side) in runs.sides.iter().enumerate() {
        // The third is offered once the others are there.
        if place == 2 && side.run.is_none() && runs.kept.len() < 3 {
            continue;
        }
        ui.horizontal_wrapped(|ui| {
            swatch(ui, place);
            let what = match place {
                0 => "is what the others are held against",
                _ => "",
            };
            let title = side
                .run
                .as_ref()
                .map_or_else(|| "choose a run".to_owned(), |run| run.title());
            ui.menu_button(format!("{}: {title}", NAMES[place]), |ui| {
                choices(ui, runs, place, commands);
            });
            if let Some(run) = &side.run {
                about(ui, run);
            }
            ui.weak(what);
            if place == 0 {
                for action in [Action::SwapSides, Action::Open] {
                    if ui
                        .small_button(action.name())
                        .on_hover_text(action.meaning())
                        .clicked()
                    {
                        commands.send(Command::Do(action));
                    }
                }
            }
        });
    }
}

/// The mark of side `place` in lines and tables.
pub(super) fn swatch(ui: &mut Ui, place: usize) {
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().rect_filled(rect, 2.0, theme::of_side(place));
}

fn choices(ui: &mut Ui, runs: &Runs, place: usize, commands: &Commands) {
    let side = &runs.sides[place];
    for run in runs.kept.iter().rev() {
        let choice = ui.selectable_label(side.shows(run.id), run.title());
        if choice.on_hover_text(&run.source).clicked() {
            commands.send(Command::Side(place, Some(run.id)));
            ui.close();
        }
    }
    ui.separator();
    if ui.button("None").clicked() {
        commands.send(Command::Side(place, None));
        ui.close();
    }
}

/// Whether `run` was recorded, and what is to be known before it is believed.
fn about(ui: &mut Ui, run: &Run) {
    let visuals = ui.visuals();
    let (word, color) = match run.recorded {
        true => ("MEASURED", theme::good(visuals)),
        false => ("SIMULATED", theme::warn(visuals)),
    };
    ui.colored_label(color, word);
    if let Some(partial) = run.result["partial"].as_str() {
        let words = RichText::new("INCOMPLETE").color(theme::bad(ui.visuals()));
        ui.add(Label::new(words).sense(Sense::hover()))
            .on_hover_text(partial);
    }
    if !run.notes.is_empty() {
        let words = match run.notes.len() {
            1 => "1 note".to_owned(),
            notes => format!("{notes} notes"),
        };
        ui.menu_button(words, |ui| {
            ui.set_max_width(520.0);
            for note in &run.notes {
                ui.label(note);
            }
        });
    }
}
