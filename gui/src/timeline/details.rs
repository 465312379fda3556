//! The pane below the lanes: the selected span with its causes, and the interval that is measured.

use std::fmt::Display;

use eframe::egui::{self, Grid, Panel, ScrollArea, Ui, vec2};
use orrery_timeline::SpanId;
use orrery_units::{BytesPerSec, Evidence, FlopsPerSec, KindId};

use super::axis::exact;
use super::model::TimelineModel;
use super::paint::duration;
use super::toolbar::percent;
use super::view::View;
use super::window::Window;

/// Spans that are listed as links at most.
const LINKS: usize = 4;

/// Draws the pane, if there is something to say.
pub(super) fn show(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    if view.selected.is_none() && view.interval().is_none() {
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
                if let Some(span) = view.selected {
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

/// What a tooltip says of `span`, a line each.
pub(super) fn summary(model: &TimelineModel, span: SpanId) -> Vec<String> {
    let recorded = model.span(span);
    let kind = model.kind(recorded.kind);
    let (from, _) = model.extent(span);
    let mut lines = vec![
        format!("{} ({})", kind.name, kind.class.name()),
        format!("{} from {}", recorded.duration, exact(from)),
        format!(
            "step {}, layer {}, microbatch {}",
            recorded.step, recorded.tag.0, recorded.tag.1
        ),
    ];
    lines.extend(work(model, span));
    lines.push(basis(model, recorded.evidence));
    lines
}

/// FLOPs and bytes with their rates, as far as there are any.
fn work(model: &TimelineModel, span: SpanId) -> Vec<String> {
    let recorded = model.span(span);
    let seconds = recorded.duration.as_secs();
    let mut lines = Vec::new();
    if recorded.flops.get() > 0.0 {
        let rate = (seconds > 0.0).then(|| FlopsPerSec::new(recorded.flops.get() / seconds));
        lines.push(with_rate(recorded.flops, rate));
    }
    if recorded.bytes.get() > 0 {
        let rate = (seconds > 0.0).then(|| BytesPerSec::new(recorded.bytes.as_f64() / seconds));
        lines.push(with_rate(recorded.bytes, rate));
    }
    lines
}

fn with_rate(amount: impl Display, rate: Option<impl Display>) -> String {
    rate.map_or_else(|| amount.to_string(), |rate| format!("{amount} at {rate}"))
}

/// Whether `model` was measured; and if not, what a duration in it rests on.
fn basis(model: &TimelineModel, evidence: Evidence) -> String {
    if model.measured {
        return "measured on the device".to_owned();
    }
    let rests = match evidence {
        Evidence::Measured => "a measurement of this shape",
        Evidence::Interpolated => "interpolation between measured points",
        Evidence::Analytic => "a formula, with no measurement (analytic)",
        Evidence::Extrapolated => "extrapolation beyond what was measured",
    };
    format!("simulated; rests on {rests}")
}

fn selected(ui: &mut Ui, model: &TimelineModel, view: &mut View, span: SpanId) {
    let recorded = model.span(span);
    let (lane, _) = model.place(span);
    let (from, to) = model.extent(span);
    ui.horizontal(|ui| {
        swatch(ui, view, recorded.kind);
        ui.strong(model.name(span));
        ui.weak(model.kind(recorded.kind).class.name());
    });
    Grid::new("selected span")
        .num_columns(4)
        .spacing([14.0, 2.0])
        .show(ui, |ui| {
            pair(ui, "lane", &model.lane_name(lane));
            pair(
                ui,
                "step, layer, microbatch",
                &format!("{}, {}, {}", recorded.step, recorded.tag.0, recorded.tag.1),
            );
            ui.end_row();
            pair(ui, "start", &exact(from));
            pair(ui, "end", &exact(to));
            ui.end_row();
            pair(ui, "duration", &duration(to - from));
            let work = work(model, span);
            pair(
                ui,
                "work",
                if work.is_empty() {
                    "none recorded"
                } else {
                    &work[0]
                },
            );
            ui.end_row();
            if let Some(more) = work.get(1) {
                pair(ui, "", "");
                pair(ui, "", more);
                ui.end_row();
            }
        });
    ui.horizontal(|ui| {
        ui.weak("evidence");
        ui.label(basis(model, recorded.evidence));
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
                let waited = model.extent(span).0.saturating_sub(model.extent(cause).1);
                if link(ui, model, cause) {
                    goal = Some(cause);
                }
                if waited > 0 {
                    ui.weak(format!("{} before it began", duration(waited)));
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
    let (lane, _) = model.place(span);
    let words = format!("{} on {}", model.name(span), model.lane_name(lane));
    ui.link(words).on_hover_text("Go there").clicked()
}

fn pair(ui: &mut Ui, name: &str, value: &str) {
    ui.weak(name);
    ui.label(value);
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
    let busy = model.busy_within(0..model.lanes.len(), from, to);
    let all: u64 = busy.iter().sum();
    let lanes = model.lanes.len();
    let lane_time = (to - from).saturating_mul(lanes as u64);
    ui.weak(format!(
        "{lanes} lanes, busy {} of it; share of busy time by kind:",
        percent(all, lane_time)
    ));
    let mut kinds: Vec<KindId> = model.kinds_in_order().to_vec();
    kinds.retain(|kind| busy[kind.index()] > 0);
    kinds.sort_by_key(|kind| std::cmp::Reverse(busy[kind.index()]));
    Grid::new("interval by kind")
        .min_col_width(0.0)
        .num_columns(4)
        .spacing([12.0, 2.0])
        .show(ui, |ui| {
            for kind in kinds {
                let time = busy[kind.index()];
                swatch(ui, view, kind);
                ui.label(&model.kind(kind).name);
                ui.label(duration(time));
                ui.weak(percent(time, all));
                ui.end_row();
            }
        });
}
