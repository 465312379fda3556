//! Experts: loads of experts and devices over time under each policy, two of them beside each other, and what
//! balancing costs.

mod heat;
mod loads;
mod model;
mod over_time;
mod sweeps;
mod tables;

use std::ops::Range;
use std::sync::{Arc, Weak};

use eframe::egui::{ScrollArea, Ui};
use orrery_timeline::Statistic;

use crate::app::{Action, Command, Commands};
use crate::document::{Item, Of};
use crate::{Document, theme};
use heat::Heat;
pub use model::ExpertsModel;
use model::Series;

/// Scenarios that ship with the program and are opened from here.
const EXAMPLES: [(&str, &str); 3] = [
    (
        "Hot experts that move",
        "scenarios/balancing/prefill-drift.scenario.toml",
    ),
    (
        "Cost and benefit of balancing",
        "scenarios/balancing/cost-and-benefit.scenario.toml",
    ),
    (
        "A plan grown stale",
        "scenarios/balancing/stale-plan.scenario.toml",
    ),
];
/// Width from which figures stand beside the lines, and their own.
const WIDE: f32 = 760.0;
const BESIDE: f32 = 350.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The run that the rest belongs to.
    shown: Weak<ExpertsModel>,
    /// The policies A and B.
    first: usize,
    second: usize,
    series: Series,
    /// The steps that were chosen; all if none are.
    brush: Option<Range<u64>>,
    /// Where dragging began.
    grabbed: Option<u64>,
    /// Whether experts stand by their load rather than by their number.
    by_load: bool,
    experts: Heat,
    devices: [Heat; 2],
    pairs: [Heat; 2],
}

impl View {
    /// Makes ready for `model`.
    fn attend(&mut self, model: &Arc<ExpertsModel>) {
        if std::ptr::eq(self.shown.as_ptr(), Arc::as_ptr(model)) {
            return;
        }
        *self = Self {
            shown: Arc::downgrade(model),
            second: 1.min(model.policies().len().saturating_sub(1)),
            series: self.series,
            by_load: self.by_load,
            ..Self::default()
        };
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let finished = document.finished.as_deref();
    let Some(model) = finished.and_then(|finished| finished.experts.as_ref()) else {
        nothing(ui, document, commands);
        return;
    };
    view.attend(model);
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        if let Some(finished) = finished {
            ui.strong(&finished.verdict);
            let copies = ui.small_button("Copy the verdict");
            if copies.on_hover_text("What each policy is worth, as text; `orrery run --write html` writes all of it as a page").clicked() {
                ui.ctx().copy_text(model.verdict(&finished.verdict));
            }
            if !model.about().is_empty() {
                ui.weak(model.about());
            }
            if let Some(why) = &finished.partial {
                ui.colored_label(theme::warn(ui.visuals()), format!("Partial results: {why}"));
            }
        }
        if !model.policies().is_empty() {
            policies(ui, model, (document, view), commands);
        }
        if !model.sweeps().is_empty() {
            ui.add_space(8.0);
            ui.heading("Cost and benefit");
            sweeps::show(ui, model.sweeps());
        }
        recorded(ui, model);
        ui.add_space(8.0);
        for note in model.notes() {
            ui.weak(note);
        }
    });
}

/// What is said when no loads are there.
fn nothing(ui: &mut Ui, document: &Document, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("No loads of experts yet");
        if document.running.is_some() {
            ui.label("A run is under way.");
        }
        ui.label("A scenario of kind \"balancing\" compares policies on the loads of experts over time.");
        ui.label("Open a recorded load, a table of counts or of routed tokens or a dump of SGLang or vLLM, and what EPLB is worth for it is said here. Traces that carry the split sizes of their all-to-alls have one as well: `orrery import kineto` writes it to expert-load.csv.");
        ui.add_space(6.0);
        let open = ui.button("Open a recorded load…");
        if open.on_hover_text("CSV (also .gz), JSON or Parquet; or drop the file on the window").clicked() {
            commands.send(Command::Do(Action::Open));
        }
        for (name, file) in EXAMPLES {
            if ui.button(format!("Open: {name}")).on_hover_text(file).clicked() {
                commands.send(Command::OpenFile(file.to_owned()));
            }
        }
    });
}

