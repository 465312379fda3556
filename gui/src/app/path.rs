//! A path that is asked for: typed, or found by clicks on what lies beside it.

use std::path::{Component, MAIN_SEPARATOR, Path, is_separator};

use eframe::egui::text::{CCursor, CCursorRange};
use eframe::egui::text_edit::TextEditState;
use eframe::egui::{self, Button, Id, Key, Label, RichText, Role, ScrollArea, TextEdit, Ui, WidgetInfo};

use super::dialog::{Answer, buttons};
use super::keeping::Then;
use crate::document::{Document, Entry, same};
use crate::theme;

/// What a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A scenario, a stored run, a trace or a recorded load is read from it.
    Open,
    /// The scenario with this id is written to it.
    Save { id: u64, then: Then },
}

/// A path that is typed, with what lies beside it.
#[derive(Debug)]
pub(super) struct PathField {
    path: String,
    /// Why it was not taken.
    pub(super) fault: Option<String>,
    entries: Vec<Entry>,
    /// The folder of the entries.
    folder: Option<String>,
    has_focus: bool,
}

/// What was clicked beside a path.
enum Click {
    /// The folder above, as [`PathField::above`] writes it.
    Above(String),
    /// A folder in the folder.
    Folder(String),
    /// A file in it.
    File(String),
}

impl PathField {
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            fault: None,
            entries: Vec::new(),
            folder: None,
            has_focus: false,
        }
    }

    /// The folder that the path names, with a separator after it, and what it names in there. The folder is
    /// empty for the current one.
    fn split(&self) -> (&str, &str) {
        let end = self.path.rfind(is_separator).map_or(0, |at| at + 1);
        self.path.split_at(end)
    }

    /// The folder that the path names, with a separator after it; empty for the current one.
    pub(super) fn folder(&self) -> String {
        self.split().0.to_owned()
    }

    /// The folder that this one lies in, written as [`folder`](Self::folder) is; `None` if it lies in none.
    fn above(&self) -> Option<String> {
        let folder = Path::new(self.split().0);
        match folder.components().next_back() {
            Some(Component::Normal(_)) => {
                let above = folder.parent().unwrap_or(Path::new("")).join("");
                Some(above.display().to_string())
            }
            Some(Component::RootDir | Component::Prefix(_)) => None,
            Some(Component::ParentDir | Component::CurDir) | None => {
                Some(folder.join("..").join("").display().to_string())
            }
        }
    }

    /// Takes the `entries` of `folder`, unless another one was typed meanwhile.
    pub(super) fn listed(&mut self, folder: String, entries: Vec<Entry>) {
        if folder == self.folder() {
            self.entries = entries;
            self.folder = Some(folder);
        }
    }

    /// The path after a click on what lies beside it. A file that is to be saved keeps its name on the way.
    fn after(&self, click: &Click, purpose: Purpose) -> String {
        let (folder, name) = self.split();
        let name = match purpose {
            Purpose::Open => "",
            Purpose::Save { .. } => name,
        };
        match click {
            Click::File(file) => format!("{folder}{file}"),
            Click::Folder(inner) => format!("{folder}{inner}{MAIN_SEPARATOR}{name}"),
            Click::Above(above) => format!("{above}{name}"),
        }
    }

    /// Asks for the list of the folder, if it is another one than that of the entries.
    fn changed_folder(&self) -> Option<Answer> {
        let folder = self.folder();
        (self.folder.as_ref() != Some(&folder)).then_some(Answer::List(folder))
    }
}

/// Why the scenario with `id` cannot be written to `file`, as far as the window knows.
fn refusal(document: &Document, id: u64, file: &str) -> Option<String> {
    if file.is_empty() || file.ends_with(is_separator) {
        return Some("name a file".to_owned());
    }
    let mut others = (0..document.shelf.len()).filter(|&place| document.shelf[place].keeping.id != id);
    let taken = others.any(|place| same(document.file_of(place), file));
    taken.then(|| "that file is open in another tab".to_owned())
}

