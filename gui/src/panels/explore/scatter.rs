//! Memory over step time, a point for each layout; dragging chooses a part.

use eframe::egui::{Color32, RichText, Stroke, Ui};
use egui_plot::{HLine, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi, Points, Polygon};

use super::View;
use super::model::{Axis, ExploreModel, Row};
use crate::theme;

const GIB: f64 = (1_u64 << 30) as f64;
/// How near to a point a click must be, as a share of the picture.
const NEAR: f64 = 0.03;
/// Memory up to which layouts that do not fit are drawn, over that of a device.
const FAR: f64 = 1.8;
/// What is shown until the picture is zoomed: times of the fastest step, and of the memory of a device.
const SLOW: f64 = 4.0;
const TALL: f64 = 1.4;
/// Height of the words below the picture.
const WORDS: f32 = 18.0;

/// Draws the points; the layout that was clicked, if any.
pub(super) fn show(ui: &mut Ui, model: &ExploreModel, view: &mut View, height: f32) -> Option<usize> {
    let memory = model.found.base.cluster.device.memory.as_f64() / GIB;
    let bad = theme::bad(ui.visuals());
    let weak = ui.visuals().weak_text_color();
    let strong = ui.visuals().strong_text_color();
    let (fastest, slowest) = model.range(Axis::Step);
    let plot = Plot::new("layouts")
        .height(height - WORDS)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .allow_scroll(false)
        .x_axis_label("step, s")
        .y_axis_label("peak memory, GiB")
        .default_x_bounds(fastest * 0.9, slowest.min(fastest * SLOW))
        .default_y_bounds(0.0, memory * TALL)
        .show_x(false)
        .show_y(false);
    let shown = plot.show(ui, |plot| {
        let limit = HLine::new("memory of the device", memory).color(bad);
        plot.hline(limit.style(LineStyle::dashed_dense()));
        clouds(plot, model, view, (weak, strong));
        dragged(plot, view, strong);
        (plot.pointer_coordinate(), plot.plot_bounds())
    });
    legend(ui);
    let (pointer, bounds) = shown.inner;
    let response = shown.response;
    let at = pointer.map(|pointer| [pointer.x, pointer.y]);
    if response.drag_started() {
        view.grabbed = at;
    }
    if response.drag_stopped()
        && let (Some(from), Some(to)) = (view.grabbed.take(), at)
    {
        view.filter.set(Axis::Step, from[0], to[0]);
        view.filter.set(Axis::Peak, from[1] * GIB, to[1] * GIB);
    }
    if response.double_clicked() {
        view.filter.clear(Axis::Step);
        view.filter.clear(Axis::Peak);
        return None;
    }
    let near = nearest(model, &view.rows, pointer?, [bounds.width(), bounds.height()]);
    if let Some(at) = near.filter(|_| response.hovered()) {
        response.show_tooltip_text(words(&model.layouts[at]));
    }
    response.clicked().then_some(near).flatten()
}

/// The layouts by what is known of them, the front as a line, and the one that was chosen.
fn clouds(plot: &mut PlotUi<'_>, model: &ExploreModel, view: &View, (weak, strong): (Color32, Color32)) {
    let cloud = |keep: &dyn Fn(&Row) -> bool| {
        let kept = view.rows.iter().map(|&at| &model.layouts[at]);
        kept.filter(|row| keep(row)).map(place).collect::<Vec<_>>()
    };
    let faint = |color: Color32| color.gamma_multiply(0.55);
    // Far beyond the memory of a device, or slower than all that fits, nothing is looked for.
    let memory = model.found.base.cluster.device.memory.as_f64();
    let (_, slowest) = model.range(Axis::Step);
    let is_near = |row: &Row| row.peak < FAR * memory && row.step <= slowest;
    let too_large = cloud(&|row| row.too_large.is_some() && is_near(row));
    points(plot, "do not fit", too_large, (faint(weak), 1.6));
    let fits = cloud(&|row| row.too_large.is_none() && !row.simulated);
    points(plot, "fit, estimated", fits, (faint(theme::of_policy(0)), 2.2));
    let mut front = cloud(&|row| row.on_front);
    front.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let line = Line::new("none faster and smaller", PlotPoints::new(front));
    plot.line(line.color(theme::of_policy(2)).width(1.5));
    let simulated = cloud(&|row| row.simulated);
    points(plot, "simulated", simulated, (theme::of_policy(1), 4.0));
    if let Some(row) = view.chosen.and_then(|at| model.layouts.get(at)) {
        let ring = Points::new("chosen", PlotPoints::new(vec![place(row)]));
        plot.points(
            ring.color(strong)
                .radius(7.0)
                .filled(false)
                .shape(MarkerShape::Circle),
        );
    }
}

/// The part that is being dragged over.
fn dragged(plot: &mut PlotUi<'_>, view: &View, strong: Color32) {
    if let (Some(from), Some(to)) = (view.grabbed, plot.pointer_coordinate()) {
        let corners = vec![[from[0], from[1]], [to.x, from[1]], [to.x, to.y], [from[0], to.y]];
        let part = Polygon::new("", PlotPoints::new(corners));
        let part = part.fill_color(strong.gamma_multiply(0.12));
        plot.polygon(part.stroke(Stroke::new(1.0, strong)));
    }
}

fn words(row: &Row) -> String {
    format!(
        "{}\n{}{}, {} MFU, {}",
        row.choice,
        if row.simulated { "" } else { "≈ " },
        row.words(Axis::Step),
        row.words(Axis::Mfu),
        row.words(Axis::Peak)
    )
}

/// What the colours say.
fn legend(ui: &mut Ui) {
    ui.horizontal(|ui| {
        let weak = ui.visuals().weak_text_color();
        ui.spacing_mut().item_spacing.x = 8.0;
        for (words, color) in [
            ("fit", theme::of_policy(0)),
            ("none faster and smaller", theme::of_policy(2)),
            ("simulated", theme::of_policy(1)),
            ("do not fit", weak),
        ] {
            ui.label(RichText::new(words).small().color(color));
        }
    });
}

fn place(row: &Row) -> [f64; 2] {
    [row.step, row.peak / GIB]
}

fn points(plot: &mut PlotUi<'_>, name: &str, places: Vec<[f64; 2]>, (color, radius): (Color32, f32)) {
    if !places.is_empty() {
        let points = Points::new(name, PlotPoints::new(places));
        plot.points(points.color(color).radius(radius).allow_hover(false));
    }
}

/// The layout nearest to `pointer`, if one is near enough to be meant.
fn nearest(model: &ExploreModel, rows: &[usize], pointer: PlotPoint, size: [f64; 2]) -> Option<usize> {
    let distance = |at: usize| {
        let [x, y] = place(&model.layouts[at]);
        ((x - pointer.x) / size[0]).hypot((y - pointer.y) / size[1])
    };
    let found = rows.iter().map(|&at| (distance(at), at));
    let found = found.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (found.0 < NEAR).then_some(found.1)
}
