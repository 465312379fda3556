//! Report: the decision sheet of a run, as it will be exported.

mod export;
mod page;

use std::sync::Arc;

use eframe::egui::{CentralPanel, ComboBox, Frame, Panel, ScrollArea, TextEdit, Ui};
use orrery::sheet::Sheet;

use crate::app::{Action, Command, Commands};
use crate::{Document, theme};

/// Width of the column in which a sheet is made up.
const MAKE_UP: f32 = 250.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The run that the words are of.
    run: Option<u64>,
    title: String,
    memo: String,
    left_out: Vec<Section>,
    path: export::Path,
    made: Option<Made>,
}

/// The sheet as it was made up, and what of.
#[derive(Debug)]
struct Made {
    of: Arc<Sheet>,
    words: [String; 2],
    left_out: Vec<Section>,
    sheet: Arc<Sheet>,
}

/// A section that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Causes,
    Swings,
    Memory,
    Expected,
    Origin,
    Assumptions,
}

impl Section {
    const ALL: [Self; 6] = [
        Self::Causes,
        Self::Swings,
        Self::Memory,
        Self::Expected,
        Self::Origin,
        Self::Assumptions,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Causes => "where the step goes",
            Self::Swings => "what decides the step",
            Self::Memory => "memory by stage",
            Self::Expected => "expectations",
            Self::Origin => "sources",
            Self::Assumptions => "assumptions",
        }
    }
}

impl View {
    /// The sheet as it will be exported.
    fn made(&mut self, sheet: &Arc<Sheet>) -> Arc<Sheet> {
        let words = [self.title.clone(), self.memo.clone()];
        if let Some(made) = &self.made
            && Arc::ptr_eq(&made.of, sheet)
            && made.words == words
            && made.left_out == self.left_out
        {
            return Arc::clone(&made.sheet);
        }
        let mut made = Sheet::clone(sheet);
        made.title.clone_from(&self.title);
        made.memo.clone_from(&self.memo);
        for section in &self.left_out {
            match section {
                Section::Causes => made.causes.clear(),
                Section::Swings => made.swings.clear(),
                Section::Memory => made.memory.clear(),
                Section::Expected => made.expected.clear(),
                // What a sheet is of stays on it: scenario, hash and seed.
                Section::Origin => made.origin.retain(|(name, _)| *name != "source"),
                Section::Assumptions => made.assumptions.clear(),
            }
        }
        let made = Arc::new(made);
        self.made = Some(Made {
            of: Arc::clone(sheet),
            words,
            left_out: self.left_out.clone(),
            sheet: Arc::clone(&made),
        });
        made
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let Some(run) = document.sheet_run() else {
        nothing(ui, document, commands);
        return;
    };
    let prepared = document
        .sheets
        .prepared
        .as_ref()
        .filter(|prepared| prepared.run == run.id);
    let sheet = match prepared.map(|prepared| &prepared.sheet) {
        None => {
            choice(ui, document, commands);
            ui.weak("The sheet is being made…");
            return;
        }
        Some(Err(why)) => {
            choice(ui, document, commands);
            ui.colored_label(theme::warn(ui.visuals()), why);
            return;
        }
        Some(Ok(sheet)) => Arc::clone(sheet),
    };
    if view.run != Some(run.id) {
        view.run = Some(run.id);
        view.title.clone_from(&sheet.title);
        view.path = export::Path::beside(&run.source, &run.name);
    }
    Panel::left("make-up of the sheet")
        .resizable(false)
        .exact_size(MAKE_UP)
        .frame(Frame::new().inner_margin(6))
        .show(ui, |ui| {
            choice(ui, document, commands);
            ui.add_space(6.0);
            let label = ui.label("Title");
            ui.add(TextEdit::singleline(&mut view.title).desired_width(f32::INFINITY))
                .labelled_by(label.id);
            let label = ui.label("Memo");
            let memo = TextEdit::multiline(&mut view.memo)
                .hint_text("What is decided, by whom, until when")
                .desired_rows(4)
                .desired_width(f32::INFINITY);
            ui.add(memo).labelled_by(label.id);
            ui.add_space(6.0);
            for section in Section::ALL {
                let mut is_in = !view.left_out.contains(&section);
                if ui.checkbox(&mut is_in, section.name()).changed() {
                    view.left_out.retain(|other| *other != section);
                    if !is_in {
                        view.left_out.push(section);
                    }
                }
            }
            ui.add_space(8.0);
            let made = view.made(&sheet);
            export::show(ui, document, &mut view.path, &made, commands);
        });
    let made = view.made(&sheet);
    CentralPanel::default()
        .frame(Frame::new().inner_margin(10))
        .show(ui, |ui| {
            ScrollArea::vertical()
                .auto_shrink([false, false])
                .show(ui, |ui| page::show(ui, &made));
        });
}

/// The run whose sheet is shown.
fn choice(ui: &mut Ui, document: &Document, commands: &Commands) {
    let shown = document.sheet_run();
    let label = ui.label("Run");
    let combo = ComboBox::from_id_salt("run of the sheet")
        .selected_text(shown.map_or_else(String::new, |run| run.title()))
        .width(ui.available_width().min(MAKE_UP - 16.0))
        .show_ui(ui, |ui| {
            for run in document.runs.kept.iter().rev() {
                let is_shown = shown.is_some_and(|other| other.id == run.id);
                if ui.selectable_label(is_shown, run.title()).clicked() {
                    commands.send(Command::ShowSheet(run.id));
                }
            }
        });
    let _labelled = combo.response.labelled_by(label.id);
}

/// What is said when there is no run.
fn nothing(ui: &mut Ui, document: &Document, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("A sheet needs a run");
        if document.running.is_some() {
            ui.label("A run is under way; its sheet appears here.");
        }
        ui.label("One page for whoever decides: GPUs, layout, step, MFU, memory, what limits it, cost, power, and what the figures rest on.");
        ui.label("Run the scenario in front, or open a stored run (its folder or run.json).");
        ui.add_space(6.0);
        for action in [Action::Run, Action::Open] {
            let refusal = action.refusal(document);
            let button = ui.add_enabled(refusal.is_none(), eframe::egui::Button::new(action.name()));
            let button = button.on_hover_text(action.meaning()).on_disabled_hover_text(refusal.unwrap_or_default());
            if button.clicked() {
                commands.send(Command::Do(action));
            }
        }
    });
}
