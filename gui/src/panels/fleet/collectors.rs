//! How every collector does, and the way to add one.

use eframe::egui::{RichText, TextEdit, Ui};

use super::{View, follow, one_line};
use crate::app::{Command, Commands};
use crate::document::{Collector, Fleet, Link};
use crate::theme;

/// With more collectors than this, those that are well are counted instead of listed.
const LISTED: usize = 2;

/// A line for each collector that wants to be seen.
pub(super) fn lines(ui: &mut Ui, fleet: &Fleet, now: f64, commands: &Commands) {
    let well = |collector: &Collector| collector.link == Link::Connected && !collector.is_stale(now);
    let all = fleet.collectors.len();
    let num_well = fleet
        .collectors
        .iter()
        .filter(|collector| well(collector))
        .count();
    if all > LISTED {
        ui.label(format!("{num_well} of {all} collectors are live"));
    }
    for (place, collector) in fleet.collectors.iter().enumerate() {
        if all <= LISTED || !well(collector) {
            ui.horizontal(|ui| line(ui, place, collector, now, commands));
        }
    }
}

fn line(ui: &mut Ui, place: usize, collector: &Collector, now: f64, commands: &Commands) {
    let Collector { url, link, .. } = collector;
    match link {
        Link::Connecting => {
            ui.spinner();
            one_line(ui, RichText::new(format!("connecting to {url}")));
        }
        Link::Connected if collector.is_stale(now) => {
            let age = age(collector, now);
            one_line(
                ui,
                RichText::new(format!("{url}: no sign of life for {age:.0} s")).color(theme::WARN),
            );
        }
        Link::Connected => {
            let words = format!("{url}: live, heard {:.0} s ago", age(collector, now).floor());
            ui.label(RichText::new(words).color(theme::GOOD));
            one_line(ui, RichText::new(remarks(collector)).weak());
        }
        Link::Lost { why, retry_at } => {
            let when = match retry_at {
                Some(at) => format!("retrying in {:.0} s", (at - now).max(0.0)),
                None => "retrying now".to_owned(),
            };
            let kept = if collector.heard_at.is_some() {
                "; values are the last ones heard"
            } else {
                ""
            };
            let words = format!("Collector lost: {why}, {when} ({url}){kept}");
            if ui.small_button("Retry now").clicked() {
                commands.send(Command::TryNow(place));
            }
            one_line(ui, RichText::new(words).color(theme::BAD));
        }
    }
}

fn age(collector: &Collector, now: f64) -> f64 {
    collector.heard_at.map_or(0.0, |at| (now - at).max(0.0))
}

/// Sources that give nothing and why, and what was missed on the way.
fn remarks(collector: &Collector) -> String {
    let silent = collector.sources.iter().filter(|source| !source.is_up());
    let mut remarks: Vec<String> = silent
        .map(|source| format!("{} absent: {}", source.name, source.reason))
        .collect();
    let dropped: u64 = collector.sources.iter().map(|source| source.dropped).sum();
    if dropped > 0 {
        remarks.push(format!("{dropped} samples dropped at the collector"));
    }
    if collector.missed > 0 {
        remarks.push(format!("{} lines missed by this window", collector.missed));
    }
    remarks.join("; ")
}

/// The field for the address of one more collector.
pub(super) fn add(ui: &mut Ui, view: &mut View, commands: &Commands) {
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut view.address)
            .hint_text("http://node:9477")
            .desired_width(180.0);
        let field = ui.add(field);
        let name =
            || eframe::egui::WidgetInfo::labeled(eframe::egui::Role::TextInput, true, "Collector address");
        field.widget_info(name);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
        if ui.button("Connect").clicked() || entered {
            follow(view, commands);
        }
    });
    if let Some(why) = &view.refused {
        ui.colored_label(theme::BAD, why);
    }
}
