//! Explore: which layout of a job is best, and how large its cluster should be.

mod chosen;
mod model;
mod parallel;
mod scatter;
mod sizes;
mod table;
mod target;

use std::sync::{Arc, Weak};

use eframe::egui::{Button, CentralPanel, DragValue, Frame, Panel, ProgressBar, ScrollArea, Ui};
use orrery::sweep::{Degree, Target};
use orrery_scenario::LayoutChoice;

use crate::app::{Command, Commands};
use crate::document::{Item, Of, Searching, Wanted};
use crate::words::grouped;
use crate::{Document, theme};
pub use model::ExploreModel;
use model::{Axis, Filter};

/// A scenario that ships with the program and is opened from here.
const EXAMPLE: (&str, &str) = (
    "Mixtral 8x22B on H100",
    "scenarios/training/mixtral-8x22b-h100.scenario.toml",
);
/// Height of the pictures.
const PICTURES: f32 = 240.0;
/// Width from which what was chosen stands beside the table.
const WIDE: f32 = 900.0;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    wanted: Wanted,
    /// What was found, as the rest knows it, and by which search.
    shown: Weak<ExploreModel>,
    search: u64,
    filter: Filter,
    sort: (Axis, bool),
    /// The rows that pass, sorted, and what they were found by.
    rows: Arc<Vec<usize>>,
    found_by: (Filter, (Axis, bool)),
    /// The layout that was chosen, here or elsewhere.
    chosen: Option<usize>,
    /// The layout that everybody looks at, as last told.
    told: Option<usize>,
    /// The layout that a person chose.
    picked: Option<LayoutChoice>,
    /// What is asked of the sizes of a cluster.
    target: Target,
    /// Why what was typed as a budget is none.
    refused: Option<String>,
    /// The row to bring into view.
    scroll_to: Option<usize>,
    /// Where dragging began in the picture of points.
    grabbed: Option<[f64; 2]>,
    /// And along an axis.
    grabbed_axis: Option<f64>,
    /// Whether reasons of what cannot be are listed.
    reasons: bool,
}

impl View {
    /// Makes ready for what `search` found. A newer state of the same search keeps what a person chose; of another search
    /// nothing is kept: its axes, its order and its place in the table say nothing of these layouts.
    fn attend(&mut self, search: u64, model: &Arc<ExploreModel>, commands: &Commands) {
        let is_same = std::ptr::eq(self.shown.as_ptr(), Arc::as_ptr(model));
        if !is_same {
            let picked = match self.search == search {
                true => self.picked.take(),
                false => {
                    *self = Self {
                        wanted: std::mem::take(&mut self.wanted),
                        target: self.target,
                        search,
                        scroll_to: Some(0),
                        ..Self::default()
                    };
                    None
                }
            };
            self.shown = Arc::downgrade(model);
            self.chosen = None;
            let place = |choice: &LayoutChoice| model.layouts.iter().position(|row| row.choice == *choice);
            match picked.as_ref().and_then(place) {
                Some(at) => self.pick(model, at, commands),
                None => {
                    if let Some(best) = model.best {
                        self.choose(best, commands);
                    }
                }
            }
        }
        let by = (self.filter.clone(), self.sort);
        if !is_same || self.found_by != by {
            self.rows = Arc::new(model.rows(&self.filter, self.sort));
            self.found_by = by;
        }
    }

    /// Has everybody look at the layout at `at`.
    fn pick(&mut self, model: &Arc<ExploreModel>, at: usize, commands: &Commands) {
        self.choose(at, commands);
        self.told = Some(at);
        self.picked = Some(model.layouts[at].choice.clone());
        commands.send(Command::Select(Some(Item::Layout(Of::new(model), at))));
    }

    /// Takes in which layout was chosen elsewhere.
    fn agree(&mut self, told: Option<usize>, commands: &Commands) {
        let is_new = self.told != told;
        self.told = told;
        if let Some(at) = told.filter(|&at| is_new && self.chosen != Some(at)) {
            self.choose(at, commands);
        }
    }

