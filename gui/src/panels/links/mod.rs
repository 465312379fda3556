//! Links: what crossed those of the cluster in the last run, over time, and who sent how much to whom.

mod list;
mod matrix;
mod model;
mod series;

use std::sync::Arc;

use eframe::egui::{CentralPanel, Frame, Panel, TextEdit, Ui};
use orrery_report::render::percent;
use orrery_units::SimDuration;

use crate::app::{Command, Commands};
use crate::document::{Item, Of};
use crate::{Document, theme};
pub use model::LinksModel;

/// Least width of the panel at which the picture of traffic stands beside the list.
const WIDE: f32 = 560.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    kind: Option<&'static str>,
    words: String,
    shown: Shown,
}

/// The links that pass, and what they were found by.
#[derive(Debug, Default)]
struct Shown {
    model: Option<Arc<LinksModel>>,
    kind: Option<&'static str>,
    words: String,
    /// The interval that is measured, on the clock of the run.
    interval: Option<(u64, u64)>,
    /// Utilization of every link: in the interval, else over the run.
    shares: Vec<f64>,
    links: Vec<usize>,
}

impl View {
    /// Finds the links that pass anew, if it was not done for this network and this choice.
    fn attend(&mut self, model: &Arc<LinksModel>, interval: Option<(u64, u64)>) {
        let is_same = self
            .shown
            .model
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, model));
        if !is_same && model.kinds.iter().all(|kind| Some(kind.kind) != self.kind) {
            self.kind = None;
        }
        let is_found = self.shown.kind == self.kind && self.shown.words == self.words;
        if !is_same || !is_found || self.shown.interval != interval {
            let shares = match interval {
                Some(interval) => model.shares_between(interval),
                None => model.shares.iter().map(|[share, _]| *share).collect(),
            };
            let mut links = model.matching(self.kind, &self.words);
            // The busiest first; equals keep their order.
            links.sort_by(|&one, &other| shares[other].total_cmp(&shares[one]));
            self.shown = Shown {
                model: Some(Arc::clone(model)),
                kind: self.kind,
                words: self.words.clone(),
                interval,
                shares,
                links,
            };
        }
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let finished = document.finished.as_deref();
    match finished.and_then(|finished| finished.links.as_ref()) {
        Some(model) => show_model(ui, model, (document, view), commands),
        None => nothing(ui, document),
    }
}

fn show_model(
    ui: &mut Ui,
    model: &Arc<LinksModel>,
    (document, view): (&Document, &mut View),
    commands: &Commands,
) {
    kinds(ui, model, view);
    let selection = &document.selection;
    let own = document
        .finished
        .as_ref()
        .and_then(|finished| finished.timeline.as_ref());
    let interval = own.and_then(|timeline| selection.interval_of_run(timeline));
    view.attend(model, interval);
    if let Some((from, to)) = interval {
        let length = SimDuration::from_picos(to - from);
        ui.colored_label(
            theme::warn(ui.visuals()),
            format!("Utilization in the {length} that are measured in the timeline"),
        );
    }
    let chosen = selection.link(model);
    let selected = chosen.or_else(|| view.shown.links.first().copied());
    // Who of the matrix is looked at elsewhere.
    let rank = selection
        .span()
        .and_then(|(timeline, span)| timeline.rank_of(span));
    if let Some(place) = selected {
        Panel::bottom("link over time")
            .resizable(false)
            .frame(Frame::new().inner_margin(4))
            .show(ui, |ui| series::plot(ui, model, place, interval));
    }
    if ui.available_width() >= WIDE {
        let side = (ui.available_width() * 0.4).min(ui.available_height() + 60.0);
        Panel::right("traffic")
            .resizable(false)
            .exact_size(side)
            .frame(Frame::new().inner_margin(4))
            .show(ui, |ui| matrix::show(ui, model, rank));
    }
    CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        if let Some(place) = list::show(ui, model, &view.shown, selected) {
            commands.send(Command::Select(Some(Item::Link(Of::new(model), place))));
        }
    });
}

/// The kinds of links, to choose one, and a field to search names in.
fn kinds(ui: &mut Ui, model: &LinksModel, view: &mut View) {
    ui.horizontal_wrapped(|ui| {
        if ui.selectable_label(view.kind.is_none(), "all").clicked() {
            view.kind = None;
        }
        for kind in &model.kinds {
            let words = format!("{} {}", kind.title, percent(kind.most));
            let label = ui.selectable_label(view.kind == Some(kind.kind), words);
            let more = format!(
                "{} links, {} in all\nbusiest {} of its capacity over the run, {} in an interval\nmean {}",
                kind.count,
                kind.bytes,
                percent(kind.most),
                percent(kind.peak),
                percent(kind.mean)
            );
            if label.on_hover_text(more).clicked() {
                view.kind = Some(kind.kind);
            }
        }
        let field = TextEdit::singleline(&mut view.words)
            .hint_text("part of a name")
            .desired_width(140.0);
        let words = ui.label("Find");
        ui.add(field).labelled_by(words.id);
    });
}

/// What is said when there is nothing to show.
fn nothing(ui: &mut Ui, document: &Document) {
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.4 - 30.0).max(0.0));
        if document.running.is_some() {
            ui.label("A run is under way: what crosses its links appears here.");
        } else if document.finished.is_some() {
            ui.label("In this run every transfer had a path of its own.");
            ui.label("To let transfers share the links of the cluster, write in the scenario:");
            ui.code("[cluster.fabric]\ncontention = \"links\"");
        } else if document.fault.is_some() {
            ui.colored_label(theme::bad(ui.visuals()), "The last run ended without results.");
        } else {
            ui.label("No run yet: what crosses its links appears here.");
        }
    });
}
