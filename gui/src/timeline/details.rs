//! The pane below the lanes: the selected span with its causes, and the interval that is measured.

use eframe::egui::{self, Grid, Panel, ScrollArea, Ui, vec2};
use orrery_timeline::SpanId;
use orrery_units::KindId;

use super::axis::exact;
use super::measure::Measured;
use super::model::TimelineModel;
use super::paint::duration;
use super::toolbar::percent;
use super::view::View;
use super::window::Window;
use crate::words::grouped;

/// Spans that are listed as links at most.
const LINKS: usize = 4;

/// Draws the pane, if there is something to say.
pub(super) fn show(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    let span = view.selected.filter(|_| !view.is_explained);
    if span.is_none() && view.interval().is_none() {
        return;
    }
    let most = (ui.available_height() * 0.6).max(60.0);
    let panel = Panel::bottom(ui.scope_id().with("details"))
        .resizable(true)
        .default_size(176.0_f32.min(most))
        .size_range(48.0..=most);
    panel.show(ui, |ui| {
        let scroll = ScrollArea::both().auto_shrink([false, false]);
        scroll.show(ui, |ui| {
            ui.horizontal_top(|ui| {
                if let Some(span) = span {
                    ui.vertical(|ui| selected(ui, model, view, span));
                }
                if let Some((from, to)) = view.interval() {
                    ui.add_space(12.0);
                    ui.vertical(|ui| measured(ui, model, view, from, to));
                }
            });
        });
    });
}

/// How long `span` runs.
pub(super) fn length(model: &TimelineModel, span: SpanId) -> String {
    model.span(span).duration.to_string()
}

fn selected(ui: &mut Ui, model: &TimelineModel, view: &mut View, span: SpanId) {
    let facts = model.facts_alone(span);
    let kind = model.span(span).kind;
    ui.horizontal(|ui| {
        swatch(ui, view, kind);
        ui.strong(&facts.title);
    });
    Grid::new("selected span")
        .num_columns(4)
        .spacing([14.0, 2.0])
        .show(ui, |ui| {
            for row in facts.rows.chunks(2) {
                for (name, value) in row {
                    ui.weak(name);
                    let (Ok(words) | Err(words)) = value;
                    ui.label(words);
                }
                ui.end_row();
            }
        });
    ui.horizontal(|ui| {
        ui.weak("evidence");
        ui.label(facts.basis.join("; "));
    });
    causes(ui, model, view, span);
}

/// Links to the span that released `span`, and to those that it released.
fn causes(ui: &mut Ui, model: &TimelineModel, view: &mut View, span: SpanId) {
    let mut goal = None;
    ui.horizontal(|ui| {
        ui.weak("released by");
        match model.span(span).released_by {
            Some(cause) => {
                if link(ui, model, cause) {
                    goal = Some(cause);
                }
            }
            None => {
                ui.label("nothing that was recorded");
            }
        }
    });
    if !view.released.is_empty() {
        ui.horizontal(|ui| {
            ui.weak(format!("released {}", view.released.len()));
            for &next in view.released.iter().take(LINKS) {
                if link(ui, model, next) {
                    goal = Some(next);
                }
            }
        });
    }
    if let Some(goal) = goal {
        view.go_to(model, goal);
    }
}

fn link(ui: &mut Ui, model: &TimelineModel, span: SpanId) -> bool {
    ui.link(model.called(span)).on_hover_text("Go there").clicked()
}

fn swatch(ui: &mut Ui, view: &View, kind: KindId) {
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), egui::Sense::hover());
    ui.painter().rect_filled(rect, 2.0, view.colors[kind.index()]);
}

/// The interval `from..to`: how long, and what the lanes did in it.
fn measured(ui: &mut Ui, model: &TimelineModel, view: &mut View, from: u64, to: u64) {
    ui.horizontal(|ui| {
        ui.strong(format!("interval of {}", duration(to - from)));
        ui.weak(format!("from {}", exact(from)));
        if ui.button("Zoom to interval").clicked() {
            view.window = Some(Window::around(from, to, view.end(model)));
        }
        if ui.button("Clear interval").on_hover_text("Esc").clicked() {
            view.measured = None;
        }
    });
    if view.statistics.as_ref().map(|known| known.interval) != Some((from, to)) {
        view.statistics = Some(Measured::of(model, from, to));
    }
    let Some(measured) = view.statistics.clone() else {
        return;
    };
    for line in in_words(model, &measured) {
        ui.label(line);
    }
    let kinds = measured.kinds(model);
    let all: u64 = kinds.iter().map(|(_, time)| time).sum();
    ui.weak(format!(
        "Time by kind, the longest first; shares are of the busy time of all {} lanes:",
        grouped(measured.lanes as u64)
    ));
    Grid::new("interval by kind")
        .min_col_width(0.0)
        .num_columns(4)
        .spacing([12.0, 2.0])
        .show(ui, |ui| {
            for (kind, time) in kinds {
                swatch(ui, view, kind);
                ui.label(&model.kind(kind).name);
                ui.label(duration(time));
                ui.weak(percent(time, all));
                ui.end_row();
            }
        });
}

/// What lanes that compute do in an interval, and what communication they wait for, a sentence each.
fn in_words(model: &TimelineModel, measured: &Measured) -> Vec<String> {
    let length = measured.length();
    let [busiest, idlest] = [measured.computing.first(), measured.computing.last()];
    let (Some(busiest), Some(idlest)) = (busiest, idlest) else {
        return vec!["No lane of this timeline computes.".to_owned()];
    };
    let lanes = measured.computing.len() as u64;
    let busy: u64 = measured.computing.iter().map(|(_, busy)| busy).sum();
    let share = |&(lane, busy): &(usize, u64)| {
        let name = model.lane_name(lane);
        format!("{name} {}", percent(busy, length))
    };
    let mut lines = vec![format!(
        "Lanes that compute ({} of {}) are busy {}: most {}, least {}.",
        grouped(lanes),
        grouped(measured.lanes as u64),
        percent(busy, length.saturating_mul(lanes)),
        share(busiest),
        share(idlest)
    )];
    let groups = measured.groups as u64;
    lines.push(match measured.exposed {
        Some(exposed) => format!(
            "Exposed communication: {} a rank in the mean, {} of the interval, in which it communicates and computes nothing.",
            duration(exposed / groups.max(1)),
            percent(exposed, length.saturating_mul(groups))
        ),
        None => "Exposed communication: choose a shorter interval, this one has too many spans.".to_owned(),
    });
    lines
}