    fn choose(&mut self, at: usize, commands: &Commands) {
        self.chosen = Some(at);
        commands.send(Command::Weigh(at));
    }
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    controls(ui, document, view, commands);
    let explore = &document.explore;
    if let Some(fault) = &explore.fault {
        ui.colored_label(theme::bad(ui.visuals()), format!("The search failed: {fault}"));
    }
    if view.wanted.sizes {
        match &explore.sizes {
            Some((job, sizes)) => {
                let target = (&mut view.target, &mut view.refused);
                sizes::show(ui, document, (job, sizes), target, commands);
            }
            None => nothing(ui, document, commands),
        }
        return;
    }
    let Some((job, model)) = &explore.found else {
        nothing(ui, document, commands);
        return;
    };
    view.attend(job.number, model, commands);
    view.agree(document.selection.layout(model), commands);
    if job.text != document.text {
        let words = format!(
            "These are layouts of {}, as it was when the search began.",
            job.name
        );
        ui.colored_label(theme::warn(ui.visuals()), words);
    }
    let known = job
        .known
        .then_some("known from the search before; nothing was estimated twice");
    summary(ui, model, view, known);
    if view.reasons {
        reasons(ui, model);
    }
    if model.layouts.is_empty() {
        return;
    }
    let is_wide = ui.available_width() >= WIDE;
    if is_wide {
        Panel::right("chosen layout")
            .resizable(true)
            .default_size(360.0)
            .frame(Frame::new().inner_margin(6))
            .show(ui, |ui| scrolled_chosen(ui, document, view, commands));
    } else {
        Panel::bottom("chosen layout below")
            .resizable(true)
            .default_size(190.0)
            .frame(Frame::new().inner_margin(4))
            .show(ui, |ui| scrolled_chosen(ui, document, view, commands));
    }
    CentralPanel::default()
        .frame(Frame::new())
        .show(ui, |ui| pictures_and_table(ui, model, view, commands));
}

fn pictures_and_table(ui: &mut Ui, model: &Arc<ExploreModel>, view: &mut View, commands: &Commands) {
    let height = PICTURES.min(ui.available_height() * 0.48);
    let clicked = ui
        .horizontal_top(|ui| {
            let half = ui.available_width() * 0.42;
            let clicked = ui
                .vertical(|ui| {
                    ui.set_width(half);
                    scatter::show(ui, model, view, height)
                })
                .inner;
            ui.vertical(|ui| parallel::show(ui, model, view, height));
            clicked
        })
        .inner;
    if let Some(at) = clicked {
        view.pick(model, at, commands);
        view.scroll_to = view.rows.iter().position(|&row| row == at);
    }
    ui.add_space(4.0);
    if let Some(at) = table::show(ui, model, view) {
        view.pick(model, at, commands);
    }
}

fn scrolled_chosen(ui: &mut Ui, document: &Document, view: &View, commands: &Commands) {
    ScrollArea::vertical()
        .id_salt("chosen")
        .auto_shrink([false, false])
        .show(ui, |ui| chosen::show(ui, document, view, commands));
}

/// What is searched, and the buttons.
fn controls(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    ui.horizontal_wrapped(|ui| {
        ui.selectable_value(&mut view.wanted.sizes, false, "Layouts")
            .on_hover_text("Every legal layout of the scenario in front on its cluster");
        ui.selectable_value(&mut view.wanted.sizes, true, "Cluster sizes")
            .on_hover_text("The same job on a quarter to four times the nodes, each in its best layout");
        ui.separator();
        match &document.explore.searching {
            Some(searching) => under_way(ui, searching, view.wanted.sizes, commands),
            None => {
                let refusal = document.search_refusal();
                let words = if view.wanted.sizes {
                    "Compare sizes"
                } else {
                    "Search layouts"
                };
                let button = ui.add_enabled(refusal.is_none(), Button::new(words));
                if button.clicked() {
                    commands.send(Command::Search(view.wanted.clone()));
                }
                if let Some(why) = refusal {
                    ui.colored_label(theme::warn(ui.visuals()), why);
                } else if document.plan.is_none() {
                    ui.weak("the layout that is written is not legal; others are looked for");
                }
            }
        }
        ui.separator();
        ui.weak("vary");
        for degree in Degree::ALL {
            let mut varied = view.wanted.degrees.contains(&degree);
            let hint = format!(
                "Ticked: every value of {} is tried. Else it stays as written.",
                degree.name()
            );
            if ui
                .checkbox(&mut varied, degree.name())
                .on_hover_text(hint)
                .changed()
            {
                view.wanted.degrees.retain(|other| *other != degree);
                if varied {
                    view.wanted.degrees.push(degree);
                }
            }
        }
        if view.wanted.sizes {
            target::size(ui, document, &mut view.wanted);
        } else {
            ui.weak("simulate the best");
            ui.add(DragValue::new(&mut view.wanted.top).range(0..=200));
        }
    });
}

