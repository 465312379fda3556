//! One link over the run: its utilization in every interval.

use eframe::egui::{Align2, FontId, Rect, Role, Sense, Stroke, Ui, WidgetInfo, lerp, pos2, vec2};
use orrery_report::render::percent;
use orrery_units::SimDuration;

use super::LinksModel;
use crate::theme;

/// Height of the picture.
const HEIGHT: f32 = 84.0;

/// Draws the link at `place` over time, with `interval` of the run marked.
pub(super) fn plot(ui: &mut Ui, model: &LinksModel, place: usize, interval: Option<(u64, u64)>) {
    let network = &model.network;
    let link = &network.links()[place];
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let words = format!("{} over the run of {}", link.name, network.span());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
    let painter = ui.painter().with_clip_rect(rect);
    painter.rect_filled(rect, 3.0, ui.visuals().extreme_bg_color);
    let inner = rect.shrink2(vec2(0.0, 14.0));
    let full = Stroke::new(1.0, ui.visuals().weak_text_color());
    painter.hline(inner.x_range(), inner.top(), full);
    let span = network.span().as_secs().max(f64::MIN_POSITIVE);
    if let Some((from, to)) = interval {
        let x = |picos: u64| {
            let share = SimDuration::from_picos(picos).as_secs() / span;
            lerp(inner.left()..=inner.right(), share.min(1.0) as f32)
        };
        let band = Rect::from_x_y_ranges(x(from)..=x(to).max(x(from) + 2.0), rect.y_range());
        painter.rect_filled(band, 0.0, theme::MARK.gamma_multiply(0.35));
    }
    let pointer = response.hover_pos();
    let mut passed = 0.0;
    let mut pointed = None;
    for (share, length) in network.utilizations(link).zip(network.intervals()) {
        let begin = passed;
        passed += length.as_secs();
        let x = |seconds: f64| lerp(inner.left()..=inner.right(), (seconds / span) as f32);
        let top = lerp(inner.bottom()..=inner.top(), share.clamp(0.0, 1.0) as f32);
        let bar = Rect::from_min_max(pos2(x(begin), top), pos2(x(passed), inner.bottom()));
        painter.rect_filled(bar, 0.0, theme::line(ui.visuals()));
        if pointer.is_some_and(|at| (bar.left()..bar.right()).contains(&at.x)) {
            pointed = Some((share, begin, passed));
        }
    }
    let font = FontId::proportional(11.0);
    let ink = ui.visuals().weak_text_color();
    let corners = [
        (
            rect.left_top(),
            Align2::LEFT_TOP,
            format!("full: {}", link.capacity),
        ),
        (rect.right_top(), Align2::RIGHT_TOP, link.name.clone()),
        (rect.left_bottom(), Align2::LEFT_BOTTOM, "0 s".to_owned()),
        (
            rect.right_bottom(),
            Align2::RIGHT_BOTTOM,
            network.span().to_string(),
        ),
    ];
    for (at, align, words) in corners {
        painter.text(at, align, words, font.clone(), ink);
    }
    if let Some((share, begin, end)) = pointed {
        let [begin, end] = [begin, end].map(SimDuration::from_secs);
        response.on_hover_text_at_pointer(format!("{} from {begin} to {end}", percent(share)));
    }
}
