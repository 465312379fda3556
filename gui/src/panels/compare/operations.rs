//! Operations of the steps that are shown, matched by name: how long each takes on a rank, and how long its spans are.

use std::sync::{Arc, Weak};

use eframe::egui::{
    Align2, Button, FontId, Grid, Pos2, Rect, RichText, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, vec2,
};
use orrery_timeline::OpClass;
use orrery_units::{SimDuration, significant};

use super::{NAMES, sides};
use crate::document::SIDES;
use crate::words::grouped;
use crate::{TimelineModel, theme};

/// Columns of a histogram.
const BINS: usize = 48;
/// Changes below this share are none.
const LEAST: f64 = 1e-5;
/// Height of a histogram.
const HEIGHT: f32 = 110.0;

/// The steps that are shown, one for each side.
type Models = [Option<Arc<TimelineModel>>; SIDES];

/// What the table remembers.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The steps that the rest belongs to.
    shown: [Weak<TimelineModel>; SIDES],
    rows: Vec<Operation>,
    /// The operation of which the spans are counted by length.
    selected: Option<(String, Histogram)>,
    /// Whether what all share is hidden: only what one side has is listed.
    unmatched: bool,
    /// Whether spans are counted rather than shown as shares of their side.
    counts: bool,
}

/// An operation on each side.
#[derive(Clone, Debug, PartialEq)]
struct Operation {
    name: String,
    class: OpClass,
    /// Spans, and seconds on the mean rank.
    sums: [Option<(u64, f64)>; SIDES],
}

/// Spans of each side by length: columns of equal ratio.
#[derive(Clone, Debug, Default, PartialEq)]
struct Histogram {
    /// Seconds at which the first column begins and the last ends.
    range: [f64; 2],
    counts: [Vec<u64>; SIDES],
}

/// Operations of all sides by class, and within one the longest of any side first.
fn operations(models: &Models) -> Vec<Operation> {
    let mut rows: Vec<Operation> = Vec::new();
    for (side, model) in models.iter().enumerate() {
        let Some(model) = model else { continue };
        let ranks = model.num_groups().max(1) as f64;
        for (name, class, count, busy) in model.operations() {
            let place = rows.iter().position(|row| row.name == name && row.class == class);
            let place = place.unwrap_or_else(|| {
                rows.push(Operation {
                    name: name.to_owned(),
                    class,
                    sums: [None; SIDES],
                });
                rows.len() - 1
            });
            rows[place].sums[side] = Some((count, SimDuration::from_picos(busy).as_secs() / ranks));
        }
    }
    let longest = |row: &Operation| row.sums.iter().flatten().map(|sum| sum.1).fold(0.0, f64::max);
    rows.sort_by(|one, other| {
        let class = (one.class as u8).cmp(&(other.class as u8));
        class.then(longest(other).total_cmp(&longest(one)))
    });
    rows
}

/// The lengths of spans of each side, in picoseconds, by columns of equal ratio from the shortest to the longest.
fn histogram(lengths: &[Vec<u64>; SIDES]) -> Histogram {
    let all = || lengths.iter().flatten().copied().filter(|&picos| picos > 0);
    let (Some(least), Some(most)) = (all().min(), all().max()) else {
        return Histogram::default();
    };
    // A little apart, so that equal lengths have a column.
    let (low, high) = (least as f64 * 0.999, most as f64 * 1.001);
    let width = (high / low).ln() / BINS as f64;
    let count = |lengths: &Vec<u64>| {
        let mut counts = vec![0; BINS];
        for &picos in lengths.iter().filter(|&&picos| picos > 0) {
            let at = ((picos as f64 / low).ln() / width).max(0.0) as usize;
            counts[at.min(BINS - 1)] += 1;
        }
        counts
    };
    Histogram {
        range: [low / 1e12, high / 1e12],
        counts: lengths.each_ref().map(count),
    }
}

impl View {
    /// Makes ready for `models`.
    fn attend(&mut self, models: &Models) {
        let same = self.shown.iter().zip(models).all(|(shown, model)| {
            let model = model.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
            let shown = if shown.strong_count() > 0 {
                shown.as_ptr()
            } else {
                std::ptr::null()
            };
            std::ptr::eq(shown, model)
        });
        if same {
            return;
        }
        self.shown = models
            .each_ref()
            .map(|model| model.as_ref().map_or_else(Weak::new, Arc::downgrade));
        self.rows = operations(models);
        self.selected = None;
    }
}

