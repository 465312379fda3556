//! Draws the frame around the panels and hands each its snapshot.

use std::sync::Arc;

use eframe::egui::{
    self, Align2, Button, Color32, FontId, Frame, Id, Key, LayerId, MenuBar, Order, Panel, Popup, Theme, Ui,
    WidgetText,
};
use egui_tiles::{SimplificationOptions, Tile, TileId, Tree, UiResponse};

use super::action::{Action, Menu};
use super::arrangement::Pane;
use super::sides::{self, Sides};
use super::{App, Command, Commands};
use crate::document::{Collector, Fleet, Link, short_name};
use crate::panels::{
    calibrate, comms, compare, experts, explore, fleet, kernels, links, plan, report, timeline,
};
use crate::{Document, theme};

/// Where the panels are, and what each remembers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tree: Tree<Pane>,
    pub(super) sides: Sides,
    around: sides::Views,
    views: Views,
}

#[derive(Debug, Default)]
struct Views {
    plan: plan::View,
    timeline: crate::timeline::View,
    links: links::View,
    compare: compare::View,
    experts: experts::View,
    explore: explore::View,
    report: report::View,
    kernels: kernels::View,
    comms: comms::View,
    calibrate: calibrate::View,
    fleet: fleet::View,
}

impl Layout {
    pub(super) fn new(tree: Tree<Pane>, sides: Sides) -> Self {
        Self {
            tree,
            sides,
            around: sides::Views::default(),
            views: Views::default(),
        }
    }

    /// Whether `pane` is in front of its tabs.
    pub(super) fn is_shown(&self, pane: Pane) -> bool {
        let active = self.tree.active_tiles();
        let found = active
            .into_iter()
            .filter_map(|tile| self.tree.tiles.get_pane(&tile));
        found.copied().any(|other| other == pane)
    }

    /// Brings `pane` to the front of its tabs.
    pub(super) fn bring_up(&mut self, pane: Pane) {
        // Where it is shown already nothing happens.
        let _changed = self
            .tree
            .make_active(|_, tile| matches!(tile, Tile::Pane(other) if *other == pane));
    }
}

impl App {
    /// Draws everything.
    pub(super) fn draw(&mut self, ui: &mut Ui) {
        let context = ui.ctx().clone();
        let is_asked = self.is_asked();
        self.keep_focus(&context, is_asked);
        if !is_asked {
            for action in Action::pressed(&context, context.text_edit_focused()) {
                let document = &self.document;
                // What is typed is run as soon as it is checked.
                let waits = action == Action::Run && document.checked != Some(document.revision);
                let why = action.refusal(document).filter(|_| !waits);
                self.desk.refused = why.map(|why| format!("{}: {why}", action.name()));
                self.commands.send(Command::Do(action));
            }
        }
        let document = Arc::clone(&self.document);
        Panel::top("menus").show(ui, |ui| menus(ui, &document, &self.commands));
        let refused = self.desk.refused.as_deref();
        Panel::bottom("status").show(ui, |ui| status(ui, &document, refused, &self.commands));
        if let Some(words) = self.desk.notice.clone() {
            let taken = Panel::bottom("notice").show(ui, |ui| notice(ui, &words)).inner;
            if taken {
                self.desk.notice = None;
            }
        }
        let Layout {
            tree,
            sides,
            around,
            views,
        } = &mut self.layout;
        sides::show(ui, *sides, around, &document, &self.commands);
        let mut drawing = Drawing {
            document: &document,
            commands: &self.commands,
            views,
        };
        egui::CentralPanel::default().show(ui, |ui| tree.ui(&mut drawing, ui));
        drop(document);
        self.ask(&context);
        self.overlay(&context);
        drop_here(&context);
        self.escape(&context, is_asked);
        self.seen = (size_of(&context).or(self.seen.0), context.zoom_factor());
    }

