//! Fleet: a row for each node, a cell for each device, coloured by one figure.

use eframe::egui::{
    Align2, Color32, ComboBox, FontId, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, vec2,
};

use crate::app::{Command, Commands};
use crate::document::{Device, FleetMetric, FleetSnapshot, Node};
use crate::{Document, theme};

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    metric: FleetMetric,
}

/// Cells are grey once the snapshot is this old, in seconds: ten of the slowest collector's periods.
const STALE: f64 = 10.0;
/// Width of the node names.
const NAMES: f32 = 110.0;
/// Size of a cell.
const CELL: [f32; 2] = [58.0, 26.0];

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let fleet = &document.fleet;
    let now = ui.input(|input| input.time);
    ui.horizontal_wrapped(|ui| {
        if fleet.latest.as_ref().is_some_and(|latest| latest.demo) {
            badge(ui);
        }
        feed_button(ui, fleet.demo_runs, commands);
        if let Some(latest) = &fleet.latest {
            ComboBox::from_label("colour by")
                .selected_text(view.metric.name())
                .show_ui(ui, |ui| {
                    for metric in FleetMetric::ALL {
                        ui.selectable_value(&mut view.metric, metric, metric.name());
                    }
                });
            ui.label(format!("{:.0} s old", fleet.age(now)));
            ui.weak(format!("from {}", latest.source));
        }
    });
    if let Some(why) = &fleet.lost {
        ui.colored_label(
            theme::BAD,
            format!("Collector lost: {why}. Values below are the last ones heard."),
        );
    }
    let Some(latest) = &fleet.latest else {
        empty(ui);
        return;
    };
    let stale = fleet.lost.is_some() || fleet.age(now) > STALE;
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| grid(ui, latest, view.metric, stale));
}

fn badge(ui: &mut Ui) {
    let words = RichText::new(" DEMO ")
        .strong()
        .color(Color32::BLACK)
        .background_color(theme::WARN);
    ui.label(words)
        .on_hover_text("These figures are made up; no machine is being watched.");
}

fn feed_button(ui: &mut Ui, runs: bool, commands: &Commands) {
    let words = if runs {
        "Stop demo cluster"
    } else {
        "Start demo cluster"
    };
    if ui.button(words).clicked() {
        commands.send(Command::Demo(!runs));
    }
}

fn empty(ui: &mut Ui) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("No collectors yet");
        ui.label("A collector on a node makes its devices appear here. The demo cluster shows what that looks like.");
    });
}

fn grid(ui: &mut Ui, fleet: &FleetSnapshot, metric: FleetMetric, stale: bool) {
    for node in &fleet.nodes {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing = vec2(3.0, 3.0);
            let [_, height] = CELL;
            let name = Rect::from_min_size(ui.cursor().min, vec2(NAMES, height));
            ui.put(name, eframe::egui::Label::new(&node.name).truncate());
            for (number, device) in node.devices.iter().enumerate() {
                cell(ui, node, number, device, (metric, stale));
            }
        });
    }
}

fn cell(ui: &mut Ui, node: &Node, number: usize, device: &Device, (metric, stale): (FleetMetric, bool)) {
    let (rect, response) = ui.allocate_exact_size(CELL.into(), Sense::hover());
    let value = device.get(metric);
    let shown = metric.show(value);
    let (low, high) = metric.scale();
    let color = match value {
        Some(value) if !stale => theme::sequential((value - low) / (high - low)),
        Some(_) | None => theme::ABSENT,
    };
    let name = format!("{} GPU {number}: {shown}", node.name);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
    ui.painter().rect_filled(rect, 3.0, color);
    let font = FontId::proportional(12.0);
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        &shown,
        font,
        theme::ink_on(color),
    );
    response.on_hover_ui(|ui| {
        ui.strong(format!("{} GPU {number}", node.name));
        for metric in FleetMetric::ALL {
            ui.label(format!("{}: {}", metric.name(), metric.show(device.get(metric))));
        }
    });
}
