//! Policies over steps as lines, plans as marks, and a stretch of steps that is chosen by dragging.

use eframe::egui::{Align2, Color32, CursorIcon, Stroke, Ui};
use egui_plot::{
    HPlacement, Legend, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi, Points, Span,
    Text, VLine,
};
use orrery_report::{PolicyReport, RebalanceReport};

use super::View;
use super::model::{ExpertsModel, Series};
use crate::theme;

/// Height of the lines.
const HEIGHT: f32 = 190.0;
/// Plans that are marked at most for a policy; of more every so manyth.
const MARKS: usize = 200;

/// Draws the lines of every policy; those that are compared are strong.
pub(super) fn show(ui: &mut Ui, model: &ExpertsModel, view: &mut View) {
    let series = view.series;
    let columns = (ui.available_width() / 2.0).max(50.0) as usize;
    let steps = model.steps();
    let plot = Plot::new("imbalance over steps")
        .height(HEIGHT)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_zoom([true, false])
        .y_axis_position(HPlacement::Left)
        .y_axis_label(series.name())
        .x_axis_label("step")
        .include_x(0.0)
        .include_x(steps as f64)
        .include_y(series.foot())
        .legend(Legend::default().follow_insertion_order(true));
    let weak = ui.visuals().weak_text_color();
    let strong = ui.visuals().strong_text_color();
    let chosen = [view.first, view.second];
    let shown = plot.show(ui, |plot| {
        let bounds = plot.plot_bounds();
        let within = |at: f64| (at.max(0.0) as u64).min(steps);
        let range = within(bounds.min()[0])..within(bounds.max()[0].ceil());
        let points = |at: usize| model.points(at, series, range.clone(), columns);
        let lines: Vec<Vec<[f64; 2]>> = (0..model.policies().len()).map(points).collect();
        let top = lines
            .iter()
            .flatten()
            .map(|point| point[1])
            .fold(series.foot(), f64::max);
        phases(plot, model, top, weak);
        if let Some(chosen) = &view.brush {
            let band = Span::new("", chosen.start as f64..=chosen.end as f64);
            let band = band.fill(strong.gamma_multiply(0.14));
            plot.span(band.border(Stroke::new(1.0, theme::MARK)));
        }
        for (at, (policy, points)) in model.policies().iter().zip(lines).enumerate() {
            let is_chosen = chosen.contains(&at);
            let color = match is_chosen {
                true => theme::of_policy(at),
                false => theme::of_policy(at).gamma_multiply(0.45),
            };
            let line = Line::new(policy.id.clone(), PlotPoints::new(points));
            plot.line(line.color(color).width(if is_chosen { 2.0 } else { 1.0 }));
            plans(plot, model, (at, series), color);
        }
        plot.pointer_coordinate()
    });
    drag(&shown.response, shown.inner, steps, view);
    if shown.response.hovered() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
}

/// A dashed line where a phase begins, with its name at `top`.
fn phases(plot: &mut PlotUi<'_>, model: &ExpertsModel, top: f64, color: Color32) {
    for (name, start) in model.phases() {
        let at = *start as f64;
        let line = VLine::new("", at).color(color);
        plot.vline(line.style(LineStyle::dashed_loose()).allow_hover(false));
        let words = Text::new("", PlotPoint::new(at, top), format!(" {name}"));
        plot.text(words.color(color).anchor(Align2::LEFT_BOTTOM).allow_hover(false));
    }
}

/// A mark at the foot of the picture for each plan that moved anything.
fn plans(plot: &mut PlotUi<'_>, model: &ExpertsModel, (policy, series): (usize, Series), color: Color32) {
    let PolicyReport { id, rebalances, .. } = &model.policies()[policy];
    let each = rebalances.len().div_ceil(MARKS).max(1);
    let place = |plan: &RebalanceReport| [plan.step as f64, series.foot()];
    let marks: Vec<[f64; 2]> = rebalances.iter().step_by(each).map(place).collect();
    if marks.is_empty() {
        return;
    }
    // Of the same name as its line, so that the legend hides both.
    let points = Points::new(id.clone(), PlotPoints::new(marks));
    plot.points(
        points
            .color(color)
            .radius(4.0)
            .shape(MarkerShape::Up)
            .allow_hover(false),
    );
}

/// Chooses steps from where the drag began to where the pointer is; a click chooses all.
fn drag(response: &eframe::egui::Response, pointer: Option<PlotPoint>, steps: u64, view: &mut View) {
    let at = pointer.map(|pointer| (pointer.x.max(0.0).round() as u64).min(steps));
    if response.drag_started() {
        view.grabbed = at;
    }
    if let (true, Some(from), Some(to)) = (response.dragged(), view.grabbed, at) {
        view.brush = Some(from.min(to)..from.max(to).max(from.min(to) + 1));
    }
    if response.clicked() {
        view.brush = None;
    }
}
