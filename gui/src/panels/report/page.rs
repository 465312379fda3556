//! The sheet as it is seen in the window.

use eframe::egui::{Align2, Color32, FontId, Grid, Rect, RichText, Sense, Ui, pos2, vec2};
use orrery::sheet::{Figure, Sheet};
use orrery::stages::StagesFigure;
use orrery_units::significant;

use crate::theme;
use crate::words::thousands;

/// Width of the page.
const PAGE: f32 = 860.0;
/// A card of a figure.
const CARD: f32 = 162.0;
const ROW: f32 = 18.0;
/// Room for names, and for texts behind bars.
const NAME: f32 = 190.0;
const TEXT: f32 = 150.0;

/// Draws the page.
pub(super) fn show(ui: &mut Ui, sheet: &Sheet) {
    ui.set_max_width(PAGE.min(ui.available_width()));
    ui.add_space(8.0);
    let mark = RichText::new(sheet.mark().to_uppercase())
        .small()
        .color(theme::warn(ui.visuals()));
    ui.label(mark);
    ui.label(RichText::new(&sheet.title).size(21.0).strong());
    for (name, words) in &sheet.subject {
        ui.horizontal_wrapped(|ui| {
            ui.weak(format!("{name}:"));
            ui.label(words);
        });
    }
    ui.add_space(4.0);
    ui.label(RichText::new(&sheet.verdict).size(15.0));
    if !sheet.waiting.is_empty() {
        ui.label(&sheet.waiting);
    }
    if let Some(words) = sheet.partial_note() {
        ui.colored_label(theme::bad(ui.visuals()), words);
    }
    if !sheet.memo.is_empty() {
        ui.add_space(4.0);
        ui.label(&sheet.memo);
    }
    ui.add_space(8.0);
    figures(ui, &sheet.figures);
    if let Some(words) = sheet.interval_note() {
        ui.weak(words);
    }
    causes(ui, sheet);
    swings(ui, sheet);
    memory(ui, sheet);
    expected(ui, sheet);
    origin(ui, sheet);
}

fn figures(ui: &mut Ui, figures: &[Figure]) {
    let columns = (ui.available_width() / CARD).floor().max(1.0) as usize;
    Grid::new("figures")
        .num_columns(columns)
        .min_col_width(CARD - 12.0)
        .spacing([12.0, 8.0])
        .show(ui, |ui| {
            for (at, figure) in figures.iter().enumerate() {
                ui.vertical(|ui| {
                    ui.weak(&figure.label);
                    ui.label(RichText::new(thousands(&figure.shown)).size(16.0).strong());
                    let interval = if figure.interval.is_empty() {
                        " "
                    } else {
                        figure.interval.as_str()
                    };
                    ui.label(RichText::new(thousands(interval)).small().weak());
                });
                if (at + 1).is_multiple_of(columns) {
                    ui.end_row();
                }
            }
        });
}

fn heading(ui: &mut Ui, words: &str) {
    ui.add_space(8.0);
    ui.strong(words);
    ui.separator();
}

/// A name, room for bars, and a text.
fn row(ui: &mut Ui, name: &str, text: &str, bars: impl FnOnce(&mut Ui, Rect)) {
    let size = vec2(ui.available_width().max(NAME + TEXT + 80.0), ROW);
    let (whole, response) = ui.allocate_exact_size(size, Sense::hover());
    let font = FontId::proportional(12.0);
    let ink = ui.visuals().text_color();
    let middle = whole.center().y;
    let area = Rect::from_min_max(
        pos2(whole.left() + NAME, whole.top() + 3.0),
        pos2(whole.right() - TEXT, whole.bottom() - 3.0),
    );
    bars(ui, area);
    let painter = ui.painter();
    painter.text(
        pos2(whole.left(), middle),
        Align2::LEFT_CENTER,
        name,
        font.clone(),
        ink,
    );
    painter.text(
        pos2(area.right() + 8.0, middle),
        Align2::LEFT_CENTER,
        text,
        font,
        ink,
    );
    let label = format!("{name}: {text}");
    response.widget_info(|| eframe::egui::WidgetInfo::labeled(eframe::egui::Role::Meter, true, &label));
}

fn bar(ui: &Ui, area: Rect, from: f64, to: f64, color: Color32) {
    let x = |share: f64| area.left() + share as f32 * area.width();
    ui.painter()
        .rect_filled(Rect::from_x_y_ranges(x(from)..=x(to), area.y_range()), 1.0, color);
}

fn causes(ui: &mut Ui, sheet: &Sheet) {
    let most = sheet.causes.iter().map(|part| part.share).fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    heading(ui, "Where the mean step goes");
    for part in &sheet.causes {
        row(ui, &part.label, &part.words(), |ui, area| {
            bar(ui, area, 0.0, part.share / most, theme::of_policy(0));
        });
    }
}

fn swings(ui: &mut Ui, sheet: &Sheet) {
    let all = sheet
        .swings
        .iter()
        .flat_map(|swing| [swing.more.abs(), swing.less.abs()]);
    let widest = all.fold(0.0, f64::max);
    if widest <= 0.0 {
        return;
    }
    heading(ui, "What decides the step");
    ui.weak(&sheet.swings_note);
    for swing in &sheet.swings {
        row(ui, &swing.label, &swing.words(), |ui, area| {
            for (share, color) in [
                (swing.more, theme::of_policy(2)),
                (swing.less, theme::of_policy(1)),
            ] {
                let end = 0.5 + share / widest / 2.0;
                bar(ui, area, end.min(0.5), end.max(0.5), color);
            }
        });
    }
}

fn memory(ui: &mut Ui, sheet: &Sheet) {
    if sheet.memory.is_empty() {
        return;
    }
    heading(ui, "Memory at the peak of each stage");
    crate::figures::memory(ui, &StagesFigure::of_sheet(sheet));
}

fn expected(ui: &mut Ui, sheet: &Sheet) {
    if sheet.expected.is_empty() {
        return;
    }
    heading(ui, "Expectations");
    for expected in &sheet.expected {
        let color = if expected.pass {
            theme::good(ui.visuals())
        } else {
            theme::bad(ui.visuals())
        };
        ui.horizontal_wrapped(|ui| {
            ui.colored_label(color, expected.word());
            ui.label(&expected.id)
                .on_hover_text("The name of this expectation in the scenario: [expect.…]");
            ui.weak(&expected.check).on_hover_text(
                "A metric of the run and what it is held to; `orrery metrics` lists all metrics",
            );
            ui.weak(expected.words());
        });
    }
}

fn origin(ui: &mut Ui, sheet: &Sheet) {
    heading(ui, "What it rests on");
    let shares: Vec<String> = sheet
        .provenance
        .iter()
        .map(|(evidence, share)| format!("{} % {evidence}", significant(share * 100.0, 3)))
        .collect();
    if !shares.is_empty() {
        ui.label(format!("simulated time: {}", shares.join(", ")));
    }
    for (name, words) in &sheet.origin {
        ui.weak(format!("{name} {words}"));
    }
    if !sheet.assumptions.is_empty() {
        ui.collapsing(sheet.assumptions_title(), |ui| {
            for [key, value, reason] in &sheet.assumptions {
                ui.weak(format!("{key} = {value}: {reason}"));
            }
        });
    }
}
