//! Several timelines below each other with one window of time: what is moved in one moves in all.

use std::sync::Arc;

use eframe::egui::{Ui, UiBuilder};
use orrery_timeline::OpClass;

use super::agree::Shared;
use super::canvas;
use super::model::TimelineModel;
use super::view::View;
use super::window::Window;

/// Groups beyond which a timeline begins with all of them collapsed.
const MANY: usize = 3;
/// Nearer by so much with every press of a button.
const STEP: f64 = 1.5;

/// What timelines below each other remember; each is known by its place.
#[derive(Debug, Default)]
pub(crate) struct Linked {
    views: Vec<View>,
    window: Option<Window>,
    measured: Option<(u64, u64)>,
    /// Where the longest of them ends.
    end: u64,
}

impl Linked {
    /// Makes ready for `models`; all of them are shown whole once any is new.
    pub(crate) fn attend(&mut self, models: &[Option<&Arc<TimelineModel>>]) {
        self.views.resize_with(models.len(), View::default);
        let mut is_new = false;
        for (view, model) in self.views.iter_mut().zip(models) {
            let Some(model) = model else { continue };
            if view.attend(model) {
                is_new = true;
                view.collapsed.fill(model.groups.len() > MANY);
            }
        }
        let ends = models.iter().flatten().map(|model| model.end);
        self.end = ends.max().unwrap_or_default();
        if is_new {
            self.window = Some(Window::all(self.end));
            self.measured = None;
        }
        self.tell();
    }

    /// Has every timeline show what all of them show.
    fn tell(&mut self) {
        for view in &mut self.views {
            view.reach = self.end;
            view.window = self.window;
            view.measured = self.measured;
        }
    }

    /// Draws the lanes of `model`, which is at `place`, into all that is left of `ui`, in agreement with what is `shared`.
    pub(crate) fn show(&mut self, ui: &mut Ui, place: usize, model: &Arc<TimelineModel>, shared: Shared<'_>) {
        let view = &mut self.views[place];
        let before = (view.window, view.measured);
        let seen = shared.take_in(model, view);
        let room = UiBuilder::new().id_salt(("linked timeline", place));
        ui.scope_builder(room, |ui| canvas::show(ui, model, view));
        shared.say(model, view, seen);
        if (view.window, view.measured) != before {
            (self.window, self.measured) = (view.window, view.measured);
            // Those above were drawn already.
            ui.ctx().request_repaint();
        }
    }

    /// Draws buttons that act on all of them.
    pub(crate) fn buttons(&mut self, ui: &mut Ui) {
        let whole = Window::all(self.end);
        let window = self.window.unwrap_or(whole);
        for (words, factor) in [("Zoom in", STEP), ("Zoom out", 1.0 / STEP)] {
            if ui
                .button(words)
                .on_hover_text("W and S, or Ctrl+wheel at the pointer")
                .clicked()
            {
                self.window = Some(window.zoomed(factor, 0.5, self.end));
            }
        }
        if ui.button("Fit").on_hover_text("Home, or 0").clicked() {
            self.window = Some(whole);
        }
        let all = self
            .views
            .iter()
            .flat_map(|view| &view.collapsed)
            .all(|&collapsed| collapsed);
        if ui
            .button(if all { "Expand all" } else { "Collapse all" })
            .clicked()
        {
            for view in &mut self.views {
                view.collapsed.fill(!all);
            }
        }
        if self.measured.is_some() && ui.button("Clear interval").clicked() {
            self.measured = None;
        }
        self.tell();
    }

    /// The interval that is measured, from the earlier to the later instant.
    pub(crate) fn interval(&self) -> Option<(u64, u64)> {
        self.measured.map(|(one, other)| (one.min(other), one.max(other)))
    }
}

impl TimelineModel {
    /// Time by class that a lane group of the mean is busy within `from..to`, in the order of [`OpClass::ALL`], in
    /// seconds.
    pub(crate) fn busy_by_class(&self, from: u64, to: u64) -> Vec<f64> {
        let busy = self.busy_within(0..self.lanes.len(), from, to);
        let groups = self.groups.len().max(1) as f64;
        let of_class = |class: OpClass| {
            let kinds = self.timeline.kinds.iter().filter(|(_, kind)| kind.class == class);
            kinds.map(|(id, _)| busy[id.index()] as f64).sum::<f64>() / groups / 1e12
        };
        OpClass::ALL.into_iter().map(of_class).collect()
    }

    /// The names of kinds that occur with their class, how many spans each has and how long they take in all, in
    /// picoseconds, in the order of legends.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&str, OpClass, u64, u64)> {
        self.kinds_in_order().iter().map(|&id| {
            let (kind, sum) = (self.kind(id), self.kinds[id.index()]);
            (kind.name.as_str(), kind.class, sum.count, sum.busy)
        })
    }

    /// How long each span of the kind called `name` takes, in picoseconds.
    pub(crate) fn durations(&self, name: &str) -> Vec<u64> {
        let spans = self.timeline.spans();
        spans
            .filter(|span| self.kind(span.kind).name == name)
            .map(|span| span.duration.as_picos())
            .collect()
    }

    /// Whose lanes there are, such as ranks.
    pub(crate) fn num_groups(&self) -> usize {
        self.groups.len()
    }

    /// When the last span ends, in picoseconds since time begins.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }
}
