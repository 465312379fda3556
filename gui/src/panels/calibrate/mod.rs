//! Calibrate: predictions held against measurements, row by row, and how far they can be trusted; and measurements of
//! this machine, from which a profile is made.

mod measure;
mod model;

use std::sync::{Arc, Weak};

use eframe::egui::{Button, Grid, ProgressBar, RichText, ScrollArea, TextEdit, Ui};
use egui_plot::{GridMark, Legend, Line, LineStyle, MarkerShape, Plot, PlotPoints, Points};
use orrery::validate::{Outcome, STOPPED};
use orrery_report::render::percent;
use orrery_units::significant;

use crate::app::{Command, Commands};
use crate::words::grouped;
use crate::{Document, theme};
use model::{Group, JudgedModel};

/// Tables that lie in a checkout of the program.
const EXAMPLES: [(&str, &str); 4] = [
    ("Published training steps", "tests/truth/training.csv.gz"),
    (
        "Memory of Megatron-LM's own runs",
        "tests/truth/megatron_ci_memory.csv.gz",
    ),
    ("Matrix products of libraries", "tests/truth/aic_gemm.csv.gz"),
    ("Sweeps of nccl-tests", "tests/truth/nccl"),
];
/// Groups that have a colour of their own.
const COLOURED: usize = 6;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Whether this machine is measured, rather than predictions judged.
    measures: bool,
    measure: measure::View,
    path: String,
    simulated: bool,
    of: Weak<Outcome>,
    model: Option<Arc<JudgedModel>>,
    /// The group that is looked at alone.
    group: Option<usize>,
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    ui.horizontal_wrapped(|ui| {
        ui.selectable_value(&mut view.measures, false, "Judge predictions")
            .on_hover_text("Predictions beside a table of measurements");
        ui.selectable_value(&mut view.measures, true, "Measure this machine")
            .on_hover_text("A profile of its own devices, with the plan beforehand");
    });
    ui.separator();
    if view.measures {
        measure::show(ui, document, &mut view.measure, commands);
        return;
    }
    controls(ui, document, view, commands);
    let calibrate = &document.calibrate;
    match calibrate.fault.as_deref() {
        Some(STOPPED) => {
            ui.weak(STOPPED);
        }
        Some(fault) => {
            ui.colored_label(theme::bad(ui.visuals()), fault);
        }
        None => {}
    }
    let Some((path, outcome)) = &calibrate.judged else {
        nothing(ui, document, commands);
        return;
    };
    if !std::ptr::eq(view.of.as_ptr(), Arc::as_ptr(outcome)) {
        view.of = Arc::downgrade(outcome);
        view.model = Some(Arc::new(JudgedModel::new(outcome)));
        view.group = None;
    }
    let Some(model) = view.model.clone() else { return };
    trust(ui, path, &model);
    let height = (ui.available_height() * 0.55).max(220.0);
    ui.horizontal_top(|ui| {
        let half = ui.available_width() * 0.52;
        ui.vertical(|ui| {
            ui.set_width(half);
            scatter(ui, &model, view.group, height);
        });
        ui.vertical(|ui| errors(ui, &model, view.group, height));
    });
    groups(ui, &model, view);
}

fn controls(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Measurements");
        let field = TextEdit::singleline(&mut view.path)
            .hint_text("a table, or a folder of sweeps")
            .desired_width(280.0);
        ui.add(field).labelled_by(label.id);
        ui.checkbox(&mut view.simulated, "simulate steps").on_hover_text(
            "Each step by the event simulation: a minute or two; else in closed form: seconds",
        );
        match &document.calibrate.judging {
            Some(judging) => {
                let (done, of) = judging.done;
                let share = done as f32 / of.max(1) as f32;
                let words = match judging.stopping {
                    true => "stopping…".to_owned(),
                    false => format!("{} of {}", grouped(done as u64), grouped(of as u64)),
                };
                ui.add(ProgressBar::new(share.min(1.0)).desired_width(200.0).text(words));
                let stop = ui.add_enabled(!judging.stopping, Button::new("Stop comparing"));
                if stop.clicked() {
                    commands.send(Command::StopJudging);
                }
            }
            None => {
                let path = view.path.trim().to_owned();
                if ui
                    .add_enabled(!path.is_empty(), Button::new("Predict"))
                    .on_hover_text("Every row is predicted and set beside what was measured")
                    .clicked()
                {
                    commands.send(Command::Judge(path, view.simulated));
                }
            }
        }
    });
}

/// The sentence that says how far predictions can be trusted.
fn trust(ui: &mut Ui, path: &str, model: &JudgedModel) {
    let all = &model.all;
    ui.label(
        RichText::new(format!(
            "{path}: {} of {} rows compared, {} off on average, {} in the median, nine in ten within {}",
            grouped(all.n as u64),
            grouped(model.rows as u64),
            percent(all.mape),
            percent(all.median),
            percent(all.p90)
        ))
        .strong(),
    );
    let lean = if all.bias > 0.0 { "too long" } else { "too short" };
    ui.label(format!(
        "Predictions are {} {lean} on average; their 80 % intervals hold {} of the measurements.",
        percent(all.bias.abs()),
        percent(all.interval_coverage)
    ));
    if let Some((field, count)) = model.skipped.first() {
        let words = format!(
            "{} rows are left out, most for want of {field} ({count})",
            model.rows - all.n
        );
        let more: Vec<String> = model
            .skipped
            .iter()
            .map(|(field, count)| format!("{count} x {field}"))
            .collect();
        ui.weak(words).on_hover_text(more.join("\n"));
    }
}

