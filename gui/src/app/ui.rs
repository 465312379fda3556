//! Draws the frame around the panels and hands each its snapshot.

use std::sync::Arc;

use eframe::egui::{self, Frame, Key, KeyboardShortcut, Modifiers, Panel, Ui, WidgetText};
use egui_tiles::{
    Container, Linear, LinearDir, SimplificationOptions, Tile, TileId, Tiles, Tree, UiResponse,
};

use super::{App, Command, Commands};
use crate::document::{Collector, Link};
use crate::panels::{fleet, plan, timeline};
use crate::{Document, theme};

/// The panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pane {
    Plan,
    Timeline,
    Fleet,
}

/// Where the panels are, and what each remembers.
#[derive(Debug)]
pub(super) struct Layout {
    tree: Tree<Pane>,
    views: Views,
}

#[derive(Debug, Default)]
struct Views {
    plan: plan::View,
    timeline: timeline::View,
    fleet: fleet::View,
}

impl Default for Layout {
    /// Plan at the left; the timeline above the fleet at the right.
    fn default() -> Self {
        let mut tiles = Tiles::default();
        let [plan, timeline, fleet] =
            [Pane::Plan, Pane::Timeline, Pane::Fleet].map(|pane| tiles.insert_pane(pane));
        let mut split = |dir, children, share| {
            let linear = Linear::new_binary(dir, children, share);
            tiles.insert_new(Tile::Container(Container::Linear(linear)))
        };
        let right = split(LinearDir::Vertical, [timeline, fleet], 0.6);
        let root = split(LinearDir::Horizontal, [plan, right], 0.36);
        Self {
            tree: Tree::new(egui::Id::unique("panels"), root, tiles),
            views: Views::default(),
        }
    }
}

impl App {
    /// Draws everything.
    pub(super) fn draw(&mut self, ui: &mut Ui) {
        run_shortcut(ui, &self.commands);
        let document = Arc::clone(&self.document);
        Panel::bottom("status").show(ui, |ui| status(ui, &document));
        let Layout { tree, views } = &mut self.layout;
        let mut drawing = Drawing {
            document: &document,
            commands: &self.commands,
            views,
        };
        egui::CentralPanel::default().show(ui, |ui| tree.ui(&mut drawing, ui));
        // After the panels: what has something of its own to leave takes the key.
        if ui.input(|input| input.key_pressed(Key::Escape)) {
            self.commands.send(Command::Stop);
        }
    }
}

fn run_shortcut(ui: &Ui, commands: &Commands) {
    let run = KeyboardShortcut::new(Modifiers::COMMAND, Key::Enter);
    if ui.input_mut(|input| input.consume_shortcut(&run)) {
        commands.send(Command::Run);
    }
}

fn status(ui: &mut Ui, document: &Document) {
    ui.horizontal(|ui| {
        let run = match (&document.running, document.checked == Some(document.revision)) {
            (Some(running), _) if running.stopping => format!("stopping {}", running.name),
            (Some(running), _) => match running.share() {
                Some(share) => format!("running {}: {:.0} %", running.name, share * 100.0),
                None => format!("running {}", running.name),
            },
            (None, false) => "checking".to_owned(),
            (None, true) => "ready".to_owned(),
        };
        ui.label(run);
        ui.separator();
        ui.label(format!("problems: {}", document.diagnostics.len()));
        ui.separator();
        let fleet = &document.fleet;
        let mark = if fleet.has_demo() { " (DEMO)" } else { "" };
        ui.label(format!("devices: {}{mark}", fleet.num_devices()));
        let lost = |collector: &&Collector| matches!(collector.link, Link::Lost { .. });
        let num_lost = fleet.collectors.iter().filter(lost).count();
        if num_lost > 0 {
            ui.separator();
            let all = fleet.collectors.len();
            ui.colored_label(theme::BAD, format!("collectors lost: {num_lost} of {all}"));
        }
    });
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
            Pane::Timeline => timeline::show(ui, self.document, &mut self.views.timeline),
            Pane::Fleet => fleet::show(ui, self.document, &mut self.views.fleet, self.commands),
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        match pane {
            Pane::Plan => "Plan",
            Pane::Timeline => "Timeline",
            Pane::Fleet => "Fleet",
        }
        .into()
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions {
            all_panes_must_have_tabs: true,
            ..SimplificationOptions::default()
        }
    }
}
