//! The layout that was chosen: what it takes, what it holds, what limits it, and the way to a scenario of it.

use eframe::egui::{Grid, Ui};
use orrery::stages::StagesFigure;
use orrery_units::{Bytes, significant};

use super::View;
use super::model::{Axis, Row};
use crate::app::{Command, Commands};
use crate::document::Weighed;
use crate::{Document, figures, theme};

/// Draws it.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &View, commands: &Commands) {
    let Some((_, model)) = &document.explore.found else {
        return;
    };
    let Some((at, row)) = view.chosen.and_then(|at| Some((at, model.layouts.get(at)?))) else {
        ui.weak("Click a layout to see what it takes.");
        return;
    };
    ui.strong(row.choice.to_string())
        .on_hover_text(row.choice.explained());
    if let Some(why) = &row.too_large {
        ui.colored_label(theme::bad(ui.visuals()), format!("Does not fit: {why}"));
    }
    ui.horizontal_wrapped(|ui| {
        let hint = "A scenario with this layout, in no file yet; comments and everything else stay";
        if ui.button("Open as scenario").on_hover_text(hint).clicked() {
            commands.send(Command::OpenLayout(at));
        }
        let settings = row.choice.settings();
        let hint = "As `orrery run` takes it";
        if ui.button("Copy as --set").on_hover_text(hint).clicked() {
            let words: Vec<String> = settings
                .iter()
                .map(|(key, value)| format!("--set '{key}={value}'"))
                .collect();
            ui.ctx().copy_text(words.join(" "));
        }
    });
    let weighed = document
        .explore
        .weighed
        .as_ref()
        .filter(|weighed| weighed.at == at);
    numbers(ui, row, weighed);
    let Some(weighed) = weighed else {
        ui.weak("Looking at it closely…");
        return;
    };
    ui.add_space(6.0);
    ui.strong("Memory at the peak of each stage");
    figures::memory(ui, &StagesFigure::of_outline(&weighed.outline));
    ui.add_space(6.0);
    ui.strong("What 10 % more or less of a resource does to the step");
    ui.weak("estimated; green is more of it");
    figures::tornado(ui, &weighed.tornado);
}

fn numbers(ui: &mut Ui, row: &Row, weighed: Option<&Weighed>) {
    Grid::new("numbers of the layout")
        .num_columns(2)
        .striped(true)
        .show(ui, |ui| {
            let mut line = |name: &str, words: String| {
                ui.label(name);
                ui.strong(words);
                ui.end_row();
            };
            let step = row.words(Axis::Step);
            let kind = if row.simulated {
                format!("{step} simulated, {} s estimated", significant(row.estimate, 4))
            } else {
                format!("≈ {step}, estimated")
            };
            line("step", kind);
            line("MFU", row.words(Axis::Mfu));
            line("tokens/s/GPU", row.words(Axis::Tokens));
            line("peak memory", row.words(Axis::Peak));
            let Some(weighed) = weighed else { return };
            let outline = &weighed.outline;
            let headroom = outline.device.memory.as_f64() - row.peak;
            let words = if headroom < 0.0 {
                format!("{} too much", Bytes::from_f64(-headroom))
            } else {
                format!("{} of {}", Bytes::from_f64(headroom), outline.device.memory)
            };
            line("headroom", words);
            line(
                "data parallel",
                format!("{}, {} microbatches", outline.dp, outline.microbatches),
            );
            if let Some(price) = &outline.price {
                let currency = &price.currency;
                let per_million =
                    price.per_million_tokens(outline.device.count, outline.work.tokens, row.step);
                let per_day = price.per_day(outline.device.count);
                line(
                    "cost",
                    format!(
                        "{} {currency}/Mtok, {} {currency}/day",
                        significant(per_million, 3),
                        significant(per_day, 4)
                    ),
                );
            }
        });
}
