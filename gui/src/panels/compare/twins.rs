//! One step of each side below each other, begun at the same place, with one window of time.

use std::sync::Arc;

use eframe::egui::{Grid, RichText, ScrollArea, Sense, Ui, vec2};
use orrery_timeline::OpClass;
use orrery_units::SimDuration;

use super::{NAMES, sides};
use crate::app::{Command, Commands};
use crate::document::{SIDES, Side};
use crate::timeline::{Linked, Shared};
use crate::{Document, TimelineModel, theme};

/// Height of the line above each timeline.
const HEAD: f32 = 22.0;

/// What the timelines remember.
#[derive(Debug, Default)]
pub(super) struct View {
    linked: Linked,
}

/// Draws the timelines of the sides that have one.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let runs = &document.runs;
    let shared = Shared {
        selection: &document.selection,
        commands,
    };
    let models: Vec<Option<&Arc<TimelineModel>>> =
        runs.sides.iter().map(|side| side.model.as_ref()).collect();
    view.linked.attend(&models);
    ui.horizontal_wrapped(|ui| {
        ui.strong("Steps side by side");
        view.linked.buttons(ui);
        legend(ui, &models);
    });
    if let Some((from, to)) = view.linked.interval() {
        interval(ui, &models, from, to);
    }
    let present = models.iter().flatten().count().max(1);
    let spacing = ui.spacing().item_spacing.y;
    let each = ui.available_height() / present as f32 - HEAD - 2.0 * spacing;
    for (place, (side, model)) in runs.sides.iter().zip(&models).enumerate() {
        let Some(model) = model else { continue };
        ui.horizontal(|ui| head(ui, place, side, model, commands));
        let size = vec2(ui.available_width(), each.max(48.0));
        ui.allocate_ui(size, |ui| {
            ui.set_min_size(size);
            view.linked.show(ui, place, model, shared);
        });
    }
}

/// Which run and which of its steps is shown.
fn head(ui: &mut Ui, place: usize, side: &Side, model: &TimelineModel, commands: &Commands) {
    ui.set_height(HEAD);
    sides::swatch(ui, place);
    let Some((run, step)) = side.run.as_ref().zip(side.step) else {
        return;
    };
    ui.label(RichText::new(format!("{}: {}", NAMES[place], run.title())).strong());
    let steps = run.steps();
    let length = SimDuration::from_picos(model.end());
    if steps.len() < 2 {
        ui.weak(format!("the step that was kept, {length}"));
        return;
    }
    let place_of = steps
        .iter()
        .position(|other| *other == step)
        .map_or(0, |at| at + 1);
    let note = if run.typical() == Some(step) {
        " (of median length)"
    } else {
        ""
    };
    let words = format!("step {place_of} of {}{note}, {length}", steps.len());
    ui.menu_button(words, |ui| {
        ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
            for (at, other) in steps.iter().enumerate() {
                let words = format!("step {}: {}", at + 1, other.length());
                if ui.selectable_label(*other == step, words).clicked() {
                    commands.send(Command::SideStep(place, other.number));
                    ui.close();
                }
            }
        });
    });
}

/// A swatch for each class that occurs on any side.
fn legend(ui: &mut Ui, models: &[Option<&Arc<TimelineModel>>]) {
    let occurs = |class: OpClass| {
        models
            .iter()
            .flatten()
            .any(|model| model.operations().any(|of| of.1 == class))
    };
    for class in OpClass::ALL.into_iter().filter(|&class| occurs(class)) {
        ui.add_space(4.0);
        let (rect, _) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
        ui.painter().rect_filled(rect, 2.0, theme::of_class(class));
        ui.weak(class.name());
    }
}

/// What the mean rank of each side does in the interval that was drawn with Shift.
fn interval(ui: &mut Ui, models: &[Option<&Arc<TimelineModel>>], from: u64, to: u64) {
    let length = SimDuration::from_picos(to - from);
    let present: Vec<(usize, Vec<f64>)> = (0..SIDES)
        .filter_map(|side| Some((side, models[side]?.busy_by_class(from, to))))
        .collect();
    Grid::new("interval by class").striped(true).show(ui, |ui| {
        ui.label(format!("in {length} a rank does"));
        let done = |class: &OpClass| present.iter().any(|(_, busy)| busy[*class as usize] > 0.0);
        let classes: Vec<OpClass> = OpClass::ALL.into_iter().filter(done).collect();
        for class in &classes {
            ui.weak(class.name());
        }
        ui.end_row();
        for (side, busy) in &present {
            ui.horizontal(|ui| {
                sides::swatch(ui, *side);
                ui.label(NAMES[*side]);
            });
            for class in &classes {
                ui.label(SimDuration::from_secs(busy[*class as usize]).to_string());
            }
            ui.end_row();
        }
    });
}
