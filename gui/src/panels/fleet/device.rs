//! Everything that is known of one device.

use eframe::egui::{Grid, RichText, Ui};

use super::{badge, history};
use crate::document::{Device, Fleet, FleetMetric, Node, Standing, readings};
use crate::theme;

/// The device that is looked at, and its last minutes.
pub(super) fn panel(
    ui: &mut Ui,
    fleet: &Fleet,
    (node, device): (&Node, &Device),
    metric: FleetMetric,
    now: f64,
) {
    heading(ui, node, device);
    match fleet.standing(node, now) {
        Standing::Live => {}
        Standing::Stale => {
            ui.colored_label(
                theme::warn(ui.visuals()),
                format!("last heard {:.0} s ago", node.age(now)),
            );
        }
        Standing::Gone(why) => {
            ui.colored_label(
                theme::bad(ui.visuals()),
                format!("{why}; last heard {:.0} s ago", node.age(now)),
            );
        }
    }
    let plot = history::Plot {
        history: &device.history,
        metric,
        scale: fleet.scale(metric),
        pause: node.pause(),
    };
    history::plot(ui, &plot, now);
}

/// Every reading of a device, for where there is no room for more.
pub(super) fn card(ui: &mut Ui, node: &Node, device: &Device) {
    heading(ui, node, device);
    table(ui, device);
}

fn heading(ui: &mut Ui, node: &Node, device: &Device) {
    let identity = &device.sample.identity;
    ui.horizontal(|ui| {
        if node.is_demo() {
            badge(ui);
        }
        ui.strong(format!("{} device {}", node.name, identity.index));
        ui.weak(&identity.model);
    });
}

/// Every reading, with the reason where there is none.
pub(super) fn table(ui: &mut Ui, device: &Device) {
    let identity = &device.sample.identity;
    Grid::new(("readings", &identity.uuid))
        .num_columns(2)
        .show(ui, |ui| {
            for (name, shown) in readings(&device.sample) {
                ui.label(name);
                match shown {
                    Ok(value) => ui.label(value),
                    Err(reason) => ui.label(RichText::new(format!("n/a: {reason}")).weak()),
                };
                ui.end_row();
            }
        });
    ui.weak(&identity.uuid);
}
