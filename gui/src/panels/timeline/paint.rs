//! Draws the lanes that are visible, one mesh each, and the tooltip.

use eframe::egui::{
    self, Align2, Color32, FontId, Mesh, Painter, Pos2, Rangef, Rect, ScrollArea, Sense, Shape, Stroke, Ui,
    vec2,
};
use orrery_units::SimDuration;

use super::layout::{Bar, Window, bars, hit, marks};
use super::model::TimelineModel;
use crate::theme;

/// Height of a lane, in points.
const ROW: f32 = 20.0;
/// Height of the ruler.
const RULER: f32 = 20.0;
/// Width of the labels at the left.
const LABELS: f32 = 150.0;
/// Bars narrower than this carry no text.
const TEXT_FROM: f32 = 44.0;
/// Points between ruler marks, about.
const MARK_EVERY: f64 = 110.0;

/// `picos` picoseconds for people.
pub(super) fn duration(picos: f64) -> String {
    SimDuration::from_secs(picos.max(0.0) * 1e-12).to_string()
}

/// A swatch and a name for each class that occurs.
pub(super) fn legend(ui: &mut Ui, model: &TimelineModel) {
    for &class in &model.classes {
        let (swatch, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
        ui.painter().rect_filled(swatch, 2.0, theme::of_class(class));
        ui.weak(class.name());
    }
}

/// Ruler and lanes; moves `window` by what the pointer and the keys did.
pub(super) fn canvas(ui: &mut Ui, model: &TimelineModel, window: &mut Window) {
    let (strip, _) = ui.allocate_exact_size(vec2(ui.available_width(), RULER), Sense::hover());
    let lanes = Rangef::new(
        strip.left() + LABELS,
        strip.right().max(strip.left() + LABELS + 1.0),
    );
    ruler(ui, strip, lanes, *window);
    let height = ROW * model.lanes.len() as f32;
    let area = ScrollArea::vertical().auto_shrink([false, false]).scroll_source(
        egui::scroll_area::ScrollSource::MOUSE_WHEEL | egui::scroll_area::ScrollSource::SCROLL_BAR,
    );
    area.show_viewport(ui, |ui, viewport| {
        ui.set_height(height);
        let canvas = Rect::from_min_size(ui.max_rect().min, vec2(ui.available_width(), height));
        let seen = canvas.intersect(ui.clip_rect());
        let response = ui.interact(seen, ui.scope_id().with("lanes"), Sense::click_and_drag());
        *window = super::after_input(ui, &response, lanes, *window, model.end);
        let pointer = response.hover_pos().filter(|pointer| lanes.contains(pointer.x));
        let first = (viewport.top() / ROW).floor().max(0.0) as usize;
        let last = ((viewport.bottom() / ROW).ceil().max(0.0) as usize).min(model.lanes.len());
        let mut hovered = None;
        for number in first..last {
            let top = canvas.top() + ROW * number as f32;
            let row = Rect::from_x_y_ranges(canvas.x_range(), top..=top + ROW - 2.0);
            let bars = lane(ui, model, number, row, lanes, *window);
            let over = pointer.filter(|pointer| row.y_range().contains(pointer.y));
            if let Some(bar) = over.and_then(|pointer| hit(&bars, pointer.x - lanes.min)) {
                hovered = Some((number, *bar));
            }
        }
        if let Some((number, bar)) = hovered {
            response.on_hover_ui_at_pointer(|ui| tooltip(ui, model, number, &bar));
        }
    });
}

fn tooltip(ui: &mut Ui, model: &TimelineModel, number: usize, bar: &Bar) {
    if bar.count == 1 {
        for line in model.describe(number, bar.first) {
            ui.label(line);
        }
    } else {
        ui.label(format!("{} spans, mostly {}", bar.count, bar.class.name()));
        ui.weak("Zoom in to tell them apart.");
    }
    ui.weak(&model.lanes[number].label);
}

fn ruler(ui: &Ui, strip: Rect, lanes: Rangef, window: Window) {
    let painter = ui.painter_at(strip);
    let ink = ui.visuals().weak_text_color();
    let wanted = f64::from(lanes.span()) / MARK_EVERY;
    for instant in marks(window, wanted) {
        let x = lanes.min + window.position(instant, lanes.span()) as f32;
        let foot = Pos2::new(x, strip.bottom());
        painter.line_segment([foot, foot - vec2(0.0, 6.0)], Stroke::new(1.0, ink));
        let text = duration(instant);
        painter.text(
            foot - vec2(-3.0, 4.0),
            Align2::LEFT_BOTTOM,
            text,
            FontId::proportional(11.0),
            ink,
        );
    }
}

/// Draws lane `number` in `row` and returns its bars, relative to the left of `lanes`.
fn lane(
    ui: &mut Ui,
    model: &TimelineModel,
    number: usize,
    row: Rect,
    lanes: Rangef,
    window: Window,
) -> Vec<Bar> {
    let name = Rect::from_x_y_ranges(row.left()..=lanes.min - 6.0, row.y_range());
    ui.put(
        name,
        egui::Label::new(egui::RichText::new(&model.lanes[number].label).size(11.0)).truncate(),
    );
    let field = Rect::from_x_y_ranges(lanes, row.y_range());
    let painter = ui.painter_at(field.intersect(ui.clip_rect()));
    painter.rect_filled(field, 0.0, ui.visuals().faint_bg_color);
    let bars = bars(&model.lanes[number], window, lanes.span());
    let mut mesh = Mesh::default();
    for bar in &bars {
        mesh.add_colored_rect(place(bar, field), shade(bar));
    }
    painter.add(Shape::mesh(mesh));
    for bar in bars
        .iter()
        .filter(|bar| bar.count == 1 && bar.right - bar.left > TEXT_FROM)
    {
        text(
            &painter,
            place(bar, field),
            model.name(number, bar.first),
            shade(bar),
        );
    }
    bars
}

/// A bar on the screen, with a hair between wide neighbours.
fn place(bar: &Bar, field: Rect) -> Rect {
    let gap = if bar.right - bar.left > 4.0 { 1.0 } else { 0.0 };
    let x = field.left() + bar.left..=field.left() + bar.right - gap;
    Rect::from_x_y_ranges(x, field.y_range())
}

/// Merged bars are a little darker than spans.
fn shade(bar: &Bar) -> Color32 {
    let color = theme::of_class(bar.class);
    if bar.count == 1 {
        color
    } else {
        color.lerp_to_gamma(Color32::BLACK, 0.15)
    }
}

fn text(painter: &Painter, rect: Rect, words: &str, background: Color32) {
    let anchor = rect.left_center() + vec2(3.0, 0.0);
    let clipped = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let ink = theme::ink_on(background);
    clipped.text(
        anchor,
        Align2::LEFT_CENTER,
        words,
        FontId::proportional(11.0),
        ink,
    );
}
