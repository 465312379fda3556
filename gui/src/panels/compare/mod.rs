//! Compare: runs held against each other, simulated or recorded: how much they differ, by what, and when.
//!
//! The difference is that of the mean steps by cause, as `orrery compare` computes it; the timelines show one step of
//! each, begun at the same place.

mod operations;
mod sides;
mod tables;
mod twins;
mod waterfall;

use eframe::egui::{Panel, RichText, ScrollArea, Ui};
use orrery::compare::Comparison;

use crate::app::{Action, Command, Commands};
use crate::document::SIDES;
use crate::{Document, theme};

/// Width from which the waterfall has tables beside it.
const WIDE: f32 = 860.0;

/// What people call the sides.
const NAMES: [&str; SIDES] = ["A", "B", "C"];

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Whether the third side is looked at rather than the second.
    third: bool,
    part: Part,
    operations: operations::View,
    twins: twins::View,
}

/// What is shown beside the waterfall, or instead of it where there is no room for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Waterfall,
    Figures,
    Settings,
    Operations,
}

impl Part {
    const ALL: [Self; 4] = [Self::Waterfall, Self::Figures, Self::Settings, Self::Operations];

    const fn name(self) -> &'static str {
        match self {
            Self::Waterfall => "Causes",
            Self::Figures => "Figures",
            Self::Settings => "Settings",
            Self::Operations => "Operations",
        }
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let runs = &document.runs;
    if runs.kept.is_empty() {
        nothing(ui, document, commands);
        return;
    }
    sides::show(ui, runs, commands);
    let [second, third] = &runs.compared;
    let compared = match (view.third, second, third) {
        (true, _, Some(third)) => Some((2, third)),
        (_, Some(second), _) => Some((1, second)),
        (_, None, Some(third)) => Some((2, third)),
        (_, None, None) => None,
    };
    if second.is_some() && third.is_some() {
        ui.horizontal(|ui| {
            ui.weak("explain");
            for (is_third, name) in [(false, "B − A"), (true, "C − A")] {
                ui.selectable_value(&mut view.third, is_third, name);
            }
        });
    }
    let shown = runs.sides.iter().any(|side| side.model.is_some());
    if shown {
        let most = (ui.available_height() - 140.0).max(120.0);
        Panel::bottom(ui.scope_id().with("timelines"))
            .resizable(true)
            .default_size((ui.available_height() * 0.55).min(most))
            .size_range(100.0..=most)
            .show(ui, |ui| twins::show(ui, document, &mut view.twins, commands));
    }
    match compared {
        Some((side, compared)) => match compared.as_ref() {
            Ok(comparison) => difference(ui, document, comparison, side, view),
            Err(why) => {
                ui.colored_label(
                    theme::warn(ui.visuals()),
                    "These runs cannot be held against each other.",
                );
                ui.label(why);
                operations_alone(ui, document, view);
            }
        },
        None => {
            ui.label(
                "Choose a second run to see by what they differ, or run the scenario again with a change.",
            );
            operations_alone(ui, document, view);
        }
    }
}

/// What is said when there is no run.
fn nothing(ui: &mut Ui, document: &Document, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("Nothing to compare yet");
        ui.label("Every run of this window comes here; so do stored runs and traces that are opened.");
        ui.weak("Traces: of PyTorch's profiler (a folder with a file for each rank), Nsight Systems, NCCL's inspector.");
        ui.add_space(6.0);
        for action in [Action::Run, Action::Open] {
            let refusal = action.refusal(document);
            let button = ui.add_enabled(refusal.is_none(), eframe::egui::Button::new(action.name()));
            let button = button.on_hover_text(action.meaning()).on_disabled_hover_text(refusal.unwrap_or_default());
            if button.clicked() {
                commands.send(Command::Do(action));
            }
        }
        for opening in &document.runs.opening {
            ui.weak(opening.words());
        }
    });
}

/// How much the run on `side` differs from the first, and by what.
fn difference(ui: &mut Ui, document: &Document, comparison: &Comparison, side: usize, view: &mut View) {
    let verdict = comparison.verdict_of(NAMES[side]);
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(verdict).strong().size(15.0));
        if ui
            .small_button("Copy as JSON")
            .on_hover_text("The comparison as `orrery compare` writes it")
            .clicked()
        {
            ui.ctx().copy_text(format!("{:#}", comparison.json()));
        }
    });
    let is_wide = ui.available_width() >= WIDE;
    if is_wide && view.part == Part::Waterfall {
        view.part = Part::Figures;
    }
    ui.add_space(4.0);
    if !is_wide {
        parts(ui, view, &Part::ALL);
        part(ui, document, comparison, side, view);
        return;
    }
    let height = ui.available_height();
    ui.horizontal_top(|ui| {
        let half = ui.available_width() * 0.55;
        ui.vertical(|ui| {
            ui.set_width(half);
            ui.set_height(height);
            ui.strong("Where the difference of the mean step comes from");
            scrolled("causes", ui, |ui| waterfall::show(ui, comparison, NAMES[side]));
        });
        ui.separator();
        ui.vertical(|ui| {
            ui.set_height(height);
            parts(ui, view, &Part::ALL[1..]);
            part(ui, document, comparison, side, view);
        });
    });
}

fn parts(ui: &mut Ui, view: &mut View, parts: &[Part]) {
    ui.horizontal_wrapped(|ui| {
        for &part in parts {
            ui.selectable_value(&mut view.part, part, part.name());
        }
    });
}

fn part(ui: &mut Ui, document: &Document, comparison: &Comparison, side: usize, view: &mut View) {
    let name = NAMES[side];
    match view.part {
        Part::Waterfall => scrolled("causes", ui, |ui| waterfall::show(ui, comparison, name)),
        Part::Figures => scrolled("figures", ui, |ui| tables::figures(ui, comparison, name)),
        Part::Settings => scrolled("settings", ui, |ui| tables::settings(ui, comparison, name)),
        Part::Operations => operations_of(ui, document, view),
    }
}

/// The operations of the steps that are shown, where nothing else can be said of them.
fn operations_alone(ui: &mut Ui, document: &Document, view: &mut View) {
    if document.runs.sides.iter().any(|side| side.model.is_some()) {
        ui.separator();
        operations_of(ui, document, view);
    }
}

/// The operations of the steps that are shown; that of the span which is selected is marked.
fn operations_of(ui: &mut Ui, document: &Document, view: &mut View) {
    let models = document.runs.sides.each_ref().map(|side| side.model.clone());
    let span = document.selection.span();
    let marked = span.as_ref().map(|(model, span)| model.name(*span));
    operations::show(ui, &models, &mut view.operations, marked);
}

fn scrolled(name: &str, ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    ScrollArea::both()
        .id_salt(name)
        .auto_shrink([false, false])
        .show(ui, content);
}
