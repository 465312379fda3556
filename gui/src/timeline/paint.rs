//! Draws bars, the time axis and counters; knows where, not what happens on a click.

use std::sync::Arc;

use eframe::egui::{
    self, Align2, Color32, FontId, Galley, Mesh, Painter, Pos2, Rangef, Rect, Shape, Stroke, Ui, vec2,
};
use orrery_units::{Bytes, SimDuration, with_si_prefix};

use super::axis::{Axis, exact};
use super::layout::{Bar, COLUMN, bars, column_bits};
use super::model::TimelineModel;
use super::palette;
use super::steps::Steps;
use super::view::View;
use super::window::Window;
use crate::theme;

/// Points between marks of the axis, about.
const MARK_EVERY: f64 = 100.0;
/// Bars narrower than this carry no text.
const TEXT_FROM: f32 = 34.0;
/// Widths of texts are cut to a multiple of this, so that most of them are laid out once while zooming.
const TEXT_STEP: f32 = 12.0;

/// `picos` picoseconds for people.
pub(super) fn duration(picos: u64) -> String {
    SimDuration::from_picos(picos).to_string()
}

/// A value of a counter for people.
pub(super) fn amount(value: f64, unit: &str) -> String {
    if unit == "B" {
        Bytes::from_f64(value.max(0.0)).to_string()
    } else {
        with_si_prefix(value, unit)
    }
}

/// What bars are drawn with.
pub(super) struct Brush<'a> {
    pub(super) model: &'a TimelineModel,
    pub(super) view: &'a View,
    pub(super) window: Window,
    /// Where lanes lie from left to right.
    pub(super) lanes: Rangef,
    /// A colour for each kind.
    pub(super) colors: &'a [Color32],
    pub(super) background: Color32,
}

impl Brush<'_> {
    /// Where `instant` lies on the screen, a little beyond the lanes at most.
    pub(super) fn x(&self, instant: u64) -> f32 {
        let width = self.lanes.span();
        let position = self.window.position(instant, width);
        self.lanes.min + position.clamp(-8.0, f64::from(width) + 8.0) as f32
    }

    /// Draws lane `number` into `field` and returns its bars, relative to the left of the lanes. Texts are
    /// put off to `texts`, so that all of them are drawn in one go.
    pub(super) fn lane(
        &self,
        mesh: &mut Mesh,
        texts: &mut Vec<Shape>,
        painter: &Painter,
        number: usize,
        field: Rect,
    ) -> Vec<Bar> {
        let bars = self.bars(number, 1);
        self.fill(mesh, &bars, field);
        for bar in bars
            .iter()
            .filter(|bar| bar.count == 1 && bar.right - bar.left > TEXT_FROM)
        {
            let color = self.color(bar);
            let span = self.model.lanes[number].spans[bar.first];
            let ink = theme::ink_on(color);
            let width = bar.right - bar.left - 7.0;
            if let Some(galley) = fitted(painter, self.model.name(span), width, ink) {
                let top = field.center().y - galley.size().y / 2.0;
                let at = Pos2::new(self.lanes.min + bar.left + 3.0, top);
                texts.push(Shape::galley(at, galley, ink));
            }
        }
        bars
    }

    /// The bars of lane `number`, which has a line with `lanes` of them: what is thinner has wider columns, so that a line
    /// takes as long whatever it shows.
    pub(super) fn bars(&self, number: usize, lanes: usize) -> Vec<Bar> {
        bars(
            &self.model.lanes[number],
            self.window,
            self.lanes.span(),
            COLUMN * lanes as f64,
            &self.view.filter,
        )
    }

    /// Adds `bars` to `mesh`; neighbours of one colour that touch become one rectangle.
    pub(super) fn fill(&self, mesh: &mut Mesh, bars: &[Bar], field: Rect) {
        let mut open: Option<(f32, f32, Color32)> = None;
        for bar in bars {
            let color = self.color(bar);
            let wide = bar.right - bar.left > 4.0;
            match &mut open {
                Some((_, right, of)) if *of == color && !wide && bar.left - *right < 0.6 => {
                    *right = bar.right;
                }
                _ => {
                    self.rectangle(mesh, open.take(), field);
                    // A hair between wide neighbours tells them apart.
                    let right = if wide { bar.right - 0.7 } else { bar.right };
                    open = Some((bar.left, right, color));
                }
            }
        }
        self.rectangle(mesh, open, field);
    }

    fn rectangle(&self, mesh: &mut Mesh, extent: Option<(f32, f32, Color32)>, field: Rect) {
        if let Some((left, right, color)) = extent {
            let x = self.lanes.min + left..=self.lanes.min + right;
            mesh.add_colored_rect(Rect::from_x_y_ranges(x, field.y_range()), color);
        }
    }

    fn color(&self, bar: &Bar) -> Color32 {
        let searching = self.view.filter.found.is_some();
        palette::of_bar(bar, self.colors, searching, self.background)
    }

    /// Draws `steps` into `field`, as an area below the highest value of each column.
    pub(super) fn counter(&self, mesh: &mut Mesh, steps: &Steps, field: Rect, color: Color32) {
        let peak = steps.peak;
        if peak <= 0.0 {
            return;
        }
        let bits = column_bits(self.window, self.lanes.span(), COLUMN);
        let first = self.window.from >> bits;
        let last = self.window.until() >> bits;
        for column in first..=last {
            let (from, to) = (column << bits, (column + 1).checked_shl(bits).unwrap_or(u64::MAX));
            let height = (steps.highest_within(from, to) / peak) as f32 * field.height();
            let x = self.x(from).max(self.lanes.min)..=self.x(to).min(self.lanes.max);
            let area = Rect::from_x_y_ranges(x, field.bottom() - height..=field.bottom());
            mesh.add_colored_rect(area, color);
        }
    }
}

