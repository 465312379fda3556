//! Who sent how much to whom, as a square of cells.

use eframe::egui::{
    Align2, Color32, FontId, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use orrery_units::Bytes;

use super::LinksModel;
use crate::theme;

/// Draws the square, as large as there is room, with what the pointer is on, and with what `rank` sends and receives
/// framed.
pub(super) fn show(ui: &mut Ui, model: &LinksModel, rank: Option<usize>) {
    let traffic = &model.traffic;
    let count = traffic.bytes.len();
    ui.strong("Who sends to whom");
    if count == 0 || traffic.most() == Bytes::ZERO {
        ui.weak("No pair of ranks exchanged anything.");
        return;
    }
    let cell = match traffic.devices_per_cell {
        1 => "A cell is a pair of ranks".to_owned(),
        side => format!("A cell is {side} ranks by {side}"),
    };
    ui.weak(format!(
        "Senders down, receivers across. {cell}; the brightest is {}.",
        traffic.most()
    ));
    let side = ui.available_width().min(ui.available_height()).max(40.0);
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Traffic between ranks"));
    let painter = ui.painter();
    painter.rect_filled(rect, 0.0, Color32::BLACK);
    let step = rect.width() / count as f32;
    let place = |from: usize, to: usize| {
        let corner = rect.min + vec2(step * to as f32, step * from as f32);
        Rect::from_min_size(corner, vec2(step, step))
    };
    let most = traffic.most().as_f64();
    for (from, row) in traffic.bytes.iter().enumerate() {
        for (to, bytes) in row.iter().enumerate() {
            if *bytes > Bytes::ZERO {
                // By the square root, so that what is small shows beside what is great.
                let share = (bytes.as_f64() / most).sqrt();
                painter.rect_filled(place(from, to), 0.0, theme::sequential(share));
            }
        }
    }
    if let Some(rank) = rank.map(|rank| model.cell_of(rank)).filter(|&rank| rank < count) {
        frame(ui, rect, (rank, count), &model.cell_name(rank));
    }
    let Some(pointer) = response.hover_pos() else {
        return;
    };
    let at = |along: f32| ((along / step).max(0.0) as usize).min(count - 1);
    let (from, to) = (at(pointer.y - rect.top()), at(pointer.x - rect.left()));
    let mark = Stroke::new(1.5, Color32::WHITE);
    painter.rect_stroke(place(from, to), 0.0, mark, StrokeKind::Outside);
    // Where the pointer is, across and down.
    let thin = Stroke::new(0.5, Color32::WHITE);
    painter.line_segment(
        [pos2(rect.left(), pointer.y), pos2(rect.right(), pointer.y)],
        thin,
    );
    painter.line_segment(
        [pos2(pointer.x, rect.top()), pos2(pointer.x, rect.bottom())],
        thin,
    );
    response.on_hover_text_at_pointer(format!(
        "{} to {}: {}",
        model.cell_name(from),
        model.cell_name(to),
        traffic.bytes[from][to]
    ));
}

/// A frame around what the ranks of `cell` send and receive, of `count` cells a side, with their `name`.
fn frame(ui: &Ui, rect: Rect, (cell, count): (usize, usize), name: &str) {
    let step = rect.width() / count as f32;
    let along = |from: f32| from + step * cell as f32..=from + step * (cell + 1) as f32;
    let edge = Stroke::new(1.0, theme::MARK);
    let sent = Rect::from_x_y_ranges(rect.x_range(), along(rect.top()));
    let received = Rect::from_x_y_ranges(along(rect.left()), rect.y_range());
    for whole in [sent, received] {
        ui.painter().rect_stroke(whole, 0.0, edge, StrokeKind::Outside);
    }
    let foot = rect.left_bottom() + vec2(3.0, -2.0);
    let words = format!("{name} of the selected span");
    let font = FontId::proportional(11.0);
    ui.painter()
        .text(foot, Align2::LEFT_BOTTOM, words, font, theme::warn(ui.visuals()));
}
