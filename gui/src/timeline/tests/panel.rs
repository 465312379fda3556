//! The panel driven by its labels, without a renderer.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use eframe::egui::accesskit::Role;
use eframe::egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, vec2,
};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_timeline::OpClass;

use super::{Given, model};
use crate::Document;
use crate::app::{Command, Commands};
use crate::document::{Finished, Running};
use crate::panels::timeline::show;
use crate::timeline::{TimelineModel, View};

struct State {
    document: Document,
    view: View,
    /// Made in the first frame.
    asked: Option<(Commands, Receiver<Command>)>,
}

type Panel = Harness<'static, State>;

/// Two ranks for a microsecond: a dispatch that a compute span released, and more.
fn spans() -> Vec<Given> {
    vec![
        (0, OpClass::Compute, 0, 200, None),
        (1, OpClass::Dispatch, 250, 250, Some(0)),
        (2, OpClass::Compute, 0, 500, None),
        (0, OpClass::Compute, 500, 100, Some(1)),
        (3, OpClass::Combine, 600, 400, Some(2)),
    ]
}

fn finished(timeline: Option<TimelineModel>) -> Finished {
    Finished {
        result: Arc::default(),
        links: None,
        name: "small".to_owned(),
        revision: 0,
        headlines: Vec::new(),
        waited_for: None,
        verdict: String::new(),
        checks: Vec::new(),
        failed: false,
        partial: None,
        extent: "5 tasks".to_owned(),
        experts: None,
        wall: Duration::ZERO,
        timeline: timeline.map(Arc::new),
    }
}

fn document() -> Document {
    Document {
        finished: Some(Arc::new(finished(Some(model(spans()))))),
        ..Document::default()
    }
}

fn open(document: Document) -> Panel {
    let state = State {
        document,
        view: View::default(),
        asked: None,
    };
    let mut panel = Harness::builder()
        .with_size([1100.0, 700.0])
        // Clicks of neighbouring frames are a double-click.
        .with_step_dt(1.0 / 60.0)
        .build_ui_state(
            |ui, state: &mut State| {
                let (commands, asked) = state.asked.get_or_insert_with(|| Commands::new(ui.ctx()));
                show(ui, &state.document, &mut state.view, commands);
                for command in asked.try_iter() {
                    match command {
                        Command::Select(item) => state.document.selection.item = item,
                        Command::Look(look) => state.document.selection.look = Some(look),
                        other => panic!("the panel asks for {other:?}"),
                    }
                }
            },
            state,
        );
    panel.run_steps(3);
    panel
}

fn says(panel: &Panel, label: &str) -> bool {
    panel.query_all_by_label_contains(label).next().is_some()
}

/// What the canvas says of itself.
fn spoken(panel: &Panel) -> String {
    let canvas = panel.get_by_role(Role::Canvas);
    canvas.accesskit_node().label().unwrap()
}

/// Where lane `name` shows `share` of the window.
fn on_lane(panel: &Panel, name: &str, share: f32) -> Pos2 {
    let line = panel.get_by_label(name).rect();
    let canvas = panel.get_by_role(Role::Canvas).rect();
    let left = canvas.left() + crate::timeline::rows::NAMES;
    Pos2::new(left + (canvas.right() - left) * share, line.center().y)
}

fn hover(panel: &mut Panel, at: Pos2) {
    panel.hover_at(at);
    panel.run_steps(2);
}

fn press(panel: &mut Panel, key: Key) {
    panel.key_press(key);
    panel.run_steps(2);
}

fn button(panel: &mut Panel, at: Pos2, pressed: bool, modifiers: Modifiers) {
    let button = PointerButton::Primary;
    panel.event(Event::PointerButton {
        pos: at,
        button,
        pressed,
        modifiers,
    });
    panel.run_steps(1);
}

fn click(panel: &mut Panel, at: Pos2) {
    hover(panel, at);
    button(panel, at, true, Modifiers::NONE);
    button(panel, at, false, Modifiers::NONE);
    panel.run_steps(2);
}

fn drag(panel: &mut Panel, from: Pos2, to: Pos2, modifiers: Modifiers) {
    panel.event(Event::ModifiersChanged(modifiers));
    hover(panel, from);
    button(panel, from, true, modifiers);
    for part in [0.3, 0.7, 1.0] {
        panel.event(Event::PointerMoved(from.lerp(to, part)));
        panel.run_steps(1);
    }
    button(panel, to, false, modifiers);
    panel.event(Event::ModifiersChanged(Modifiers::NONE));
    panel.run_steps(2);
}