fn color(at: usize, ui: &Ui) -> eframe::egui::Color32 {
    if at < COLOURED {
        theme::of_policy(at)
    } else {
        ui.visuals().weak_text_color()
    }
}

fn chosen(model: &JudgedModel, group: Option<usize>) -> impl Iterator<Item = (usize, &Group)> {
    let groups = model.groups.iter().enumerate();
    groups.filter(move |(at, _)| group.is_none_or(|chosen| chosen == *at))
}

/// Predicted over measured, both by decades.
fn scatter(ui: &mut Ui, model: &JudgedModel, group: Option<usize>, height: f32) {
    let decades =
        |mark: GridMark, _range: &std::ops::RangeInclusive<f64>| significant(10_f64.powf(mark.value), 2);
    let weak = ui.visuals().weak_text_color();
    let colors: Vec<_> = (0..model.groups.len()).map(|at| color(at, ui)).collect();
    let (low, high) = model.range;
    Plot::new("predicted over measured")
        .height(height)
        .allow_scroll(false)
        .legend(Legend::default())
        .x_axis_label(format!("measured, {}", model.unit))
        .y_axis_label(format!("predicted, {}", model.unit))
        .x_axis_formatter(decades)
        .y_axis_formatter(decades)
        .show(ui, |plot| {
            for (factor, style) in [
                (1.0_f64, LineStyle::Solid),
                (1.1, LineStyle::dashed_dense()),
                (1.0 / 1.1, LineStyle::dashed_dense()),
            ] {
                let line = vec![[low, low + factor.log10()], [high, high + factor.log10()]];
                let line = Line::new("", PlotPoints::new(line)).color(weak).style(style);
                plot.line(line.allow_hover(false));
            }
            for (at, group) in chosen(model, group) {
                let points: Vec<[f64; 2]> =
                    group.points.iter().map(|(m, p)| [m.log10(), p.log10()]).collect();
                let points = Points::new(group.name.clone(), PlotPoints::new(points));
                plot.points(points.color(colors[at]).radius(2.0).shape(MarkerShape::Circle));
            }
        });
}

/// Errors over what was measured.
fn errors(ui: &mut Ui, model: &JudgedModel, group: Option<usize>, height: f32) {
    let colors: Vec<_> = (0..model.groups.len()).map(|at| color(at, ui)).collect();
    Plot::new("errors over measured")
        .height(height)
        .allow_scroll(false)
        .x_axis_label(format!("measured, {}", model.unit))
        .y_axis_label("error, %")
        .include_y(-25.0)
        .include_y(25.0)
        .x_axis_formatter(|mark: GridMark, _range| significant(10_f64.powf(mark.value), 2))
        .show(ui, |plot| {
            for (at, group) in chosen(model, group) {
                let points = group
                    .points
                    .iter()
                    .map(|(m, p)| [m.log10(), (p / m - 1.0) * 100.0]);
                let points = Points::new(group.name.clone(), PlotPoints::new(points.collect()));
                plot.points(points.color(colors[at]).radius(2.0));
            }
        });
}

fn groups(ui: &mut Ui, model: &JudgedModel, view: &mut View) {
    ScrollArea::both()
        .id_salt("groups")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            Grid::new("groups").num_columns(7).striped(true).show(ui, |ui| {
                for name in [
                    "group",
                    "rows",
                    "off on average",
                    "median",
                    "nine in ten within",
                    "lean",
                    "in the 80 % interval",
                ] {
                    ui.strong(name);
                }
                ui.end_row();
                for (at, group) in model.groups.iter().enumerate() {
                    let is_chosen = view.group == Some(at);
                    let name = RichText::new(&group.name).color(color(at, ui));
                    if ui
                        .selectable_label(is_chosen, name)
                        .on_hover_text("Look at this group alone")
                        .clicked()
                    {
                        view.group = (!is_chosen).then_some(at);
                    }
                    let found = &group.summary;
                    ui.label(grouped(found.n as u64));
                    ui.strong(percent(found.mape));
                    ui.label(percent(found.median));
                    ui.label(percent(found.p90));
                    ui.label(format!("{:+.1} %", found.bias * 100.0));
                    ui.label(percent(found.interval_coverage));
                    ui.end_row();
                }
            });
        });
}

/// What is said before anything was compared.
fn nothing(ui: &mut Ui, document: &Document, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("How far can predictions be trusted?");
        if document.calibrate.judging.is_some() {
            ui.label("Every row is being predicted.");
            return;
        }
        ui.label("Name a table of measurements: training steps, memory, kernels, or the output of nccl-tests. Each row is predicted and set beside what was measured.");
        ui.label("Profiles of your own devices are written by `orrery-collector calibrate`, and by `orrery fit` from tables.");
        ui.add_space(6.0);
        for (name, path) in EXAMPLES {
            let is_there = std::path::Path::new(path).exists();
            let button = ui.add_enabled(is_there, Button::new(format!("Compare: {name}")));
            let button = button.on_hover_text(path).on_disabled_hover_text(format!("{path} is in a checkout of Orrery, not here"));
            if button.clicked() {
                commands.send(Command::Judge(path.to_owned(), false));
            }
        }
    });
}
