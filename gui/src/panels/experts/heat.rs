//! Rows of cells as a picture: one texture, made anew only when what it shows changes.

use eframe::egui::{
    Color32, ColorImage, Rect, Role, Sense, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui,
    WidgetInfo, pos2, vec2,
};
use orrery_units::significant;

use crate::theme;

/// What a picture shows: its cells and the value of the brightest.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    rows: Vec<Vec<f64>>,
    most: f64,
}

/// A picture that is kept.
#[derive(Default)]
pub(super) struct Heat {
    shown: Option<Shown>,
    /// Tells whether cells are those that are shown without comparing them.
    key: Option<u64>,
    texture: Option<TextureHandle>,
}

impl std::fmt::Debug for Heat {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Heat")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// How cells are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    /// What the picture is of.
    pub(super) title: &'a str,
    /// What a row is.
    pub(super) row: &'a str,
    /// What a column is.
    pub(super) column: &'a str,
}

impl Heat {
    /// Shows `rows` from now on, the brightest being `most`; `key` differs whenever they do.
    pub(super) fn set(&mut self, key: u64, rows: impl FnOnce() -> Vec<Vec<f64>>, most: f64) {
        if self.key == Some(key) {
            return;
        }
        self.key = Some(key);
        self.shown = Some(Shown { rows: rows(), most });
        self.texture = None;
    }

    /// Draws the picture in `size` with the cell at row and column `chosen` marked; `value` says what a cell holds. The
    /// cell that was clicked.
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        size: [f32; 2],
        words: Words<'_>,
        chosen: Option<[usize; 2]>,
        value: impl Fn(f64) -> String,
    ) -> Option<[usize; 2]> {
        let shown = self.shown.as_ref()?;
        let columns = shown.rows.iter().map(Vec::len).max().unwrap_or(0);
        let (rect, response) = ui.allocate_exact_size(vec2(size[0], size[1]), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, words.title));
        if columns == 0 {
            return None;
        }
        let texture = self.texture.get_or_insert_with(|| {
            let image = image(&shown.rows, columns, shown.most, theme::absent(ui.visuals()));
            ui.ctx().load_texture(words.title, image, TextureOptions::NEAREST)
        });
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(texture.id(), rect, whole, Color32::WHITE);
        if let Some(cell) = chosen {
            mark(ui, rect, cell, [shown.rows.len(), columns]);
        }
        let pointer = response.hover_pos()?;
        let at = |along: f32, length: f32, count: usize| {
            ((along / length * count as f32).max(0.0) as usize).min(count - 1)
        };
        let row = at(pointer.y - rect.top(), rect.height(), shown.rows.len());
        let column = at(pointer.x - rect.left(), rect.width(), columns);
        let &cell = shown.rows[row].get(column)?;
        let words = format!("{} {row}, {} {column}: {}", words.row, words.column, value(cell));
        let response = response.on_hover_text_at_pointer(words);
        response.clicked().then_some([row, column])
    }
}

/// A frame around a cell, which may be smaller than what is seen.
fn mark(ui: &Ui, rect: Rect, [row, column]: [usize; 2], [rows, columns]: [usize; 2]) {
    let size = vec2(rect.width() / columns as f32, rect.height() / rows.max(1) as f32);
    let corner = rect.min + vec2(size.x * column as f32, size.y * row as f32);
    let cell = Rect::from_min_size(corner, size).expand(2.0);
    ui.painter()
        .rect_stroke(cell, 1.0, Stroke::new(1.5, Color32::WHITE), StrokeKind::Inside);
    ui.painter()
        .rect_stroke(cell, 1.0, Stroke::new(1.5, theme::MARK), StrokeKind::Outside);
}

/// A pixel for each cell.
fn image(rows: &[Vec<f64>], columns: usize, most: f64, absent: Color32) -> ColorImage {
    let pixel = |cell: Option<&f64>| match cell {
        Some(&cell) => theme::sequential(if most > 0.0 { cell / most } else { 0.0 }),
        None => absent,
    };
    let pixels = rows
        .iter()
        .flat_map(|row| (0..columns).map(|column| pixel(row.get(column))));
    ColorImage::new([columns, rows.len()], pixels.collect())
}

/// The scale of the pictures, from nothing to `most`.
pub(super) fn scale(ui: &mut Ui, most: f64, unit: &str) {
    const STEPS: usize = 48;
    ui.horizontal(|ui| {
        ui.weak("0");
        let (rect, _) = ui.allocate_exact_size(vec2(120.0, 10.0), Sense::hover());
        let width = rect.width() / STEPS as f32;
        for step in 0..STEPS {
            let left = rect.left() + width * step as f32;
            let cell = Rect::from_x_y_ranges(left..=left + width + 0.5, rect.y_range());
            let share = step as f64 / (STEPS - 1) as f64;
            ui.painter().rect_filled(cell, 0.0, theme::sequential(share));
        }
        ui.weak(format!("{}{unit}", significant(most, 3)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_pixel_and_short_rows_are_filled_up() {
        let rows = vec![vec![0.0, 2.0], vec![1.0]];
        let image = image(&rows, 2, 2.0, Color32::RED);
        let ends = [theme::sequential(0.0), theme::sequential(1.0)];
        assert_eq!(image.size, [2, 2]);
        assert_eq!(
            image.pixels,
            [ends[0], ends[1], theme::sequential(0.5), Color32::RED]
        );
    }
}