fn wheel(panel: &mut Panel, points: f32, modifiers: Modifiers) {
    let event = Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: vec2(0.0, points),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Unknown,
        modifiers,
    };
    panel.event(Event::ModifiersChanged(modifiers));
    panel.event(event);
    // The wheel is smoothed over some frames.
    panel.run_steps(20);
    panel.event(Event::ModifiersChanged(Modifiers::NONE));
    panel.run_steps(2);
}

fn window(panel: &Panel) -> (u64, u64) {
    let window = panel.state().view.window.unwrap();
    (window.from, window.length)
}

#[test]
fn the_timeline_is_zoomed_by_keys_at_the_pointer() {
    let mut panel = open(document());
    assert!(says(&panel, "shows 1 µs of 1 µs"), "everything at first");
    let place = on_lane(&panel, "rank 0 · compute", 0.25);
    hover(&mut panel, place);
    press(&mut panel, Key::W);
    let (from, length) = window(&panel);
    assert_eq!(length, 666_667, "one and a half times closer");
    assert!(from.abs_diff(83_333) < 2_000, "about the pointer: {from}");
    assert!(says(&panel, "shows 667 ns of 1 µs"), "and it says so");
    press(&mut panel, Key::S);
    assert_eq!(window(&panel), (0, 1_000_000));
}

#[test]
fn the_timeline_is_zoomed_by_the_wheel_with_ctrl_and_left_alone_without() {
    let mut panel = open(document());
    let place = on_lane(&panel, "rank 0 · compute", 0.5);
    hover(&mut panel, place);
    wheel(&mut panel, 60.0, Modifiers::NONE);
    assert_eq!(window(&panel).1, 1_000_000, "the wheel alone scrolls the lanes");
    wheel(&mut panel, 60.0, Modifiers::CTRL | Modifiers::COMMAND);
    let (from, length) = window(&panel);
    assert!(length < 900_000, "{length}");
    assert!(
        (from + length / 2).abs_diff(500_000) < 5_000,
        "about the pointer: {from}"
    );
}

#[test]
fn the_timeline_is_panned_by_keys_and_by_dragging() {
    let mut panel = open(document());
    panel.get_by_label("Zoom in").click();
    panel.run_steps(2);
    let (start, length) = window(&panel);
    let [here, left] = [0.6, 0.5].map(|share| on_lane(&panel, "rank 1 · compute", share));
    hover(&mut panel, here);
    press(&mut panel, Key::D);
    let (keyed, _) = window(&panel);
    assert!(
        (keyed - start).abs_diff(length * 15 / 100) < 2,
        "D goes on by 15 %"
    );
    press(&mut panel, Key::A);
    assert_eq!(window(&panel).0.abs_diff(start), 0, "A goes back");
    drag(&mut panel, here, left, Modifiers::NONE);
    let (dragged, _) = window(&panel);
    assert!(
        (dragged - start).abs_diff(length / 10) < 2_000,
        "dragged by a tenth: {dragged}"
    );
    press(&mut panel, Key::Home);
    assert_eq!(window(&panel), (0, 1_000_000), "Home shows everything");
}

#[test]
fn a_span_is_selected_and_explained_and_its_cause_is_a_link() {
    let mut panel = open(document());
    let place = on_lane(&panel, "rank 0 · exchange", 0.4);
    click(&mut panel, place);
    assert!(
        spoken(&panel).contains("dispatch on rank 0 · exchange selected"),
        "{}",
        spoken(&panel)
    );
    for label in [
        "250 ns",
        "500 ns",
        "24.4 KiB at 100 GB/s",
        "step, layer, microbatch",
        "1, 7, 3",
    ] {
        assert!(says(&panel, label), "the pane says {label}");
    }
    assert!(
        says(&panel, "simulated; rests on interpolation"),
        "and what it rests on"
    );
    assert!(says(&panel, "50 ns before it began"), "and how long it waited");
    let links: Vec<_> = panel.query_all_by_role(Role::Link).collect();
    assert_eq!(links.len(), 2, "what released it, and what it released");
    links[0].click();
    drop(links);
    panel.run_steps(3);
    assert_eq!(panel.state().view.selected, Some(0), "the link jumps");
    press(&mut panel, Key::Escape);
    assert_eq!(panel.state().view.selected, None, "and Escape clears");
}

