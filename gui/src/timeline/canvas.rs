//! The axis and the lanes: scrolling, hovering, selecting, and what is drawn over the bars.

use eframe::egui::accesskit::Role;
use eframe::egui::{
    self, Align2, FontId, Painter, PopupAnchor, Pos2, Rangef, Rect, ScrollArea, Sense, Stroke, StrokeKind,
    Tooltip, Ui, WidgetInfo, vec2,
};
use orrery_timeline::SpanId;

use super::details;
use super::input;
use super::layout::{Bar, hit};
use super::model::TimelineModel;
use super::paint::{self, Brush, duration};
use super::rows::{self, Drawn, ROW};
use super::view::{Row, View};
use crate::theme;

/// Height of the axis.
const RULER: f32 = 22.0;
/// Arrows to released spans that are drawn at most.
const ARROWS: usize = 24;

/// Draws axis and lanes into what is left of `ui`.
pub(super) fn show(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    let size = vec2(ui.available_width(), RULER);
    let (strip, _) = ui.allocate_exact_size(size, Sense::hover());
    let lanes = rows::lanes_of(strip);
    // The painter of the lanes is cut to them.
    let axis = ui.painter_at(strip);
    let source = egui::scroll_area::ScrollSource::MOUSE_WHEEL | egui::scroll_area::ScrollSource::SCROLL_BAR;
    let area = ScrollArea::vertical()
        .auto_shrink([false, false])
        .scroll_source(source);
    area.show_viewport(ui, |ui, viewport| {
        let rows = view.rows(model);
        ui.set_height(ROW * rows.len() as f32);
        let top = ui.max_rect().top();
        let seen = ui.max_rect().intersect(ui.clip_rect());
        scroll_to(ui, model, view, &rows, top, viewport);
        let response = ui.interact(seen, ui.scope_id().with("lanes"), Sense::click_and_drag());
        input::take_in(ui, &response, lanes, model, view);
        response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, spoken(model, view)));
        let marks = paint::ruler(ui, &axis, strip, lanes, view.window(model));
        grid(ui, seen, lanes, &marks);
        let first = ((viewport.top() / ROW).floor().max(0.0) as usize).min(rows.len());
        let last = ((viewport.bottom() / ROW).ceil().max(0.0) as usize).clamp(first, rows.len());
        let mut bars = std::mem::take(&mut view.bars);
        let brush = Brush {
            model,
            view,
            window: view.window(model),
            lanes,
            colors: &view.colors,
            background: ui.visuals().panel_fill,
        };
        let drawn = rows::draw(ui, &brush, &mut bars, (&rows[first..last], first), seen, top);
        let painter = ui.painter_at(Rect::from_x_y_ranges(lanes, seen.y_range()));
        interval(ui, &painter, &axis, &brush, strip, seen);
        selection(&painter, &brush, &rows, &drawn, top);
        let pointer = response.hover_pos().filter(|pointer| lanes.contains(pointer.x));
        let hovered = pointer.and_then(|pointer| under(&brush, &drawn, pointer));
        if let Some(pointer) = pointer {
            cursor(ui, &axis, &brush, strip, seen, pointer);
        }
        if let (Some(hovered), None) = (&hovered, view.drag) {
            outline(&painter, &brush, hovered.field, &hovered.bar, 1.0);
            tip(ui, &response, model, hovered);
        }
        let hovered = hovered.map(|hovered| hovered.span);
        view.bars = bars;
        clicks(&response, model, view, hovered, drawn.toggled, pointer.is_some());
    });
}

/// What the pointer is over.
struct Hovered {
    lane: usize,
    field: Rect,
    bar: Bar,
    /// The span under the pointer, of those of the bar.
    span: SpanId,
}

