//! The lines above the lanes: buttons, search, what is shown, and a legend that hides kinds.

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Response, Sense, Stroke, StrokeKind, TextEdit, Ui, WidgetInfo, vec2};
use orrery_timeline::OpClass;
use orrery_units::{Evidence, KindId, significant};

use super::input::{KEYS, ZOOM_STEP};
use super::model::TimelineModel;
use super::paint::duration;
use super::view::View;
use super::window::Window;
use crate::theme;
use crate::words::grouped;

/// Draws the lines.
pub(super) fn show(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    ui.horizontal_wrapped(|ui| {
        buttons(ui, model, view);
        ui.separator();
        search(ui, model, view);
    });
    ui.horizontal_wrapped(|ui| about(ui, model, view));
    ui.horizontal_wrapped(|ui| legend(ui, model, view));
}

fn buttons(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    let window = view.window(model);
    if ui
        .button("Zoom in")
        .on_hover_text("W, or Ctrl+wheel at the pointer")
        .clicked()
    {
        view.window = Some(window.zoomed(ZOOM_STEP, 0.5, view.end(model)));
    }
    if ui
        .button("Zoom out")
        .on_hover_text("S, or Ctrl+wheel at the pointer")
        .clicked()
    {
        view.window = Some(window.zoomed(1.0 / ZOOM_STEP, 0.5, view.end(model)));
    }
    if ui.button("Fit").on_hover_text("Home, or 0").clicked() {
        view.window = Some(Window::all(view.end(model)));
    }
    let fit = ui.add_enabled(view.selected.is_some(), egui::Button::new("Fit selected"));
    if fit
        .on_hover_text("F, or double-click on a span")
        .on_disabled_hover_text("Click a span to select it.")
        .clicked()
    {
        view.fit_selected(model);
    }
    if model.groups.len() > 1 {
        let all = view.collapsed.iter().all(|&collapsed| collapsed);
        let words = if all { "Expand all" } else { "Collapse all" };
        if ui.button(words).clicked() {
            view.collapsed.fill(!all);
        }
    }
    ui.menu_button("Keys", |ui| {
        egui::Grid::new("keys").num_columns(2).show(ui, |ui| {
            for (keys, action) in KEYS {
                ui.strong(keys);
                ui.label(action);
                ui.end_row();
            }
        });
    });
}

fn search(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    let mut text = view.search.clone();
    let edit = TextEdit::singleline(&mut text)
        .desired_width(120.0)
        .hint_text("Search kinds");
    let response = ui
        .add(edit)
        .on_hover_text("Part of a kind's name; Enter goes to the next, Shift+Enter back");
    response.widget_info(|| WidgetInfo {
        label: Some("Search kinds".to_owned()),
        ..WidgetInfo::text_edit(true, &view.search, &text, "Search kinds")
    });
    if std::mem::take(&mut view.wants_search) {
        response.request_focus();
    }
    if response.changed() {
        // The key that opened the search is not part of it.
        let text = text.trim_start_matches('/').to_owned();
        view.search_for(model, text);
    }
    if response.lost_focus() {
        let (enter, shift) = ui.input(|input| (input.key_pressed(Key::Enter), input.modifiers.shift));
        if enter {
            view.next_found(model, shift);
            // Enter goes on to the next.
            view.wants_focus = false;
            response.request_focus();
        }
    }
    if view.filter.found.is_none() {
        return;
    }
    let kinds = model.kinds_in_order().iter();
    let found: Vec<&KindId> = kinds.filter(|&&kind| view.filter.finds(kind)).collect();
    let count: u64 = found.iter().map(|kind| model.kinds[kind.index()].count).sum();
    let busy: u64 = found.iter().map(|kind| model.kinds[kind.index()].busy).sum();
    ui.label(match count {
        0 => "nothing found".to_owned(),
        _ => format!(
            "found {count} spans, {}, {}",
            duration(busy),
            percent(busy, model.busy())
        ),
    });
    if ui.button("Clear").on_hover_text("Clear the search").clicked() {
        view.search_for(model, String::new());
    }
}

