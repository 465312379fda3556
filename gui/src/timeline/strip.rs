//! The time strip: the whole of a timeline in a line, with the part that is in view to be dragged.

use eframe::egui::accesskit::Role;
use eframe::egui::{
    Align2, Color32, CursorIcon, EventFilter, FontId, Key, Mesh, Modifiers, Rect, Response, Sense, Shape,
    Stroke, StrokeKind, Ui, WidgetInfo, lerp, pos2, remap_clamp, vec2,
};
use orrery_timeline::OpClass;

use super::model::TimelineModel;
use super::paint::duration;
use super::window::Window;
use crate::document::Seen;
use crate::theme;

/// Height of the columns.
const HEIGHT: f32 = 34.0;
/// How near to an edge of the part in view it is grabbed, in points.
const NEAR: f32 = 6.0;
/// How far an arrow key goes, as a share of the part in view.
const PAN: f64 = 0.15;

/// What the strip remembers.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    grabbed: Option<Grab>,
}

/// What a drag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grab {
    /// The part in view begins, or ends, where the pointer is; this is its other end.
    Edge(u64),
    /// The part in view moves; it begins so long before the pointer.
    Move(u64),
}

/// Draws the strip of `model`, which is called `name`; what is to be in view from now on, if that was changed.
pub(crate) fn show(
    ui: &mut Ui,
    (name, model): (&str, &TimelineModel),
    strip: &mut Strip,
    seen: Seen,
) -> Option<(u64, u64)> {
    let size = vec2(ui.available_width(), HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let end = model.end.max(1);
    let (from, to) = seen.window.unwrap_or((0, end));
    let (from, to) = (from.min(end), to.min(end));
    let label = format!(
        "Time of {name}: {} from {} in view, of {}",
        duration(to - from),
        duration(from),
        duration(end)
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, &label));
    let x = |instant: u64| lerp(rect.left()..=rect.right(), (instant as f64 / end as f64) as f32);
    columns(ui, rect, model);
    steps(ui, rect, model, x);
    if let Some((first, last)) = seen.interval {
        let band = Rect::from_x_y_ranges(x(first)..=x(last).max(x(first) + 2.0), rect.y_range());
        ui.painter()
            .rect_filled(band, 0.0, theme::MARK.gamma_multiply(0.45));
    }
    let view = Rect::from_x_y_ranges(x(from)..=x(to).max(x(from) + 2.0), rect.y_range());
    frame(ui, rect, view);
    ends(ui, rect, end);
    let response = response.on_hover_text(
        "All that was recorded. Drag what is in view or one of its edges; drag beside it to choose another part; double-click \
         for everything.",
    );
    let wanted = dragged(ui, &response, strip, (rect, end), (from, to))
        .or_else(|| keyed(ui, &response, (from, to), end));
    wanted.filter(|wanted| *wanted != (from, to))
}

/// The busy time of every column, stacked by class.
fn columns(ui: &Ui, rect: Rect, model: &TimelineModel) {
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let columns = &model.overview.columns;
    let width = rect.width() / columns.len().max(1) as f32;
    let mut mesh = Mesh::default();
    for (at, column) in columns.iter().enumerate() {
        let left = rect.left() + width * at as f32;
        let mut foot = rect.bottom();
        for (class, share) in OpClass::ALL.into_iter().zip(column) {
            if *share > 0.0 {
                let top = foot - rect.height() * share;
                let cell = Rect::from_min_max(pos2(left, top), pos2(left + width, foot));
                mesh.add_colored_rect(cell, theme::of_class(class));
                foot = top;
            }
        }
    }
    painter.add(Shape::mesh(mesh));
}

/// A line where each step but the first begins.
fn steps(ui: &Ui, rect: Rect, model: &TimelineModel, x: impl Fn(u64) -> f32) {
    let ink = Stroke::new(1.0, ui.visuals().weak_text_color());
    for step in model.steps().iter().skip(1) {
        let begin = step.from.as_picos().saturating_sub(model.origin());
        ui.painter().vline(x(begin), rect.y_range(), ink);
    }
}

