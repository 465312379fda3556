//! The same job on clusters of other sizes, each in its best layout.

use eframe::egui::{Grid, RichText, ScrollArea, Ui};
use egui_plot::{Line, MarkerShape, Plot, PlotPoints, Points};
use orrery::sweep::{Best, Sizing, Target, least_device_days};
use orrery_units::{Bytes, significant, with_si_prefix};

use super::target;
use crate::app::{Command, Commands};
use crate::document::Job;
use crate::words::grouped;
use crate::{Document, theme};

/// Height of the picture.
const HEIGHT: f32 = 220.0;

/// Draws the table and the picture.
pub(super) fn show(
    ui: &mut Ui,
    document: &Document,
    (job, sizes): (&Job, &[Sizing]),
    (target, fault): (&mut Target, &mut Option<String>),
    commands: &Commands,
) {
    ui.strong(format!(
        "{} on clusters of other sizes, the same global batch",
        job.name
    ));
    if job.text != document.text {
        ui.colored_label(theme::warn(ui.visuals()), "The scenario was edited since.");
    }
    ScrollArea::horizontal()
        .id_salt("sizes")
        .show(ui, |ui| table(ui, job, sizes, commands));
    ui.add_space(8.0);
    target::show(ui, job.price(), (target, fault), sizes);
    ui.add_space(8.0);
    picture(ui, sizes);
}

fn table(ui: &mut Ui, job: &Job, sizes: &[Sizing], commands: &Commands) {
    let own = job.job.plan.cluster.num_nodes;
    let currency = job.price().unwrap_or_default();
    Grid::new("sizes").num_columns(11).striped(true).show(ui, |ui| {
        for name in [
            "nodes",
            "GPUs",
            "step",
            "MFU",
            "tokens/s",
            "days for 1 T tokens, 80 %",
            "cost of a day",
            "cost per Mtok, 80 %",
            "peak memory",
            "layout",
            "",
        ] {
            let head = ui.strong(name);
            if name.ends_with("80 %") {
                head.on_hover_text("In parentheses the 80 % interval: measured steps of this stack about their predictions, carried from the step through to days and cost");
            }
        }
        ui.end_row();
        for sizing in sizes {
            let nodes = RichText::new(grouped(u64::from(sizing.nodes)));
            ui.label(if own == sizing.nodes {
                nodes.strong()
            } else {
                nodes
            });
            ui.label(grouped(u64::from(sizing.devices)));
            match &sizing.best {
                Ok(best) => cells(ui, sizing, best, currency, commands),
                Err(why) => {
                    ui.colored_label(theme::warn(ui.visuals()), why);
                }
            }
            ui.end_row();
        }
    });
}

fn cells(ui: &mut Ui, sizing: &Sizing, best: &Best, currency: &str, commands: &Commands) {
    let sure = if best.simulated { "" } else { "≈ " };
    ui.label(format!("{sure}{} s", significant(best.step, 4)));
    ui.label(format!("{} %", significant(best.mfu * 100.0, 3)));
    ui.label(with_si_prefix(best.tokens, "/s"));
    let digits = |value: f64| significant(value, 3);
    let uncertainty = best.uncertainty();
    ui.label(target::within(best.days_per_trillion(), uncertainty, digits));
    match best.cost {
        Some((day, tokens)) => {
            ui.label(format!("{} {currency}", grouped(day.round() as u64)));
            let words = target::within(tokens, uncertainty, digits);
            ui.label(format!("{words} {currency}"));
        }
        None => {
            ui.weak("no price")
                .on_hover_text("Write [cost] gpu_hour in the scenario");
            ui.weak("no price");
        }
    }
    ui.label(Bytes::from_f64(best.peak).to_string());
    ui.label(best.choice.to_string())
        .on_hover_text(best.choice.explained());
    let open = ui
        .small_button("Open")
        .on_hover_text("A scenario of this size and layout, in no file yet");
    if open.clicked() {
        commands.send(Command::OpenSize(sizing.nodes));
    }
}

/// Days over devices: what more devices buy, beside what they would buy if nothing were lost.
fn picture(ui: &mut Ui, sizes: &[Sizing]) {
    let known: Vec<(f64, &Best)> = sizes
        .iter()
        .filter_map(|sizing| Some((f64::from(sizing.devices), sizing.best.as_ref().ok()?)))
        .collect();
    let Some(spent) = least_device_days(sizes) else {
        return;
    };
    ui.strong("Days for a trillion tokens over GPUs");
    ui.weak("Dashed: if nothing were lost between sizes. Every GPU is then as fast as on the size that spends the fewest GPU-days, where the lines touch.");
    Plot::new("days over devices")
        .height(HEIGHT)
        .allow_scroll(false)
        .x_axis_label("GPUs")
        .y_axis_label("days")
        .include_y(0.0)
        .legend(egui_plot::Legend::default())
        .show(ui, |plot| {
            let place = |&(devices, best): &(f64, &Best)| [devices, best.days_per_trillion()];
            let days: Vec<[f64; 2]> = known.iter().map(place).collect();
            let ideal = |&(devices, _): &(f64, &Best)| [devices, spent / devices];
            let ideal: Vec<[f64; 2]> = known.iter().map(ideal).collect();
            let color = theme::of_policy(0);
            plot.line(
                Line::new("best layout", PlotPoints::new(days.clone()))
                    .color(color)
                    .width(2.0),
            );
            for (devices, best) in &known {
                let days = best.days_per_trillion();
                if let Some((low, high)) = best.uncertainty() {
                    let ends = vec![[*devices, days * low], [*devices, days * high]];
                    plot.line(Line::new("80 % interval", ends).color(color).width(1.0));
                }
            }
            let points = Points::new("best layout", PlotPoints::new(days));
            plot.points(points.color(color).radius(4.0).shape(MarkerShape::Circle));
            let line = Line::new("if nothing were lost", PlotPoints::new(ideal));
            plot.line(
                line.color(theme::of_policy(1))
                    .style(egui_plot::LineStyle::dashed_dense()),
            );
        });
}
