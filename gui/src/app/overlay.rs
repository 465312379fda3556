//! The list of commands and the list of keys, both from the table of actions.

use eframe::egui::{
    self, Button, Grid, Id, Key, Modal, Modifiers, RichText, Role, ScrollArea, TextEdit, Ui, WidgetInfo,
};

use super::action::{Action, Menu};
use super::{App, Command};
use crate::document::{Document, short_name};
use crate::theme;
use crate::timeline;

/// What lies over the panels.
#[derive(Debug)]
pub(super) enum Overlay {
    /// The list of commands.
    Palette(Palette),
    /// The list of keys.
    Keys,
}

/// The list of commands, narrowed by what was typed.
#[derive(Debug, Default)]
pub(super) struct Palette {
    query: String,
    /// The line that Enter takes.
    chosen: usize,
    has_focus: bool,
}

/// A line of the list.
struct Line {
    name: String,
    meaning: String,
    /// Other words that it is found by.
    words: &'static str,
    keys: String,
    /// Why it can do nothing now, if so.
    refusal: Option<String>,
    command: Command,
}

impl App {
    /// Draws what lies over the panels, if anything.
    pub(super) fn overlay(&mut self, context: &egui::Context) {
        let Some(overlay) = &mut self.overlay else { return };
        let document = &self.document;
        let modal = Modal::new(Id::unique("overlay")).show(context, |ui| match overlay {
            Overlay::Keys => {
                keys(ui);
                None
            }
            Overlay::Palette(palette) => palette.show(ui, document),
        });
        let should_close = modal.should_close();
        if let Some(command) = modal.inner {
            self.commands.send(command);
            self.overlay = None;
        } else if should_close {
            self.overlay = None;
        }
    }
}

/// Least width of the keys, so that what they do stands in one column.
const KEYS: f32 = 180.0;

/// Keys that no action has and no panel lists.
const MORE: [(&str, &str); 3] = [
    ("Ctrl+plus, Ctrl+minus, Ctrl+0", "larger, smaller, as it was"),
    ("Ctrl+Z, Ctrl+Shift+Z", "undo and redo in the text"),
    ("Tab, Shift+Tab", "next and previous thing to press"),
];

fn keys(ui: &mut Ui) {
    let room = ui.ctx().content_rect();
    ui.set_width((room.width() * 0.9).min(880.0));
    ui.heading("Keys");
    scrolled(room.height() * 0.8).show(ui, |ui| {
        ui.columns(2, |columns| {
            for menu in Menu::ALL {
                let lines = of_menu(columns[0].ctx(), menu);
                table(&mut columns[0], menu.name(), &lines);
            }
            let own = |(keys, meaning): &(&str, &str)| ((*keys).to_owned(), (*meaning).to_owned());
            let [timeline, more]: [Vec<_>; 2] =
                [&timeline::KEYS[..], &MORE].map(|keys| keys.iter().map(own).collect());
            table(&mut columns[1], "Timeline, with the pointer over it", &timeline);
            table(&mut columns[1], "Everywhere", &more);
        });
    });
}

/// The keys of a menu, each with what it does.
fn of_menu(context: &egui::Context, menu: Menu) -> Vec<(String, String)> {
    let actions = Action::ALL.into_iter().filter(|action| action.menu() == menu);
    let with_keys = actions.filter(|action| !action.shortcuts().is_empty());
    with_keys
        .map(|action| {
            let rest = action.shortcuts().iter().skip(1);
            let rest = rest.map(|keys| context.format_shortcut(keys));
            let keys: Vec<String> = std::iter::once(action.keys(context)).chain(rest).collect();
            (keys.join(", "), action.name().to_owned())
        })
        .collect()
}

/// Scrolls what is higher than `most`. A question is as high as it was in the frame before, which is no bound.
fn scrolled(most: f32) -> ScrollArea {
    ScrollArea::vertical().max_height(most).min_scrolled_height(most)
}

fn table(ui: &mut Ui, title: &str, lines: &[(String, String)]) {
    ui.add_space(6.0);
    ui.strong(title);
    Grid::new(("keys of", title))
        .num_columns(2)
        .min_col_width(KEYS)
        .striped(true)
        .show(ui, |ui| {
            for (keys, meaning) in lines {
                ui.monospace(keys);
                ui.label(meaning);
                ui.end_row();
            }
        });
}

