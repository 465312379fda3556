//! Plan: the scenario as text, its faults, Run and Stop, and what came out.

mod colours;
mod editor;
mod fields;
mod form;
mod outcome;
mod outline;

use eframe::egui::{
    Button, CentralPanel, Color32, Frame, Label, Panel, ProgressBar, RichText, Role, ScrollArea, Ui,
    WidgetInfo,
};
use orrery_units::with_si_prefix;

use crate::app::{Action, Command, Commands};
use crate::document::{Elsewhere, Home, Running, short_name};
use crate::words::grouped;
use crate::{Document, theme};

/// Width from which form and outline stand beside the text.
const WIDE: f32 = 680.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    draft: String,
    opened: Option<u64>,
    /// Where the editor goes.
    jump: Option<Jump>,
    form: form::Form,
    /// What is shown where there is room for one only.
    part: Part,
}

/// What of the scenario is shown where there is room for one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Text,
    Form,
}

impl View {
    /// Makes `text` the text of the scenario, in the editor too.
    fn change(&mut self, text: String, commands: &Commands) {
        commands.send(Command::Edit(text.as_str().into()));
        self.draft = text;
    }
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Jump {
    /// The file; it may have to be opened first.
    file: String,
    /// Line and column, both from 1.
    place: (usize, usize),
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    if document.shelf.is_empty() {
        nothing(ui, commands);
        return;
    }
    if document.shelf.len() > 1 {
        ui.horizontal_wrapped(|ui| tabs(ui, document, commands));
        ui.separator();
    }
    ui.horizontal_wrapped(|ui| {
        for pair in [(Action::Run, "Run"), (Action::Stop, "Stop")] {
            button(ui, document, commands, pair);
        }
        ui.separator();
        for pair in [
            (Action::Open, "Open…"),
            (Action::Save, "Save"),
            (Action::SaveAs, "Save as…"),
        ] {
            button(ui, document, commands, pair);
        }
    });
    whereabouts(ui, document);
    elsewhere(ui, document, commands);
    if let Some(running) = &document.running {
        progress(ui, running);
    }
    if ui.available_width() >= WIDE {
        Panel::right("form and outline")
            .resizable(true)
            .default_size(330.0)
            .frame(Frame::new().inner_margin(6))
            .show(ui, |ui| {
                scrolled("form", ui, |ui| {
                    form::show(ui, document, view, commands);
                    ui.separator();
                    outline::show(ui, document);
                });
            });
        CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
            text_and_outcome(ui, document, view, commands);
        });
        return;
    }
    ui.horizontal(|ui| {
        ui.selectable_value(&mut view.part, Part::Text, "Text");
        ui.selectable_value(&mut view.part, Part::Form, "Form")
            .on_hover_text("The keys that are changed most, and what they come to");
    });
    match view.part {
        Part::Text => text_and_outcome(ui, document, view, commands),
        Part::Form => scrolled("form", ui, |ui| {
            form::show(ui, document, view, commands);
            ui.separator();
            outline::show(ui, document);
            ui.separator();
            outcome::show(ui, document, view, commands);
        }),
    }
}

/// The editor above what is wrong and what came out.
fn text_and_outcome(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let upper = (ui.available_height() * 0.5).max(120.0);
    ScrollArea::both()
        .id_salt("scenario")
        .max_height(upper)
        .auto_shrink([false, false])
        .show(ui, |ui| editor::show(ui, document, view, commands));
    ui.separator();
    scrolled("outcome", ui, |ui| outcome::show(ui, document, view, commands));
}

fn scrolled(name: &str, ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    ScrollArea::vertical()
        .id_salt(name)
        .auto_shrink([false, false])
        .show(ui, content);
}

/// What is said when no scenario is open.
fn nothing(ui: &mut Ui, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("No scenario is open");
        ui.label("A scenario says what is trained, on which cluster, and how it is laid out.");
        ui.add_space(6.0);
        for action in [Action::Open, Action::OpenExample] {
            if ui.button(action.name()).on_hover_text(action.meaning()).clicked() {
                commands.send(Command::Do(action));
            }
        }
        ui.weak("A file may also be dropped on the window.");
    });
}