/// What is shown of what, and what it rests on.
fn about(ui: &mut Ui, model: &TimelineModel, view: &View) {
    let (word, color, meaning) = if model.measured {
        (
            "MEASURED",
            theme::good(ui.visuals()),
            "These spans were recorded on real devices.",
        )
    } else {
        (
            "SIMULATED",
            theme::warn(ui.visuals()),
            "These spans were computed from a scenario, not recorded.",
        )
    };
    ui.colored_label(color, word).on_hover_text(meaning);
    let shown = duration(view.window(model).length);
    ui.label(format!("shows {shown} of {}", duration(model.end)));
    let dropped = match model.dropped() {
        0 => String::new(),
        dropped => format!(", {} not kept", grouped(dropped)),
    };
    ui.weak(format!("{} spans{dropped}", grouped(model.len() as u64)));
    if !model.measured {
        ui.weak(evidence(model)).on_hover_text(
            "What the durations rest on, by share of busy time: a measurement of this very shape; between \
             measured points; a formula alone; beyond what was measured.",
        );
    }
}

/// What the durations of a simulation rest on, such as `rests on: 71 % interpolated, 29 % analytic`.
fn evidence(model: &TimelineModel) -> String {
    let all: u64 = model.evidence.iter().sum();
    let kinds = Evidence::ALL
        .iter()
        .zip(model.evidence)
        .filter(|(_, busy)| *busy > 0);
    let parts: Vec<String> = kinds
        .map(|(kind, busy)| format!("{} {}", percent(busy, all), kind.name()))
        .collect();
    format!("rests on: {}", parts.join(", "))
}

/// `part` of `whole`, such as `62 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    match share {
        0.0 => "0 %".to_owned(),
        share if share < 0.1 => "<0.1 %".to_owned(),
        share => format!("{} %", significant(share, 2)),
    }
}

/// A swatch and a share for each class that occurs, to hide and show it, and a list of the kinds.
fn legend(ui: &mut Ui, model: &TimelineModel, view: &mut View) {
    let order = model.kinds_in_order();
    for class in OpClass::ALL {
        let kinds: Vec<KindId> = order
            .iter()
            .copied()
            .filter(|&kind| model.kind(kind).class == class)
            .collect();
        if kinds.is_empty() {
            continue;
        }
        let share = percent(model.sum_of(class).busy, model.busy());
        let on = kinds.iter().any(|&kind| view.filter.draws(kind));
        let label = format!("{} {share}", class.name());
        if chip(ui, theme::of_class(class), &label, on)
            .on_hover_text("Share of busy time; click to hide or show")
            .clicked()
        {
            view.toggle(&kinds);
        }
    }
    let hidden = view.filter.hidden.iter().filter(|&&hidden| hidden).count();
    ui.menu_button("Kinds", |ui| {
        egui::ScrollArea::vertical().max_height(420.0).show(ui, |ui| {
            for &kind in order {
                let sum = model.kinds[kind.index()];
                let share = percent(sum.busy, model.busy());
                let label = format!("{} {share}, {} spans", model.kind(kind).name, sum.count);
                if chip(ui, view.colors[kind.index()], &label, view.filter.draws(kind)).clicked() {
                    view.toggle(&[kind]);
                }
            }
        });
    });
    if hidden > 0
        && ui
            .button("Show all")
            .on_hover_text("Show the kinds that are hidden")
            .clicked()
    {
        view.filter.hidden.fill(false);
    }
}

/// A swatch that is filled when `on`, and `label`: a check box by another look.
fn chip(ui: &mut Ui, color: egui::Color32, label: &str, on: bool) -> Response {
    const SWATCH: f32 = 10.0;
    let ink = if on {
        ui.visuals().text_color()
    } else {
        ui.visuals().weak_text_color()
    };
    let font = egui::TextStyle::Body.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(label.to_owned(), font, ink);
    let size = vec2(SWATCH + 4.0 + galley.size().x + 4.0, ui.spacing().interact_size.y);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, label));
    let swatch =
        egui::Rect::from_center_size(rect.left_center() + vec2(SWATCH / 2.0, 0.0), vec2(SWATCH, SWATCH));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(
            rect.expand2(vec2(2.0, 0.0)),
            3.0,
            ui.visuals().widgets.hovered.weak_bg_fill,
        );
    }
    if on {
        ui.painter().rect_filled(swatch, 2.0, color);
    } else {
        ui.painter()
            .rect_stroke(swatch, 2.0, Stroke::new(1.0, color), StrokeKind::Inside);
    }
    let text = rect.left_center() + vec2(SWATCH + 4.0, -galley.size().y / 2.0);
    ui.painter().galley(text, galley, ink);
    response
}