fn under_way(ui: &mut Ui, searching: &Searching, sizes: bool, commands: &Commands) {
    if ui
        .add_enabled(!searching.stopping, Button::new("Stop searching"))
        .clicked()
    {
        commands.send(Command::StopSearch);
    }
    let words = if searching.stopping {
        "stopping…".to_owned()
    } else if sizes || searching.of == 0 {
        format!(
            "{} layouts estimated, {} simulated",
            grouped(searching.estimated as u64),
            searching.simulated
        )
    } else if searching.estimated < searching.of {
        format!("estimating {} layouts", grouped(searching.of as u64))
    } else {
        format!("simulated: {}", searching.simulated)
    };
    let share = searching.estimated as f32 / searching.of.max(1) as f32;
    ui.add(ProgressBar::new(share.min(1.0)).desired_width(230.0).text(words));
}

/// How many there are, and which are looked at.
fn summary(ui: &mut Ui, model: &ExploreModel, view: &mut View, known: Option<&str>) {
    let base = &model.found.base;
    ui.horizontal_wrapped(|ui| {
        let words = format!(
            "{}: {} layouts on {} x {}, {} allowed by the rules, {} fit",
            base.identity.name,
            grouped(model.found.estimated.looked_at as u64),
            base.layout.world(),
            base.cluster.device.name,
            grouped(model.layouts.len() as u64),
            grouped(model.fitting as u64),
        );
        ui.strong(words);
        if let Some(known) = known {
            ui.weak(known);
        }
        if let Some((regret, off)) = model.found.judged() {
            let percent = orrery_report::render::percent;
            let words = format!(
                "first estimate {} behind the best simulated, estimates {} off",
                percent(regret),
                percent(off)
            );
            ui.weak(words);
        }
    });
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(&mut view.filter.only_fitting, "only what fits");
        let reasons = format!(
            "why others cannot be ({})",
            model.found.estimated.infeasible.len()
        );
        ui.toggle_value(&mut view.reasons, reasons);
        if view.filter.ranges.is_empty() {
            ui.weak("drag over the points or along an axis to choose a part");
        } else {
            let words: Vec<String> = view
                .filter
                .ranges
                .iter()
                .map(|&(axis, low, high)| {
                    format!(
                        "{} {} … {}",
                        axis.name(),
                        model::in_words(axis, low),
                        model::in_words(axis, high)
                    )
                })
                .collect();
            ui.label(format!(
                "{} chosen: {}",
                grouped(view.rows.len() as u64),
                words.join(", ")
            ));
            if ui.small_button("All layouts").clicked() {
                view.filter.ranges.clear();
            }
        }
    });
}

/// Why others cannot be.
fn reasons(ui: &mut Ui, model: &ExploreModel) {
    for reason in &model.found.estimated.infeasible {
        let words = format!(
            "{} x {}: {} (such as {})",
            grouped(reason.count as u64),
            reason.code,
            reason.message,
            reason.example
        );
        let meaning = orrery_scenario::explain(reason.code).unwrap_or("More than the memory of a device.");
        ui.label(words).on_hover_text(meaning);
    }
}

/// What is said before anything was searched.
fn nothing(ui: &mut Ui, document: &Document, commands: &Commands) {
    ui.add_space(12.0);
    ui.vertical_centered(|ui| {
        ui.heading("Which layout is best?");
        if document.explore.searching.is_some() {
            ui.label("A search is under way.");
            return;
        }
        ui.label("Every legal layout of the scenario in front is estimated in closed form, and the best are simulated.");
        ui.label("What does not fit stays listed, with the reason. \"Cluster sizes\" asks the same for fewer and for more nodes.");
        ui.add_space(6.0);
        let (name, file) = EXAMPLE;
        if ui.button(format!("Open: {name}")).on_hover_text(file).clicked() {
            commands.send(Command::OpenFile(file.to_owned()));
        }
    });
}
