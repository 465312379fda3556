//! Opening, saving and closing: nothing that was typed is lost without a question.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::{self, ViewportCommand};

use super::dialog::Dialog;
use super::path::{PathField, Purpose};
use super::{App, Shows};
use crate::document::{
    Disk, Document, Expected, Home, Refusal, Save, Scenario, list, look, save, short_name,
};

/// How often the files of open scenarios are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What goes on once a scenario was saved, or need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Stay,
    /// It is closed.
    Close,
    /// The window is closed.
    Quit,
}

/// What is under way with files.
#[derive(Debug)]
pub(super) struct Desk {
    /// The question that is asked.
    pub(super) dialog: Option<Dialog>,
    /// What could not be done, until it is taken note of.
    pub(super) notice: Option<String>,
    /// Why the last shortcut did nothing, if it did nothing.
    pub(super) refused: Option<String>,
    /// What goes on when the save under way is over.
    saving: Option<Then>,
    /// What is to be written after that: two threads in one file would spoil it.
    orders: VecDeque<(Save, Then)>,
    /// Scenarios of which the edits are given up, by id.
    given_up: Vec<u64>,
    /// Whether the window is to be closed now.
    leaving: bool,
    looking: bool,
    looked: Instant,
    /// The title of the window as it was last told.
    title: String,
}

impl Desk {
    /// An empty desk, with something to take note of.
    pub(super) fn new(notice: Option<String>) -> Self {
        Self {
            dialog: None,
            notice,
            refused: None,
            saving: None,
            orders: VecDeque::new(),
            given_up: Vec::new(),
            leaving: false,
            looking: false,
            looked: Instant::now(),
            title: String::new(),
        }
    }
}

impl App {
    /// What files need in every frame: the title, the close button, dropped files, and a look at the disk.
    pub(super) fn attend_to_files(&mut self, context: &egui::Context) {
        let title = title(&self.document);
        if title != self.desk.title {
            self.desk.title.clone_from(&title);
            context.send_viewport_cmd(ViewportCommand::Title(title));
        }
        if self.desk.leaving {
            context.send_viewport_cmd(ViewportCommand::Close);
        } else if context.input(|input| input.viewport().close_requested()) && !self.may_leave() {
            context.send_viewport_cmd(ViewportCommand::CancelClose);
        }
        let dropped = context.input(|input| input.raw.dropped_files.clone());
        if !dropped.is_empty() {
            let files = dropped.iter().map(|file| file.path().display().to_string());
            self.open_files(files.collect(), Shows::InFront);
        }
        self.look_at_files(context);
    }

    /// Opens the scenario that ships with the program in front.
    pub(super) fn open_example(&mut self) {
        match Scenario::shipped() {
            Ok(scenario) => self.bring_in(scenario),
            Err(why) => self.desk.notice = Some(why),
        }
    }

    /// Asks for a file to open.
    pub(super) fn ask_for_file(&mut self) {
        let folder = PathField::new(&self.document.file).folder();
        self.ask_for_path(Purpose::Open, &folder);
    }

    /// Writes the scenario with `id` to its file, or asks for one if it has none of its own.
    pub(super) fn save(&mut self, id: u64, then: Then) {
        let Some(place) = self.document.place_of(id) else {
            return;
        };
        let kept = &self.document.shelf[place].keeping;
        let expected = match kept.home {
            Home::Shipped => return self.save_as(id, then),
            Home::New => Expected::Nothing,
            Home::File => Expected::Text(Arc::clone(&kept.original)),
        };
        let file = self.document.file_of(place).to_owned();
        self.write(id, file, expected, then);
    }

    /// Asks where to write the scenario with `id`.
    pub(super) fn save_as(&mut self, id: u64, then: Then) {
        let Some(place) = self.document.place_of(id) else {
            return;
        };
        let kept = &self.document.shelf[place].keeping;
        let file = self.document.file_of(place);
        let proposed = match kept.home {
            // Beside the program there is no place for it; the folder the window was opened in is the user's.
            Home::Shipped => format!("my-{}.scenario.toml", short_name(file)),
            Home::New | Home::File => file.to_owned(),
        };
        self.ask_for_path(Purpose::Save { id, then }, &proposed);
    }

