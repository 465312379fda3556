//! What is asked of a cluster (a deadline, a size, a budget), and which of the sizes that were looked at meets it.

use eframe::egui::{DragValue, Ui};
use orrery::sweep::{Sizing, Takes, Target};
use orrery_units::significant;

use crate::document::Wanted;
use crate::words::grouped;
use crate::{Document, theme};

/// What a box that is ticked begins with.
const DAYS: f64 = 30.0;
/// The same of money.
const MONEY: f64 = 1_000_000.0;

/// A size of a person's own, in GPUs, to be looked at beside the others.
pub(super) fn size(ui: &mut Ui, document: &Document, wanted: &mut Wanted) {
    let plan = document.training_plan();
    let (own, per_node) = plan.map_or((1, 8), |plan| {
        (plan.cluster.num_nodes, plan.cluster.node.num_devices)
    });
    let mut is_asked = wanted.nodes.is_some();
    let hint = "Looks at this size as well; whole nodes";
    if ui
        .checkbox(&mut is_asked, "a size of my own")
        .on_hover_text(hint)
        .changed()
    {
        wanted.nodes = is_asked.then_some(own);
    }
    if let Some(nodes) = &mut wanted.nodes {
        let mut devices = *nodes * per_node;
        let field = DragValue::new(&mut devices)
            .range(per_node..=1_000_000)
            .speed(per_node)
            .suffix(" GPUs");
        if ui.add(field).on_hover_text(hint).changed() {
            *nodes = (devices / per_node).max(1);
        }
    }
}

/// Draws what is asked, and the answer.
pub(super) fn show(ui: &mut Ui, currency: Option<&str>, target: &mut Target, sizes: &[Sizing]) {
    ui.strong("Which size meets a target?");
    ui.horizontal_wrapped(|ui| asked(ui, currency, target, sizes));
    if target.is_asked() {
        answer(ui, currency, target, sizes);
    }
}

fn asked(ui: &mut Ui, currency: Option<&str>, target: &mut Target, sizes: &[Sizing]) {
    let tokens = DragValue::new(&mut target.trillions).range(0.001..=1_000.0);
    ui.add(tokens.speed(0.1).suffix(" T tokens"))
        .on_hover_text("Trillions of tokens to be trained on");
    optional(ui, "within", &mut target.days, DAYS, |value| {
        DragValue::new(value)
            .range(0.01..=10_000.0)
            .speed(0.5)
            .suffix(" days")
    });
    let largest = sizes.iter().map(|size| size.devices).max().unwrap_or(1);
    optional(ui, "on at most", &mut target.devices, largest, |value| {
        DragValue::new(value)
            .range(1..=1_000_000)
            .speed(8)
            .suffix(" GPUs")
    });
    match currency {
        Some(currency) => optional(ui, "for at most", &mut target.budget, MONEY, |value| {
            let field = DragValue::new(value).range(0.0..=1e12).speed(1_000.0);
            field.suffix(format!(" {currency}"))
        }),
        None => {
            target.budget = None;
            ui.weak("no budget: write [cost] gpu_hour in the scenario");
        }
    }
}

/// A box, and a field where it is ticked.
fn optional<'v, T: Copy>(
    ui: &mut Ui,
    words: &str,
    value: &'v mut Option<T>,
    begin: T,
    field: impl FnOnce(&'v mut T) -> DragValue<'v>,
) {
    let mut is_asked = value.is_some();
    if ui.checkbox(&mut is_asked, words).changed() {
        *value = is_asked.then_some(begin);
    }
    if let Some(value) = value {
        ui.add(field(value));
    }
}

fn answer(ui: &mut Ui, currency: Option<&str>, target: &Target, sizes: &[Sizing]) {
    let answer = target.answer(sizes);
    let Some(smallest) = &answer.smallest else {
        ui.colored_label(theme::warn(ui.visuals()), "None of these sizes meets it:");
        for why in &answer.unmet {
            ui.label(format!("    {why}"));
        }
        return;
    };
    let says = |takes: &Takes| {
        let size = &sizes[takes.at];
        let money = takes
            .cost
            .zip(currency)
            .map_or_else(String::new, |(cost, currency)| {
                format!(", {} {currency}", grouped(cost.round() as u64))
            });
        format!(
            "{} GPUs ({} nodes): {} days{money}",
            grouped(u64::from(size.devices)),
            grouped(u64::from(size.nodes)),
            significant(takes.days, 3)
        )
    };
    let words = format!("The smallest that meets it: {}.", says(smallest));
    ui.colored_label(theme::good(ui.visuals()), words);
    if let Some(cheapest) = &answer.cheapest {
        ui.label(format!("The cheapest that meets it: {}.", says(cheapest)));
    }
    if let Some(devices) = answer.between {
        let words = format!(
            "By interpolation about {} GPUs would just meet the deadline; tick \"a size of my own\" above to look there.",
            grouped(devices.round() as u64)
        );
        ui.weak(words);
    }
}