impl Palette {
    /// Draws the list; the command that was taken.
    fn show(&mut self, ui: &mut Ui, document: &Document) -> Option<Command> {
        ui.set_width(560.0);
        // Before the field: it would move its cursor by them.
        let (up, down) = ui.input_mut(|input| {
            let mut pressed = |key| input.consume_key(Modifiers::NONE, key);
            (pressed(Key::ArrowUp), pressed(Key::ArrowDown))
        });
        let edit = ui.add(
            TextEdit::singleline(&mut self.query)
                .hint_text("Find a command or an open scenario")
                .desired_width(f32::INFINITY),
        );
        edit.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Find a command"));
        if !std::mem::replace(&mut self.has_focus, true) {
            edit.request_focus();
        }
        if edit.changed() {
            self.chosen = 0;
        }
        let lines = narrowed(lines(ui.ctx(), document), &self.query);
        let last = lines.len().saturating_sub(1);
        self.chosen = (self.chosen + usize::from(down))
            .saturating_sub(usize::from(up))
            .min(last);
        let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let mut taken = None;
        scrolled(360.0).show(ui, |ui| {
            if lines.is_empty() {
                ui.weak("No command is called so.");
            }
            for (at, line) in lines.iter().enumerate() {
                let is_chosen = at == self.chosen;
                let keys = RichText::new(&line.keys);
                // Weak words are not read on the colour of what is chosen.
                let keys = if is_chosen { keys } else { keys.weak() };
                let name = RichText::new(&line.name);
                let name = if line.refusal.is_some() && !is_chosen {
                    name.weak()
                } else {
                    name
                };
                let button = Button::selectable(is_chosen, name)
                    .right_text(keys)
                    .min_size(egui::vec2(ui.available_width(), 0.0));
                let row = ui.add(button).on_hover_text(&line.meaning);
                if is_chosen && (up || down) {
                    row.scroll_to_me(None);
                }
                let is_asked = row.clicked() || (is_chosen && entered);
                if is_asked && line.refusal.is_none() {
                    taken = Some(line.command.clone());
                }
            }
        });
        if let Some(line) = lines.get(self.chosen) {
            ui.separator();
            match &line.refusal {
                Some(refusal) => {
                    let words = format!("Not now: {refusal}.");
                    ui.colored_label(theme::warn(ui.visuals()), words);
                }
                None => {
                    ui.weak(&line.meaning);
                }
            }
        }
        if entered && taken.is_none() {
            edit.request_focus();
        }
        taken
    }
}

/// Every line: the scenarios that are open, and the actions.
fn lines(context: &egui::Context, document: &Document) -> Vec<Line> {
    let actions = Action::ALL
        .into_iter()
        .filter(|&action| action != Action::Palette);
    let mut lines: Vec<Line> = actions
        .map(|action| Line {
            name: action.name().to_owned(),
            meaning: action.meaning().to_owned(),
            words: action.words(),
            keys: action.keys(context),
            refusal: action.refusal(document).map(str::to_owned),
            command: Command::Do(action),
        })
        .collect();
    let others = (0..document.shelf.len()).filter(|&place| place != document.front);
    lines.extend(others.map(|place| Line {
        name: format!("Go to {}", short_name(document.file_of(place))),
        meaning: document.file_of(place).to_owned(),
        words: "",
        keys: String::new(),
        refusal: None,
        command: Command::Front(place),
    }));
    lines
}

/// The lines that `query` finds, the best first.
fn narrowed(lines: Vec<Line>, query: &str) -> Vec<Line> {
    let mut found: Vec<(u8, Line)> = lines
        .into_iter()
        .filter_map(|line| {
            let meaning = format!("{} {}", line.meaning, line.words);
            rank(&line.name, &meaning, query).map(|rank| (rank, line))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, line)| line).collect()
}

/// How well a line answers `query`, the lower the better; `None` if not at all. A name that begins with it comes
/// before one that has all its words, one of which the meaning has them, and one that has its letters in order.
fn rank(name: &str, meaning: &str, query: &str) -> Option<u8> {
    let [name, meaning, query] = [name, meaning, query].map(str::to_lowercase);
    let query = query.trim();
    let has_words = |text: &str| query.split_whitespace().all(|word| text.contains(word));
    if name.starts_with(query) {
        return Some(0);
    }
    if has_words(&name) {
        return Some(1);
    }
    if has_words(&format!("{name} {meaning}")) {
        return Some(2);
    }
    let mut letters = name.chars();
    let in_order = query
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .all(|wanted| letters.any(|letter| letter == wanted));
    in_order.then_some(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_by_its_beginning_its_words_its_meaning_and_its_letters() {
        let meaning = "Writes the scenario in front to another file.";
        let of = |query: &str| rank("Save as…", meaning, query);
        assert_eq!(of(""), Some(0), "nothing typed finds everything");
        assert_eq!(of("sav"), Some(0));
        assert_eq!(of("as save"), Some(1));
        assert_eq!(of("another"), Some(2));
        assert_eq!(of("sv"), Some(3));
        assert_eq!(of("run"), None);
    }
}
