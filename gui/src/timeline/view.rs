//! What the panel remembers while it is open, and what can be done to it. No widget is known here.

use std::sync::{Arc, Weak};

use eframe::egui::Color32;
use orrery_timeline::SpanId;
use orrery_units::KindId;

use super::lane::Filter;
use super::model::TimelineModel;
use super::palette;
use super::rows::Bars;
use super::window::Window;
use crate::document::Seen;

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The timeline that the rest belongs to.
    shown: Weak<TimelineModel>,
    /// A colour for each of its kinds.
    pub(super) colors: Vec<Color32>,
    pub(super) window: Option<Window>,
    /// Where the window may go to, if that is beyond the end of the timeline: others beside it are longer.
    pub(super) reach: u64,
    pub(super) filter: Filter,
    /// What is searched for: part of the name of a kind or of a class.
    pub(super) search: String,
    pub(super) selected: Option<SpanId>,
    /// Spans that the end of the selected one released.
    pub(super) released: Vec<SpanId>,
    /// The interval that is measured: where it was begun, and where it ends.
    pub(super) measured: Option<(u64, u64)>,
    /// Groups of which the lanes are not shown.
    pub(super) collapsed: Vec<bool>,
    /// What was measured last.
    pub(super) statistics: Option<super::measure::Measured>,
    /// A lane that is to be scrolled into view.
    pub(super) jump: Option<usize>,
    pub(super) drag: Option<Drag>,
    /// Whether the search box is to have the focus.
    pub(super) wants_search: bool,
    /// What this view was told is looked at, and has taken in.
    pub(super) told: Seen,
    /// Whether what is selected is explained elsewhere.
    pub(crate) is_explained: bool,
    /// Whether the lanes are to have the focus, so that keys go on from where a link led.
    pub(super) wants_focus: bool,
    /// What is drawn.
    pub(super) bars: Bars,
}

/// What a drag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drag {
    /// The instant that was grabbed stays under the pointer.
    Pan(u64),
    /// An interval from this instant is measured.
    Measure(u64),
}

/// A line of the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// The head of a group.
    Group(usize),
    /// A lane.
    Lane(usize),
    /// A counter of a group.
    Counter(usize),
}

impl View {
    /// Makes ready for `model`; what was remembered of another is forgotten, but for the search. Whether it is new.
    pub(super) fn attend(&mut self, model: &Arc<TimelineModel>) -> bool {
        if std::ptr::eq(self.shown.as_ptr(), Arc::as_ptr(model)) {
            return false;
        }
        let search = std::mem::take(&mut self.search);
        *self = Self {
            shown: Arc::downgrade(model),
            colors: palette::of_kinds(model),
            window: Some(Window::all(model.end.max(self.reach))),
            reach: self.reach,
            filter: Filter {
                hidden: vec![false; model.kinds.len()],
                found: None,
            },
            collapsed: vec![false; model.groups.len()],
            ..Self::default()
        };
        self.search_for(model, search);
        true
    }

    /// Where time ends for the window.
    pub(super) fn end(&self, model: &TimelineModel) -> u64 {
        model.end.max(self.reach)
    }

    /// The window of time in view.
    pub(super) fn window(&self, model: &TimelineModel) -> Window {
        self.window.unwrap_or_else(|| Window::all(self.end(model)))
    }

    /// Searches for kinds of which the name, or the name of the class, contains `search`, in any case.
    pub(super) fn search_for(&mut self, model: &TimelineModel, search: String) {
        let wanted = search.trim().to_lowercase();
        self.search = search;
        self.filter.found = (!wanted.is_empty()).then(|| {
            let kinds = model.timeline.kinds.iter();
            kinds
                .map(|(id, kind)| {
                    let used = model.kinds[id.index()].count > 0;
                    used && (kind.name.to_lowercase().contains(&wanted)
                        || kind.class.name().contains(&wanted))
                })
                .collect()
        });
    }

    /// Shows or hides `kinds`: hides them all, unless all are hidden.
    pub(super) fn toggle(&mut self, kinds: &[KindId]) {
        let hide = kinds.iter().any(|&kind| self.filter.draws(kind));
        for kind in kinds {
            self.filter.hidden[kind.index()] = hide;
        }
    }

