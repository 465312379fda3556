//! The lines of the canvas: heads of groups, lanes and counters, with their names pinned at the left.

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::accesskit::Role;
use eframe::egui::{Align2, FontId, Mesh, Pos2, Rangef, Rect, Sense, Shape, Stroke, Ui, WidgetInfo, vec2};

use super::lane::Filter;
use super::layout::Bar;
use super::model::TimelineModel;
use super::paint::{Brush, amount};
use super::view::Row;
use super::window::Window;
use crate::theme;

/// Height of a line, in points.
pub(super) const ROW: f32 = 20.0;
/// Width of the names at the left.
pub(super) const NAMES: f32 = 172.0;
/// Lanes that are drawn of a collapsed group.
const STRIPS: usize = 3;
/// Size of names.
const SMALL: f32 = 11.5;

/// Where the lines are, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// Lines in view: the lane, where it lies, and its bars.
    pub(super) lanes: Vec<(usize, Rect, Vec<Bar>)>,
    /// The group of which the head was clicked.
    pub(super) toggled: Option<usize>,
}

/// What one frame leaves to the next: the mesh, whose memory the next one takes (megabytes that are given back and asked for
/// at every frame cost more in page faults than what is drawn), and the strips of collapsed groups.
#[derive(Debug, Default)]
pub(super) struct Bars {
    mesh: Arc<Mesh>,
    strips: Strips,
}

impl Bars {
    /// An empty mesh; in the memory of the last one, unless somebody still draws that.
    fn begin(&mut self) -> Mesh {
        let mut mesh = std::mem::take(&mut self.mesh);
        let mut mesh = Arc::get_mut(&mut mesh).map(std::mem::take).unwrap_or_default();
        // Its own `clear` gives the vertices back.
        mesh.indices.clear();
        mesh.vertices.clear();
        mesh
    }

    /// What draws `mesh`.
    fn end(&mut self, mesh: Mesh) -> Shape {
        self.mesh = Arc::new(mesh);
        Shape::Mesh(Arc::clone(&self.mesh))
    }
}

/// The busiest lanes of collapsed groups with their bars, kept while nothing changes that they depend on.
#[derive(Debug, Default)]
pub(super) struct Strips {
    /// The window, the width and the filter that they were made for.
    made_for: Option<(Window, f32, Filter)>,
    of_group: BTreeMap<usize, Vec<Vec<Bar>>>,
}

impl Strips {
    /// The bars of each strip of `group`, from top to bottom.
    pub(super) fn of(&mut self, brush: &Brush<'_>, group: usize) -> &[Vec<Bar>] {
        let width = brush.lanes.span();
        let is_same = self.made_for.as_ref().is_some_and(|(window, of_width, filter)| {
            *window == brush.window && of_width.to_bits() == width.to_bits() && *filter == brush.view.filter
        });
        if !is_same {
            self.made_for = Some((brush.window, width, brush.view.filter.clone()));
            self.of_group.clear();
        }
        self.of_group.entry(group).or_insert_with(|| strips(brush, group))
    }
}

/// The bars of the busiest lanes of a group; more than a few would be too thin to read.
pub(super) fn strips(brush: &Brush<'_>, group: usize) -> Vec<Vec<Bar>> {
    let mut lanes: Vec<usize> = brush.model.groups[group].lanes.clone().collect();
    let mut scratch = Vec::new();
    lanes.sort_by_cached_key(|&number| {
        let lane = &brush.model.lanes[number];
        lane.busy(0, lane.len(), &mut scratch);
        std::cmp::Reverse(scratch.iter().sum::<u64>())
    });
    lanes.truncate(STRIPS);
    lanes.sort_unstable();
    let strips = lanes.len();
    lanes.into_iter().map(|lane| brush.bars(lane, strips)).collect()
}

/// Draws lines `rows`, numbered from `first`, on a canvas of which the first line begins at `top`; their `bars` as one
/// mesh.
pub(super) fn draw(
    ui: &mut Ui,
    brush: &Brush<'_>,
    bars: &mut Bars,
    (rows, first): (&[Row], usize),
    area: Rect,
    top: f32,
) -> Drawn {
    let mut drawn = Drawn::default();
    let (mut mesh, mut texts) = (bars.begin(), Vec::new());
    let stripe = ui.visuals().faint_bg_color;
    for (number, &row) in rows.iter().enumerate() {
        let top = top + ROW * (first + number) as f32;
        let line = Rect::from_x_y_ranges(area.x_range(), top..=top + ROW);
        let field = Rect::from_x_y_ranges(brush.lanes, top + 1.0..=top + ROW - 1.0);
        match row {
            Row::Group(group) => {
                let fill = ui.visuals().widgets.inactive.weak_bg_fill.gamma_multiply(0.55);
                ui.painter().rect_filled(line.shrink2(vec2(0.0, 0.5)), 0.0, fill);
                if head(ui, brush, group, line) {
                    drawn.toggled = Some(group);
                }
                if brush.view.collapsed[group] {
                    draw_strips(&mut mesh, brush, bars.strips.of(brush, group), field);
                }
            }
            Row::Lane(lane) => {
                ui.painter().rect_filled(field, 0.0, stripe);
                let painter = ui.painter().clone();
                let of_lane = brush.lane(&mut mesh, &mut texts, &painter, lane, field);
                let called = brush.model.lane_name(lane);
                name(ui, line, &called, called.clone());
                drawn.lanes.push((lane, field, of_lane));
            }
            Row::Counter(counter) => counted(ui, &mut mesh, &mut texts, brush, counter, line, field),
        }
    }
    // Bars and texts are clipped to the lanes at once: a clip for each would be a draw call for each.
    let painter = ui.painter_at(Rect::from_x_y_ranges(brush.lanes, area.y_range()).intersect(ui.clip_rect()));
    painter.add(bars.end(mesh));
    // Another clip is another mesh: texts that were appended to that of the bars would have it copied as it grows.
    let inner = painter.clip_rect().shrink2(vec2(1.0, 0.0));
    painter.with_clip_rect(inner).extend(texts);
    drawn
}

