//! Layouts of a scenario: searched, looked at, opened.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use crate::support::{SMALL, open_text, shows, typed, until_checked, until_document};

#[test]
fn layouts_are_searched_and_the_best_is_opened_as_a_scenario_with_all_else_as_it_was() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    until_document(&mut harness, "the search", |document| {
        document.explore.found.is_some() && document.explore.searching.is_none()
    });
    until_document(&mut harness, "a close look", |document| {
        document.explore.weighed.is_some()
    });
    let document = harness.state().document();
    let (_, model) = document.explore.found.clone().unwrap();
    assert!(
        model.fitting > 0 && model.layouts.len() > model.fitting,
        "some fit and some do not"
    );
    let best = &model.layouts[model.best.expect("something fits")];
    assert!(best.simulated, "the best was simulated");
    assert!(shows(&harness, "allowed by the rules"));
    assert!(
        shows(&harness, &best.choice.to_string()),
        "the best is looked at closely"
    );
    assert!(
        shows(&harness, "tensor-core rate: 10 % more gives"),
        "what decides its step is told"
    );
    assert!(shows(&harness, "stage 0: "), "and what it holds");

    harness
        .get_by_role_and_label(Role::Button, "Open as scenario")
        .click();
    harness.run_steps(3);
    until_checked(&mut harness);
    let document = harness.state().document();
    assert_eq!(document.shelf.len(), 2, "it is a scenario beside the other");
    let plan = document.training_plan().expect("it has no fault");
    assert_eq!(orrery_scenario::LayoutChoice::of(plan), best.choice);
    let title = &plan.identity.title;
    assert!(
        title.contains("on 8 x H100-SXM5-80GB") && title.contains(&best.choice.to_string()),
        "its title says what it is: {title}"
    );
    assert_eq!(document.file, format!("{}.scenario.toml", plan.identity.name));
}

#[test]
fn sizes_of_the_cluster_are_compared() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num7);
    harness.run_steps(3);
    harness.get_by_label("Cluster sizes").click();
    harness.run_steps(3);
    harness
        .get_by_role_and_label(Role::Button, "Compare sizes")
        .click();
    until_document(&mut harness, "the sizes", |document| {
        document.explore.sizes.is_some() && document.explore.searching.is_none()
    });
    let document = harness.state().document();
    let (_, sizes) = document.explore.sizes.clone().unwrap();
    let nodes: Vec<u32> = sizes.iter().map(|sizing| sizing.nodes).collect();
    assert_eq!(nodes, [1, 2, 4]);
    let days: Vec<f64> = sizes
        .iter()
        .map(|sizing| sizing.best.as_ref().unwrap().days_per_trillion())
        .collect();
    assert!(
        days[0] > days[1] && days[1] > days[2],
        "more devices are faster: {days:?}"
    );
    assert!(shows(&harness, "days for 1 T tokens, 80 %"));
    let best = sizes[0].best.as_ref().unwrap();
    let (low, high) = best.uncertainty().expect("its stack was measured");
    assert!(low < 1.0 && high > 1.0, "{low} to {high}");
    let digits = |share: f64| orrery_units::significant(days[0] * share, 3);
    let words = format!("{} ({} … {})", digits(1.0), digits(low), digits(high));
    assert!(shows(&harness, &words), "{words}");

    // A size of one's own is looked at besides; nothing is estimated again.
    let estimated = document.explore.sizes.clone().unwrap().1;
    harness.get_by_label("a size of my own").click();
    harness.run_steps(3);
    assert!(shows(&harness, "= 8 GPUs"), "whole nodes");
    harness
        .get_by_role_and_label(Role::Button, "Compare sizes")
        .click();
    harness.run_steps(2);
    until_document(&mut harness, "the sizes again", |document| {
        document.explore.searching.is_none()
    });
    let (_, again) = harness.state().document().explore.sizes.clone().unwrap();
    assert_eq!(*again, *estimated);
}

#[test]
fn a_search_that_asks_the_same_again_estimates_nothing_twice() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    let search = |harness: &mut egui_kittest::Harness<'_, orrery_gui::App>, number: u64| {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
        harness.run_steps(2);
        until_document(harness, "the search", |document| {
            let found = document.explore.found.as_ref();
            found.is_some_and(|(job, _)| job.number == number) && document.explore.searching.is_none()
        });
        harness.state().document().explore.found.clone().unwrap()
    };
    let (job, first) = search(&mut harness, 1);
    assert!(!job.known);
    let (job, second) = search(&mut harness, 2);
    assert!(job.known, "the same question");
    assert!(shows(&harness, "nothing was estimated twice"));
    assert_eq!(first.found.estimated, second.found.estimated);
    assert_eq!(first.found.confirmed, second.found.confirmed);
    crate::support::retype(&mut harness, &SMALL.replace("= 16", "= 32"));
    until_checked(&mut harness);
    let (job, _) = search(&mut harness, 3);
    assert!(!job.known, "another text is another question");
}

