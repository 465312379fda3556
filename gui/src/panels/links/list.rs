//! A line for each link, the busiest first: name, utilization as a bar, and the run as a strip.

use eframe::egui::{
    Align2, Color32, FontId, Rect, Response, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2,
};
use orrery_report::render::percent;

use super::{LinksModel, Shown};
use crate::theme;

/// Height of a line.
const ROW: f32 = 22.0;
/// Width of the bar and of the strip.
const BAR: f32 = 96.0;
/// Between the columns.
const GAP: f32 = 8.0;

/// Draws the links that pass; the one that was clicked.
pub(super) fn show(ui: &mut Ui, model: &LinksModel, shown: &Shown, selected: Option<usize>) -> Option<usize> {
    if shown.links.is_empty() {
        ui.weak("No link has such a name.");
        return None;
    }
    let mut clicked = None;
    ui.spacing_mut().item_spacing.y = 1.0;
    ScrollArea::vertical()
        .auto_shrink([false, false])
        .show_rows(ui, ROW, shown.links.len(), |ui, rows| {
            for &place in &shown.links[rows] {
                if line(ui, model, (place, shown.shares[place]), selected == Some(place)).clicked() {
                    clicked = Some(place);
                }
            }
        });
    clicked
}

fn line(ui: &mut Ui, model: &LinksModel, (place, share): (usize, f64), is_selected: bool) -> Response {
    let link = &model.network.links()[place];
    let [whole, peak] = model.shares[place];
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let label = format!("{}: {}", link.name, percent(share));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_selected, &label));
    let visuals = ui.visuals();
    let back = if is_selected {
        visuals.selection.bg_fill
    } else if response.hovered() {
        visuals.widgets.hovered.weak_bg_fill
    } else {
        Color32::TRANSPARENT
    };
    ui.painter().rect_filled(rect, 2.0, back);
    let strip = Rect::from_min_max(pos2(rect.right() - BAR, rect.top()), rect.max).shrink(2.0);
    let bar = strip.translate(vec2(-BAR - GAP, 0.0));
    let names = Rect::from_min_max(rect.min, pos2(bar.left() - GAP, rect.bottom()));
    let painter = ui.painter().with_clip_rect(names);
    painter.text(
        names.left_center() + vec2(4.0, 0.0),
        Align2::LEFT_CENTER,
        &link.name,
        FontId::proportional(13.0),
        visuals.strong_text_color(),
    );
    meter(ui, bar, share);
    over_time(ui, strip, model, place);
    response.on_hover_ui(|ui| {
        ui.strong(&link.name);
        ui.label(format!(
            "{}: {} of {} carried {}",
            link.title,
            percent(whole),
            link.capacity,
            link.bytes
        ));
        ui.label(format!(
            "up to {} in an interval, in use for {}",
            percent(peak),
            link.busy
        ));
    })
}

/// A bar as long as `share`, with the figure on it.
fn meter(ui: &Ui, rect: Rect, share: f64) {
    let painter = ui.painter();
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let mut filled = rect;
    filled.set_width(rect.width() * share.clamp(0.0, 1.0) as f32);
    painter.rect_filled(filled, 2.0, theme::counter(ui.visuals()));
    painter.text(
        rect.right_center() - vec2(4.0, 0.0),
        Align2::RIGHT_CENTER,
        percent(share),
        FontId::proportional(12.0),
        ui.visuals().strong_text_color(),
    );
}

/// The utilization of every interval as a coloured cell of a strip.
fn over_time(ui: &Ui, rect: Rect, model: &LinksModel, place: usize) {
    let network = &model.network;
    let painter = ui.painter();
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let span = network.span().as_secs().max(f64::MIN_POSITIVE);
    let mut passed = 0.0;
    for (share, length) in network
        .utilizations(&network.links()[place])
        .zip(network.intervals())
    {
        let left = rect.left() + rect.width() * (passed / span) as f32;
        passed += length.as_secs();
        let right = rect.left() + rect.width() * (passed / span) as f32;
        if share > 0.0 {
            // No hair between two cells.
            let right = (right + 0.5).min(rect.right());
            let cell = Rect::from_min_max(pos2(left, rect.top()), pos2(right, rect.bottom()));
            painter.rect_filled(cell, 0.0, theme::sequential(share));
        }
    }
}