    /// Whether something lies over the panels that wants to be answered first.
    fn is_asked(&self) -> bool {
        self.desk.dialog.is_some() || self.overlay.is_some()
    }

    /// Once what lay over the panels is answered, typing goes on where it was.
    fn keep_focus(&mut self, context: &egui::Context, is_asked: bool) {
        // What lay over the panels in the frame before still keeps the focus from them.
        let was_asked = context.memory(|memory| memory.top_modal_layer().is_some());
        if is_asked || was_asked {
            self.returns = true;
            if !is_asked {
                context.request_repaint();
            }
        } else if !std::mem::take(&mut self.returns) {
            self.focus = context.memory(egui::Memory::focused);
        } else if let Some(focus) = self.focus {
            context.memory_mut(|memory| memory.request_focus(focus));
        }
    }

    /// Escape stops the run, unless there was something else to leave. What there was is known from the frame
    /// before: menus and fields take the key for themselves when this one begins.
    fn escape(&mut self, context: &egui::Context, is_asked: bool) {
        let occupied = Popup::is_any_open(context) || context.text_edit_focused() || self.is_asked();
        let was_occupied = std::mem::replace(&mut self.occupied, occupied);
        // After the panels: what has something of its own to leave consumes the key.
        if !was_occupied && !is_asked && context.input(|input| input.key_pressed(Key::Escape)) {
            self.commands.send(Command::Do(Action::Stop));
        }
    }
}

/// Width and height of the window, as far as the system tells.
fn size_of(context: &egui::Context) -> Option<[f32; 2]> {
    let rect = context.input(|input| input.viewport().inner_rect)?;
    Some([rect.width(), rect.height()])
}

/// The menus, from the table of actions.
fn menus(ui: &mut Ui, document: &Document, commands: &Commands) {
    MenuBar::new().ui(ui, |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.name(), |ui| {
                for action in Action::ALL.into_iter().filter(|action| action.menu() == menu) {
                    entry(ui, document, commands, action);
                }
            });
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let other = match ui.ctx().theme() {
                Theme::Dark => "Light",
                Theme::Light => "Dark",
            };
            let switch = ui.add(Button::new(other).frame(false));
            if switch.on_hover_text(Action::SwitchColours.meaning()).clicked() {
                commands.send(Command::Do(Action::SwitchColours));
            }
        });
    });
}

fn entry(ui: &mut Ui, document: &Document, commands: &Commands, action: Action) {
    let refusal = action.refusal(document);
    let button = Button::new(action.name()).shortcut_text(action.keys(ui.ctx()));
    let clicked = ui
        .add_enabled(refusal.is_none(), button)
        .on_hover_text(action.meaning())
        .on_disabled_hover_text(refusal.unwrap_or_default())
        .clicked();
    if clicked {
        commands.send(Command::Do(action));
        ui.close();
    }
}

fn status(ui: &mut Ui, document: &Document, refused: Option<&str>, commands: &Commands) {
    ui.horizontal(|ui| {
        if let Some(why) = refused {
            ui.colored_label(theme::warn(ui.visuals()), why);
            ui.separator();
        }
        let run = match &document.running {
            Some(running) if running.stopping => format!("stopping {}", running.name),
            Some(running) => match running.share() {
                Some(share) => format!("running {}: {:.0} %", running.name, share * 100.0),
                None => format!("running {}", running.name),
            },
            None => document.run_refusal().unwrap_or("ready").to_owned(),
        };
        ui.label(run);
        ui.separator();
        for opening in &document.runs.opening {
            ui.label(opening.words());
            if ui.small_button("Stop opening").clicked() {
                commands.send(Command::StopOpening(opening.id));
            }
            ui.separator();
        }
        ui.label(format!("problems: {}", document.diagnostics.len()));
        ui.separator();
        devices(ui, &document.fleet);
        let hints = [Action::Keys, Action::Palette];
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            for action in hints {
                let words = format!("{}  {}", action.name(), action.keys(ui.ctx()));
                let words = egui::RichText::new(words).weak();
                let hint = ui.add(Button::new(words).frame(false).small());
                if hint.on_hover_text(action.meaning()).clicked() {
                    commands.send(Command::Do(action));
                }
            }
        });
    });
}