/// The head of `group`; whether it was clicked.
fn head(ui: &mut Ui, brush: &Brush<'_>, group: usize, line: Rect) -> bool {
    let collapsed = brush.view.collapsed[group];
    let text = &brush.model.groups[group].name;
    let rect = left(line);
    let response = ui.interact(
        rect.intersect(ui.clip_rect()),
        ui.scope_id().with(("group", group)),
        Sense::click(),
    );
    let verb = if collapsed { "Expand" } else { "Collapse" };
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{verb} {text}")));
    let ink = if response.hovered() || response.has_focus() {
        ui.visuals().strong_text_color()
    } else {
        ui.visuals().text_color()
    };
    let center = rect.left_center() + vec2(8.0, 0.0);
    let corners = if collapsed {
        [vec2(-2.5, -4.0), vec2(3.5, 0.0), vec2(-2.5, 4.0)]
    } else {
        [vec2(-4.0, -2.5), vec2(4.0, -2.5), vec2(0.0, 3.5)]
    };
    let corners = corners.map(|corner| center + corner).to_vec();
    ui.painter()
        .add(Shape::convex_polygon(corners, ink, Stroke::NONE));
    let at = rect.left_center() + vec2(18.0, 0.0);
    let painter = ui.painter_at(rect.intersect(ui.clip_rect()));
    painter.text(
        at,
        Align2::LEFT_CENTER,
        text,
        FontId::proportional(SMALL + 0.5),
        ink,
    );
    response.clicked()
}

/// The name of a lane, read out with its group.
fn name(ui: &mut Ui, line: Rect, words: &str, spoken: String) {
    let rect = left(line);
    let seen = rect.intersect(ui.clip_rect());
    let response = ui.interact(seen, ui.scope_id().with(("lane", &spoken)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let ink = ui.visuals().text_color();
    let at = rect.left_center() + vec2(18.0, 0.0);
    ui.painter_at(seen)
        .text(at, Align2::LEFT_CENTER, words, FontId::proportional(SMALL), ink);
    response.on_hover_text(spoken);
}

fn left(line: Rect) -> Rect {
    line.with_max_x((line.left() + NAMES - 4.0).min(line.right()))
}

/// Draws the strips of a collapsed group in one line.
fn draw_strips(mesh: &mut Mesh, brush: &Brush<'_>, strips: &[Vec<Bar>], field: Rect) {
    let height = field.height() / strips.len().max(1) as f32;
    for (number, bars) in strips.iter().enumerate() {
        let top = field.top() + height * number as f32;
        let strip = Rect::from_x_y_ranges(field.x_range(), top..=top + height - 0.5);
        brush.fill(mesh, bars, strip);
    }
}

fn counted(
    ui: &mut Ui,
    mesh: &mut Mesh,
    texts: &mut Vec<Shape>,
    brush: &Brush<'_>,
    counter: usize,
    line: Rect,
    field: Rect,
) {
    let steps = &brush.model.counters[counter];
    let group = group_of(brush.model, counter);
    ui.painter().rect_filled(field, 0.0, ui.visuals().faint_bg_color);
    brush.counter(mesh, steps, field, theme::counter(ui.visuals()));
    let peak = amount(steps.peak, steps.unit);
    name(
        ui,
        line,
        &steps.name,
        format!("{group} · {}, at most {peak}", steps.name),
    );
    let ink = ui.visuals().strong_text_color();
    let words = format!("at most {peak}");
    let galley = ui
        .painter()
        .layout_no_wrap(words, FontId::proportional(10.5), ink);
    let at = Pos2::new(field.left() + 4.0, field.center().y - galley.size().y / 2.0);
    texts.push(Shape::galley(at, galley, ink));
}

fn group_of(model: &TimelineModel, counter: usize) -> &str {
    let group = model
        .groups
        .iter()
        .find(|group| group.counters.contains(&counter));
    group.map_or("", |group| &group.name)
}

/// Where lines are seen: the middle of the line of lane `lane`, be it in view or not, or of the head of its
/// group when that is collapsed.
pub(super) fn middle(model: &TimelineModel, rows: &[Row], lane: usize, top: f32) -> Option<f32> {
    let group = model.lanes[lane].group;
    let line = rows.iter().position(|&row| row == Row::Lane(lane));
    let line = line.or_else(|| rows.iter().position(|&row| row == Row::Group(group)))?;
    Some(top + ROW * (line as f32 + 0.5))
}

/// The lanes' extent from left to right within `area`.
pub(super) fn lanes_of(area: Rect) -> Rangef {
    Rangef::new(area.left() + NAMES, area.right().max(area.left() + NAMES + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_is_drawn_in_the_memory_of_the_last_one_unless_that_is_still_drawn() {
        let mut bars = Bars::default();
        let mut draw = |number: f32| {
            let mut mesh = bars.begin();
            assert!(mesh.is_empty(), "nothing of the last frame is left");
            let memory = mesh.vertices.capacity();
            let corner = Pos2::new(number, 0.0);
            mesh.add_colored_rect(Rect::from_min_size(corner, vec2(1.0, 1.0)), theme::MARK);
            (memory, bars.end(mesh))
        };
        let (_, first) = draw(1.0);
        let (memory, second) = draw(2.0);
        assert_eq!(memory, 0, "the first is still drawn");
        assert_ne!(first, second);
        drop((first, second));
        let (memory, _) = draw(3.0);
        assert!(memory >= 4, "the second was drawn");
    }
}
