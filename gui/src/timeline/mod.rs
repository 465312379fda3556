//! What every recorded lane did, to zoom, pan, search, measure and follow; more than one panel shows it.
//!
//! [`model`] arranges spans by lane, [`layout`] turns those in view into bars, [`canvas`] draws them. What a
//! frame costs is bounded by what is in view, not by the number of spans.

mod agree;
mod axis;
mod canvas;
mod details;
mod facts;
mod input;
mod lane;
mod layout;
mod linked;
mod measure;
mod model;
mod overview;
mod paint;
mod palette;
mod rows;
mod steps;
mod strip;
#[cfg(test)]
mod tests;
mod toolbar;
mod view;
mod window;

use std::sync::Arc;

use eframe::egui::Ui;

pub(crate) use agree::Shared;
pub(crate) use input::KEYS;
pub(crate) use linked::Linked;
pub use model::TimelineModel;
pub(crate) use strip::{Strip, show as show_strip};
pub(crate) use view::View;

/// Draws `model` as [`show`] does, in agreement with what is `shared`.
pub(crate) fn show_shared(ui: &mut Ui, model: &Arc<TimelineModel>, view: &mut View, shared: Shared<'_>) {
    view.attend(model);
    view.is_explained = shared.selection.is_inspected;
    let before = shared.take_in(model, view);
    show(ui, model, view);
    shared.say(model, view, before);
}

/// Draws `model` with its buttons, its legend and what is selected.
pub(crate) fn show(ui: &mut Ui, model: &Arc<TimelineModel>, view: &mut View) {
    view.attend(model);
    toolbar::show(ui, model, view);
    details::show(ui, model, view);
    canvas::show(ui, model, view);
}

impl TimelineModel {
    /// The panel of this timeline alone, in the ui that is given at each frame, opened on `length` from
    /// `from` on; both as shares (0 to 1) of the whole. For frames without a document, such as those that
    /// are timed.
    pub fn panel(self: &Arc<Self>, from: f64, length: f64) -> impl FnMut(&mut Ui) + use<> {
        let model = Arc::clone(self);
        let mut view = View::default();
        view.attend(&model);
        let whole = window::Window::all(model.end);
        let closer = whole.zoomed(1.0 / length, 0.0, model.end);
        view.window = Some(closer.panned(from / length, model.end));
        move |ui| show(ui, &model, &mut view)
    }
}