fn under(brush: &Brush<'_>, drawn: &Drawn, pointer: Pos2) -> Option<Hovered> {
    let over = |(_, field, _): &&(usize, Rect, Vec<Bar>)| {
        (field.top() - 1.0..field.bottom() + 1.0).contains(&pointer.y)
    };
    let (lane, field, bars) = drawn.lanes.iter().find(over)?;
    let bar = *hit(bars, pointer.x - brush.lanes.min)?;
    let spans = &brush.model.lanes[*lane];
    let instant = brush
        .window
        .instant(f64::from(pointer.x - brush.lanes.min), brush.lanes.span());
    let at = spans
        .nearest(instant)
        .map_or(bar.first, |at| at.clamp(bar.first, bar.first + bar.count - 1));
    Some(Hovered {
        lane: *lane,
        field: *field,
        bar,
        span: spans.spans[at],
    })
}

fn clicks(
    response: &egui::Response,
    model: &TimelineModel,
    view: &mut View,
    hovered: Option<SpanId>,
    toggled: Option<usize>,
    on_lanes: bool,
) {
    if let Some(group) = toggled {
        view.collapsed[group] = !view.collapsed[group];
    }
    if response.clicked() || response.drag_started() || std::mem::take(&mut view.wants_focus) {
        response.request_focus();
    }
    if response.clicked() && on_lanes {
        view.select(model, hovered);
        view.measured = view.measured.filter(|_| hovered.is_some());
    }
    // A quick third click means the same.
    if (response.double_clicked() || response.triple_clicked()) && hovered.is_some() {
        view.window = None;
        view.fit_selected(model);
    }
}

/// What a screen reader says of the canvas.
fn spoken(model: &TimelineModel, view: &View) -> String {
    let window = view.window(model);
    let from = super::axis::exact(window.from);
    let selected = view.selected.map_or_else(
        || "nothing selected".to_owned(),
        |span| {
            let (lane, _) = model.place(span);
            format!("{} on {} selected", model.name(span), model.lane_name(lane))
        },
    );
    format!("Timeline, {} from {from}, {selected}", duration(window.length))
}

/// Scrolls to the lane that was asked for, unless it is in view.
fn scroll_to(ui: &Ui, model: &TimelineModel, view: &mut View, rows: &[Row], top: f32, viewport: Rect) {
    let Some(lane) = view.jump.take() else {
        return;
    };
    let Some(middle) = rows::middle(model, rows, lane, top) else {
        return;
    };
    let inside = viewport.y_range().shrink(ROW / 2.0).contains(middle - top);
    if !inside {
        let line = Rect::from_x_y_ranges(ui.clip_rect().x_range(), middle - ROW / 2.0..=middle + ROW / 2.0);
        ui.scroll_to_rect_animation(
            line,
            Some(egui::Align::Center),
            egui::style::ScrollAnimation::none(),
        );
    }
}

fn grid(ui: &Ui, seen: Rect, lanes: Rangef, marks: &[f32]) {
    let painter = ui.painter_at(seen);
    let faint = ui
        .visuals()
        .widgets
        .noninteractive
        .bg_stroke
        .color
        .gamma_multiply(0.6);
    for &x in marks.iter().filter(|&&x| lanes.contains(x)) {
        painter.vline(x, seen.y_range(), Stroke::new(1.0, faint));
    }
}

/// The interval that is measured, over the lanes and on the axis.
fn interval(ui: &Ui, painter: &Painter, axis: &Painter, brush: &Brush<'_>, strip: Rect, seen: Rect) {
    let Some((from, to)) = brush.view.interval() else {
        return;
    };
    let (left, right) = (brush.x(from), brush.x(to));
    let ink = ui.visuals().strong_text_color();
    painter.rect_filled(
        Rect::from_x_y_ranges(left..=right, seen.y_range()),
        0.0,
        ink.gamma_multiply(0.10),
    );
    for x in [left, right] {
        painter.vline(x, seen.y_range(), Stroke::new(1.0, ink.gamma_multiply(0.7)));
    }
    let axis = axis.with_clip_rect(Rect::from_x_y_ranges(brush.lanes, strip.y_range()));
    let band = Rect::from_x_y_ranges(left..=right, strip.y_range());
    axis.rect_filled(band, 2.0, ui.visuals().selection.bg_fill);
    let middle = (left.max(brush.lanes.min) + right.min(brush.lanes.max)) / 2.0;
    let ink = theme::ink_on(ui.visuals().selection.bg_fill);
    let words = duration(to - from);
    axis.text(
        Pos2::new(middle, strip.center().y),
        Align2::CENTER_CENTER,
        words,
        FontId::proportional(11.5),
        ink,
    );
}

