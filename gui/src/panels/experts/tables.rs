//! Policies in figures: over all steps, and A beside B in the steps that were chosen.

use std::ops::Range;

use eframe::egui::{Grid, RichText, Sense, Ui, vec2};
use orrery_report::Stretch;
use orrery_units::{Bytes, significant, with_si_prefix};

use super::View;
use super::model::ExpertsModel;
use crate::theme;
use crate::words::{grouped, thousands};

/// All steps of every policy: how even it is, what it takes, what it saves beside the first, and from when on it pays. What
/// it is worth is said in words where its name is hovered.
pub(super) fn totals(ui: &mut Ui, model: &ExpertsModel) {
    let worth = model.worth();
    let heads = [
        "policy",
        "imbalance",
        "all steps",
        "saved",
        "of MoE layers",
        "redundant slots hold",
        "pays from step",
        "plans",
        "moved",
        "how",
    ];
    Grid::new("policies").striped(true).show(ui, |ui| {
        for head in heads {
            let label = ui.weak(head);
            match head {
                "of MoE layers" => label.on_hover_text(SHARE),
                "redundant slots hold" => label.on_hover_text(MEMORY),
                _ => label,
            };
        }
        ui.end_row();
        for (at, (policy, (_, total, saved))) in model.policies().iter().zip(model.totals()).enumerate() {
            let own = at.checked_sub(1).and_then(|at| worth.get(at));
            let name = ui.horizontal(|ui| {
                swatch(ui, at);
                ui.strong(&policy.id)
            });
            if let Some(own) = own {
                name.inner.on_hover_text(own.sentence());
            }
            // The first stands in what is said of any other.
            let even = own
                .map(|own| own.imbalance[1])
                .or(worth.first().map(|first| first.imbalance[0]));
            ui.label(even.map_or_else(String::new, |even| significant(even, 4)));
            ui.label(with_si_prefix(total, "s"));
            let color = match saved {
                saved if saved > 0.0 => theme::good(ui.visuals()),
                saved if saved < 0.0 => theme::bad(ui.visuals()),
                _ => ui.visuals().weak_text_color(),
            };
            ui.colored_label(color, with_si_prefix(saved, "s"));
            ui.colored_label(color, own.map_or_else(String::new, |own| percent(own.share())));
            ui.label(memory(policy.redundant_bytes, model.device_memory()));
            ui.label(match own.map(|own| (own.pays(), own.pays_from)) {
                Some((true, Some(from))) => grouped(from as u64),
                Some((false, _)) => "does not".to_owned(),
                Some((true, None)) | None => String::new(),
            });
            ui.label(grouped(policy.rebalances.len() as u64));
            let bytes: f64 = policy.rebalances.iter().map(|plan| plan.bytes).sum();
            ui.label(Bytes::from_f64(bytes).to_string());
            ui.weak(&policy.about);
            ui.end_row();
        }
    });
}

/// What the share of a saving is a share of.
const SHARE: &str = "What is saved, as a share of the time that MoE layers (dispatch, experts and combine) take under the first policy; attention and whatever else a step has are not part of it";
/// What is held.
const MEMORY: &str = "What slots beyond one for each expert hold of every device, all layers together, and the share of its memory";

fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// Bytes of a device with their share of its memory.
fn memory(held: f64, of: f64) -> String {
    match held > 0.0 {
        true if of > 0.0 => format!("{} a device, {}", Bytes::from_f64(held), percent(held / of)),
        true => format!("{} a device", Bytes::from_f64(held)),
        false => "nothing".to_owned(),
    }
}

/// What the policy at place `policy` is worth beside the first, in words.
pub(super) fn worth(ui: &mut Ui, model: &ExpertsModel, policy: usize) {
    let worth = model.worth();
    let Some(own) = policy.checked_sub(1).and_then(|at| worth.get(at)) else {
        return;
    };
    ui.horizontal_wrapped(|ui| {
        swatch(ui, policy);
        ui.label(own.sentence());
    });
    for words in model.grounds() {
        ui.weak(words);
    }
}

/// The mark of a policy in lines and tables.
pub(super) fn swatch(ui: &mut Ui, policy: usize) {
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().rect_filled(rect, 2.0, theme::of_policy(policy));
}

/// The policies that are compared in `steps`.
pub(super) fn stretch(ui: &mut Ui, model: &ExpertsModel, view: &View, steps: &Range<u64>) {
    let pair = [view.first, view.second];
    let found = pair.map(|at| {
        model
            .policies()
            .get(at)
            .and_then(|policy| policy.stretch(steps.clone()))
    });
    let [Some(a), Some(b)] = found else {
        ui.weak("No step was chosen.");
        return;
    };
    Grid::new("stretch").striped(true).show(ui, |ui| {
        ui.weak("in these steps");
        for at in pair {
            ui.horizontal(|ui| {
                swatch(ui, at);
                ui.strong(&model.policies()[at].id);
            });
        }
        ui.weak("B − A");
        ui.end_row();
        type Figure = (&'static str, fn(&Stretch) -> f64, fn(f64) -> String);
        let figures: [Figure; 7] = [
            (
                "imbalance, mean",
                |one| one.imbalance,
                |value| significant(value, 4),
            ),
            (
                "imbalance, p95",
                |one| one.imbalance_p95,
                |value| significant(value, 4),
            ),
            (
                "time of a layer, mean",
                |one| one.layer_time,
                |value| with_si_prefix(value, "s"),
            ),
            ("plans", |one| one.plans as f64, |value| significant(value, 6)),
            (
                "replicas moved",
                |one| one.moved.0 as f64,
                |value| thousands(&significant(value, 6)),
            ),
            ("bytes moved", |one| one.moved.1, bytes),
            ("stood still", |one| one.stall, |value| with_si_prefix(value, "s")),
        ];
        for (name, value, shown) in figures {
            let (a, b) = (value(&a), value(&b));
            ui.label(name);
            ui.label(shown(a));
            ui.label(shown(b));
            let sign = if b > a { "+" } else { "" };
            let words = RichText::new(if (b - a).abs() > 0.0 {
                format!("{sign}{}", shown(b - a))
            } else {
                "0".to_owned()
            });
            ui.label(words.color(match b - a {
                change if change > 0.0 => theme::bad(ui.visuals()),
                change if change < 0.0 => theme::good(ui.visuals()),
                _ => ui.visuals().weak_text_color(),
            }));
            ui.end_row();
        }
    });
}

/// Bytes with a sign.
fn bytes(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", Bytes::from_f64(value.abs()))
}
