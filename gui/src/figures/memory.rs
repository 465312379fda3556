//! Memory of each stage, stacked by cause, beside what a device has.

use eframe::egui::{Align2, FontId, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use orrery::stages::{StageBar, StagesFigure};
use orrery_units::Bytes;

use crate::theme;

/// Height of a stage's bar, and of the gap below.
const ROW: f32 = 15.0;
const GAP: f32 = 3.0;
/// Least room for the name of a stage, and the most.
const NAME: [f32; 2] = [54.0, 150.0];
/// Room for its sum.
const SUM: f32 = 92.0;

/// Draws memory by stage and cause.
pub(crate) fn memory(ui: &mut Ui, figure: &StagesFigure) {
    if let Some(words) = figure.left_out() {
        ui.weak(words);
    }
    let font = FontId::proportional(11.0);
    let ink = ui.visuals().text_color();
    let width = |bar: &StageBar| {
        let galley = ui.painter().layout_no_wrap(bar.label.clone(), font.clone(), ink);
        galley.size().x + 6.0
    };
    let [least, most] = NAME;
    let name = figure.bars.iter().map(width).fold(least, f32::max).min(most);
    for bar in &figure.bars {
        row(ui, figure, bar, name);
    }
    legend(ui, figure);
}

fn row(ui: &mut Ui, figure: &StagesFigure, stage: &StageBar, name: f32) {
    let size = vec2(ui.available_width().max(name + SUM + 60.0), ROW + GAP);
    let (whole, response) = ui.allocate_exact_size(size, Sense::hover());
    let bar = Rect::from_min_max(
        pos2(whole.left() + name, whole.top()),
        pos2(whole.right() - SUM, whole.top() + ROW),
    );
    let x = |bytes: f64| bar.left() + figure.share(bytes) as f32 * bar.width();
    let painter = ui.painter_at(whole);
    let font = FontId::proportional(11.0);
    let ink = ui.visuals().text_color();
    let middle = bar.center().y;
    let names = painter.with_clip_rect(Rect::from_min_max(whole.min, pos2(bar.left(), whole.bottom())));
    names.text(
        pos2(whole.left(), middle),
        Align2::LEFT_CENTER,
        &stage.label,
        font.clone(),
        ink,
    );
    for part in &stage.parts {
        let rect = Rect::from_x_y_ranges(x(part.from)..=x(part.to), bar.y_range());
        painter.rect_filled(rect, 0.0, theme::of_part(part.cause));
    }
    if figure.capacity > 0.0 {
        let limit = Stroke::new(2.0, theme::bad(ui.visuals()));
        painter.vline(x(figure.capacity), bar.y_range().expand(2.0), limit);
    }
    painter.text(
        pos2(bar.right() + 6.0, middle),
        Align2::LEFT_CENTER,
        Bytes::from_f64(stage.bytes).to_string(),
        font,
        if figure.fits(stage) {
            ink
        } else {
            theme::bad(ui.visuals())
        },
    );
    let label = figure.words(stage);
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, &label));
    response.on_hover_text(label.replace(": ", "\n").replace(", ", "\n"));
}

fn legend(ui: &mut Ui, figure: &StagesFigure) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (at, cause) in figure.causes.iter().enumerate() {
            let (swatch, _response) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
            ui.painter().rect_filled(swatch, 2.0, theme::of_part(at));
            ui.weak(cause);
            ui.add_space(6.0);
        }
        if figure.capacity > 0.0 {
            let (swatch, _response) = ui.allocate_exact_size(vec2(3.0, 11.0), Sense::hover());
            ui.painter().rect_filled(swatch, 0.0, theme::bad(ui.visuals()));
            ui.weak("memory of the device");
        }
    });
}
