//! Timeline: what every recorded lane did, to zoom and pan; a bar for each span that is wide enough.

mod layout;
mod model;
mod paint;
#[cfg(test)]
mod tests;

use eframe::egui::{self, Event, Key, Ui};

use crate::Document;
use layout::Window;
pub use model::TimelineModel;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    window: Option<Window>,
    /// Instant of the model that the window belongs to, told by its address.
    shown: usize,
}

/// One turn of W, S or a button.
const ZOOM_STEP: f64 = 1.5;
/// One press of A or D, as a share of the window.
const PAN_STEP: f64 = 0.15;

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View) {
    let timeline = document
        .finished
        .as_ref()
        .map(|finished| finished.timeline.as_ref());
    let model = match timeline {
        Some(Some(model)) if !model.is_empty() => model,
        Some(_) => {
            ui.centered_and_justified(|ui| {
                ui.label(
                    "This run kept no timeline. Name \"timeline\" in `outputs` under [run] and run it again.",
                );
            });
            return;
        }
        None => {
            ui.centered_and_justified(|ui| ui.label("No run yet: its timeline appears here."));
            return;
        }
    };
    let address = std::sync::Arc::as_ptr(model) as usize;
    if view.shown != address {
        *view = View {
            window: None,
            shown: address,
        };
    }
    let before = view.window.unwrap_or_else(|| Window::all(model.end));
    let mut window = toolbar(ui, model, before);
    paint::canvas(ui, model, &mut window);
    view.window = Some(window);
}

fn toolbar(ui: &mut Ui, model: &TimelineModel, window: Window) -> Window {
    let mut changed = window;
    ui.horizontal_wrapped(|ui| {
        if ui
            .button("Zoom in")
            .on_hover_text("W, or Ctrl+wheel at the pointer")
            .clicked()
        {
            changed = window.zoomed(ZOOM_STEP, 0.5, model.end);
        }
        if ui
            .button("Zoom out")
            .on_hover_text("S, or Ctrl+wheel at the pointer")
            .clicked()
        {
            changed = window.zoomed(1.0 / ZOOM_STEP, 0.5, model.end);
        }
        if ui
            .button("Fit")
            .on_hover_text("Home; A and D or dragging pan")
            .clicked()
        {
            changed = Window::all(model.end);
        }
        let shown = paint::duration(window.length);
        let all = paint::duration(model.end as f64);
        ui.label(format!("shows {shown} of {all}"));
        let dropped = match model.dropped() {
            0 => String::new(),
            dropped => format!(", {dropped} not kept"),
        };
        ui.weak(format!("{} spans{dropped}", model.len()));
        paint::legend(ui, model);
    });
    changed
}

/// The window after the keys of this frame, with the pointer at `place` of it.
fn after_keys(ui: &Ui, window: Window, place: f64, end: u64) -> Window {
    if ui.ctx().text_edit_focused() {
        return window;
    }
    let presses = ui.input(|input| {
        let pressed = |event: &Event| match event {
            Event::Key {
                key,
                physical_key,
                pressed: true,
                modifiers,
                ..
            } if !modifiers.command => {
                // The place on the keyboard decides, so that AZERTY works alike.
                Some((physical_key.unwrap_or(*key), modifiers.shift))
            }
            _ => None,
        };
        input
            .events
            .iter()
            .filter_map(pressed)
            .collect::<Vec<(Key, bool)>>()
    });
    presses.into_iter().fold(window, |window, (key, shift)| {
        let times = if shift { 5.0 } else { 1.0 };
        match key {
            Key::W => window.zoomed(ZOOM_STEP.powf(times), place, end),
            Key::S => window.zoomed(ZOOM_STEP.powf(-times), place, end),
            Key::A => window.panned(-PAN_STEP * times, end),
            Key::D => window.panned(PAN_STEP * times, end),
            Key::Home => Window::all(end),
            _ => window,
        }
    })
}

/// The window after wheel, pinch, drag and keys over the canvas whose lanes lie in `lanes`.
fn after_input(ui: &Ui, response: &egui::Response, lanes: egui::Rangef, window: Window, end: u64) -> Window {
    let width = f64::from(lanes.span());
    let mut window = window.panned(-f64::from(response.drag_delta().x) / width, end);
    if !response.contains_pointer() {
        return window;
    }
    let pointer = ui.input(|input| input.pointer.hover_pos());
    let x = pointer.map_or(lanes.center(), |pointer| pointer.x);
    let place = (f64::from(x - lanes.min) / width).clamp(0.0, 1.0);
    let zoom = f64::from(ui.input(egui::InputState::zoom_delta));
    if (zoom - 1.0).abs() > 1e-6 {
        window = window.zoomed(zoom, place, end);
    }
    let sideways = f64::from(ui.input(egui::InputState::smooth_scroll_delta).x);
    after_keys(ui, window.panned(-sideways / width, end), place, end)
}