/// `words` laid out to fit `width`, with an ellipsis if they were cut; nothing when too little is left.
fn fitted(painter: &Painter, words: &str, width: f32, ink: Color32) -> Option<Arc<Galley>> {
    let font = FontId::proportional(11.0);
    let whole = painter.layout_no_wrap(words.to_owned(), font.clone(), ink);
    if whole.size().x <= width {
        return Some(whole);
    }
    let cut = (width / TEXT_STEP).floor() * TEXT_STEP;
    if cut < TEXT_FROM - 7.0 {
        return None;
    }
    let mut job = egui::text::LayoutJob::simple_singleline(words.to_owned(), font, ink);
    job.wrap = egui::text::TextWrapping::truncate_at_width(cut);
    Some(painter.layout_job(job))
}

/// Draws the axis into `strip` by `painter` and returns the marks, for lines across the lanes.
pub(super) fn ruler(ui: &Ui, painter: &Painter, strip: Rect, lanes: Rangef, window: Window) -> Vec<f32> {
    let ink = ui.visuals().text_color();
    let weak = ui.visuals().weak_text_color();
    let axis = Axis::new(window, f64::from(lanes.span()) / MARK_EVERY);
    let small = FontId::proportional(11.0);
    if let Some(base) = axis.base_label() {
        let at = Pos2::new(strip.left() + 4.0, strip.center().y);
        painter.text(at, Align2::LEFT_CENTER, base, small.clone(), ink);
    }
    let field = Rect::from_x_y_ranges(lanes, strip.y_range());
    let painter = painter.with_clip_rect(field.expand2(vec2(0.5, 0.0)));
    let mut marks = Vec::new();
    for &instant in &axis.marks {
        let x = lanes.min + window.position(instant, lanes.span()) as f32;
        marks.push(x);
        painter.vline(x, strip.bottom() - 6.0..=strip.bottom(), Stroke::new(1.0, weak));
        let label = painter.layout_no_wrap(axis.label(instant), small.clone(), weak);
        let at = Pos2::new(x + 3.0, strip.bottom() - 3.0 - label.size().y);
        // Half a number at the end of the axis would be another number.
        if at.x + label.size().x <= lanes.max {
            painter.galley(at, label, weak);
        }
    }
    marks
}

/// The instant under the pointer, as a flag on the axis.
pub(super) fn flag(ui: &Ui, painter: &Painter, strip: Rect, x: f32, instant: u64, window: Window) {
    // Digits below a point on the screen say nothing.
    let grain = 10_u64.pow((window.length / 2_000).max(1).ilog10());
    let words = exact(instant / grain * grain);
    let ink = ui.visuals().strong_text_color();
    let galley = painter.layout_no_wrap(words, FontId::proportional(11.0), ink);
    let left = (x + 4.0).min(strip.right() - galley.size().x - 2.0);
    let rect = Rect::from_min_size(Pos2::new(left, strip.top() + 1.0), galley.size());
    painter.rect_filled(rect.expand(2.0), 3.0, ui.visuals().extreme_bg_color);
    painter.galley(rect.min, galley, ink);
}

/// An arrow from `from` to `to`, curved as a dependency is drawn: out to the right, in from the left.
pub(super) fn arrow(painter: &Painter, from: Pos2, to: Pos2, stroke: Stroke) {
    let reach = ((to.x - from.x).abs() * 0.5).clamp(16.0, 90.0);
    let points = [from, from + vec2(reach, 0.0), to - vec2(reach, 0.0), to];
    let curve =
        egui::epaint::CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, stroke);
    painter.add(curve);
    let head = vec![to, to + vec2(-7.0, -3.5), to + vec2(-7.0, 3.5)];
    painter.add(Shape::convex_polygon(head, stroke.color, Stroke::NONE));
}