/// Everything of the policies.
fn policies(
    ui: &mut Ui,
    model: &Arc<ExpertsModel>,
    (document, view): (&Document, &mut View),
    commands: &Commands,
) {
    ui.add_space(4.0);
    ScrollArea::horizontal()
        .id_salt("totals")
        .show(ui, |ui| tables::totals(ui, model));
    tables::worth(ui, model, view.second);
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        choice(ui, "A", model, &mut view.first);
        choice(ui, "B", model, &mut view.second);
        if ui.button("Swap").clicked() {
            std::mem::swap(&mut view.first, &mut view.second);
        }
        ui.separator();
        for series in Series::ALL {
            ui.selectable_value(&mut view.series, series, series.name());
        }
        ui.separator();
        match &view.brush {
            Some(steps) => ui.label(format!("steps {} to {}", steps.start, steps.end)),
            None => ui.weak("drag over the lines to choose steps"),
        };
        if view.brush.is_some() && ui.small_button("All steps").clicked() {
            view.brush = None;
        }
    });
    let steps = view.brush.clone().unwrap_or(0..model.steps());
    let room = ui.available_width();
    if room >= WIDE {
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(room - BESIDE);
                over_time::show(ui, model, view);
            });
            ui.vertical(|ui| tables::stretch(ui, model, view, &steps));
        });
    } else {
        over_time::show(ui, model, view);
        tables::stretch(ui, model, view, &steps);
    }
    // With no steps chosen, what came of it in the end.
    let frame = match &view.brush {
        Some(steps) => model.frame_of(steps),
        None => model.frames().len().checked_sub(1),
    };
    if let Some(frame) = frame {
        let chosen = document.selection.load(model).filter(|load| load.frame == frame);
        if let Some(load) = loads::show(ui, model, view, (frame, chosen)) {
            commands.send(Command::Select(Some(Item::Load(Of::new(model), load))));
        }
    }
    loads::traffic(ui, model, view);
}

/// The policy that is A or B.
fn choice(ui: &mut Ui, side: &str, model: &ExpertsModel, chosen: &mut usize) {
    tables::swatch(ui, *chosen);
    let name = |at: usize| model.policies().get(at).map_or("", |policy| policy.id.as_str());
    ui.menu_button(format!("{side}: {}", name(*chosen)), |ui| {
        for at in 0..model.policies().len() {
            if ui.selectable_label(*chosen == at, name(at)).clicked() {
                *chosen = at;
                ui.close();
            }
        }
    });
}

/// Plans on recordings, each with its layers.
fn recorded(ui: &mut Ui, model: &ExpertsModel) {
    if model.recorded().is_empty() {
        return;
    }
    ui.add_space(8.0);
    ui.heading("Plans on recordings");
    ui.label(
        "Tokens of the busiest device over the mean of all devices: 1 is perfect balance, 2 means that one device has \
         twice its share and the others wait for it. The layer in which a plan does best, the layer in the middle, and \
         the layer in which it does worst.",
    );
    eframe::egui::Grid::new("recorded").striped(true).show(ui, |ui| {
        for head in ["plan", "layers", "best layer", "median layer", "worst layer"] {
            ui.weak(head);
        }
        ui.end_row();
        for (id, layers) in model.recorded() {
            ui.strong(id);
            ui.label(layers.len().to_string());
            for statistic in [Statistic::Min, Statistic::P50, Statistic::Max] {
                let left = statistic.of(layers).unwrap_or(0.0);
                ui.label(orrery_units::significant(left, 4));
            }
            ui.end_row();
        }
    });
}
