//! What the scenario comes to before it is run: counts, memory, an estimated step, cost.

use eframe::egui::{Grid, Ui};
use orrery::outline::Outline;
use orrery::stages::StagesFigure;
use orrery_report::render::percent;
use orrery_scenario::Loaded;
use orrery_units::{Bytes, significant, with_si_prefix};

use crate::words::grouped;
use crate::{Document, figures, theme};

/// Draws the figures.
pub(super) fn show(ui: &mut Ui, document: &Document) {
    ui.strong("What it comes to");
    let Some((revision, outline)) = &document.outline else {
        ui.weak(match document.plan.as_deref() {
            Some(Loaded::Balancing(_)) => {
                "A balancing scenario comes to nothing before it is run: press Run."
            }
            _ => "Known once the scenario has no errors.",
        });
        return;
    };
    if *revision != document.revision {
        let words = if document.diagnostics.is_empty() {
            "of the text as it was a moment ago"
        } else {
            "of the last text without errors"
        };
        ui.colored_label(theme::warn(ui.visuals()), words);
    }
    numbers(ui, outline);
    ui.add_space(6.0);
    ui.strong("Memory at the peak of each stage");
    figures::memory(ui, &StagesFigure::of_outline(outline));
}

/// A name, a figure, and what it means.
type Line = (&'static str, String, String);

fn numbers(ui: &mut Ui, outline: &Outline) {
    let lines = counts(outline)
        .into_iter()
        .chain(estimates(outline))
        .chain(cost(outline));
    Grid::new("outline").num_columns(2).striped(true).show(ui, |ui| {
        for (name, words, about) in lines {
            ui.label(name).on_hover_text(about);
            ui.strong(words);
            ui.end_row();
        }
    });
    if !outline.fits() {
        let (stage, peak) = outline.peak();
        let memory = outline.device.memory;
        let words = format!("Does not fit: stage {stage} holds {peak}, a device has {memory}.");
        ui.colored_label(theme::bad(ui.visuals()), words);
    }
}

fn counts(outline: &Outline) -> Vec<Line> {
    let billions = |count: u64| format!("{} B", significant(count as f64 / 1e9, 3));
    let devices = grouped(u64::from(outline.device.count));
    vec![
        (
            "GPUs",
            format!("{devices} in {} nodes", grouped(u64::from(outline.nodes))),
            "nodes x GPUs per node".to_owned(),
        ),
        (
            "data parallel",
            format!("{}, {} microbatches", outline.dp, grouped(outline.microbatches)),
            "GPUs / (TP x PP x CP); microbatches of a step on each rank".to_owned(),
        ),
        (
            "parameters",
            format!(
                "{}, {} active",
                billions(outline.parameters),
                billions(outline.active_parameters)
            ),
            "of the model, and those that one token uses".to_owned(),
        ),
    ]
}

fn estimates(outline: &Outline) -> Vec<Line> {
    let (stage, peak) = outline.peak();
    let memory = outline.device.memory;
    let headroom = memory.as_f64() - peak.as_f64();
    let room = if headroom < 0.0 {
        format!("{} too much", Bytes::from_f64(-headroom))
    } else {
        format!(
            "{} ({})",
            Bytes::from_f64(headroom),
            percent(headroom / memory.as_f64())
        )
    };
    let estimated = |name, words| {
        let about = "closed form, experts balanced, nothing contends; Run simulates it".to_owned();
        (name, format!("≈ {words}"), about)
    };
    vec![
        estimated("step", format!("{} s", significant(outline.step, 3))),
        estimated("MFU", percent(outline.mfu())),
        estimated("tokens/s/GPU", significant(outline.tokens_per_device(), 3)),
        bubble(outline),
        (
            "peak memory",
            format!("{peak} of {memory}, stage {stage}"),
            "the most that a device holds, experts as the routing of the first microbatch has them"
                .to_owned(),
        ),
        ("headroom", room, "memory of a device less the peak".to_owned()),
    ]
}

/// The bubble, with a caution where a run may have a longer one.
fn bubble(outline: &Outline) -> Line {
    let about = "share of the step in which a pipeline rank of the mean waits for others, in closed form";
    let Some(more) = outline.bubble_more else {
        let words = format!("≈ {}", percent(outline.bubble));
        return ("pipeline bubble", words, about.to_owned());
    };
    let points = significant(more * 100.0, 2);
    let words = format!("≈ {}, up to {points} points more", percent(outline.bubble));
    let why = format!(
        "{about}; with so few microbatches per pipeline rank runs were found to wait up to {points} points longer. Run \
         simulates it"
    );
    ("pipeline bubble", words, why)
}

fn cost(outline: &Outline) -> Vec<Line> {
    let mut lines = Vec::new();
    if let (Some((day, tokens)), Some(price)) = (outline.cost(), &outline.price) {
        let currency = &price.currency;
        let about = format!(
            "{} {currency} a GPU-hour, as of {}",
            price.device_hour, price.priced_on
        );
        let words = format!("{} {currency} a day", grouped(day.round() as u64));
        lines.push(("cost", words, about.clone()));
        let words = format!("≈ {} {currency} per Mtok", significant(tokens, 3));
        lines.push(("", words, about));
    }
    lines.push((
        "power limit",
        with_si_prefix(outline.power_limit.0, "W"),
        "of all GPUs together; nodes and cooling are not in it".to_owned(),
    ));
    lines
}