    /// Selects `span`, or nothing.
    pub(super) fn select(&mut self, model: &TimelineModel, span: Option<SpanId>) {
        if self.selected != span {
            self.released = span.map(|span| model.released_by(span)).unwrap_or_default();
        }
        self.selected = span;
    }

    /// Selects `span`, brings it into view, and has keys go on from there.
    pub(super) fn go_to(&mut self, model: &TimelineModel, span: SpanId) {
        self.show(model, span);
        self.wants_focus = true;
    }

    /// Selects `span` and brings it into view.
    pub(super) fn show(&mut self, model: &TimelineModel, span: SpanId) {
        self.select(model, Some(span));
        let (from, to) = model.extent(span);
        self.window = Some(self.window(model).showing(from, to, self.end(model)));
        let (lane, _) = model.place(span);
        self.collapsed[model.lanes[lane].group] = false;
        self.jump = Some(lane);
    }

    /// Fits the window to the selected span; to everything when it fits already, or none is selected.
    pub(super) fn fit_selected(&mut self, model: &TimelineModel) {
        let fitted = self.selected.map(|span| {
            let (from, to) = model.extent(span);
            Window::around(from, to, self.end(model))
        });
        let fitted = fitted.filter(|fitted| self.window != Some(*fitted));
        self.window = Some(fitted.unwrap_or_else(|| Window::all(self.end(model))));
    }

    /// Goes to the next span of the selected lane, or the one before; to the first in view if none is
    /// selected.
    pub(super) fn step(&mut self, model: &TimelineModel, back: bool) {
        let Some((lane, at)) = self.selected.map(|span| model.place(span)) else {
            self.select_first(model);
            return;
        };
        let spans = &model.lanes[lane].spans;
        let drawn = |&at: &usize| self.filter.draws(model.lanes[lane].kind_of(at));
        let next = if back {
            (0..at).rev().find(drawn)
        } else {
            (at + 1..spans.len()).find(drawn)
        };
        if let Some(next) = next {
            self.go_to(model, spans[next]);
        }
    }

    /// Goes to the span of the next lane, or the one before, that runs when the selected one begins.
    pub(super) fn change_lane(&mut self, model: &TimelineModel, back: bool) {
        let Some(span) = self.selected else {
            self.select_first(model);
            return;
        };
        let (lane, at) = model.place(span);
        let next = if back { lane.checked_sub(1) } else { Some(lane + 1) };
        let next = next.and_then(|next| model.lanes.get(next));
        let start = model.lanes[lane].starts[at];
        if let Some((next, at)) = next.and_then(|next| next.nearest(start).map(|at| (next, at))) {
            self.go_to(model, next.spans[at]);
        }
    }

    fn select_first(&mut self, model: &TimelineModel) {
        let from = self.window(model).from;
        let first = model.lanes.first();
        if let Some((lane, at)) = first.and_then(|lane| lane.nearest(from).map(|at| (lane, at))) {
            self.go_to(model, lane.spans[at]);
        }
    }

    /// Goes to the span that released the selected one, or to the first that the selected one released.
    pub(super) fn follow(&mut self, model: &TimelineModel, forward: bool) {
        let span = self.selected.and_then(|span| {
            if forward {
                self.released.first().copied()
            } else {
                model.span(span).released_by
            }
        });
        if let Some(span) = span {
            self.go_to(model, span);
        }
    }

    /// Goes to the next span that the search found, or the one before.
    pub(super) fn next_found(&mut self, model: &TimelineModel, back: bool) {
        if let Some(span) = model.next_found(&self.filter, self.selected, back) {
            self.go_to(model, span);
        }
    }

    /// The interval that is measured, in order.
    pub(super) fn interval(&self) -> Option<(u64, u64)> {
        let (one, other) = self.measured?;
        Some((one.min(other), one.max(other))).filter(|(from, to)| from < to)
    }

    /// The lines of the canvas, from top to bottom.
    pub(super) fn rows(&self, model: &TimelineModel) -> Vec<Row> {
        let mut rows = Vec::new();
        for (number, group) in model.groups.iter().enumerate() {
            rows.push(Row::Group(number));
            if !self.collapsed[number] {
                rows.extend(group.lanes.clone().map(Row::Lane));
                rows.extend(group.counters.clone().map(Row::Counter));
            }
        }
        rows
    }
}
