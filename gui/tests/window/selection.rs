//! One selection for all panels: the tree of sources, the inspector, the time strip, and what links them.

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_collector::{Daemon, Settings, SourceKind};
use orrery_gui::{App, Arrangement, Document, Item, Scenario, Start};

use crate::support::{SMALL, open, shows, until, until_document};

/// The window on a run of `text`, with the timeline in front.
fn ran(text: &str) -> Harness<'static, App> {
    let mut harness = open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", text)],
        run_at_once: true,
        arrangement: Some(Arrangement::Timeline),
        ..Start::default()
    });
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    harness
}

/// The small scenario, with transfers that share links.
fn shared() -> String {
    SMALL.replace(
        "[parallel]",
        "[cluster.fabric]\ncontention = \"links\"\n\n[parallel]",
    )
}

fn press(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press(key);
    harness.run_steps(3);
}

fn drag(harness: &mut Harness<'_, App>, from: Pos2, to: Pos2, modifiers: Modifiers) {
    let press = |pos: Pos2, pressed: bool| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers,
    };
    harness.event(Event::ModifiersChanged(modifiers));
    harness.hover_at(from);
    harness.run_steps(2);
    harness.event(press(from, true));
    harness.run_steps(1);
    for part in [0.3, 0.7, 1.0] {
        harness.event(Event::PointerMoved(from.lerp(to, part)));
        harness.run_steps(1);
    }
    harness.event(press(to, false));
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    harness.run_steps(3);
}

/// From when to when the timeline in front is in view, once it was drawn.
fn window(document: &Document) -> (u64, u64) {
    document.selection.look.as_ref().expect("it was moved").window
}

#[test]
fn a_span_is_inspected_and_leads_to_what_released_it() {
    let mut harness = ran(SMALL);
    assert!(
        shows(&harness, "Where this comes from"),
        "the run in front, where nothing is chosen"
    );
    assert!(shows(&harness, "simulated time rests on: "));
    harness.get_by_role(Role::Canvas).focus();
    harness.run_steps(2);
    press(&mut harness, Key::Period);
    press(&mut harness, Key::CloseBracket);
    let chosen = |harness: &Harness<'_, App>| harness.state().document().selection.item.clone();
    let Some(Item::Span(_, span)) = chosen(&harness) else {
        panic!("a span is selected: {:?}", chosen(&harness));
    };
    harness.get_by_label("step, layer, microbatch");
    assert!(
        shows(&harness, "simulated; rests on "),
        "with what its figures rest on"
    );
    let links: Vec<_> = harness.query_all_by_role(Role::Link).collect();
    links[0].click();
    drop(links);
    harness.run_steps(4);
    let Some(Item::Span(_, cause)) = chosen(&harness) else {
        panic!("its cause is selected");
    };
    assert_ne!(cause, span, "the link leads to another span");
    let spoken = harness.query_all_by_label_contains(" selected").next();
    assert!(spoken.is_some(), "the timeline has it too");
    harness.get_by_label("Clear").click();
    harness.run_steps(4);
    assert_eq!(chosen(&harness), None);
    assert!(shows(&harness, "nothing selected"), "and so has the timeline");
    // Without the inspector the timeline explains by itself.
    harness.key_press_modifiers(Modifiers::COMMAND, Key::I);
    harness.run_steps(3);
    assert!(!shows(&harness, "Where this comes from"));
    harness.get_by_role(Role::Canvas).focus();
    harness.run_steps(2);
    press(&mut harness, Key::Period);
    harness.get_by_label("step, layer, microbatch");
}

#[test]
fn the_rank_that_is_waited_for_is_named_and_gone_to() {
    let mut harness = ran(SMALL);
    let document = harness.state().document();
    let waited = document
        .waited_for()
        .expect("two stages wait for each other")
        .clone();
    assert!(shows(&harness, &waited.sentence()), "{}", waited.sentence());
    let rank = waited.to_look_at().name.clone();
    harness.get_by_label("Plan").click();
    harness.run_steps(3);
    assert!(
        shows(&harness, &waited.sentence()),
        "the plan's results say it too"
    );
    for query in ["straggler", "slowest", "rank"] {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
        harness.run_steps(3);
        harness.get_by_label("Find a command").type_text(query);
        harness.run_steps(3);
        let found = harness.query_all_by_role(Role::Button);
        let labels: Vec<String> = found.filter_map(|node| node.accesskit_node().label()).collect();
        assert!(
            labels
                .iter()
                .any(|label| label.starts_with("Go to the rank that is waited for")),
            "{query}: {labels:?}"
        );
        harness.key_press(Key::Escape);
        harness.run_steps(3);
    }
    harness.key_press_modifiers(Modifiers::COMMAND, Key::G);
    harness.run_steps(4);
    let spoken = format!("on {rank} · ");
    until(&mut harness, "its lane", |harness| {
        let canvases = harness.query_all_by_role(Role::Canvas);
        canvases
            .filter_map(|canvas| canvas.accesskit_node().label())
            .any(|label| label.contains(&spoken) && label.contains(" selected"))
    });
    harness.get_by_label("waiting that ends with this rank");
    // The longest computation is the head's, which is in no layer.
    assert!(shows(&harness, ", none, "), "it has no number");
    assert!(
        shows(&harness, &format!("Go to {rank}")),
        "the button of the same name"
    );
}