#[test]
fn the_table_of_layouts_scrolls_sideways_with_its_header() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    until_document(&mut harness, "the search", |document| {
        document.explore.found.is_some() && document.explore.searching.is_none()
    });
    harness.run_steps(5);
    let first = harness.get_by_role_and_label(Role::Button, "MFU").rect();
    harness.hover_at(first.center() + eframe::egui::vec2(0.0, 60.0));
    harness.run_steps(2);
    for _ in 0..3 {
        harness.event(eframe::egui::Event::MouseWheel {
            unit: eframe::egui::MouseWheelUnit::Point,
            delta: eframe::egui::vec2(-120.0, -40.0),
            modifiers: Modifiers::NONE,
            phase: eframe::egui::TouchPhase::Move,
            source: eframe::egui::MouseWheelSource::Unknown,
        });
        harness.run_steps(10);
    }
    let moved = harness.get_by_role_and_label(Role::Button, "MFU").rect();
    assert!(
        moved.left() < first.left() - 50.0,
        "sideways: {first:?} to {moved:?}"
    );
    assert!(
        (moved.top() - first.top()).abs() < 0.5,
        "the header stays above the rows: {first:?} to {moved:?}"
    );
}

#[test]
fn a_search_is_stopped() {
    let mut harness = open_text(&SMALL.replace("steps = 2", "steps = 4000"));
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    until_document(&mut harness, "the search", |document| {
        document.explore.searching.is_some()
    });
    harness
        .get_by_role_and_label(Role::Button, "Stop searching")
        .click();
    until_document(&mut harness, "the end", |document| {
        document.explore.searching.is_none()
    });
    assert_eq!(harness.state().document().explore.fault, None);
    let run = harness.get_by_role_and_label(Role::Button, "Search layouts");
    assert!(!run.accesskit_node().is_disabled(), "another can begin");
    assert!(typed_is_kept(&mut harness));
}

/// Whether the text is what it was, once its panel is in front again.
fn typed_is_kept(harness: &mut egui_kittest::Harness<'_, orrery_gui::App>) -> bool {
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num3);
    harness.run_steps(3);
    typed(harness).contains("steps = 4000")
}

/// Twelve devices in pipelines of eight: no layout, though others are.
fn illegal() -> String {
    SMALL
        .replace("gpus = 8", "gpus = 12")
        .replace("pp = 2", "pp = 8")
        .replace("= 16", "= 24")
}

#[test]
fn layouts_are_searched_though_the_one_that_is_written_is_illegal() {
    let mut harness = open_text(&illegal());
    until_document(&mut harness, "what can be done", |document| {
        document.remedies.is_some()
    });
    assert!(harness.state().document().plan.is_none(), "it cannot be run");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num7);
    harness.run_steps(3);
    assert!(shows(&harness, "the layout that is written is not legal"));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    until_document(&mut harness, "the search", |document| {
        document.explore.found.is_some() && document.explore.searching.is_none()
    });
    harness
        .get_by_role_and_label(Role::Button, "Open as scenario")
        .click();
    harness.run_steps(3);
    until_checked(&mut harness);
    assert!(
        harness.state().document().plan.is_some(),
        "the layout that was found is legal"
    );
}

#[test]
fn why_nothing_can_be_searched_stands_in_the_panel() {
    let mut harness = open_text(&SMALL.replace("seq_len", "sequence"));
    until_document(&mut harness, "what can be done", |document| {
        document.remedies.is_some()
    });
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num7);
    harness.run_steps(3);
    assert!(shows(
        &harness,
        "the scenario has an error that no layout mends: "
    ));
    let search = harness.get_by_role_and_label(Role::Button, "Search layouts");
    assert!(search.accesskit_node().is_disabled());
}

#[test]
fn a_search_forgets_what_was_chosen_of_the_one_before() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    let search = |harness: &mut egui_kittest::Harness<'_, orrery_gui::App>| {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
        harness.run_steps(2);
        until_document(harness, "the search", |document| {
            document.explore.found.is_some() && document.explore.searching.is_none()
        });
        harness.run_steps(2);
    };
    search(&mut harness);
    harness.get_by_label("only what fits").click();
    harness.get_by_role_and_label(Role::Button, "MFU").click();
    harness.run_steps(3);
    let wanted = |harness: &egui_kittest::Harness<'_, orrery_gui::App>| {
        let only = harness.get_by_label("only what fits");
        only.accesskit_node().toggled() == Some(eframe::egui::accesskit::Toggled::True)
    };
    assert!(wanted(&harness), "it was ticked");
    search(&mut harness);
    assert!(!wanted(&harness), "of another search nothing is wanted yet");
    let document = harness.state().document();
    assert!(
        !matches!(document.selection.item, Some(orrery_gui::Item::Layout(..))),
        "no layout of the search before is looked at"
    );
}

#[test]
fn a_target_is_held_against_the_sizes() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num7);
    harness.run_steps(3);
    harness.get_by_label("Cluster sizes").click();
    harness.run_steps(3);
    harness
        .get_by_role_and_label(Role::Button, "Compare sizes")
        .click();
    until_document(&mut harness, "the sizes", |document| {
        document.explore.sizes.is_some() && document.explore.searching.is_none()
    });
    harness.get_by_label("on at most").click();
    harness.run_steps(3);
    assert!(shows(&harness, "The smallest that meets it: 8 GPUs (1 nodes): "));
    assert!(shows(&harness, " … "), "with its interval");
    harness.get_by_label("within").click();
    harness.run_steps(3);
    assert!(
        shows(&harness, "None of these sizes meets it:"),
        "a month is too short"
    );
    assert!(shows(&harness, " days, not 30"));
}
