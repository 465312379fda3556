//! The last minutes of one figure of a device, as a line with gaps where it was absent.

use eframe::egui::{
    Align2, Color32, FontId, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, lerp, pos2, remap, vec2,
};

use crate::document::{FleetMetric, History, KEPT};
use crate::theme;

/// Height of the picture.
const HEIGHT: f32 = 64.0;
/// The shortest time that fills the width, in seconds: a line should be seen soon.
const SHORTEST: f64 = 30.0;

/// What is drawn of a history.
pub(super) struct Plot<'a> {
    pub(super) history: &'a History,
    pub(super) metric: FleetMetric,
    /// The ends of the scale.
    pub(super) scale: (f64, f64),
    /// A pause longer than this breaks the line, in seconds.
    pub(super) pause: f64,
}

/// Draws what `plot` says, up to `now`.
pub(super) fn plot(ui: &mut Ui, plot: &Plot<'_>, now: f64) {
    let &Plot {
        history,
        metric,
        scale,
        pause,
    } = plot;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let points: Vec<(f64, Option<f64>)> = history.values(metric).collect();
    let first = points.first().map_or(now, |(at, _)| *at);
    let length = (now - first).clamp(SHORTEST, KEPT);
    let place = |at: f64, value: f64| {
        let x = remap(
            at,
            now - length..=now,
            f64::from(rect.left())..=f64::from(rect.right()),
        );
        let inner = rect.shrink2(vec2(0.0, 2.0));
        let share = ((value - scale.0) / (scale.1 - scale.0)).clamp(0.0, 1.0);
        pos2(x as f32, lerp(inner.bottom()..=inner.top(), share as f32))
    };
    let words = format!("{}, last {}", metric.name(), minutes(length));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
    let painter = ui.painter().with_clip_rect(rect);
    painter.rect_filled(rect, 3.0, ui.visuals().extreme_bg_color);
    let ink = Stroke::new(1.5, theme::line(ui.visuals()));
    for line in unbroken(&points, pause, place) {
        match line.as_slice() {
            [alone] => painter.add(Shape::circle_filled(*alone, 1.5, ink.color)),
            _ => painter.add(Shape::line(line, ink)),
        };
    }
    caption(ui, rect, &words, metric, scale);
    let Some(pointer) = response.hover_pos() else {
        return;
    };
    let at = remap(
        f64::from(pointer.x),
        f64::from(rect.left())..=f64::from(rect.right()),
        now - length..=now,
    );
    let nearest = points
        .iter()
        .min_by(|a, b| (a.0 - at).abs().total_cmp(&(b.0 - at).abs()));
    if let Some((when, value)) = nearest {
        let value = value.map_or("n/a".to_owned(), |value| metric.show(value));
        response.on_hover_text_at_pointer(format!("{value}, {:.0} s ago", now - when));
    }
}

/// The points as lines, a new one after each gap and each silence of more than `pause` seconds.
fn unbroken(points: &[(f64, Option<f64>)], pause: f64, place: impl Fn(f64, f64) -> Pos2) -> Vec<Vec<Pos2>> {
    let mut lines: Vec<Vec<Pos2>> = Vec::new();
    let mut last: Option<f64> = None;
    for &(at, value) in points {
        let goes_on = last.is_some_and(|last| at - last <= pause);
        last = value.map(|_| at);
        let Some(value) = value else { continue };
        match lines.last_mut().filter(|_| goes_on) {
            Some(line) => line.push(place(at, value)),
            None => lines.push(vec![place(at, value)]),
        }
    }
    lines
}

fn caption(ui: &Ui, rect: Rect, words: &str, metric: FleetMetric, (low, high): (f64, f64)) {
    let font = FontId::proportional(10.0);
    let weak: Color32 = ui.visuals().weak_text_color();
    let inner = rect.shrink(3.0);
    let painter = ui.painter();
    painter.text(
        inner.left_top(),
        Align2::LEFT_TOP,
        metric.show(high),
        font.clone(),
        weak,
    );
    painter.text(
        inner.left_bottom(),
        Align2::LEFT_BOTTOM,
        metric.show(low),
        font.clone(),
        weak,
    );
    painter.text(inner.right_bottom(), Align2::RIGHT_BOTTOM, words, font, weak);
}

fn minutes(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_and_long_pauses_break_the_line() {
        let points = [
            (0.0, Some(1.0)),
            (1.0, Some(2.0)),
            (2.0, None),
            (3.0, Some(3.0)),
            (20.0, Some(4.0)),
            (21.0, Some(5.0)),
        ];
        let sizes = |pause: f64| -> Vec<usize> {
            let lines = unbroken(&points, pause, |at, value| pos2(at as f32, value as f32));
            lines.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(4.0), [2, 1, 2]);
        assert_eq!(sizes(181.0), [2, 3], "a slow collector pauses longer");
    }
}
