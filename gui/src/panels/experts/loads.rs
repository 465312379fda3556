//! Loads of experts and of devices in a stretch of steps, and who sends to whom, as pictures.

use eframe::egui::{Button, Ui};
use orrery_units::Bytes;

use super::heat::{self, Words};
use super::model::{largest, sorted};
use super::{ExpertsModel, View, tables};
use crate::document::Load;

/// Least and largest height of a layer's row.
const ROW: [f32; 2] = [2.0, 14.0];
/// Height of a picture of layers, about.
const PICTURE: f32 = 170.0;
/// Side of a picture of pairs.
const PAIRS: f32 = 230.0;

/// Loads of experts, and of devices under A and under B, in one stretch of steps, with the `chosen` one marked; the one
/// that was clicked.
pub(super) fn show(
    ui: &mut Ui,
    model: &ExpertsModel,
    view: &mut View,
    (at, chosen): (usize, Option<Load>),
) -> Option<Load> {
    let frame = &model.frames()[at];
    let layers = frame.experts.len();
    if layers == 0 {
        return None;
    }
    ui.add_space(8.0);
    ui.horizontal_wrapped(|ui| {
        ui.strong("Loads over the mean of their layer");
        ui.weak(format!(
            "mean of steps {} to {}; layers from top to bottom",
            frame.steps.start, frame.steps.end
        ));
        ui.checkbox(&mut view.by_load, "sort experts by load");
    });
    let height = (PICTURE / layers as f32).clamp(ROW[0], ROW[1]) * layers as f32;
    let over = |cell: f64| format!("{cell:.3} x the mean");
    let most = largest([&frame.experts]);
    let (by_load, key) = (view.by_load, at as u64 * 2 + u64::from(view.by_load));
    let rows = || {
        if by_load {
            sorted(&frame.experts)
        } else {
            frame.experts.clone()
        }
    };
    view.experts.set(key, rows, most);
    heat::scale(ui, most, " x the mean, experts");
    let column = if by_load { "place" } else { "expert" };
    let words = Words {
        title: "Loads of experts",
        row: "layer",
        column,
    };
    // Sorted, an expert stands elsewhere in each layer.
    let marked = chosen.filter(|load| load.policy.is_none() && !by_load);
    let marked = marked.map(|load| [load.layer, load.column]);
    let clicked = view
        .experts
        .show(ui, [ui.available_width(), height], words, marked, over);
    let clicked = clicked.and_then(|[layer, place]| {
        let expert = if by_load {
            model.expert_at(at, layer, place)?
        } else {
            place
        };
        Some(load_at(at, [layer, expert], None))
    });
    let on_devices = devices(ui, model, view, ((at, chosen), height));
    on_devices.or(clicked)
}

/// Loads of devices under A and under B, each picture `height` high; the one that was clicked.
fn devices(
    ui: &mut Ui,
    model: &ExpertsModel,
    view: &mut View,
    ((at, chosen), height): ((usize, Option<Load>), f32),
) -> Option<Load> {
    let frame = &model.frames()[at];
    let over = |cell: f64| format!("{cell:.3} x the mean");
    let mut clicked = None;
    let pair = [view.first, view.second];
    let maps: Vec<&Vec<Vec<f64>>> = pair
        .iter()
        .filter_map(|&policy| frame.devices.get(policy))
        .collect();
    let most = largest(maps.iter().copied());
    ui.add_space(4.0);
    heat::scale(ui, most, " x the mean, devices");
    let width = (ui.available_width() - ui.spacing().item_spacing.x) / 2.0;
    ui.horizontal_top(|ui| {
        for ((side, map), policy) in maps.into_iter().enumerate().zip(pair) {
            ui.vertical(|ui| {
                ui.set_width(width);
                let name = named(ui, model, side, policy);
                // The brightest is that of both.
                let key = (at as u64) << 32 | (policy as u64) << 16 | pair[1 - side] as u64;
                view.devices[side].set(key, || map.clone(), most);
                let title = format!("Loads of devices under {name}");
                let words = Words {
                    title: &title,
                    row: "layer",
                    column: "device",
                };
                let marked = chosen.filter(|load| load.policy == Some(policy));
                let marked = marked.map(|load| [load.layer, load.column]);
                let cell = view.devices[side].show(ui, [width, height], words, marked, over);
                clicked = cell.map(|cell| load_at(at, cell, Some(policy))).or(clicked);
            });
        }
    });
    clicked
}

/// The load in `cell`, which is a layer and an expert or device, of the stretch at `frame`.
const fn load_at(frame: usize, [layer, column]: [usize; 2], policy: Option<usize>) -> Load {
    Load {
        frame,
        layer,
        column,
        policy,
    }
}

/// A line that names the policy of a picture; its name.
fn named<'a>(ui: &mut Ui, model: &'a ExpertsModel, side: usize, policy: usize) -> &'a str {
    let name = &model.policies()[policy].id;
    ui.horizontal(|ui| {
        tables::swatch(ui, policy);
        ui.label(format!("{}: {name}", ["A", "B"][side]));
        let placement = Button::new("Copy placement").small();
        let copies = ui.add(placement).on_hover_text(format!(
            "Where the replicas lie in the end, as SGLang and vLLM read it; `orrery run` writes it to placement-{name}.json"
        ));
        if copies.clicked()
            && let Some(text) = model.placement(policy)
        {
            ui.ctx().copy_text(text);
        }
    });
    name
}

/// Bytes of a step's dispatch from each device to each other under A and under B.
pub(super) fn traffic(ui: &mut Ui, model: &ExpertsModel, view: &mut View) {
    let pair = [view.first, view.second];
    let pairs = pair.map(|policy| model.policies().get(policy).map(|policy| &policy.pairs));
    let most = largest(pairs.into_iter().flatten());
    if most <= 0.0 {
        return;
    }
    ui.add_space(8.0);
    ui.strong("Who sends to whom: dispatch of a step in the end");
    ui.weak(format!(
        "Senders down, receivers across; the brightest is {}.",
        Bytes::from_f64(most)
    ));
    ui.horizontal_top(|ui| {
        for (side, (rows, policy)) in pairs.into_iter().zip(pair).enumerate() {
            let Some(rows) = rows else { continue };
            ui.vertical(|ui| {
                let name = &model.policies()[policy].id;
                ui.label(format!("{}: {name}", ["A", "B"][side]));
                let key = (policy as u64) << 16 | pair[1 - side] as u64;
                view.pairs[side].set(key, || rows.clone(), most);
                let title = format!("Traffic under {name}");
                let words = Words {
                    title: &title,
                    row: "from device",
                    column: "to device",
                };
                let bytes = |cell: f64| Bytes::from_f64(cell).to_string();
                let _cell = view.pairs[side].show(ui, [PAIRS, PAIRS], words, None, bytes);
            });
        }
    });
}