/// How many devices are live, and which collectors are not.
fn devices(ui: &mut Ui, fleet: &Fleet) {
    let mark = if fleet.has_demo() { " (DEMO)" } else { "" };
    let (all, live) = (fleet.num_devices(), fleet.num_live());
    ui.label(if live == all {
        format!("devices: {all}{mark}")
    } else {
        format!("devices: {live} live of {all}{mark}")
    });
    let is_lost = |collector: &&Collector| matches!(collector.link, Link::Lost { .. });
    let lost = fleet.collectors.iter().filter(is_lost);
    let (lost, missing): (Vec<&Collector>, Vec<&Collector>) = lost.partition(|lost| lost.was_reached());
    let all = fleet.collectors.len();
    for (words, collectors) in [("lost", lost), ("not reached", missing)] {
        if !collectors.is_empty() {
            ui.separator();
            let words = format!("collectors {words}: {} of {all}", collectors.len());
            ui.colored_label(theme::bad(ui.visuals()), words);
        }
    }
}

/// What could not be done; whether it was taken note of.
fn notice(ui: &mut Ui, words: &str) -> bool {
    ui.horizontal(|ui| {
        let taken = ui.button("Dismiss").clicked();
        ui.colored_label(theme::bad(ui.visuals()), words);
        taken
    })
    .inner
}

/// What dropping does, while files are held over the window.
fn drop_here(context: &egui::Context) {
    let held = context.input(|input| input.raw.hovered_files.len());
    if held == 0 {
        return;
    }
    let painter = context.layer_painter(LayerId::new(Order::Foreground, Id::unique("drop here")));
    let whole = context.content_rect();
    painter.rect_filled(whole, 0.0, Color32::from_black_alpha(190));
    painter.text(
        whole.center(),
        Align2::CENTER_CENTER,
        "Drop to open",
        FontId::proportional(24.0),
        Color32::WHITE,
    );
}

/// What the tiles need while they draw.
struct Drawing<'a> {
    document: &'a Document,
    commands: &'a Commands,
    views: &'a mut Views,
}

impl egui_tiles::Behavior<Pane> for Drawing<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> UiResponse {
        Frame::new().inner_margin(6).show(ui, |ui| match pane {
            Pane::Plan => plan::show(ui, self.document, &mut self.views.plan, self.commands),
            Pane::Timeline => {
                timeline::show(ui, self.document, &mut self.views.timeline, self.commands);
            }
            Pane::Links => links::show(ui, self.document, &mut self.views.links, self.commands),
            Pane::Compare => compare::show(ui, self.document, &mut self.views.compare, self.commands),
            Pane::Experts => experts::show(ui, self.document, &mut self.views.experts, self.commands),
            Pane::Explore => explore::show(ui, self.document, &mut self.views.explore, self.commands),
            Pane::Report => report::show(ui, self.document, &mut self.views.report, self.commands),
            Pane::Kernels => kernels::show(ui, self.document, &mut self.views.kernels),
            Pane::Comms => comms::show(ui, self.document, &mut self.views.comms),
            Pane::Calibrate => {
                calibrate::show(ui, self.document, &mut self.views.calibrate, self.commands);
            }
            Pane::Fleet => fleet::show(ui, self.document, &mut self.views.fleet, self.commands),
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        let document = self.document;
        match pane {
            Pane::Plan if document.is_edited(document.front) => {
                format!("Plan: {} •", short_name(&document.file)).into()
            }
            _ => pane.name().into(),
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions {
            all_panes_must_have_tabs: true,
            ..SimplificationOptions::default()
        }
    }
}
