//! Layouts as a table; those that do not fit stand last, with the reason.

use eframe::egui::{Align, Color32, Label, Layout, RichText, ScrollArea, Sense, Shape, Stroke, Ui, vec2};
use egui_extras::{Column, TableBuilder};

use super::View;
use super::model::{Axis, ExploreModel, Row};
use crate::theme;

/// Height of a row.
const ROW: f32 = 19.0;

/// Width of the last column, which says in words what else is known.
const NOTE: f32 = 260.0;

/// Draws the rows, which scroll downward below their header and with it sideways; the layout that was clicked, if any.
pub(super) fn show(ui: &mut Ui, model: &ExploreModel, view: &mut View) -> Option<usize> {
    ScrollArea::horizontal()
        .id_salt("layouts, sideways")
        .auto_shrink([false, false])
        .show(ui, |ui| rows(ui, model, view))
        .inner
}

fn rows(ui: &mut Ui, model: &ExploreModel, view: &mut View) -> Option<usize> {
    let mut clicked = None;
    let rows = view.rows.clone();
    let columns = Axis::ALL.len();
    let mut table = TableBuilder::new(ui)
        .striped(true)
        .resizable(true)
        .sense(Sense::click())
        .cell_layout(Layout::left_to_right(Align::Center))
        .auto_shrink([false, false]);
    for _ in 0..columns {
        table = table.column(Column::auto().at_least(44.0).clip(true));
    }
    table = table.column(Column::initial(NOTE).at_least(60.0).clip(true));
    if let Some(place) = view.scroll_to.take() {
        table = table.scroll_to_row(place, Some(Align::Center));
    }
    let table = table.header(20.0, |mut header| {
        for axis in Axis::ALL {
            let _cell = header.col(|ui| {
                let (by, downward) = view.sort;
                let words = RichText::new(axis.name()).strong();
                let button = eframe::egui::Button::new(words).frame(false);
                if ui
                    .add(button)
                    .on_hover_text("Sort by this; once more the other way round")
                    .clicked()
                {
                    view.sort = if by == axis {
                        (axis, !downward)
                    } else {
                        (axis, axis.is_gain())
                    };
                }
                if by == axis {
                    arrow(ui, downward);
                }
            });
        }
        let _cell = header.col(|ui| {
            ui.strong("");
        });
    });
    table.body(|body| {
        body.rows(ROW, rows.len(), |mut row| {
            let at = rows[row.index()];
            let layout = &model.layouts[at];
            row.set_selected(view.chosen == Some(at));
            for axis in Axis::ALL {
                let _cell = row.col(|ui| value(ui, layout, axis));
            }
            let _cell = row.col(|ui| note(ui, model, at));
            let response = row.response();
            let response = match &layout.too_large {
                Some(why) => response.on_hover_text(why),
                None => response.on_hover_text(layout.choice.explained()),
            };
            if response.clicked() {
                clicked = Some(at);
            }
        });
    });
    clicked
}

/// The way the rows are sorted.
fn arrow(ui: &mut Ui, downward: bool) {
    let (place, _response) = ui.allocate_exact_size(vec2(8.0, 6.0), Sense::hover());
    let corners = if downward {
        vec![place.left_top(), place.right_top(), place.center_bottom()]
    } else {
        vec![place.left_bottom(), place.center_top(), place.right_bottom()]
    };
    let color = ui.visuals().strong_text_color();
    let _shape = ui
        .painter()
        .add(Shape::convex_polygon(corners, color, Stroke::NONE));
}

fn value(ui: &mut Ui, layout: &Row, axis: Axis) {
    let words = if axis == Axis::Step && !layout.simulated {
        format!("≈ {}", layout.words(axis))
    } else {
        layout.words(axis)
    };
    let color = match (&layout.too_large, axis) {
        (Some(_), Axis::Peak) => theme::bad(ui.visuals()),
        (Some(_), _) => ui.visuals().weak_text_color(),
        (None, Axis::Step) if layout.simulated => ui.visuals().strong_text_color(),
        _ => ui.visuals().text_color(),
    };
    cell(ui, words, color);
}

fn cell(ui: &mut Ui, words: String, color: Color32) {
    ui.add(
        Label::new(RichText::new(words).color(color))
            .selectable(false)
            .truncate(),
    );
}

fn note(ui: &mut Ui, model: &ExploreModel, at: usize) {
    let layout = &model.layouts[at];
    let color = ui.visuals().weak_text_color();
    let words = if let Some(why) = &layout.too_large {
        format!("does not fit: {why}")
    } else if model.best == Some(at) {
        "best".to_owned()
    } else if layout.beyond_domain {
        "TP beyond the scale-up network".to_owned()
    } else if layout.on_front {
        "none is both faster and smaller".to_owned()
    } else {
        String::new()
    };
    cell(ui, words, color);
}