    fn ask_for_path(&mut self, purpose: Purpose, proposed: &str) {
        let field = PathField::new(proposed);
        self.list(field.folder());
        self.desk.dialog = Some(Dialog::Path { purpose, field });
    }

    pub(super) fn list(&self, folder: String) {
        list(folder, self.events.0.clone(), Arc::clone(&self.wake));
    }

    /// Writes the text of the scenario with `id` to `file`.
    pub(super) fn write(&mut self, id: u64, file: String, expected: Expected, then: Then) {
        let Some(place) = self.document.place_of(id) else {
            return;
        };
        let text = Arc::clone(self.document.text_of(place));
        let order = Save {
            id,
            file,
            text,
            expected,
        };
        self.desk.orders.push_back((order, then));
        self.write_next();
    }

    /// Writes what waits longest, unless a save is under way.
    fn write_next(&mut self) {
        if self.desk.saving.is_some() {
            return;
        }
        let Some((mut order, then)) = self.desk.orders.pop_front() else {
            return;
        };
        let place = self.document.place_of(order.id);
        if let (Expected::Text(expected), Some(place)) = (&mut order.expected, place) {
            // A save that was under way when this one was asked for may have written since.
            expected.clone_from(&self.document.shelf[place].keeping.original);
        }
        self.desk.saving = Some(then);
        save(order, self.events.0.clone(), Arc::clone(&self.wake));
    }

    /// Takes the file of the scenario with `id` as it is now, and lets go what was typed.
    pub(super) fn reload(&mut self, id: u64, theirs: &Arc<str>) {
        Arc::make_mut(&mut self.document).reload(id, theirs);
        self.run_when_checked = false;
    }

    /// Closes the scenario with `id`, after a question if something would be lost.
    pub(super) fn close(&mut self, id: u64) {
        let Some(place) = self.document.place_of(id) else {
            return;
        };
        if self.document.is_at_stake(place) && !self.desk.given_up.contains(&id) {
            self.desk.dialog = Some(Dialog::Unsaved {
                id,
                then: Then::Close,
            });
            return;
        }
        let runs = self.document.running.as_ref();
        if runs.is_some_and(|running| running.place == place) {
            self.stop_run();
            self.watch = None;
            // What it still says is of nobody any more.
            self.run_number += 1;
        }
        Arc::make_mut(&mut self.document).close(place);
    }

    /// Closes the window, after a question for every scenario of which something would be lost.
    pub(super) fn quit(&mut self) {
        self.desk.leaving = self.may_leave();
    }

    /// Whether nothing is lost when the window is closed; asks for the first that would be.
    fn may_leave(&mut self) -> bool {
        let document = &self.document;
        let id = |place: usize| document.shelf[place].keeping.id;
        let mut places = 0..document.shelf.len();
        let at_stake =
            places.find(|&place| document.is_at_stake(place) && !self.desk.given_up.contains(&id(place)));
        let Some(place) = at_stake else { return true };
        self.desk.dialog = Some(Dialog::Unsaved {
            id: id(place),
            then: Then::Quit,
        });
        false
    }

    /// Goes on without the edits of the scenario with `id`.
    pub(super) fn give_up(&mut self, id: u64, then: Then) {
        self.desk.given_up.push(id);
        self.go_on(id, then);
        // Had it not been closed it would be asked for again.
        if then == Then::Close {
            self.desk.given_up.retain(|&other| other != id);
        }
    }

    /// Nothing is closed after all.
    pub(super) fn stay(&mut self) {
        self.desk.given_up.clear();
    }

