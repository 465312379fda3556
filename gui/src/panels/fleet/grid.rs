//! A row for each node and a cell for each device.

use eframe::egui::{
    Align, Align2, Color32, FontId, Layout, Rect, Response, RichText, Role, ScrollArea, Sense, Shape, Stroke,
    StrokeKind, Ui, UiBuilder, Vec2, Visuals, WidgetInfo, pos2, vec2,
};

use super::{device, one_line};
use crate::document::{Device, DeviceId, Fleet, FleetMetric, Node, Standing};
use crate::theme;

/// Width of the names.
const NAMES: f32 = 132.0;
/// Height of a row.
const ROW: f32 = 34.0;
/// Height of a line of cells where those of a node need several.
const LOW_ROW: f32 = 24.0;
/// Beside all cells, for the bar that scrolls them.
const MARGIN: f32 = 12.0;
/// Least and greatest width of a cell.
const CELL: [f32; 2] = [46.0, 76.0];
/// Between two cells, and two rows.
const GAP: f32 = 3.0;

/// How many of `most` cells stand beside each other in `room`, as evenly many in each line as may be, and their width.
fn across(room: f32, most: usize) -> (usize, f32) {
    let [least, greatest] = CELL;
    let most = most.max(1);
    let fit = ((room / (least + GAP)).floor().max(1.0) as usize).min(most);
    let columns = most.div_ceil(most.div_ceil(fit));
    (columns, (room / columns as f32 - GAP).clamp(least, greatest))
}

/// Draws every node, each device coloured by `metric`; the device that was clicked.
pub(super) fn show(
    ui: &mut Ui,
    fleet: &Fleet,
    (metric, selected): (FleetMetric, Option<&DeviceId>),
    now: f64,
) -> Option<DeviceId> {
    let mut clicked = None;
    let most = fleet
        .nodes
        .iter()
        .map(|node| node.devices.len())
        .max()
        .unwrap_or(1);
    let (columns, width) = across(ui.available_width() - NAMES - MARGIN, most);
    let lines = most.div_ceil(columns);
    let height = if lines > 1 { LOW_ROW } else { ROW };
    ui.spacing_mut().item_spacing = vec2(GAP, GAP);
    let scale = fleet.scale(metric);
    ScrollArea::both().auto_shrink([false, false]).show_rows(
        ui,
        lines as f32 * (height + GAP) - GAP,
        fleet.nodes.len(),
        |ui, rows| {
            for place in rows {
                let node = &fleet.nodes[place];
                let standing = fleet.standing(node, now);
                let mut cell = |ui: &mut Ui, number: usize| {
                    let cell = Cell {
                        fleet,
                        metric,
                        scale,
                        place,
                        number,
                        live: standing == Standing::Live,
                    };
                    let id = fleet.id_of(node, &node.devices[number]);
                    let size = vec2(width, height);
                    if cell.show(ui, size, selected == Some(&id)).clicked() {
                        clicked = Some(id);
                    }
                };
                ui.horizontal(|ui| {
                    name(ui, node, &standing, now);
                    ui.vertical(|ui| {
                        for line in 0..lines {
                            let end = node.devices.len().min((line + 1) * columns);
                            ui.horizontal(|ui| (line * columns..end).for_each(|number| cell(ui, number)));
                        }
                    });
                });
            }
        },
    );
    clicked
}

/// The name above what there is to say of the node.
fn name(ui: &mut Ui, node: &Node, standing: &Standing, now: f64) {
    let (rect, response) = ui.allocate_exact_size(vec2(NAMES, ROW), Sense::hover());
    let column = Layout::top_down(Align::Min);
    let mut inside = ui.new_child(UiBuilder::new().max_rect(rect).layout(column));
    inside.spacing_mut().item_spacing.y = 0.0;
    one_line(&mut inside, RichText::new(&node.name).strong());
    let demo = if node.is_demo() { "DEMO, " } else { "" };
    let age = node.age(now);
    let (words, color) = match standing {
        Standing::Live => (
            format!("{demo}{:.0} s ago", age.floor()),
            ui.visuals().weak_text_color(),
        ),
        Standing::Stale => (format!("{demo}lags, {age:.0} s ago"), theme::warn(ui.visuals())),
        Standing::Gone(why) => (format!("{demo}{why}"), theme::bad(ui.visuals())),
    };
    one_line(&mut inside, RichText::new(&words).size(11.0).color(color));
    let collector = format!("{}: {words}\nread by the source `{}`", node.name, node.source);
    response.on_hover_text(collector);
}