/// What is in view, with the rest under a veil.
fn frame(ui: &Ui, rect: Rect, view: Rect) {
    let painter = ui.painter_at(rect.expand(1.0));
    let veil = match ui.visuals().dark_mode {
        true => Color32::from_black_alpha(150),
        false => Color32::from_white_alpha(170),
    };
    let before = Rect::from_min_max(rect.min, pos2(view.left(), rect.bottom()));
    let after = Rect::from_min_max(pos2(view.right(), rect.top()), rect.max);
    for side in [before, after] {
        painter.rect_filled(side, 0.0, veil);
    }
    let ink = ui.visuals().strong_text_color();
    painter.rect_stroke(view, 1.0, Stroke::new(1.5, ink), StrokeKind::Inside);
    for edge in [view.left(), view.right()] {
        let grip = Rect::from_center_size(pos2(edge, rect.center().y), vec2(4.0, 14.0));
        painter.rect_filled(grip, 2.0, ink);
    }
}

/// How long it is, at its end.
fn ends(ui: &Ui, rect: Rect, end: u64) {
    let painter = ui.painter();
    let words = duration(end);
    let galley = painter.layout_no_wrap(words, FontId::proportional(11.0), ui.visuals().text_color());
    let place = Align2::RIGHT_TOP.anchor_size(rect.right_top() + vec2(-4.0, 2.0), galley.size());
    painter.rect_filled(
        place.expand(2.0),
        2.0,
        ui.visuals().panel_fill.gamma_multiply(0.8),
    );
    painter.galley(place.min, galley, ui.visuals().text_color());
}

/// What is to be in view after what the pointer did.
fn dragged(
    ui: &Ui,
    response: &Response,
    strip: &mut Strip,
    (rect, end): (Rect, u64),
    (from, to): (u64, u64),
) -> Option<(u64, u64)> {
    let whole = (0, end);
    let instant = |x: f32| {
        let share = remap_clamp(
            f64::from(x),
            f64::from(rect.left())..=f64::from(rect.right()),
            0.0..=1.0,
        );
        (share * end as f64) as u64
    };
    let x = |instant: u64| lerp(rect.left()..=rect.right(), (instant as f64 / end as f64) as f32);
    let grab = |pointer: f32| {
        let (left, right) = ((pointer - x(from)).abs(), (pointer - x(to)).abs());
        let at = instant(pointer);
        if left.min(right) <= NEAR {
            return Grab::Edge(if left < right { to } else { from });
        }
        let is_moved = (from..to).contains(&at) && (from, to) != whole;
        if is_moved {
            Grab::Move(at - from)
        } else {
            Grab::Edge(at)
        }
    };
    let pointer = ui.input(|input| input.pointer.latest_pos())?.x;
    if response.hovered() || response.dragged() {
        let icon = match strip.grabbed.unwrap_or_else(|| grab(pointer)) {
            Grab::Edge(_) => CursorIcon::ResizeHorizontal,
            Grab::Move(_) => CursorIcon::Grab,
        };
        ui.ctx().set_cursor_icon(icon);
    }
    if response.double_clicked() {
        return Some(whole);
    }
    if response.drag_started() {
        let pressed = ui.input(|input| input.pointer.press_origin());
        strip.grabbed = Some(grab(pressed.map_or(pointer, |pressed| pressed.x)));
    }
    if !response.dragged() {
        strip.grabbed = None;
        let away = !(from..to).contains(&instant(pointer));
        // A click beside what is in view goes there.
        let window = Window::of(from, to, end).with_instant_at(instant(pointer), 0.5, end);
        return (response.clicked() && away).then(|| (window.from, window.until()));
    }
    let at = instant(pointer);
    match strip.grabbed? {
        Grab::Edge(other) => {
            let window = Window::of(at.min(other), at.max(other), end);
            Some((window.from, window.until()))
        }
        Grab::Move(before) => {
            let window = Window::of(
                at.saturating_sub(before),
                at.saturating_sub(before) + (to - from),
                end,
            );
            Some((window.from, window.until()))
        }
    }
}

/// What is to be in view after the keys that were pressed.
fn keyed(ui: &Ui, response: &Response, (from, to): (u64, u64), end: u64) -> Option<(u64, u64)> {
    if !response.has_focus() {
        return None;
    }
    let arrows = EventFilter {
        horizontal_arrows: true,
        ..EventFilter::default()
    };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
    let window = Window::of(from, to, end);
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    let window = if pressed(Key::ArrowLeft) {
        window.panned(-PAN, end)
    } else if pressed(Key::ArrowRight) {
        window.panned(PAN, end)
    } else if pressed(Key::Home) {
        Window::all(end)
    } else {
        return None;
    };
    Some((window.from, window.until()))
}