/// Asks for a path, with what lies beside it.
pub(super) fn path(
    ui: &mut Ui,
    document: &Document,
    purpose: Purpose,
    field: &mut PathField,
) -> Option<Answer> {
    let (title, verb) = match purpose {
        Purpose::Open => ("Open a scenario, a run, a trace or a recorded load", "Open file"),
        Purpose::Save { .. } => ("Save the scenario as", "Save file"),
    };
    ui.heading(title);
    let edit = ui.add(TextEdit::singleline(&mut field.path).desired_width(f32::INFINITY));
    edit.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Path"));
    if !field.has_focus {
        field.has_focus = true;
        edit.request_focus();
        if purpose == Purpose::Open {
            select_all(ui, edit.id, &field.path);
        }
    }
    let mut answer = None;
    if edit.changed() {
        field.fault = None;
        answer = field.changed_folder();
    }
    let mut entered = edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    let folder = std::path::absolute(Path::new(".").join(field.split().0));
    if let Ok(folder) = folder {
        ui.add(Label::new(RichText::new(format!("in {}", folder.display())).weak()).truncate());
    }
    if let Some(click) = beside(ui, field) {
        field.path = field.after(&click, purpose);
        field.fault = None;
        answer = field.changed_folder();
        // A click on a scenario to open says all there is to say.
        entered = matches!(click, Click::File(_)) && purpose == Purpose::Open;
    }
    match purpose {
        Purpose::Open => {
            ui.weak("A folder of traces, one of each rank, opens as a whole. A table or dump of expert loads (CSV, JSON, Parquet) becomes a comparison of balancers. Files may also be dropped on the window.");
        }
        Purpose::Save { .. } => {
            ui.weak("What the scenario refers to is found relative to its file.");
        }
    }
    if let Some(fault) = &field.fault {
        ui.colored_label(theme::bad(ui.visuals()), fault);
    }
    let clicked = buttons(ui, &[(verb, Some(())), ("Cancel", None)]);
    match clicked {
        Some(None) => return Some(Answer::Cancel),
        Some(Some(())) => entered = true,
        None => {}
    }
    if !entered {
        return answer;
    }
    let file = field.path.trim().to_owned();
    match purpose {
        Purpose::Open => {
            // Should it not be opened, the path is typed anew.
            field.has_focus = false;
            Some(Answer::Open(file))
        }
        Purpose::Save { id, then } => match refusal(document, id, &file) {
            Some(why) => {
                field.fault = Some(why);
                edit.request_focus();
                None
            }
            None => Some(Answer::SaveTo(id, file, then)),
        },
    }
}

/// Selects all of the `path` in the field `id`: what is typed or pasted then is the whole path, and not the end of one.
fn select_all(ui: &Ui, id: Id, path: &str) {
    let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
    let ends = (CCursor::new(0), CCursor::new(path.chars().count()));
    state
        .cursor
        .set_char_range(Some(CCursorRange::two(ends.0, ends.1)));
    state.store(ui.ctx(), id);
}

/// The folder above, and what lies in the folder; what was clicked.
fn beside(ui: &mut Ui, field: &PathField) -> Option<Click> {
    let mut clicked = None;
    let row = |ui: &mut Ui, words: String| {
        let row = Button::selectable(false, words).min_size(egui::vec2(ui.available_width(), 0.0));
        ui.add(row).clicked()
    };
    ScrollArea::vertical()
        .max_height(220.0)
        .auto_shrink([false, false])
        .show(ui, |ui| {
            if let Some(above) = field.above()
                && row(ui, "../".to_owned())
            {
                clicked = Some(Click::Above(above));
            }
            if field.folder.as_ref() != Some(&field.folder()) {
                ui.spinner();
            } else if field.entries.is_empty() {
                ui.weak("Nothing that can be opened and no folder lies there.");
            }
            for Entry { is_file, name } in &field.entries {
                if *is_file && row(ui, name.clone()) {
                    clicked = Some(Click::File(name.clone()));
                } else if !is_file && row(ui, format!("{name}/")) {
                    clicked = Some(Click::Folder(name.clone()));
                }
            }
        });
    clicked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Scenario;

    #[test]
    fn a_click_in_the_list_goes_on_from_the_folder_that_is_typed() {
        let mut field = PathField::new("a/b.toml");
        assert_eq!(field.folder(), "a/");
        let save = Purpose::Save {
            id: 1,
            then: Then::Stay,
        };
        let after = |click: &Click| [Purpose::Open, save].map(|purpose| field.after(click, purpose));
        assert_eq!(after(&Click::File("c.toml".to_owned())), ["a/c.toml"; 2]);
        let inner = after(&Click::Folder("d".to_owned()));
        assert_eq!(inner, ["a/d/", "a/d/b.toml"].map(own_separators));
        assert_eq!(after(&Click::Above(String::new())), ["", "b.toml"]);
        let entry = Entry {
            is_file: true,
            name: "late".to_owned(),
        };
        field.listed("b/".to_owned(), vec![entry]);
        assert!(field.entries.is_empty(), "another folder was typed meanwhile");
        assert_eq!(PathField::new("b.toml").folder(), "");
    }

    /// `path` with separators of this system, but for the first.
    fn own_separators(path: &str) -> String {
        let (first, rest) = path.split_once('/').unwrap_or(("", path));
        format!("{first}/{}", rest.replace('/', std::path::MAIN_SEPARATOR_STR))
    }

    #[cfg(unix)]
    #[test]
    fn above_a_folder_is_the_one_it_lies_in() {
        let above = |path: &str| PathField::new(path).above();
        let pairs = [
            ("a.toml", "../"),
            ("a/b.toml", ""),
            ("a/b/c.toml", "a/"),
            ("../a.toml", "../../"),
            ("/a/b.toml", "/"),
        ];
        for (path, folder) in pairs {
            assert_eq!(above(path).as_deref(), Some(folder), "{path}");
        }
        assert_eq!(above("/a.toml"), None, "nothing is above all");
    }

    #[test]
    fn a_file_of_another_tab_is_refused() {
        let document = Document::open(["a.toml", "b.toml"].map(|file| Scenario::new(file, "")).into());
        let id = document.shelf[0].keeping.id;
        assert_eq!(refusal(&document, id, "a.toml"), None, "its own");
        assert!(refusal(&document, id, "./b.toml").is_some(), "the other's");
        assert!(refusal(&document, id, "").is_some() && refusal(&document, id, "folder/").is_some());
    }
}
