//! A calibration of this machine: what it would do, what it does, and what came of it.

use eframe::egui::{Button, ProgressBar, RichText, ScrollArea, TextEdit, Ui};

use crate::app::{Command, Commands};
use crate::document::{Measuring, UnderWay};
use crate::{Document, theme};

/// Where the profile goes when nobody says, in the folder in which the window was opened.
const PROFILE: &str = "calibrated.profile.json";

/// What this part remembers.
#[derive(Debug)]
pub(super) struct View {
    profile: String,
    /// Whether the plan was asked for.
    has_asked: bool,
}

impl Default for View {
    fn default() -> Self {
        Self {
            profile: PROFILE.to_owned(),
            has_asked: false,
        }
    }
}

/// Draws this part.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let measuring = &document.measuring;
    if !std::mem::replace(&mut view.has_asked, true) {
        commands.send(Command::PlanMeasuring);
    }
    ui.label(
        "Measures what a device of this machine does with MoE work, checks every result, and writes a profile from which \
         scenarios are computed. Other work on the device would be slowed down, and would spoil the figures.",
    );
    ui.horizontal_wrapped(|ui| match &measuring.under_way {
        Some(under_way) => progress(ui, under_way, commands),
        None => begin(ui, measuring, view, commands),
    });
    if let Some(ended) = &measuring.ended {
        outcome(ui, ended);
    }
    if let Some(under_way) = &measuring.under_way {
        said(ui, under_way);
        return;
    }
    plan(ui, measuring, commands);
}

fn begin(ui: &mut Ui, measuring: &Measuring, view: &mut View, commands: &Commands) {
    let label = ui.label("Profile goes to");
    ui.add(TextEdit::singleline(&mut view.profile).desired_width(260.0))
        .labelled_by(label.id);
    let refusal = match &measuring.plan {
        _ if view.profile.trim().is_empty() => Some("Say where the profile goes."),
        None => Some("The plan is not there yet."),
        Some(Err(_)) => Some("There is no plan; see below."),
        Some(Ok(_)) => None,
    };
    let button = ui.add_enabled(refusal.is_none(), Button::new("Measure"));
    let button = button.on_hover_text("Runs the plan below on device 0 of this machine");
    if button
        .on_disabled_hover_text(refusal.unwrap_or_default())
        .clicked()
    {
        commands.send(Command::Measure(view.profile.trim().to_owned()));
    }
}

fn progress(ui: &mut Ui, under_way: &UnderWay, commands: &Commands) {
    let UnderWay {
        done: (done, all),
        stopping,
        ..
    } = under_way;
    let words = match (stopping, all) {
        (true, _) => "stopping…".to_owned(),
        (false, 0) => "looking for the device".to_owned(),
        (false, all) => format!("{done} of {all} measured"),
    };
    let share = *done as f32 / (*all).max(1) as f32;
    ui.add(ProgressBar::new(share).desired_width(260.0).text(words));
    let hint = "What is measured is kept, and the next calibration goes on there";
    let stop = ui.add_enabled(!stopping, Button::new("Stop measuring"));
    if stop.on_hover_text(hint).clicked() {
        commands.send(Command::StopMeasuring);
    }
}

/// What is measured, the newest at the end.
fn said(ui: &mut Ui, under_way: &UnderWay) {
    ScrollArea::vertical()
        .id_salt("said")
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show(ui, |ui| {
            for line in &under_way.lines {
                ui.monospace(line);
            }
        });
}

fn outcome(ui: &mut Ui, ended: &Result<String, String>) {
    match ended {
        Ok(words) => {
            ui.label(RichText::new(words).strong());
            let mut lines = words.lines();
            if let Some(profile) = lines.find_map(|line| line.strip_prefix("profile: ")) {
                ui.label("To compute a scenario from it, write in the scenario:");
                ui.code(format!("[calibration]\nprofile = \"{profile}\""));
            }
        }
        Err(why) => {
            ui.colored_label(theme::bad(ui.visuals()), "Nothing was measured.");
            ui.label(why);
            ui.weak(
                "On a machine with the GPU: `orrery-collector calibrate` there writes the same profile; \
                 `orrery-collector doctor` says what is missing.",
            );
        }
    }
}

/// What would be measured.
fn plan(ui: &mut Ui, measuring: &Measuring, commands: &Commands) {
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.strong("What would be measured");
        if ui.small_button("Look again").clicked() {
            commands.send(Command::PlanMeasuring);
        }
    });
    match &measuring.plan {
        None => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label("asking `orrery-collector` for its plan");
            });
        }
        Some(Err(why)) => {
            ui.colored_label(theme::bad(ui.visuals()), "There is no plan.");
            ui.label(why);
        }
        Some(Ok(text)) => {
            // What it comes to stands below the table, and is read first.
            let (table, sum) = text.trim_end().rsplit_once("\n\n").unwrap_or((text, ""));
            ui.label(sum.replace('\n', "; "));
            ScrollArea::both()
                .id_salt("plan of measurements")
                .auto_shrink([false, false])
                .show(ui, |ui| ui.monospace(table));
        }
    }
}