/// The selected span, an arrow from the one that released it, and arrows to those that it released.
fn selection(painter: &Painter, brush: &Brush<'_>, rows: &[Row], drawn: &Drawn, top: f32) {
    let (model, view) = (brush.model, brush.view);
    let Some(span) = view.selected else {
        return;
    };
    let end_of = |span: SpanId, last: bool| {
        let (from, to) = model.extent(span);
        let middle = rows::middle(model, rows, model.place(span).0, top)?;
        Some(Pos2::new(brush.x(if last { to } else { from }), middle))
    };
    let (lane, at) = model.place(span);
    let field = drawn.lanes.iter().find(|(number, ..)| *number == lane);
    if let Some((_, field, _)) = field {
        let bar = alone(brush, span, at);
        if bar.right > 0.0 && bar.left < brush.lanes.span() {
            outline(painter, brush, *field, &bar, 2.0);
        }
    }
    let strong = Stroke::new(2.0, theme::MARK);
    let released = view.released.iter().take(ARROWS);
    for &next in released {
        if let (Some(from), Some(to)) = (end_of(span, true), end_of(next, false)) {
            paint::arrow(
                painter,
                from,
                to,
                Stroke::new(1.0, strong.color.gamma_multiply(0.6)),
            );
        }
    }
    let releaser = model.span(span).released_by;
    if let (Some(from), Some(to)) = (releaser.and_then(|span| end_of(span, true)), end_of(span, false)) {
        paint::arrow(painter, from, to, strong);
    }
}

/// The bar of `span` alone, be it merged with others or not.
fn alone(brush: &Brush<'_>, span: SpanId, at: usize) -> Bar {
    let (from, to) = brush.model.extent(span);
    let (left, right) = (brush.x(from) - brush.lanes.min, brush.x(to) - brush.lanes.min);
    Bar {
        left,
        right: right.max(left + 2.0),
        kind: brush.model.span(span).kind,
        first: at,
        count: 1,
        fill: 1.0,
        found: false,
    }
}

fn outline(painter: &Painter, brush: &Brush<'_>, field: Rect, bar: &Bar, width: f32) {
    let x = brush.lanes.min + bar.left..=brush.lanes.min + bar.right;
    let rect = Rect::from_x_y_ranges(x, field.y_range());
    let ink = theme::ink_on(brush.background);
    painter.rect_stroke(rect, 1.0, Stroke::new(width, ink), StrokeKind::Outside);
}

/// A line under the pointer, and its instant on the axis.
fn cursor(ui: &Ui, axis: &Painter, brush: &Brush<'_>, strip: Rect, seen: Rect, pointer: Pos2) {
    let ink = ui.visuals().weak_text_color().gamma_multiply(0.6);
    ui.painter_at(seen)
        .vline(pointer.x, seen.y_range(), Stroke::new(1.0, ink));
    let instant = brush
        .window
        .instant(f64::from(pointer.x - brush.lanes.min), brush.lanes.span());
    paint::flag(ui, axis, strip, pointer.x, instant, brush.window);
}

/// What is under the pointer: at once and always of one width, so that nothing flickers from bar to bar.
fn tip(ui: &Ui, response: &egui::Response, model: &TimelineModel, hovered: &Hovered) {
    let tooltip = Tooltip::always_open(
        ui.ctx().clone(),
        response.layer_id,
        response.id,
        PopupAnchor::Pointer,
    );
    tooltip.gap(14.0).width(300.0).show(|ui| {
        ui.set_width(300.0);
        ui.weak(model.lane_name(hovered.lane));
        if hovered.bar.count == 1 {
            for line in model.summary(hovered.span) {
                ui.label(line);
            }
        } else {
            let mostly = &model.kind(hovered.bar.kind).name;
            ui.label(format!("{} spans, mostly {mostly}", hovered.bar.count));
            ui.label(format!(
                "here: {}, {}",
                model.name(hovered.span),
                details::length(model, hovered.span)
            ));
            ui.weak("Zoom in to tell them apart.");
        }
    });
}
