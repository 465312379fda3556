//! What is asked of a cluster (a deadline, a size, a budget), and which of the sizes that were looked at meets it.

use eframe::egui::{DragValue, Ui};
use orrery::sweep::{Sizing, Takes, Target};
use orrery_units::significant;

use crate::document::Wanted;
use crate::words::grouped;
use crate::{Document, figures, theme};

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
        let most = (1_000_000 / per_node.max(1)).max(1);
        let field = DragValue::new(nodes).range(1..=most).speed(0.2).suffix(" nodes");
        ui.add(field).on_hover_text(hint);
        let devices = u64::from(*nodes) * u64::from(per_node);
        ui.weak(format!("= {} GPUs", grouped(devices)));
    }
}

/// Draws what is asked, and the answer.
pub(super) fn show(
    ui: &mut Ui,
    currency: Option<&str>,
    (target, fault): (&mut Target, &mut Option<String>),
    sizes: &[Sizing],
) {
    ui.strong("Which size meets a target?");
    ui.horizontal_wrapped(|ui| asked(ui, currency, (target, fault), sizes));
    if let Some(why) = fault {
        ui.colored_label(theme::bad(ui.visuals()), format!("not taken: {why}"));
    }
    if target.is_asked() {
        answer(ui, currency, target, sizes);
    }
}

fn asked(
    ui: &mut Ui,
    currency: Option<&str>,
    (target, fault): (&mut Target, &mut Option<String>),
    sizes: &[Sizing],
) {
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
        Some(currency) => budget(ui, currency, &mut target.budget, fault),
        None => {
            target.budget = None;
            ui.weak("no budget: write [cost] gpu_hour in the scenario");
        }
    }
}

/// A box, and a field for money in `currency` where it is ticked.
fn budget(ui: &mut Ui, currency: &str, budget: &mut Option<f64>, fault: &mut Option<String>) {
    let mut is_asked = budget.is_some();
    if ui.checkbox(&mut is_asked, "for at most").changed() {
        *budget = is_asked.then_some(MONEY);
        *fault = None;
    }
    let Some(most) = budget else { return };
    let (field, changed) = figures::money(ui, (*most, currency), 1_000.0, fault);
    field.on_hover_text("Such as 1,500,000 or 1.5M");
    match changed {
        Some((_, other)) if other != currency => {
            *fault = Some(format!(
                "the price of the scenario is in {currency}, not in {other}"
            ));
        }
        Some((amount, _)) => *most = amount,
        None => {}
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

/// `value` with its 80 % interval, whose ends are shares of it, such as `50.4 (48 … 53)`.
pub(super) fn within(value: f64, uncertainty: Option<(f64, f64)>, shown: impl Fn(f64) -> String) -> String {
    match uncertainty {
        Some((low, high)) => format!(
            "{} ({} … {})",
            shown(value),
            shown(value * low),
            shown(value * high)
        ),
        None => shown(value),
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
                let amount = |value: f64| grouped(value.round() as u64);
                format!(", {} {currency}", within(cost, takes.uncertainty, amount))
            });
        let days = |value: f64| significant(value, 3);
        format!(
            "{} GPUs ({} nodes): {} days{money}",
            grouped(u64::from(size.devices)),
            grouped(u64::from(size.nodes)),
            within(takes.days, takes.uncertainty, days)
        )
    };
    let words = format!("The smallest that meets it: {}.", says(smallest));
    ui.colored_label(theme::good(ui.visuals()), words);
    if !target.is_sure_of(smallest) {
        let words = "It is not sure: the worse end of its 80 % interval misses it.";
        ui.colored_label(theme::warn(ui.visuals()), words);
    }
    if let Some(cheapest) = &answer.cheapest {
        ui.label(format!("The cheapest that meets it: {}.", says(cheapest)));
    }
    if let Some((nodes, devices)) = answer.between {
        let words = format!(
            "By interpolation {} nodes ({} GPUs) would just meet the deadline; tick \"a size of my own\" above to look there.",
            grouped(u64::from(nodes)),
            grouped(u64::from(devices))
        );
        ui.weak(words);
    }
}