#[test]
fn a_span_is_fitted_by_key_button_and_double_click() {
    let mut panel = open(document());
    let disabled = panel.get_by_label("Fit selected").accesskit_node().is_disabled();
    assert!(disabled, "nothing is selected yet");
    let place = on_lane(&panel, "rank 0 · exchange", 0.4);
    click(&mut panel, place);
    press(&mut panel, Key::F);
    let fitted = (225_000, 300_000);
    assert_eq!(window(&panel), fitted, "a tenth is free at either side");
    press(&mut panel, Key::F);
    assert_eq!(window(&panel), (0, 1_000_000), "F again shows everything");
    panel.get_by_label("Fit selected").click();
    panel.run_steps(2);
    assert_eq!(window(&panel), fitted);
    panel.get_by_label("Fit").click();
    // Long after that click, or the next ones would be a triple-click.
    panel.run_steps(60);
    hover(&mut panel, place);
    for pressed in [true, false, true, false] {
        button(&mut panel, place, pressed, Modifiers::NONE);
    }
    panel.run_steps(2);
    assert_eq!(window(&panel), fitted, "double-click");
}

#[test]
fn keys_walk_along_lanes_and_dependencies() {
    let mut panel = open(document());
    panel.get_by_role(Role::Canvas).focus();
    panel.run_steps(2);
    let mut after = |key: Key| {
        press(&mut panel, key);
        panel.state().view.selected
    };
    assert_eq!(after(Key::Period), Some(0), "the first span in view");
    assert_eq!(after(Key::CloseBracket), Some(1), "what it released");
    assert_eq!(after(Key::CloseBracket), Some(3));
    assert_eq!(after(Key::OpenBracket), Some(1), "what released it");
    assert_eq!(after(Key::ArrowDown), Some(2), "the lane below");
    assert_eq!(after(Key::ArrowUp), Some(1));
    assert_eq!(after(Key::ArrowUp), Some(0), "and above");
    assert_eq!(after(Key::ArrowRight), Some(3), "the next on the lane");
    assert_eq!(after(Key::Comma), Some(0));
}

#[test]
fn a_search_finds_kinds_and_goes_to_their_spans() {
    let mut panel = open(document());
    panel.get_by_role(Role::Canvas).focus();
    panel.run_steps(2);
    press(&mut panel, Key::Slash);
    assert!(
        panel.get_by_label("Search kinds").is_focused(),
        "slash opens the search"
    );
    panel.get_by_label("Search kinds").type_text("COMB");
    panel.run_steps(3);
    assert!(says(&panel, "found 1 spans, 400 ns"), "count and time");
    press(&mut panel, Key::Enter);
    assert_eq!(panel.state().view.selected, Some(4), "Enter goes there");
    panel.get_by_label("Clear").click();
    panel.run_steps(2);
    assert!(!says(&panel, "found "), "cleared");
    panel.get_by_label("Search kinds").focus();
    panel.run_steps(2);
    panel.get_by_label("Search kinds").type_text("w");
    panel.run_steps(3);
    assert!(
        says(&panel, "nothing found"),
        "a letter in the box is no shortcut"
    );
    assert_eq!(window(&panel), (0, 1_000_000));
}

#[test]
fn groups_collapse_one_by_one_and_together() {
    let mut panel = open(document());
    panel.get_by_label("Collapse rank 0").click();
    panel.run_steps(3);
    assert!(!says(&panel, "rank 0 · "), "its lanes are gone");
    assert!(says(&panel, "rank 1 · compute"), "others stay");
    panel.get_by_label("Expand rank 0").click();
    panel.run_steps(3);
    assert!(
        says(&panel, "rank 0 · memory, at most 500 B"),
        "lanes and counters are back"
    );
    panel.get_by_label("Collapse all").click();
    panel.run_steps(3);
    assert!(!says(&panel, " · "), "no lane is left");
    panel.get_by_label("Expand all").click();
    panel.run_steps(3);
    assert!(says(&panel, "rank 0 · compute"), "all are back");
}

#[test]
fn an_interval_is_measured_by_kind() {
    let mut panel = open(document());
    let [from, to] = [0.1, 0.6].map(|share| on_lane(&panel, "rank 1 · compute", share));
    drag(&mut panel, from, to, Modifiers::SHIFT);
    let (from, to) = panel.state().view.interval().unwrap();
    assert!(
        from.abs_diff(100_000) < 2_000 && to.abs_diff(600_000) < 2_000,
        "{from} to {to}"
    );
    assert_eq!(window(&panel), (0, 1_000_000), "which pans nothing");
    assert!(says(&panel, "interval of "), "how long it is");
    // Compute: 100 and 100 ns on one lane, 400 ns on the other; dispatch 250 ns.
    for label in [
        "compute",
        "dispatch",
        "250 ns",
        "Lanes that compute (2 of 4) are busy ",
        "most rank 1 · compute 80",
        "least rank 0 · compute 40",
        "Exposed communication: ",
    ] {
        assert!(says(&panel, label), "the table says {label}");
    }
    panel.get_by_label("Zoom to interval").click();
    panel.run_steps(3);
    assert!(
        window(&panel).1.abs_diff(600_000) < 4_000,
        "with a tenth at either side"
    );
    panel.get_by_label("Clear interval").click();
    panel.run_steps(3);
    assert!(!says(&panel, "interval of "), "cleared");
}

