//! Parallel coordinates: a line for each layout through its value on every axis; dragging along an axis chooses a part of it.

use eframe::egui::{Align2, Color32, FontId, Id, Pos2, Rect, Sense, Shape, Stroke, Ui, pos2, vec2};

use super::View;
use super::model::{Axis, ExploreModel, in_words};
use crate::theme;

/// Lines that are drawn at most: of more, the fastest.
const MOST_LINES: usize = 500;
/// Room for names above and values below.
const HEAD: f32 = 32.0;
const FOOT: f32 = 18.0;
/// Width of the axes below which words are small.
const TIGHT: f32 = 480.0;
/// Half the width of an axis that can be grabbed.
const GRAB: f32 = 14.0;

/// Draws the lines.
pub(super) fn show(ui: &mut Ui, model: &ExploreModel, view: &mut View, height: f32) {
    let size = vec2(ui.available_width(), height);
    let (whole, _response) = ui.allocate_exact_size(size, Sense::hover());
    let area = Rect::from_min_max(whole.min + vec2(34.0, HEAD), whole.max - vec2(34.0, FOOT));
    let axes: Vec<(Axis, f32)> = Axis::PARALLEL
        .into_iter()
        .enumerate()
        .map(|(at, axis)| {
            let share = at as f32 / (Axis::PARALLEL.len() - 1) as f32;
            (axis, area.left() + share * area.width())
        })
        .collect();
    let line = |at: usize| -> Vec<Pos2> {
        let row = &model.layouts[at];
        let height = |axis: Axis| area.bottom() - model.share(axis, row.value(axis)) as f32 * area.height();
        axes.iter().map(|&(axis, x)| pos2(x, height(axis))).collect()
    };
    let painter = ui.painter_at(whole);
    let mut drawn = view.rows.to_vec();
    if model.fitting > 0 {
        drawn.retain(|&at| at < model.fitting);
    }
    drawn.sort_by(|&a, &b| model.layouts[a].step.total_cmp(&model.layouts[b].step));
    drawn.truncate(MOST_LINES);
    let steps = drawn.iter().map(|&at| model.layouts[at].step);
    let (fast, slow) = steps.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), step| {
        (low.min(step), high.max(step))
    });
    let color = |at: usize| {
        let row = &model.layouts[at];
        // The fast end of the scale of colours is the bright one.
        let share = 1.0 - (row.step / fast).log2() / (slow / fast).log2().max(1e-9);
        theme::sequential(share)
    };
    let faint = if drawn.len() > 200 { 0.35 } else { 0.7 };
    // The fastest last, so that they lie above the others.
    for &at in drawn.iter().rev() {
        let stroke = Stroke::new(1.0, color(at).gamma_multiply(faint));
        painter.add(Shape::line(line(at), stroke));
    }
    if let Some(at) = view.chosen.filter(|&at| at < model.layouts.len()) {
        painter.add(Shape::line(
            line(at),
            Stroke::new(2.5, ui.visuals().strong_text_color()),
        ));
    }
    for &(axis, x) in &axes {
        one_axis(ui, model, view, (axis, x, area));
    }
}

fn one_axis(ui: &mut Ui, model: &ExploreModel, view: &mut View, (axis, x, area): (Axis, f32, Rect)) {
    let ink = ui.visuals().text_color();
    let painter = ui.painter();
    painter.vline(
        x,
        area.y_range(),
        Stroke::new(1.0, ui.visuals().weak_text_color()),
    );
    let (low, high) = model.range(axis);
    // Where axes lie close, names of schedules and sums would run into each other.
    let is_tight = area.width() < TIGHT;
    let small = FontId::proportional(if is_tight { 8.0 } else { 10.0 });
    let name = pos2(x, area.top() - 15.0);
    painter.text(
        name,
        Align2::CENTER_BOTTOM,
        axis.short(),
        FontId::proportional(if is_tight { 10.0 } else { 12.0 }),
        ink,
    );
    let weak = ui.visuals().weak_text_color();
    if low < high {
        painter.text(
            pos2(x, area.top() - 2.0),
            Align2::CENTER_BOTTOM,
            in_words(axis, high),
            small.clone(),
            weak,
        );
    }
    painter.text(
        pos2(x, area.bottom() + 3.0),
        Align2::CENTER_TOP,
        in_words(axis, low),
        small,
        weak,
    );
    if let Some((from, to)) = view.filter.get(axis) {
        let height =
            |value: f64| area.bottom() - model.share(axis, value).clamp(0.0, 1.0) as f32 * area.height();
        let part = Rect::from_x_y_ranges(x - 5.0..=x + 5.0, height(to) - 2.0..=height(from) + 2.0);
        painter.rect_filled(part, 2.0, Color32::from_white_alpha(40));
        painter.rect_stroke(
            part,
            2.0,
            Stroke::new(1.0, theme::MARK),
            eframe::egui::StrokeKind::Inside,
        );
    }
    let grab = Rect::from_x_y_ranges(x - GRAB..=x + GRAB, area.y_range());
    let response = ui.interact(grab, Id::unique(("axis", axis.name())), Sense::click_and_drag());
    let share = |y: f32| f64::from((area.bottom() - y) / area.height()).clamp(0.0, 1.0);
    if response.drag_started() {
        view.grabbed_axis = response.interact_pointer_pos().map(|pointer| share(pointer.y));
    }
    if let (true, Some(from), Some(pointer)) = (
        response.dragged(),
        view.grabbed_axis,
        response.interact_pointer_pos(),
    ) {
        // A little more than was dragged over, so that an end of the axis is in.
        let (low, high) = (
            from.min(share(pointer.y)) - 0.01,
            from.max(share(pointer.y)) + 0.01,
        );
        view.filter.set(axis, model.at(axis, low), model.at(axis, high));
    }
    if response.clicked() {
        view.filter.clear(axis);
    }
    response.on_hover_text(format!("{}: drag to choose a part, click for all", axis.name()));
}
