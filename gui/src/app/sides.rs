//! What stands around the panels: sources at the left, the inspector at the right, the time strip below.

use eframe::egui::{Frame, Panel, Ui};
use serde::{Deserialize, Serialize};

use super::{Command, Commands};
use crate::Document;
use crate::document::{Look, Of};
use crate::panels::{inspector, sources};
use crate::timeline::{self, Strip};

/// Width of the sources and of the inspector to begin with, and the least and the most that they may be given.
const SOURCES: [f32; 3] = [186.0, 120.0, 420.0];
const INSPECTOR: [f32; 3] = [250.0, 160.0, 520.0];

/// Which of them are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sides {
    pub(super) sources: bool,
    pub(super) inspector: bool,
    pub(super) strip: bool,
}

impl Default for Sides {
    fn default() -> Self {
        Self {
            sources: true,
            inspector: true,
            strip: true,
        }
    }
}

/// What they remember.
#[derive(Debug, Default)]
pub(super) struct Views {
    inspector: inspector::View,
    strip: Strip,
}

/// Draws those that are shown; the room that is left is for the panels.
pub(super) fn show(ui: &mut Ui, sides: Sides, views: &mut Views, document: &Document, commands: &Commands) {
    if sides.strip {
        strip(ui, &mut views.strip, document, commands);
    }
    let frame = Frame::side_top_panel(ui.style());
    if sides.sources {
        let [width, least, most] = SOURCES;
        Panel::left("sources")
            .frame(frame)
            .default_size(width)
            .size_range(least..=most)
            .show(ui, |ui| sources::show(ui, document, commands));
    }
    if sides.inspector {
        let [width, least, most] = INSPECTOR;
        Panel::right("inspector")
            .frame(frame)
            .default_size(width)
            .size_range(least..=most)
            .show(ui, |ui| {
                inspector::show(ui, document, &mut views.inspector, commands);
            });
    }
}

/// The whole step in front, if there is a timeline of it.
fn strip(ui: &mut Ui, strip: &mut Strip, document: &Document, commands: &Commands) {
    let Some(model) = document.timeline() else { return };
    let name = match document.runs.viewed() {
        Some(run) => run.title(),
        None => document
            .finished
            .as_ref()
            .map_or_else(String::new, |run| run.name.clone()),
    };
    let seen = document.selection.seen(model);
    let wanted = Panel::bottom("time strip")
        .resizable(false)
        .show(ui, |ui| timeline::show_strip(ui, (&name, model), strip, seen))
        .inner;
    if let Some(window) = wanted {
        commands.send(Command::Look(Look {
            of: Of::new(model),
            window,
            interval: seen.interval,
        }));
    }
}