#[test]
fn the_legend_hides_kinds() {
    let mut panel = open(document());
    // 800 of 1450 ns.
    let label = "compute 55 %";
    panel.get_by_role_and_label(Role::CheckBox, label).click();
    panel.run_steps(3);
    assert!(
        panel.state().view.filter.hidden[OpClass::Compute as usize],
        "hidden"
    );
    let place = on_lane(&panel, "rank 1 · compute", 0.2);
    click(&mut panel, place);
    assert_eq!(panel.state().view.selected, None, "what is hidden is not hit");
    panel.get_by_label("Show all").click();
    panel.run_steps(3);
    click(&mut panel, place);
    assert_eq!(panel.state().view.selected, Some(2));
}

#[test]
fn a_hovered_span_is_told_at_once() {
    let mut panel = open(document());
    let place = on_lane(&panel, "rank 1 · exchange", 0.8);
    hover(&mut panel, place);
    assert!(says(&panel, "combine (combine)"), "kind");
    assert!(says(&panel, "400 ns from 600 ns"), "when");
    assert!(
        says(&panel, "simulated; rests on"),
        "that it is simulated, and on what"
    );
}

#[test]
fn what_there_is_to_see_is_said() {
    let running = || {
        Some(Running {
            place: 0,
            name: "big".to_owned(),
            elapsed: Duration::ZERO,
            tasks_done: 45,
            tasks_expected: Some(100),
            unit: "tasks",
            stopping: false,
        })
    };
    let elsewhere = open(Document {
        running: running(),
        front: 1,
        ..document()
    });
    assert!(!says(&elsewhere, "A run is under way"), "of another scenario");
    let empty = open(Document::default());
    assert!(says(&empty, "No run yet"), "none yet");
    let busy = open(Document {
        running: running(),
        ..Document::default()
    });
    assert!(says(&busy, "Simulating big"), "under way");
    let none = finished(None);
    let none = open(Document {
        finished: Some(Arc::new(none)),
        ..Document::default()
    });
    assert!(says(&none, "This run kept no timeline."), "not asked for");
    let failed = open(Document {
        fault: Some("out of memory".to_owned()),
        ..Document::default()
    });
    assert!(says(&failed, "out of memory"), "failed");
    let again = open(Document {
        running: running(),
        ..document()
    });
    assert!(
        says(&again, "A run is under way") && says(&again, "SIMULATED"),
        "another comes"
    );
    let partial = Finished {
        partial: Some("cancelled".to_owned()),
        ..finished(Some(model(spans())))
    };
    let partial = open(Document {
        finished: Some(Arc::new(partial)),
        ..Document::default()
    });
    assert!(
        says(&partial, "PARTIAL") && says(&partial, "(cancelled)"),
        "stopped early"
    );
}

#[test]
fn what_was_measured_is_marked_so() {
    let mut builder = orrery_timeline::TimelineBuilder::new(orrery_timeline::KindTable::new(), 1);
    builder.add_lane("rank 0", "compute");
    let empty = TimelineModel::measured(builder.finish());
    assert!(
        empty.is_empty() && empty.measured,
        "without spans it is still measured"
    );
    let mut model = model(spans());
    model.measured = true;
    let panel = open(Document {
        finished: Some(Arc::new(finished(Some(model)))),
        ..Document::default()
    });
    assert!(says(&panel, "MEASURED") && !says(&panel, "SIMULATED"), "the mark");
    assert!(!says(&panel, "rests on"), "a measurement rests on nothing else");
}

#[test]
fn another_timeline_is_shown_from_its_start() {
    let mut panel = open(document());
    panel.get_by_label("Zoom in").click();
    panel.run_steps(2);
    let shorter = model([(0, OpClass::Compute, 0, 50, None)]);
    panel.state_mut().document.finished = Some(Arc::new(finished(Some(shorter))));
    panel.run_steps(2);
    assert_eq!(window(&panel), (0, 50_000));
}
