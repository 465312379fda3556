//! Inspector: what is looked at, whichever panel it was chosen in, with its figures and where they come from.

use eframe::egui::{Button, Color32, Frame, Grid, Label, RichText, ScrollArea, Ui};

use crate::app::{Command, Commands};
use crate::document::{Asked, Facts, Finished, FleetMetric, Footing, Item, Of, Reach, Run};
use crate::words::thousands;
use crate::{Document, theme};

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What is known, and of what.
    kept: Option<(Key, Facts)>,
}

/// What facts depend on, unless they change by themselves.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    item: Option<Item>,
    /// The run in front.
    finished: Option<Of<Finished>>,
    viewed: Option<u64>,
    /// The text in front, and which text the plan is of.
    revision: u64,
    checked: Option<u64>,
}

impl View {
    /// What is known of what `document` looks at. What does not change by itself is found once: the cause of a span is
    /// sought among all of them, and a run is read from its result.
    fn facts(&mut self, document: &Document, now: f64) -> Option<Facts> {
        let item = &document.selection.item;
        // A device is read every second; a link depends on what is measured.
        if let Some(Item::Device(_) | Item::Link(..)) = item {
            return document.facts(now);
        }
        let key = Key {
            item: item.clone(),
            finished: document.finished.as_ref().map(Of::new),
            viewed: document.runs.viewed().map(|run| run.id),
            revision: document.revision,
            checked: document.checked,
        };
        if self.kept.as_ref().is_none_or(|(known, _)| *known != key) {
            self.kept = document.facts(now).map(|facts| (key, facts));
        }
        self.kept.as_ref().map(|(_, facts)| facts.clone())
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let now = ui.input(|input| input.time);
    let facts = view.facts(document, now);
    ui.horizontal(|ui| {
        ui.heading("Inspector");
        if document.selection.item.is_some() {
            let clear = ui.add(Button::new("Clear").small());
            if clear.on_hover_text("Look at nothing in particular").clicked() {
                commands.send(Command::Select(None));
            }
        }
        if let Some(facts) = &facts
            && ui
                .add(Button::new("Copy").small())
                .on_hover_text("All of it as text")
                .clicked()
        {
            ui.ctx().copy_text(facts.text());
        }
    });
    let Some(facts) = facts else {
        let gone = document.selection.item.is_some();
        ui.weak(if gone {
            "What was looked at is not there any more."
        } else {
            "Click a span, a link, a layout, a cell of experts, a device or a problem: what is known of it, and where \
             that comes from, is said here."
        });
        return;
    };
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        head(ui, &facts);
        rows(ui, &facts);
        related(ui, &facts, commands);
        run(ui, document, commands);
        history(ui, document, commands);
        basis(ui, &facts);
    });
}

fn head(ui: &mut Ui, facts: &Facts) {
    ui.horizontal_wrapped(|ui| {
        mark(ui, facts.footing);
        ui.weak(facts.what);
    });
    ui.add(Label::new(RichText::new(&facts.title).strong()).wrap());
    if !facts.verdict.is_empty() {
        ui.label(&facts.verdict);
    }
    ui.add_space(4.0);
}

/// What the figures are, as a mark.
fn mark(ui: &mut Ui, footing: Footing) {
    let visuals = ui.visuals();
    let color = match footing {
        Footing::Measured => theme::good(visuals),
        Footing::Simulated | Footing::Estimated => theme::warn(visuals),
        Footing::Written => visuals.weak_text_color(),
        Footing::Demo => {
            let words = RichText::new(footing.name()).strong().color(Color32::BLACK);
            Frame::new()
                .fill(theme::MARK)
                .inner_margin(2)
                .corner_radius(2)
                .show(ui, |ui| ui.label(words));
            return;
        }
    };
    ui.colored_label(color, footing.name());
}

fn rows(ui: &mut Ui, facts: &Facts) {
    Grid::new("facts")
        .num_columns(2)
        .striped(true)
        .max_col_width((ui.available_width() - ui.spacing().item_spacing.x) * 0.5)
        .show(ui, |ui| {
            for (name, value) in &facts.rows {
                ui.add(Label::new(RichText::new(name).weak()).wrap());
                match value {
                    Ok(value) => shown(ui, value),
                    Err(why) => {
                        ui.add(Label::new(RichText::new(format!("n/a: {why}")).weak()).wrap());
                    }
                }
                ui.end_row();
            }
        });
}

/// A value, and below it how sure it is, if that is said.
fn shown(ui: &mut Ui, value: &str) {
    let value = &thousands(value);
    let Some((value, interval)) = value.split_once('\n') else {
        ui.add(Label::new(value).wrap());
        return;
    };
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.add(Label::new(value).wrap());
        ui.add(Label::new(RichText::new(interval).small().weak()).wrap());
    });
}

/// Links to what the thing has to do with.
fn related(ui: &mut Ui, facts: &Facts, commands: &Commands) {
    for related in &facts.related {
        ui.horizontal_wrapped(|ui| {
            ui.weak(related.how);
            if ui.link(&related.words).on_hover_text("Look at it").clicked() {
                commands.send(Command::Select(Some(related.item.clone())));
            }
        });
    }
}

/// What can be done with the run that is looked at.
fn run(ui: &mut Ui, document: &Document, commands: &Commands) {
    let chosen: Option<&Run> = match &document.selection.item {
        Some(Item::Run(id)) => document
            .runs
            .kept
            .iter()
            .find(|run| run.id == *id)
            .map(|run| &**run),
        None => document.runs.viewed().map(|run| &**run),
        Some(_) => None,
    };
    let Some(run) = chosen else { return };
    ui.horizontal_wrapped(|ui| {
        if ui.button("Show its sheet").clicked() {
            commands.send(Command::ShowSheet(run.id));
        }
        for (side, name) in ["A", "B"].into_iter().enumerate() {
            let is_there = document.runs.sides[side].shows(run.id);
            let button = ui.add_enabled(!is_there, Button::new(format!("Compare as {name}")));
            if button
                .on_disabled_hover_text(format!("It is {name} already."))
                .clicked()
            {
                commands.send(Command::Side(side, Some(run.id)));
            }
        }
    });
}

/// The way to the history of the device that is looked at.
fn history(ui: &mut Ui, document: &Document, commands: &Commands) {
    let Some(device) = document.selection.device() else {
        return;
    };
    let button = ui.button("Show its history");
    if button
        .on_hover_text("How its power went, as its collector kept it; any other metric may be chosen")
        .clicked()
    {
        commands.send(Command::Past(Some(Asked {
            device: device.clone(),
            metric: FleetMetric::Power.series().to_owned(),
            reach: Reach::default(),
        })));
    }
}

/// Where the figures come from.
fn basis(ui: &mut Ui, facts: &Facts) {
    if facts.basis.is_empty() {
        return;
    }
    ui.add_space(6.0);
    ui.strong("Where this comes from");
    for basis in &facts.basis {
        ui.add(Label::new(RichText::new(basis).weak()).wrap());
    }
}