    fn go_on(&mut self, id: u64, then: Then) {
        match then {
            Then::Stay => {}
            Then::Close => self.close(id),
            Then::Quit => self.quit(),
        }
    }

    /// Takes in what a thread says of the disk.
    pub(super) fn take_in_disk(&mut self, disk: Disk) {
        match disk {
            Disk::Opened(Ok(scenario)) => self.bring_in(scenario),
            Disk::Opened(Err(why)) => self.not_opened(why),
            Disk::Saved(order, outcome) => self.saved(order, outcome),
            Disk::Looked(looked) => {
                self.desk.looking = false;
                self.desk.looked = Instant::now();
                let document = Arc::make_mut(&mut self.document);
                for (id, held, elsewhere) in looked {
                    document.looked(id, &held, elsewhere);
                }
            }
            Disk::Listed(folder, entries) => {
                if let Some(Dialog::Path { field, .. }) = &mut self.desk.dialog {
                    field.listed(folder, entries);
                }
            }
        }
    }

    /// Says why something could not be opened: where it was asked for, or below the panels.
    pub(super) fn not_opened(&mut self, why: String) {
        match &mut self.desk.dialog {
            Some(Dialog::Path { purpose, field }) if *purpose == Purpose::Open => {
                field.fault = Some(why);
            }
            _ => self.desk.notice = Some(why),
        }
    }

    /// What was asked for is being opened: the question is answered.
    pub(super) fn opens(&mut self) {
        let opening = matches!(
            &self.desk.dialog,
            Some(Dialog::Path {
                purpose: Purpose::Open,
                ..
            })
        );
        if opening {
            self.desk.dialog = None;
        }
    }

    pub(super) fn bring_in(&mut self, scenario: Scenario) {
        self.opens();
        Arc::make_mut(&mut self.document).bring_in(scenario);
        self.run_when_checked = false;
    }

    fn saved(&mut self, order: Save, outcome: Result<(), Refusal>) {
        let then = self.desk.saving.take().unwrap_or(Then::Stay);
        match outcome {
            Ok(()) => {
                if matches!(
                    self.desk.dialog,
                    Some(Dialog::Path { .. } | Dialog::Differs { .. })
                ) {
                    self.desk.dialog = None;
                }
                let document = Arc::make_mut(&mut self.document);
                document.written(order.id, Some(&order.file), &order.text);
                self.go_on(order.id, then);
            }
            Err(Refusal::Exists(theirs)) => {
                self.desk.dialog = Some(Dialog::Differs { order, theirs, then });
            }
            Err(Refusal::Fault(why)) => match &mut self.desk.dialog {
                Some(Dialog::Path { field, .. }) => field.fault = Some(why),
                _ => self.desk.notice = Some(why),
            },
        }
        self.write_next();
    }

    /// Looks at the files now and then, on a thread.
    fn look_at_files(&mut self, context: &egui::Context) {
        let since = self.desk.looked.elapsed();
        let document = &self.document;
        let in_files = |place: &usize| document.shelf[*place].keeping.home == Home::File;
        let mut places = (0..document.shelf.len()).filter(in_files).peekable();
        if places.peek().is_none() {
            return;
        }
        if since < LOOK_EVERY {
            context.request_repaint_after(LOOK_EVERY - since);
            return;
        }
        if self.desk.looking {
            return;
        }
        let kept = places.map(|place| {
            let kept = &document.shelf[place].keeping;
            let file = document.file_of(place).to_owned();
            (kept.id, file, Arc::clone(&kept.original))
        });
        look(kept.collect(), self.events.0.clone(), Arc::clone(&self.wake));
        self.desk.looking = true;
    }
}

/// The title of the window: the scenario in front, marked if it was edited.
fn title(document: &Document) -> String {
    if document.shelf.is_empty() {
        return "Orrery".to_owned();
    }
    let mark = if document.is_edited(document.front) {
        "• "
    } else {
        ""
    };
    format!("{mark}{} — Orrery", short_name(&document.file))
}
