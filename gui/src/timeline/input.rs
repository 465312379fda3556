//! What pointer and keys do to the view.

use eframe::egui::{self, Event, Key, Modifiers, Rangef, Response, Ui};

use super::model::TimelineModel;
use super::view::{Drag, View};
use super::window::Window;

/// One press of W or S, or a button.
pub(super) const ZOOM_STEP: f64 = 1.5;
/// One press of A or D, as a share of the window.
const PAN_STEP: f64 = 0.15;

/// What the keys do, for people.
pub(crate) const KEYS: [(&str, &str); 13] = [
    ("W, S; Ctrl+wheel; pinch", "zoom in and out at the pointer"),
    ("A, D; drag; Shift+wheel", "pan"),
    ("Shift with W, A, S, D", "five times as far"),
    ("wheel", "scroll the lanes"),
    ("click", "select a span"),
    (
        "double-click, F",
        "fit the selected span; F again fits everything",
    ),
    ("Home, 0", "fit everything"),
    ("Shift+drag", "measure an interval"),
    ("comma, period; left, right", "span before or after, on its lane"),
    ("up, down", "span on the lane above or below"),
    ("[ ]", "span that released this one, or that it released"),
    ("/; N, Shift+N", "search; next and previous found"),
    ("Esc", "clear selection and interval"),
];

/// Takes in wheel, pinch, drag and keys over the lanes, which lie in `lanes`.
pub(super) fn take_in(ui: &Ui, response: &Response, lanes: Rangef, model: &TimelineModel, view: &mut View) {
    let width = lanes.span();
    let pointer = ui.input(|input| input.pointer.latest_pos());
    let over = response.contains_pointer().then_some(pointer).flatten();
    let place = over.map_or(0.5, |pointer| share(pointer.x, lanes));
    let mut window = view.window(model);
    if response.contains_pointer() {
        let zoom = f64::from(ui.input(egui::InputState::zoom_delta));
        if (zoom - 1.0).abs() > 1e-6 {
            window = window.zoomed(zoom, place, view.end(model));
        }
        let sideways = f64::from(ui.input(egui::InputState::smooth_scroll_delta).x);
        if sideways.abs() > f64::EPSILON {
            window = window.panned(-sideways / f64::from(width), view.end(model));
        }
    }
    view.window = Some(window);
    if let Some(pointer) = pointer {
        drag(ui, response, f64::from(pointer.x - lanes.min), width, model, view);
    }
    if response.has_focus() {
        let all = egui::EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            escape: true,
            ..egui::EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, all));
    }
    if (response.has_focus() || response.contains_pointer()) && !ui.ctx().text_edit_focused() {
        keys(ui, place, model, view);
    }
}

/// Where `x` lies on the lanes, 0 left edge, 1 right edge.
fn share(x: f32, lanes: Rangef) -> f64 {
    f64::from((x - lanes.min) / lanes.span()).clamp(0.0, 1.0)
}

/// Drags with the pointer `offset` points from the left of lanes that are `width` points wide.
fn drag(ui: &Ui, response: &Response, offset: f64, width: f32, model: &TimelineModel, view: &mut View) {
    let window = view.window(model);
    if response.drag_started_by(egui::PointerButton::Primary) {
        let pressed = ui.input(|input| input.pointer.press_origin());
        let latest = ui.input(|input| input.pointer.latest_pos());
        let back = match (pressed, latest) {
            (Some(pressed), Some(latest)) => f64::from(latest.x - pressed.x),
            _ => 0.0,
        };
        let instant = window.instant(offset - back, width).min(view.end(model));
        view.drag = Some(if ui.input(|input| input.modifiers.shift) {
            Drag::Measure(instant)
        } else {
            Drag::Pan(instant)
        });
    }
    if !response.dragged_by(egui::PointerButton::Primary) {
        view.drag = None;
        return;
    }
    match view.drag {
        Some(Drag::Pan(grabbed)) => {
            let place = offset / f64::from(width);
            view.window = Some(window.with_instant_at(grabbed, place, view.end(model)));
        }
        Some(Drag::Measure(from)) => {
            let inside = offset.clamp(0.0, f64::from(width));
            view.measured = Some((from, window.instant(inside, width).min(view.end(model))));
        }
        None => {}
    }
}

/// The keys that were pressed this frame, with their modifiers. The place on the keyboard decides on
/// letters, so that AZERTY works alike.
fn pressed(ui: &Ui) -> Vec<(Key, Modifiers)> {
    let press = |event: &Event| match event {
        Event::Key {
            key,
            physical_key,
            pressed: true,
            modifiers,
            ..
        } if !modifiers.command && !modifiers.alt => {
            let moves = [Key::W, Key::A, Key::S, Key::D];
            let place = physical_key.filter(|place| moves.contains(place));
            Some((place.unwrap_or(*key), *modifiers))
        }
        _ => None,
    };
    ui.input(|input| input.events.iter().filter_map(press).collect())
}

fn keys(ui: &Ui, place: f64, model: &TimelineModel, view: &mut View) {
    for (key, modifiers) in pressed(ui) {
        let window = view.window(model);
        if let Some(moved) = moved(window, key, modifiers, place, view.end(model)) {
            view.window = Some(moved);
            continue;
        }
        match key {
            Key::F => view.fit_selected(model),
            Key::Comma | Key::ArrowLeft => view.step(model, true),
            Key::Period | Key::ArrowRight => view.step(model, false),
            Key::ArrowUp => view.change_lane(model, true),
            Key::ArrowDown => view.change_lane(model, false),
            Key::OpenBracket => view.follow(model, false),
            Key::CloseBracket => view.follow(model, true),
            Key::N => view.next_found(model, modifiers.shift),
            Key::Slash => view.wants_search = true,
            Key::Escape if view.selected.is_some() || view.measured.is_some() => {
                view.select(model, None);
                view.measured = None;
                // Else it would stop the run as well.
                ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape));
            }
            _ => {}
        }
    }
}

/// `window` after a key that moves it.
fn moved(window: Window, key: Key, modifiers: Modifiers, place: f64, end: u64) -> Option<Window> {
    let times = if modifiers.shift { 5.0 } else { 1.0 };
    Some(match key {
        Key::W | Key::Plus | Key::Equals => window.zoomed(ZOOM_STEP.powf(times), place, end),
        Key::S | Key::Minus => window.zoomed(ZOOM_STEP.powf(-times), place, end),
        Key::A => window.panned(-PAN_STEP * times, end),
        Key::D => window.panned(PAN_STEP * times, end),
        Key::Home | Key::Num0 => Window::all(end),
        _ => return None,
    })
}
