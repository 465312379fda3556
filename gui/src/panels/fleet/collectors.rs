//! How every collector does, and the way to add one.

use eframe::egui::{Label, RichText, ScrollArea, TextEdit, Ui};

use super::{View, follow, one_line};
use crate::app::{Command, Commands};
use crate::document::{Collector, Fleet, Link};
use crate::theme;

/// With more collectors than this, those that are well are counted instead of listed.
const LISTED: usize = 2;

/// Lines that are in view at once; more are scrolled, for the devices are what the panel is for.
const IN_VIEW: f32 = 4.0;

/// A line for each collector that wants to be seen.
pub(super) fn lines(ui: &mut Ui, fleet: &Fleet, now: f64, commands: &Commands) {
    let well = |collector: &Collector| collector.link == Link::Connected && !collector.is_stale(now);
    let all = fleet.collectors.len();
    let collectors = fleet.collectors.iter();
    let listed: Vec<&Collector> = collectors
        .filter(|collector| all <= LISTED || !well(collector))
        .collect();
    if all > LISTED {
        let num_well = all - listed.len();
        ui.label(format!("{num_well} of {all} collectors are live"));
    }
    let height = ui.spacing().interact_size.y + ui.spacing().item_spacing.y;
    ScrollArea::vertical()
        .id_salt("collectors")
        .max_height(IN_VIEW * height)
        .auto_shrink([false, true])
        .show(ui, |ui| {
            for collector in listed {
                ui.horizontal(|ui| line(ui, collector, now, commands));
            }
        });
}

fn line(ui: &mut Ui, collector: &Collector, now: f64, commands: &Commands) {
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
                RichText::new(format!("{url}: no sign of life for {age:.0} s"))
                    .color(theme::warn(ui.visuals())),
            );
        }
        Link::Connected => {
            let words = format!("{url}: live, heard {:.0} s ago", age(collector, now).floor());
            ui.label(RichText::new(words).color(theme::good(ui.visuals())));
            one_line(ui, RichText::new(remarks(collector)).weak());
        }
        Link::Lost { why, retry_at } => {
            let when = match retry_at {
                Some(at) => format!("retrying in {:.0} s", (at - now).max(0.0)),
                None => "retrying now".to_owned(),
            };
            if ui.small_button("Retry now").clicked() {
                commands.send(Command::TryNow(collector.id));
            }
            let words = if collector.was_reached() {
                format!("Collector lost: {why}, {when} ({url}); values are the last ones heard")
            } else {
                format!("Collector not reached: {why}, {when} ({url})")
            };
            let label = Label::new(RichText::new(&words).color(theme::bad(ui.visuals()))).truncate();
            ui.add(label)
                .on_hover_text(format!("{words}\n\n{}", remedy(collector)));
        }
    }
}

/// What to do about a collector that does not answer.
fn remedy(collector: &Collector) -> String {
    let port = collector.url.rsplit(':').next().unwrap_or_default();
    let again = "It is tried again by itself, less and less often; `Retry now` does not wait.";
    if collector.was_reached() {
        return format!(
            "It answered before. On its machine, look whether `orrery-collector` still runs; \
             `orrery-collector doctor` there says what is wrong.\n{again}"
        );
    }
    format!(
        "Nothing has answered at this address yet. On that machine:\n\
         orrery-collector serve --listen 0.0.0.0:{port} --allow-remote\n\
         If it runs there, check the name and the port, and that no firewall is before them.\n{again}"
    )
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
        ui.colored_label(theme::bad(ui.visuals()), why);
    }
}