/// One device of the fleet.
struct Cell<'a> {
    fleet: &'a Fleet,
    metric: FleetMetric,
    /// The ends of the colour scale.
    scale: (f64, f64),
    /// The place of the node.
    place: usize,
    /// The place of the device in the node.
    number: usize,
    /// Whether what is known of it is still so.
    live: bool,
}

impl Cell<'_> {
    fn node(&self) -> &Node {
        &self.fleet.nodes[self.place]
    }

    fn device(&self) -> &Device {
        &self.node().devices[self.number]
    }

    fn show(&self, ui: &mut Ui, size: Vec2, is_selected: bool) -> Response {
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let value = self.metric.of(&self.device().sample);
        let shown = value
            .as_ref()
            .map_or("n/a".to_owned(), |value| self.metric.show(*value));
        let apart = self.fleet.apart_of(self.place, self.number);
        let label = self.label(&shown, !apart.is_empty());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_selected, &label));
        let color = self.color(value.ok(), ui.visuals());
        let painter = ui.painter();
        painter.rect_filled(rect, 3.0, color);
        let ink = if color == theme::absent(ui.visuals()) {
            theme::faded(ui.visuals())
        } else {
            theme::ink_on(color)
        };
        painter.text(
            rect.center(),
            Align2::CENTER_CENTER,
            &shown,
            FontId::proportional(12.0),
            ink,
        );
        if is_selected || response.hovered() || response.has_focus() {
            let stroke = Stroke::new(2.0, ui.visuals().strong_text_color());
            ui.painter().rect_stroke(rect, 3.0, stroke, StrokeKind::Inside);
        }
        if !apart.is_empty() {
            mark(ui, rect);
        }
        response.on_hover_ui(|ui| {
            for apart in apart {
                ui.colored_label(theme::warn(ui.visuals()), &apart.why);
            }
            device::card(ui, self.node(), self.device());
        })
    }

    fn label(&self, shown: &str, is_apart: bool) -> String {
        let demo = if self.node().is_demo() { " (DEMO)" } else { "" };
        let apart = if is_apart { ", wants a look" } else { "" };
        let lost = if self.live { "" } else { ", not live" };
        let index = self.device().sample.identity.index;
        format!("{} device {index}: {shown}{demo}{apart}{lost}", self.node().name)
    }

    fn color(&self, value: Option<f64>, visuals: &Visuals) -> Color32 {
        let (low, high) = self.scale;
        match value {
            Some(value) if self.live => theme::sequential((value - low) / (high - low)),
            Some(_) | None => theme::absent(visuals),
        }
    }
}

/// The corner of a cell that wants a look: a shape, because colours are taken.
fn mark(ui: &Ui, rect: Rect) {
    let corner = rect.right_top();
    let points = vec![
        corner,
        pos2(corner.x - 11.0, corner.y),
        pos2(corner.x, corner.y + 11.0),
    ];
    let edge = Stroke::new(1.0, Color32::BLACK);
    ui.painter().add(Shape::convex_polygon(points, theme::MARK, edge));
}

#[cfg(test)]
mod tests {
    use super::across;

    #[test]
    fn cells_that_do_not_fit_beside_each_other_stand_in_even_lines() {
        assert_eq!(across(900.0, 8).0, 8);
        assert_eq!(across(250.0, 8).0, 4, "five would fit, and leave a line of three");
        assert_eq!(across(200.0, 8).0, 4);
        assert_eq!(across(10.0, 8).0, 1);
        let (columns, width) = across(200.0, 8);
        assert!(columns as f32 * width <= 200.0, "{width}");
    }
}