#[test]
fn the_part_in_view_is_dragged_in_the_strip_and_zoomed_in_the_timeline() {
    let mut harness = ran(SMALL);
    let mut shown_by = |label: &str| {
        harness.get_by_label(label).click();
        harness.run_steps(3);
        window(&harness.state().document())
    };
    let (from, to) = shown_by("Zoom in");
    assert!(from > 0, "closer: {from} to {to}");
    let (_, end) = shown_by("Fit");
    shown_by("Zoom in");
    let strip = harness.get_by_role(Role::Slider).rect();
    let at = |share: f32| Pos2::new(strip.left() + strip.width() * share, strip.center().y);
    let before = window(&harness.state().document());
    drag(&mut harness, at(0.5), at(0.6), Modifiers::NONE);
    let moved = window(&harness.state().document());
    assert_eq!(moved.1 - moved.0, before.1 - before.0, "it keeps its length");
    let way = (moved.0 - before.0) as f64 / end as f64;
    assert!((way - 0.1).abs() < 0.01, "moved by a tenth: {way}");
    let shown = harness.query_all_by_role(Role::Canvas).next();
    assert!(shown.is_some());
    drag(&mut harness, at(0.05), at(0.15), Modifiers::NONE);
    let drawn = window(&harness.state().document());
    let length = (drawn.1 - drawn.0) as f64 / end as f64;
    assert!((length - 0.1).abs() < 0.01, "a part is drawn anew: {length}");
    harness.get_by_label_contains("Time of small: ");
    harness.get_by_role(Role::Slider).focus();
    harness.run_steps(2);
    press(&mut harness, Key::ArrowRight);
    assert!(window(&harness.state().document()).0 > drawn.0, "keys move it");
    harness.get_by_label("Fit").click();
    harness.run_steps(3);
    assert_eq!(
        window(&harness.state().document()),
        (0, end),
        "the timeline moves the strip"
    );
}

#[test]
fn an_interval_of_the_timeline_is_the_one_of_links_and_a_link_is_inspected() {
    let mut harness = ran(&shared());
    let canvas = harness.get_by_role(Role::Canvas).rect();
    let [from, to] =
        [0.5, 0.7].map(|share| Pos2::new(canvas.left() + canvas.width() * share, canvas.top() + 60.0));
    drag(&mut harness, from, to, Modifiers::SHIFT);
    let document = harness.state().document();
    let look = document.selection.look.clone().expect("it was drawn");
    assert!(look.interval.is_some(), "{look:?}");
    harness.get_by_role(Role::Canvas).focus();
    harness.run_steps(2);
    press(&mut harness, Key::Period);
    harness.get_by_label("Links").click();
    harness.run_steps(3);
    assert!(
        shows(&harness, "that are measured in the timeline"),
        "the list is of the interval"
    );
    let name = "node 0 device 0 -> node 0 scale-up switch";
    let label = format!("{name}: ");
    let line = harness.query_all_by_label_contains(&label).next();
    line.expect("it is listed").click();
    harness.run_steps(3);
    let document = harness.state().document();
    assert!(
        matches!(document.selection.item, Some(Item::Link(..))),
        "{:?}",
        document.selection.item
    );
    harness.get_by_label("utilization over the run");
    harness.get_by_label_contains("utilization in the ");
    let facts = document.facts(0.0).expect("it is known").text();
    assert!(facts.starts_with(&format!("link: {name} (SIMULATED)")), "{facts}");
}

#[test]
fn runs_and_scenarios_are_listed_brought_to_the_front_and_closed() {
    let mut harness = ran(SMALL);
    harness.get_by_label("small: has run");
    harness.get_by_label("#1 small: simulated, A").click();
    harness.run_steps(3);
    let document = harness.state().document();
    assert_eq!(document.selection.item, Some(Item::Run(1)));
    assert_eq!(document.runs.viewed().map(|run| run.id), Some(1));
    assert!(
        shows(&harness, "Back to the scenario's run"),
        "the timeline says whose it is"
    );
    harness.get_by_label("Show its sheet").click();
    harness.run_steps(3);
    until(&mut harness, "the sheet", |harness| shows(harness, "Export to"));
    harness.get_by_label("Let go of run #1").click();
    harness.run_steps(3);
    assert!(harness.state().document().runs.kept.is_empty());
    assert!(shows(&harness, "What was looked at is not there any more."));
    harness.get_by_label("Close scenario small").click();
    harness.run_steps(3);
    assert!(shows(&harness, "small is in no file yet"), "it would be lost");
    harness.get_by_label("Close without saving").click();
    harness.run_steps(3);
    assert!(harness.state().document().shelf.is_empty());
}

#[test]
fn machines_are_listed_a_device_is_inspected_and_a_collector_is_let_go() {
    let daemon = Daemon::start(&Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        sources: vec![SourceKind::Demo],
        ..Settings::for_window()
    })
    .expect("loopback can be listened on");
    let address = daemon.address();
    let mut harness = open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        collectors: vec![format!("http://{address}")],
        ..Start::default()
    });
    until(&mut harness, "the demonstration", |harness| {
        shows(harness, &format!("{address}: demo"))
    });
    harness.get_by_label("demo-node-1  8 devices").click();
    // It opens in a few frames.
    harness.run_steps(60);
    harness.get_by_label_contains("device 3 of demo-node-1: ").click();
    harness.run_steps(3);
    let document = harness.state().document();
    let facts = document.facts(0.0).expect("it is known");
    assert_eq!(
        (facts.what, facts.title.as_str()),
        ("device", "demo-node-1 device 3")
    );
    harness.get_by_label("memory bandwidth");
    assert!(
        shows(&harness, "read by the source `"),
        "with where that comes from"
    );
    harness
        .get_by_label(&format!("Stop following http://{address}"))
        .click();
    harness.run_steps(3);
    assert!(harness.state().document().fleet.collectors.is_empty());
    harness.get_by_label("No collectors yet");
    drop(daemon);
}