/// Draws the table with the operation called `marked` in front of the eye, and the histogram of the one that was clicked.
pub(super) fn show(ui: &mut Ui, models: &Models, view: &mut View, marked: Option<&str>) {
    view.attend(models);
    let present: Vec<usize> = (0..SIDES).filter(|&side| models[side].is_some()).collect();
    if present.is_empty() {
        ui.weak("These runs kept no timelines.");
        return;
    }
    let lacks = |row: &Operation| present.iter().any(|&side| row.sums[side].is_none());
    let lacking = view.rows.iter().filter(|row| lacks(row)).count();
    ui.horizontal_wrapped(|ui| {
        ui.weak("time on the mean rank in the steps below; click for lengths of spans");
        if present.len() > 1 && lacking > 0 {
            let words = format!("only what is not on all sides ({lacking} of {})", view.rows.len());
            ui.checkbox(&mut view.unmatched, words);
        }
    });
    if let Some((name, histogram)) = &view.selected {
        distribution(ui, name, histogram, &present, &mut view.counts);
    }
    let only = view.unmatched && lacking > 0;
    let rows: Vec<&Operation> = view.rows.iter().filter(|row| !only || lacks(row)).collect();
    let mut clicked = None;
    ScrollArea::both()
        .id_salt("operations")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            Grid::new("operations")
                .num_columns(present.len() + 2)
                .striped(true)
                .show(ui, |ui| {
                    ui.weak("operation");
                    for &side in &present {
                        ui.horizontal(|ui| {
                            sides::swatch(ui, side);
                            ui.weak(NAMES[side]);
                        });
                    }
                    if let [_, others @ ..] = present.as_slice() {
                        for &side in others {
                            ui.weak(format!("{} − {}", NAMES[side], NAMES[present[0]]));
                        }
                    }
                    ui.end_row();
                    for row in rows {
                        if line(ui, row, &present, marked == Some(row.name.as_str())) {
                            clicked = Some(row.name.clone());
                        }
                    }
                });
        });
    if let Some(name) = clicked {
        let lengths = models.each_ref().map(|model| {
            model
                .as_ref()
                .map_or_else(Vec::new, |model| model.durations(&name))
        });
        view.selected = Some((name, histogram(&lengths)));
    }
}

/// A row of the table; whether it was clicked.
fn line(ui: &mut Ui, row: &Operation, present: &[usize], is_marked: bool) -> bool {
    let clicked = ui
        .horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
            ui.painter().rect_filled(rect, 2.0, theme::of_class(row.class));
            let name = Button::selectable(is_marked, &row.name);
            let name = ui.add(name.frame_when_inactive(false));
            name.on_hover_text(row.class.name()).clicked()
        })
        .inner;
    for &side in present {
        match row.sums[side] {
            Some((count, seconds)) => {
                let spans = format!("{} spans", grouped(count));
                ui.label(SimDuration::from_secs(seconds).to_string())
                    .on_hover_text(spans);
            }
            None => {
                ui.label(RichText::new("none").color(theme::faded(ui.visuals())));
            }
        }
    }
    if let [first, others @ ..] = present {
        for &side in others {
            let change = row.sums[*first].zip(row.sums[side]);
            ui.label(change.map_or_else(String::new, |(a, b)| ratio(a.1, b.1)));
        }
    }
    ui.end_row();
    clicked
}

/// `+12 %`, of how long it takes.
fn ratio(a: f64, b: f64) -> String {
    if a <= 0.0 {
        return String::new();
    }
    let share = b / a - 1.0;
    if share.abs() < LEAST {
        return "0 %".to_owned();
    }
    let sign = match share {
        share if share > 0.0 => "+",
        share if share < 0.0 => "−",
        _ => "",
    };
    format!("{sign}{} %", significant(share.abs() * 100.0, 3))
}

