//! What 10 % more and 10 % less of each resource does to a step.

use eframe::egui::{Align2, FontId, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use orrery::why::sensitivity::{CHANGE, Sensitivity, Tornado};
use orrery_units::{SimDuration, significant};

use crate::theme;

const ROW: f32 = 18.0;
/// A change that is worth a figure.
const SEEN: f64 = 5e-4;
/// Room for the name of a resource.
const NAME: f32 = 150.0;

/// Draws the bars, the resource that decides most first.
pub(crate) fn tornado(ui: &mut Ui, tornado: &Tornado) {
    let step = tornado.step.as_secs();
    let change = |time: SimDuration| time.as_secs() / step - 1.0;
    let changes = |entry: &Sensitivity| [change(entry.more), change(entry.less)];
    let all = tornado.resources.iter().flat_map(changes);
    let widest = all.map(f64::abs).fold(0.01, f64::max);
    for entry in &tornado.resources {
        row(ui, entry, changes(entry), widest);
    }
    for (resource, why) in &tornado.left_out {
        ui.weak(format!("{}: {why}", resource.title()));
    }
}

fn percent(share: f64) -> String {
    let sign = if share > 0.0 { "+" } else { "" };
    format!("{sign}{} %", significant(share * 100.0, 2))
}

fn row(ui: &mut Ui, entry: &Sensitivity, [more, less]: [f64; 2], widest: f64) {
    let size = vec2(ui.available_width().max(NAME + 160.0), ROW);
    let (whole, response) = ui.allocate_exact_size(size, Sense::hover());
    let area = Rect::from_min_max(
        pos2(whole.left() + NAME, whole.top() + 2.0),
        whole.max - vec2(4.0, 2.0),
    );
    let room = f64::from(area.width()) / 2.0 - 46.0;
    let x = |share: f64| area.center().x + (share / widest * room) as f32;
    let painter = ui.painter_at(whole);
    let ink = ui.visuals().text_color();
    let font = FontId::proportional(11.0);
    let middle = whole.center().y;
    let name = pos2(whole.left(), middle);
    painter.text(
        name,
        Align2::LEFT_CENTER,
        entry.resource.title(),
        font.clone(),
        ink,
    );
    for (share, color) in [(more, theme::of_policy(2)), (less, theme::of_policy(1))] {
        let ends = [x(0.0).min(x(share)), x(0.0).max(x(share))];
        painter.rect_filled(
            Rect::from_x_y_ranges(ends[0]..=ends[1], area.y_range()),
            2.0,
            color,
        );
        if share.abs() < SEEN {
            continue;
        }
        let (place, anchor) = if share < 0.0 {
            (ends[0] - 4.0, Align2::RIGHT_CENTER)
        } else {
            (ends[1] + 4.0, Align2::LEFT_CENTER)
        };
        painter.text(pos2(place, middle), anchor, percent(share), font.clone(), ink);
    }
    let line = Stroke::new(1.0, ui.visuals().weak_text_color());
    painter.vline(x(0.0), whole.y_range(), line);
    let amount = CHANGE * 100.0;
    let label = format!(
        "{}: {amount:.0} % more gives {}, {amount:.0} % less {}",
        entry.resource.title(),
        percent(more),
        percent(less)
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, &label));
    response.on_hover_text(label);
}
