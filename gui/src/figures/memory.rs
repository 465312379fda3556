//! Memory of each pipeline rank, stacked by cause, beside what a device has.

use eframe::egui::{Align2, FontId, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use orrery::outline::Outline;
use orrery_units::Bytes;

use crate::theme;

/// Height of a rank's bar, and of the gap below.
const ROW: f32 = 15.0;
const GAP: f32 = 3.0;
/// Room for the name of a rank.
const NAME: f32 = 54.0;
/// Room for its sum.
const SUM: f32 = 92.0;
/// Ranks that are drawn at most: of more, the fullest.
const MOST: usize = 16;

/// Draws memory by stage and cause.
pub(crate) fn memory(ui: &mut Ui, outline: &Outline) {
    let limit = outline.device.memory.as_f64();
    let sums: Vec<f64> = outline.memory.iter().map(|parts| sum(parts)).collect();
    let mut ranks: Vec<usize> = (0..sums.len()).collect();
    if ranks.len() > MOST {
        ranks.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]).then(a.cmp(&b)));
        ranks.truncate(MOST);
        ranks.sort_unstable();
        ui.weak(format!("the {MOST} fullest of {} pipeline ranks", sums.len()));
    }
    let most = sums.iter().copied().fold(limit, f64::max) * 1.02;
    let causes = causes(outline);
    for rank in ranks {
        row(
            ui,
            rank,
            &outline.memory[rank],
            (sums[rank], limit, most),
            &causes,
        );
    }
    legend(ui, &causes);
}

fn sum(parts: &[(&str, Bytes)]) -> f64 {
    parts.iter().map(|(_, bytes)| bytes.as_f64()).sum()
}

/// Every cause, the largest of all ranks first.
fn causes(outline: &Outline) -> Vec<&'static str> {
    let mut found: Vec<(&'static str, f64)> = Vec::new();
    for &(cause, bytes) in outline.memory.iter().flatten() {
        match found.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, sum)) => *sum += bytes.as_f64(),
            None => found.push((cause, bytes.as_f64())),
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.into_iter().map(|(cause, _)| cause).collect()
}

fn row(
    ui: &mut Ui,
    rank: usize,
    parts: &[(&'static str, Bytes)],
    (sum, limit, most): (f64, f64, f64),
    causes: &[&'static str],
) {
    let size = vec2(ui.available_width().max(NAME + SUM + 60.0), ROW + GAP);
    let (whole, response) = ui.allocate_exact_size(size, Sense::hover());
    let bar = Rect::from_min_max(
        pos2(whole.left() + NAME, whole.top()),
        pos2(whole.right() - SUM, whole.top() + ROW),
    );
    let x = |bytes: f64| bar.left() + (bytes / most) as f32 * bar.width();
    let painter = ui.painter_at(whole);
    let font = FontId::proportional(11.0);
    let ink = ui.visuals().text_color();
    let middle = bar.center().y;
    painter.text(
        pos2(whole.left(), middle),
        Align2::LEFT_CENTER,
        format!("stage {rank}"),
        font.clone(),
        ink,
    );
    let mut from = 0.0;
    let mut words = Vec::new();
    for (at, cause) in causes.iter().enumerate() {
        let Some((_, bytes)) = parts.iter().find(|(known, _)| known == cause) else {
            continue;
        };
        let to = from + bytes.as_f64();
        let part = Rect::from_x_y_ranges(x(from)..=x(to), bar.y_range());
        painter.rect_filled(part, 0.0, theme::of_part(at));
        words.push(format!("{cause} {bytes}"));
        from = to;
    }
    let fits = sum <= limit;
    painter.vline(
        x(limit),
        bar.y_range().expand(2.0),
        Stroke::new(2.0, theme::bad(ui.visuals())),
    );
    let total = Bytes::from_f64(sum);
    painter.text(
        pos2(bar.right() + 6.0, middle),
        Align2::LEFT_CENTER,
        total.to_string(),
        font,
        if fits { ink } else { theme::bad(ui.visuals()) },
    );
    let verdict = if fits { "of" } else { "does not fit in" };
    let label = format!(
        "stage {rank}: {total} {verdict} {}: {}",
        Bytes::from_f64(limit),
        words.join(", ")
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, &label));
    response.on_hover_text(label.replace(": ", "\n").replace(", ", "\n"));
}

fn legend(ui: &mut Ui, causes: &[&'static str]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (at, cause) in causes.iter().enumerate() {
            let (swatch, _response) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
            ui.painter().rect_filled(swatch, 2.0, theme::of_part(at));
            ui.weak(*cause);
            ui.add_space(6.0);
        }
        let (swatch, _response) = ui.allocate_exact_size(vec2(3.0, 11.0), Sense::hover());
        ui.painter().rect_filled(swatch, 0.0, theme::bad(ui.visuals()));
        ui.weak("memory of the device");
    });
}