/// Spans of one operation by length, the sides over each other.
fn distribution(ui: &mut Ui, name: &str, histogram: &Histogram, present: &[usize], counts: &mut bool) {
    ui.horizontal_wrapped(|ui| {
        ui.strong(format!("Lengths of {name}"));
        ui.checkbox(counts, "count spans")
            .on_hover_text("else each side is shown as shares of its own spans");
    });
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Lengths of {name}")));
    ui.painter().rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let field = rect.shrink2(vec2(4.0, 16.0));
    let [low, high] = histogram.range;
    if high <= low {
        ui.painter().text(
            rect.center(),
            Align2::CENTER_CENTER,
            "no lengths",
            FontId::proportional(12.0),
            ui.visuals().weak_text_color(),
        );
        return;
    }
    let heights = present
        .iter()
        .map(|&side| heights(&histogram.counts[side], *counts));
    let heights: Vec<Vec<f64>> = heights.collect();
    let most = heights
        .iter()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    for (&side, heights) in present.iter().zip(&heights) {
        let step = field.width() / BINS as f32;
        let mut outline: Vec<Pos2> = vec![field.left_bottom()];
        for (at, height) in heights.iter().enumerate() {
            let y = field.bottom() - field.height() * (height / most) as f32;
            let left = field.left() + step * at as f32;
            outline.extend([Pos2::new(left, y), Pos2::new(left + step, y)]);
        }
        outline.push(field.right_bottom());
        ui.painter().line(outline, Stroke::new(1.5, theme::of_side(side)));
    }
    let ink = ui.visuals().weak_text_color();
    let font = FontId::proportional(11.0);
    let ends = [
        (field.left_bottom(), Align2::LEFT_TOP, low),
        (field.right_bottom(), Align2::RIGHT_TOP, high),
    ];
    for (at, align, seconds) in ends {
        ui.painter().text(
            at,
            align,
            SimDuration::from_secs(seconds).to_string(),
            font.clone(),
            ink,
        );
    }
    pointed(ui, &response, field, histogram, present);
}

fn heights(counts: &[u64], absolute: bool) -> Vec<f64> {
    let all = if absolute {
        1.0
    } else {
        counts.iter().sum::<u64>().max(1) as f64
    };
    counts.iter().map(|&count| count as f64 / all).collect()
}

/// What the pointer is on: from where to where the column goes, and how many spans of each side it holds.
fn pointed(
    ui: &Ui,
    response: &eframe::egui::Response,
    field: Rect,
    histogram: &Histogram,
    present: &[usize],
) {
    let Some(pointer) = response
        .hover_pos()
        .filter(|pointer| field.x_range().contains(pointer.x))
    else {
        return;
    };
    let at = ((pointer.x - field.left()) / field.width() * BINS as f32) as usize;
    let at = at.min(BINS - 1);
    let [low, high] = histogram.range;
    let edge = |at: usize| SimDuration::from_secs(low * (high / low).powf(at as f64 / BINS as f64));
    let mut words = format!("{} to {}", edge(at), edge(at + 1));
    for &side in present {
        words.push_str(&format!(
            "\n{}: {} spans",
            NAMES[side],
            grouped(histogram.counts[side][at])
        ));
    }
    ui.painter().vline(
        pointer.x,
        field.y_range(),
        Stroke::new(1.0, ui.visuals().weak_text_color()),
    );
    response.clone().on_hover_text_at_pointer(words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_column_and_equal_ones_share_it() {
        let lengths = [vec![1_000, 1_000, 8_000], vec![2_000], Vec::new()];
        let histogram = histogram(&lengths);
        let sums: Vec<u64> = histogram
            .counts
            .iter()
            .map(|counts| counts.iter().sum())
            .collect();
        assert_eq!(sums, [3, 1, 0]);
        assert_eq!((histogram.counts[0][0], histogram.counts[0][BINS - 1]), (2, 1));
        let one = super::histogram(&[vec![5], vec![5], Vec::new()]);
        let at = one.counts[0].iter().position(|&count| count == 1);
        assert_eq!(at, one.counts[1].iter().position(|&count| count == 1));
        assert_eq!(
            super::histogram(&[vec![0], Vec::new(), Vec::new()]),
            Histogram::default()
        );
    }

    #[test]
    fn a_change_has_a_sign_and_a_share() {
        assert_eq!(ratio(2.0, 3.0), "+50 %");
        assert_eq!(ratio(2.0, 1.0), "−50 %");
        assert_eq!(ratio(2.0, 2.0 + 1e-9), "0 %");
        assert_eq!(ratio(0.0, 1.0), "");
    }
}