/// The open scenarios, by the names of their files, each with a cross.
fn tabs(ui: &mut Ui, document: &Document, commands: &Commands) {
    for (place, shelved) in document.shelf.iter().enumerate() {
        let file = document.file_of(place);
        let name = short_name(file);
        let is_edited = document.is_edited(place);
        let is_front = place == document.front;
        // Its place is always there, so that no tab moves when one is edited.
        let mark = RichText::new("•");
        let mark = match is_edited {
            true => mark,
            false => mark.color(Color32::TRANSPARENT),
        };
        let tab = ui.add(Button::selectable(is_front, (RichText::new(name), mark)));
        let label = if is_edited {
            format!("{name} •")
        } else {
            name.to_owned()
        };
        tab.widget_info(|| WidgetInfo::selected(Role::Button, true, is_front, &label));
        if tab.on_hover_text(file).clicked() {
            commands.send(Command::Front(place));
        }
        let cross = ui.add(Button::new("×").frame(false).small());
        cross.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Close {name}")));
        if cross.on_hover_text(format!("Close {name}")).clicked() {
            commands.send(Command::Close(shelved.keeping.id));
        }
        ui.add_space(4.0);
    }
}

/// A button for `action`, called `words`.
fn button(ui: &mut Ui, document: &Document, commands: &Commands, (action, words): (Action, &str)) {
    let refusal = action.refusal(document);
    let keys = action.keys(ui.ctx());
    let clicked = ui
        .add_enabled(refusal.is_none(), Button::new(words))
        .on_hover_text(format!("{}\n{keys}", action.meaning()))
        .on_disabled_hover_text(refusal.unwrap_or_default())
        .clicked();
    if clicked {
        commands.send(Command::Do(action));
    }
}

/// The file, and how the text stands to it.
fn whereabouts(ui: &mut Ui, document: &Document) {
    let home = document.keeping().map(|kept| kept.home).unwrap_or_default();
    let stands = match (home, document.is_edited(document.front)) {
        (Home::File, false) => "",
        (Home::File, true) => "• edited, not saved: ",
        (Home::New, false) => "in no file yet: ",
        (Home::New, true) => "• edited, in no file yet: ",
        (Home::Shipped, false) => "ships with the program: ",
        (Home::Shipped, true) => "• edited; saving asks for a file of yours: ",
    };
    let words = RichText::new(format!("{stands}{}", document.file));
    let words = if document.is_edited(document.front) {
        words.color(theme::warn(ui.visuals()))
    } else {
        words.weak()
    };
    ui.add(Label::new(words).truncate());
}

/// What happened to the file meanwhile.
fn elsewhere(ui: &mut Ui, document: &Document, commands: &Commands) {
    let Some((kept, elsewhere)) = document
        .keeping()
        .and_then(|kept| Some((kept, kept.elsewhere.as_ref()?)))
    else {
        return;
    };
    ui.horizontal_wrapped(|ui| {
        let warn = theme::warn(ui.visuals());
        match elsewhere {
            Elsewhere::Changed(_) => {
                ui.colored_label(warn, "The file changed on disk.");
                let loses = if document.is_edited(document.front) {
                    "Takes what the file holds; what was typed here is lost."
                } else {
                    "Takes what the file holds."
                };
                if ui.button("Reload").on_hover_text(loses).clicked() {
                    commands.send(Command::Reload(kept.id));
                }
                let keeps = "Stays with this text; saving replaces what the file holds.";
                if ui.button("Keep this text").on_hover_text(keeps).clicked() {
                    commands.send(Command::KeepMine(kept.id));
                }
            }
            Elsewhere::Gone(why) => {
                ui.colored_label(warn, format!("{why}. Saving writes it again."));
            }
        }
    });
}

fn progress(ui: &mut Ui, running: &Running) {
    let Running {
        name,
        tasks_done: done,
        tasks_expected,
        stopping,
        unit,
        ..
    } = running;
    let words = match tasks_expected {
        _ if *stopping => format!("stopping {name}…"),
        Some(_) => format!("{name}: {:.0} %", running.share().unwrap_or(0.0) * 100.0),
        None => format!("{name}: counting its tasks"),
    };
    ui.add(ProgressBar::new(running.share().unwrap_or(0.0)).text(words));
    let mut facts = match tasks_expected {
        Some(expected) => vec![format!("{} of {} {unit}", grouped(*done), grouped(*expected))],
        None => vec![format!("{} {unit}", grouped(*done))],
    };
    facts.extend(
        running
            .pace()
            .map(|pace| with_si_prefix(pace, &format!("{unit}/s"))),
    );
    facts.extend(running.remaining().map(|seconds| format!("{seconds:.0} s left")));
    ui.weak(facts.join(", "));
}
