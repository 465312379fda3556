//! Alerts that stand: what is wrong, the numbers that say so, and what to do.

use eframe::egui::{Button, RichText, Ui};
use orrery_telemetry::Origin;
use orrery_telemetry::judge::{Alert, Severity, Subject};
use orrery_units::with_si_prefix;

use super::badge;
use crate::app::{Command, Commands};
use crate::document::{DeviceId, Fleet, Item};
use crate::theme;

/// Draws the alerts, the most urgent first; nothing where there are none.
pub(super) fn show(ui: &mut Ui, fleet: &Fleet, commands: &Commands) {
    if fleet.alerts.is_empty() {
        return;
    }
    ui.strong(format!("Alerts: {}", fleet.alerts.len()));
    for (collector, alert) in &fleet.alerts {
        one(ui, fleet, (*collector, alert), commands);
    }
    ui.separator();
}

fn one(ui: &mut Ui, fleet: &Fleet, (collector, alert): (usize, &Alert), commands: &Commands) {
    let color = match alert.severity {
        Severity::Critical => theme::bad(ui.visuals()),
        Severity::Warning => theme::warn(ui.visuals()),
        Severity::Info => ui.visuals().text_color(),
    };
    ui.horizontal_wrapped(|ui| {
        if alert.origin == Origin::Demo {
            badge(ui);
        }
        let words = format!("{}: {}: {}", alert.severity.name(), alert.subject, alert.what);
        let button = ui.add(Button::new(RichText::new(words).color(color)).frame(false).wrap());
        if button.on_hover_text(numbers(alert)).clicked()
            && let Some(device) = device(fleet, collector, &alert.subject)
        {
            commands.send(Command::Select(Some(Item::Device(device))));
        }
    });
    ui.indent(
        (
            "what to do",
            collector,
            alert.rule.name(),
            alert.since.as_millis(),
        ),
        |ui| {
            ui.label(format!("what to do: {}", alert.action));
        },
    );
}

/// The device that `subject` is, if it is one that is known.
fn device(fleet: &Fleet, collector: usize, subject: &Subject) -> Option<DeviceId> {
    let Subject::Device { uuid, .. } = subject else {
        return None;
    };
    let device = DeviceId {
        collector: fleet.collectors[collector].id,
        uuid: uuid.clone(),
    };
    fleet.find(&device).is_some().then_some(device)
}

/// The rule and the numbers that it rests on.
fn numbers(alert: &Alert) -> String {
    let mut lines = vec![format!("rule {}", alert.rule.name())];
    for evidence in &alert.evidence {
        let show = |value: f64| match evidence.unit.as_str() {
            "1" => orrery_units::significant(value, 4),
            unit => with_si_prefix(value, unit),
        };
        let against = evidence
            .against
            .map_or_else(String::new, |against| format!(", against {}", show(against)));
        lines.push(format!("{}: {}{against}", evidence.name, show(evidence.value)));
    }
    lines.join("\n")
}
