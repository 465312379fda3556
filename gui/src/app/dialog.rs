//! Questions about files: what becomes of edits, and of what a file holds; [`path`](super::path) asks where.

use std::sync::Arc;

use eframe::egui::{self, Align, Id, Layout, Modal, Ui};

use super::keeping::Then;
use super::path::{PathField, Purpose, path};
use super::{App, Shows};
use crate::document::{Document, Expected, Save, same, short_name};

/// Width of a question.
const WIDTH: f32 = 520.0;

/// A question; nothing else is done until it is answered.
#[derive(Debug)]
pub(super) enum Dialog {
    /// Which file.
    Path { purpose: Purpose, field: PathField },
    /// What becomes of the edits of the scenario with this id.
    Unsaved { id: u64, then: Then },
    /// What becomes of a file that holds something else than expected.
    Differs {
        order: Save,
        theirs: Arc<str>,
        then: Then,
    },
}

/// An answer.
pub(super) enum Answer {
    Cancel,
    Open(String),
    SaveTo(u64, String, Then),
    SaveAs(u64, Then),
    Save(u64, Then),
    GiveUp(u64, Then),
    Overwrite(Save, Then),
    Reload(u64, Arc<str>),
    List(String),
}

impl App {
    /// Draws the question that is asked, if any, and does what was answered.
    pub(super) fn ask(&mut self, context: &egui::Context) {
        let Some(dialog) = &mut self.desk.dialog else {
            return;
        };
        let document = Arc::clone(&self.document);
        // Each of its own size.
        let kind = std::mem::discriminant(dialog);
        let modal = Modal::new(Id::unique(("question", kind))).show(context, |ui| {
            ui.set_width(WIDTH);
            match dialog {
                Dialog::Path { purpose, field } => path(ui, &document, *purpose, field),
                Dialog::Unsaved { id, then } => unsaved(ui, &document, *id, *then),
                Dialog::Differs { order, theirs, then } => differs(ui, &document, order, theirs, *then),
            }
        });
        let answer = if modal.should_close() {
            Some(Answer::Cancel)
        } else {
            modal.inner
        };
        if let Some(answer) = answer {
            self.answer(answer);
        }
    }

    fn answer(&mut self, answer: Answer) {
        // These two leave the question open until the disk has spoken.
        match &answer {
            Answer::List(_) | Answer::Open(_) | Answer::SaveTo(..) => {}
            _ => self.desk.dialog = None,
        }
        match answer {
            Answer::Cancel => self.stay(),
            Answer::Open(file) => self.open_files(vec![file], Shows::InFront),
            Answer::SaveTo(id, file, then) => self.write(id, file, Expected::Nothing, then),
            Answer::SaveAs(id, then) => self.save_as(id, then),
            Answer::Save(id, then) => self.save(id, then),
            Answer::GiveUp(id, then) => self.give_up(id, then),
            Answer::Overwrite(order, then) => self.write(order.id, order.file, Expected::Anything, then),
            Answer::Reload(id, theirs) => self.reload(id, &theirs),
            Answer::List(folder) => self.list(folder),
        }
    }
}

fn unsaved(ui: &mut Ui, document: &Document, id: u64, then: Then) -> Option<Answer> {
    let place = document.place_of(id)?;
    let file = document.file_of(place);
    let name = short_name(file);
    if document.is_edited(place) {
        ui.heading(format!("{name} was edited"));
        ui.label("What was typed is in no file yet.");
    } else {
        ui.heading(format!("{name} is in no file yet"));
        ui.label("It was made in this window, and is gone when it is closed.");
    }
    ui.weak(file);
    let (save, give_up) = match then {
        Then::Quit => ("Save and quit", "Quit without saving"),
        Then::Close | Then::Stay => ("Save and close", "Close without saving"),
    };
    match buttons(ui, &[(save, 0), (give_up, 1), ("Cancel", 2)])? {
        0 => Some(Answer::Save(id, then)),
        1 => Some(Answer::GiveUp(id, then)),
        _ => Some(Answer::Cancel),
    }
}

fn differs(ui: &mut Ui, document: &Document, order: &Save, theirs: &Arc<str>, then: Then) -> Option<Answer> {
    let place = document.place_of(order.id)?;
    let own = same(document.file_of(place), &order.file);
    let is_known = document.shelf[place].keeping.home == crate::document::Home::File;
    if own && is_known {
        ui.heading("The file changed on disk");
        ui.label("Since it was read here, something else has written to it.");
    } else {
        ui.heading("There is such a file already");
        ui.label("Saving replaces what it holds.");
    }
    ui.weak(&order.file);
    let choices: &[(&str, u8)] = if own && is_known {
        &[
            ("Overwrite", 0),
            ("Take the file's text", 1),
            ("Save elsewhere…", 2),
            ("Cancel", 3),
        ]
    } else {
        &[("Overwrite", 0), ("Save elsewhere…", 2), ("Cancel", 3)]
    };
    match buttons(ui, choices)? {
        0 => Some(Answer::Overwrite(order.clone(), then)),
        1 => Some(Answer::Reload(order.id, Arc::clone(theirs))),
        2 => Some(Answer::SaveAs(order.id, then)),
        _ => Some(Answer::Cancel),
    }
}

/// Buttons at the right, the first of `choices` rightmost; what the clicked one stands for.
pub(super) fn buttons<T: Copy>(ui: &mut Ui, choices: &[(&str, T)]) -> Option<T> {
    ui.add_space(8.0);
    let line = egui::vec2(ui.available_width(), ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
        let clicked = choices.iter().filter(|(words, _)| ui.button(*words).clicked());
        clicked.map(|(_, choice)| *choice).collect::<Vec<T>>()
    })
    .inner
    .first()
    .copied()
}
