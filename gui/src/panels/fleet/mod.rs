//! Fleet: who is heard, a row for each node, a cell for each device coloured by one figure, and what wants a look.

mod alerts;
mod collectors;
mod device;
mod grid;
mod history;
mod past;

use eframe::egui::{
    Button, CentralPanel, Color32, ComboBox, Frame, Label, Panel, Rect, RichText, ScrollArea, Sense, Ui, vec2,
};

use crate::app::{Command, Commands};
use crate::document::{Apart, Fleet, FleetMetric, Item};
use crate::{Document, theme};

/// Width of what is said of one device.
const SIDE: f32 = 300.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    metric: FleetMetric,
    address: String,
    refused: Option<String>,
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let fleet = &document.fleet;
    let now = ui.input(|input| input.time);
    if fleet.collectors.is_empty() {
        empty(ui, view, commands);
        return;
    }
    collectors::lines(ui, fleet, now, commands);
    if fleet.num_devices() == 0 {
        ui.add_space(8.0);
        ui.label("No device was reported yet.");
        ui.weak(
            "A collector reports the devices of its machine; `orrery-collector doctor` there says what is missing.",
        );
        collectors::add(ui, view, commands);
        return;
    }
    ui.horizontal_wrapped(|ui| toolbar(ui, fleet, view, commands));
    past::show(ui, document, commands);
    let (bare, side) = (Frame::new(), Frame::new().inner_margin(6));
    Panel::right("fleet device")
        .resizable(false)
        // The grid is what the panel is for, be the window small.
        .exact_size(SIDE.min(ui.available_width() * 0.45))
        .frame(side)
        .show(ui, |ui| beside(ui, document, view, (now, commands)));
    CentralPanel::default().frame(bare).show(ui, |ui| {
        let selected = document.selection.device();
        if let Some(device) = grid::show(ui, fleet, (view.metric, selected), now) {
            commands.send(Command::Select(Some(Item::Device(device))));
        }
    });
}

fn toolbar(ui: &mut Ui, fleet: &Fleet, view: &mut View, commands: &Commands) {
    if fleet.has_demo() {
        badge(ui);
    }
    let words = ui.label("Colour by");
    let picker = ComboBox::from_id_salt("colour by")
        .selected_text(view.metric.name())
        .show_ui(ui, |ui| {
            for metric in FleetMetric::ALL {
                ui.selectable_value(&mut view.metric, metric, metric.name())
                    .on_hover_text(metric.meaning());
            }
        });
    picker.response.labelled_by(words.id);
    legend(ui, fleet, view.metric);
    ui.menu_button("Add collector…", |ui| collectors::add(ui, view, commands));
}

/// The mark of numbers that are made up.
pub(super) fn badge(ui: &mut Ui) {
    let words = RichText::new(" DEMO ")
        .strong()
        .color(Color32::BLACK)
        .background_color(theme::MARK);
    ui.label(words)
        .on_hover_text("These figures are made up; no machine is being watched.");
}

/// The colours from the lowest to the highest value, and where the fleet lies.
fn legend(ui: &mut Ui, fleet: &Fleet, metric: FleetMetric) {
    let (low, high) = fleet.scale(metric);
    ui.weak(metric.show(low));
    let (rect, _) = ui.allocate_exact_size(vec2(80.0, 10.0), Sense::hover());
    let steps = 16_u8;
    let width = rect.width() / f32::from(steps);
    for step in 0..steps {
        let left = rect.left() + width * f32::from(step);
        let part = Rect::from_x_y_ranges(left..=left + width + 0.5, rect.y_range());
        let share = (f64::from(step) + 0.5) / f64::from(steps);
        ui.painter().rect_filled(part, 0.0, theme::sequential(share));
    }
    ui.weak(metric.show(high));
    if let Some([least, middle, greatest]) = fleet.spread(metric) {
        let [least, middle, greatest] = [least, middle, greatest].map(|value| metric.show(value));
        ui.label(format!("median {middle} ({least} to {greatest})"));
    } else {
        ui.colored_label(theme::warn(ui.visuals()), "no live device reports this");
    }
}

fn empty(ui: &mut Ui, view: &mut View, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("No collectors yet");
        ui.label("A collector on a node makes its devices appear here. On the node:");
        ui.code("orrery-collector serve --listen 127.0.0.1:9477");
        ui.label("then here, or with `--collector` when the window is opened:");
        collectors::add(ui, view, commands);
        ui.weak("`orrery-gui --demo` shows a made-up cluster.");
    });
}

/// The device that is looked at, above what wants a look: lists grow and shrink, and nothing is to move below the hand.
fn beside(ui: &mut Ui, document: &Document, view: &mut View, (now, commands): (f64, &Commands)) {
    let fleet = &document.fleet;
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        let selected = document.selection.device().and_then(|id| fleet.find(id));
        if let Some((node, device)) = selected {
            device::panel(ui, fleet, (node, device), view.metric, now);
            past::ask_button(ui, fleet.id_of(node, device), view.metric, commands);
            ui.separator();
        }
        alerts::show(ui, fleet, commands);
        attention(ui, fleet, view, commands);
        match selected {
            Some((_, device)) if !document.selection.is_inspected => {
                ui.separator();
                device::table(ui, device);
            }
            Some(_) => {}
            None => {
                ui.separator();
                ui.weak("Click a device for its readings and its last minutes.");
            }
        }
    });
}

/// Most entries that are listed; the grid marks the others too.
const LISTED: usize = 3;

fn attention(ui: &mut Ui, fleet: &Fleet, view: &mut View, commands: &Commands) {
    let devices: Vec<&[Apart]> = fleet
        .apart
        .chunk_by(|a, b| (a.node, a.device) == (b.node, b.device))
        .collect();
    if devices.is_empty() {
        ui.weak("No device is apart from the others.");
        return;
    }
    ui.strong(format!("Devices that want a look: {}", devices.len()));
    for reasons in devices.iter().take(LISTED) {
        entry(ui, fleet, view, (reasons, commands));
    }
    let more = devices.len().saturating_sub(LISTED);
    if more > 0 {
        ui.weak(format!("and {more} more, marked in the grid"));
    }
}

/// One device and everything in which it is apart.
fn entry(ui: &mut Ui, fleet: &Fleet, view: &mut View, (reasons, commands): (&[Apart], &Commands)) {
    let Some(last) = reasons.last() else { return };
    let node = &fleet.nodes[last.node];
    let device = &node.devices[last.device];
    let why: Vec<&str> = reasons.iter().map(|apart| apart.why.as_str()).collect();
    let index = device.sample.identity.index;
    let words = format!("{} {index}: {}", node.name, why.join(", "));
    let text = RichText::new(words).color(theme::warn(ui.visuals()));
    let button = ui.add(Button::new(text).frame(false).wrap());
    if button
        .on_hover_text(
            "Far from the median of its model by the modified z-score, or said by the device itself.",
        )
        .clicked()
    {
        commands.send(Command::Select(Some(Item::Device(fleet.id_of(node, device)))));
        view.metric = last.metric.unwrap_or(view.metric);
    }
}

/// A line that is cut off where there is no room, and says the rest when it is hovered.
fn one_line(ui: &mut Ui, text: RichText) {
    ui.add(Label::new(text).truncate());
}

/// Asks for `command` when `url` is an address; says what is wrong otherwise.
fn follow(view: &mut View, commands: &Commands) {
    match crate::collector_url(&view.address) {
        Ok(url) => {
            commands.send(Command::Follow(url));
            view.address.clear();
            view.refused = None;
        }
        Err(why) => view.refused = Some(why),
    }
}
