//! Kernels: the rates at which the scenario's matrix products are priced, beside the roofs of the device.

use std::sync::Arc;

use eframe::egui::{Grid, ScrollArea, Ui};
use egui_plot::{
    Corner, GridMark, HLine, Legend, Line, LineStyle, MarkerShape, Plot, PlotPoints, Points, VLine,
};
use orrery::kernels::{Kernels, Point, kernels};
use orrery_units::{Evidence, significant, with_si_prefix};

use crate::{Document, theme};

/// Least height of the pictures.
const PICTURE: f32 = 240.0;
/// Roofs are drawn from so many FLOPs a byte on, and up to so many, as powers of two.
const INTENSITY: [f64; 2] = [-1.0, 14.0];

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    found: Option<(u64, Arc<Kernels>)>,
}

impl View {
    fn attend(&mut self, document: &Document) -> Option<Arc<Kernels>> {
        let plan = document.training_plan();
        if let Some(plan) = plan
            && self
                .found
                .as_ref()
                .is_none_or(|(revision, _)| *revision != document.revision)
        {
            self.found = Some((document.revision, Arc::new(kernels(plan))));
        }
        self.found.as_ref().map(|(_, found)| Arc::clone(found))
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View) {
    let Some(found) = view.attend(document) else {
        ui.add_space(12.0);
        ui.vertical_centered(|ui| {
            ui.heading("No kernels yet");
            ui.label("A training scenario without errors has matrix products; their rates appear here.");
        });
        return;
    };
    ui.strong(format!(
        "Matrix products of the scenario in front on {}",
        found.device
    ));
    ui.weak("As they are priced: measured kernels where there are any, a law between and beyond them. Nothing here was measured on this machine.");
    let height = (ui.available_height() * 0.5).max(PICTURE);
    ui.horizontal_top(|ui| {
        let half = ui.available_width() * 0.5 - 6.0;
        ui.vertical(|ui| {
            ui.set_width(half);
            over_rows(ui, &found, height);
        });
        ui.vertical(|ui| roofline(ui, &found, height));
    });
    table(ui, &found);
}

const fn shape_of(evidence: Evidence) -> MarkerShape {
    match evidence {
        Evidence::Measured => MarkerShape::Circle,
        Evidence::Interpolated => MarkerShape::Diamond,
        Evidence::Analytic => MarkerShape::Square,
        Evidence::Extrapolated => MarkerShape::Cross,
    }
}

fn name_of(found: &Kernels, at: usize) -> String {
    let curve = &found.curves[at];
    format!("{} ({})", curve.name, curve.shape)
}

/// Rates over rows: what an expert needs before its products run at speed.
fn over_rows(ui: &mut Ui, found: &Kernels, height: f32) {
    let weak = ui.visuals().weak_text_color();
    let bad = theme::bad(ui.visuals());
    Plot::new("rates over rows")
        .height(height)
        .allow_scroll(false)
        .legend(Legend::default().position(Corner::LeftTop))
        .include_y(0.0)
        .x_axis_label("rows: tokens of an expert, or of a product")
        .y_axis_label("TFLOP/s")
        .x_axis_formatter(|mark: GridMark, _range| significant(mark.value.exp2(), 2))
        .show(ui, |plot| {
            for (at, curve) in found.curves.iter().enumerate() {
                let place = |point: &Point| [(point.rows as f64).log2(), point.rate / 1e12];
                let color = theme::of_policy(at);
                let line: Vec<[f64; 2]> = curve.points.iter().map(place).collect();
                plot.line(Line::new(name_of(found, at), PlotPoints::new(line)).color(color));
                for evidence in Evidence::ALL {
                    let points = curve.points.iter().filter(|point| point.evidence == evidence);
                    let points: Vec<[f64; 2]> = points.map(place).collect();
                    let marks = Points::new(name_of(found, at), PlotPoints::new(points));
                    plot.points(marks.color(color).radius(3.0).shape(shape_of(evidence)));
                }
            }
            for (format, peak) in &found.peaks {
                let line = HLine::new(format!("peak, {}", format.name()), peak / 1e12);
                plot.hline(line.color(weak).style(LineStyle::dotted_dense()));
            }
            if let Some(rows) = found.rows_of_an_expert.filter(|rows| *rows > 0.0) {
                let line = VLine::new("rows of an expert here", rows.log2());
                plot.vline(line.color(bad).style(LineStyle::dashed_dense()));
            }
        });
}

/// Rates over FLOPs per byte, below the roofs of memory and arithmetic.
fn roofline(ui: &mut Ui, found: &Kernels, height: f32) {
    let weak = ui.visuals().weak_text_color();
    Plot::new("roofline")
        .height(height)
        .allow_scroll(false)
        .x_axis_label("FLOPs per byte of memory traffic")
        .y_axis_label("TFLOP/s")
        .x_axis_formatter(|mark: GridMark, _range| significant(mark.value.exp2(), 2))
        .y_axis_formatter(|mark: GridMark, _range| significant(mark.value.exp2(), 2))
        .show(ui, |plot| {
            for (format, peak) in &found.peaks {
                let roof = |power: f64| (found.bandwidth.get() * power.exp2()).min(*peak) / 1e12;
                let ridge = (peak / found.bandwidth.get()).log2();
                let corners = [INTENSITY[0], ridge, INTENSITY[1]].map(|power| [power, roof(power).log2()]);
                let line = Line::new(
                    format!("roof, {}", format.name()),
                    PlotPoints::new(corners.to_vec()),
                );
                plot.line(line.color(weak));
            }
            for (at, curve) in found.curves.iter().enumerate() {
                let place = |point: &Point| [point.intensity.log2(), (point.rate / 1e12).log2()];
                let points: Vec<[f64; 2]> = curve.points.iter().map(place).collect();
                let marks = Points::new(name_of(found, at), PlotPoints::new(points));
                plot.points(marks.color(theme::of_policy(at)).radius(3.0));
            }
        });
}

fn table(ui: &mut Ui, found: &Kernels) {
    let peak = found.peaks.iter().map(|(_, peak)| *peak).fold(0.0, f64::max);
    ScrollArea::both().id_salt("kernels").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new("kernels").num_columns(7).striped(true).show(ui, |ui| {
            for name in ["product", "shape", "kernels of", "rows here", "rate", "time", "rests on", "spread of the law"] {
                ui.strong(name);
            }
            ui.end_row();
            for curve in &found.curves {
                let is_experts = curve.name.starts_with("experts");
                let here = found.rows_of_an_expert.filter(|_| is_experts);
                let here = here.unwrap_or(found.rows_of_a_microbatch as f64);
                let near = |point: &&Point| ((point.rows as f64).log2() - here.log2()).abs();
                let point = curve.points.iter().min_by(|a, b| near(a).total_cmp(&near(b)));
                ui.label(&curve.name);
                ui.label(&curve.shape);
                ui.label(&curve.source).on_hover_text(&curve.provenance);
                ui.label(significant(here, 4));
                if let Some(point) = point {
                    let share = significant(point.rate / peak * 100.0, 3);
                    ui.strong(with_si_prefix(point.rate, "FLOP/s"))
                        .on_hover_text(format!("{share} % of the largest dense peak, with {} rows", point.rows));
                    ui.label(with_si_prefix(point.seconds, "s"));
                    ui.label(point.evidence.name());
                }
                match curve.spread {
                    Some(spread) => ui.label(format!("{} %", significant(spread * 100.0, 2))),
                    None => ui.weak("no measurement"),
                };
                ui.end_row();
            }
        });
        ui.weak("Marks: circle measured, diamond between measurements, square by formula, cross beyond what was measured.");
    });
}
