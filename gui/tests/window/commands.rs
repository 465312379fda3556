//! Menus, palette, keys, colours and layouts, all from one table; and what the window remembers.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use orrery_gui::{Action, App, Arrangement, Menu, Scenario, Start};

use crate::support::{SMALL, drop_on, open, open_text, shows, typed, until, until_checked};

fn theme(harness: &Harness<'_, App>) -> Theme {
    harness.ctx.theme()
}

#[test]
fn every_action_is_in_its_menu_and_in_the_palette() {
    let mut harness = open_text(SMALL);
    for menu in Menu::ALL {
        harness.get_by_role_and_label(Role::Button, menu.name()).click();
        harness.run_steps(3);
        for action in Action::ALL.into_iter().filter(|action| action.menu() == menu) {
            assert!(
                shows(&harness, action.name()),
                "{} in {}",
                action.name(),
                menu.name()
            );
        }
        harness.key_press(Key::Escape);
        harness.run_steps(3);
    }
    harness.key_press(Key::F1);
    harness.run_steps(3);
    for action in Action::ALL
        .into_iter()
        .filter(|&action| action != Action::Palette)
    {
        assert!(shows(&harness, action.name()), "{} in the palette", action.name());
    }
}

#[test]
fn the_palette_finds_a_command_and_enter_takes_it() {
    let mut harness = open_text(SMALL);
    assert_eq!(theme(&harness), Theme::Dark);
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::P);
    harness.run_steps(3);
    harness.get_by_label("Find a command").type_text("light");
    harness.run_steps(3);
    assert!(!shows(&harness, "Arrangement: observe"), "others are left out");
    harness.key_press(Key::Enter);
    harness.run_steps(4);
    assert_eq!(theme(&harness), Theme::Light);
    assert!(!shows(&harness, "Find a command"), "it is closed");
    harness.get_by_role_and_label(Role::Button, "Dark").click();
    harness.run_steps(3);
    assert_eq!(theme(&harness), Theme::Dark);
}

#[test]
fn the_palette_goes_to_an_open_scenario_by_arrow_keys() {
    let scenarios = ["a.scenario.toml", "b.scenario.toml"].map(|file| Scenario::new(file, SMALL));
    let mut harness = open(Start {
        scenarios: scenarios.into(),
        ..Start::default()
    });
    harness.key_press(Key::F1);
    harness.run_steps(3);
    for _ in 0..40 {
        harness.key_press(Key::ArrowDown);
        harness.run_steps(1);
    }
    harness.key_press(Key::Enter);
    harness.run_steps(4);
    assert_eq!(
        harness.state().document().front,
        1,
        "the last line is the other scenario"
    );
}

#[test]
fn the_palette_says_why_a_command_can_do_nothing_now() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press(Key::F1);
    harness.run_steps(3);
    harness.get_by_label("Find a command").type_text("stop");
    harness.run_steps(3);
    assert!(shows(&harness, "Not now: nothing is under way."), "the reason");
    harness.key_press(Key::Enter);
    harness.run_steps(4);
    assert!(shows(&harness, "Find a command"), "it stays open for another");
}

#[test]
fn the_keys_are_listed_and_a_question_mark_in_the_text_is_one() {
    let mut harness = open_text(SMALL);
    harness.key_press(Key::Questionmark);
    harness.run_steps(3);
    harness.get_by_label("Ctrl+Shift+S");
    harness.get_by_label("W, S; Ctrl+wheel; pinch");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(!shows(&harness, "Ctrl+Shift+S"), "Escape closes it");
    harness.get_by_label("Scenario text").focus();
    harness.run_steps(2);
    harness.key_press(Key::Questionmark);
    harness.run_steps(3);
    assert!(!shows(&harness, "Ctrl+Shift+S"), "it was typed");
}

#[test]
fn layouts_show_what_they_say() {
    let mut harness = open_text(SMALL);
    let has_editor = |harness: &Harness<'_, App>| shows(harness, "Scenario text");
    let has_fleet = |harness: &Harness<'_, App>| shows(harness, "No collectors yet");
    let layouts = [
        (Key::Num4, false, false),
        (Key::Num3, true, false),
        (Key::Num2, false, true),
        (Key::Num1, true, true),
    ];
    for (key, editor, fleet) in layouts {
        harness.key_press_modifiers(Modifiers::COMMAND, key);
        harness.run_steps(4);
        assert_eq!(
            (has_editor(&harness), has_fleet(&harness)),
            (editor, fleet),
            "{key:?}"
        );
    }
}

#[test]
fn a_dropped_file_is_opened_and_a_trace_by_mistake_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dropped.scenario.toml");
    let text = SMALL.replace("steps = 2", "steps = 7");
    std::fs::write(&file, &text).unwrap();
    let mut harness = open_text(SMALL);
    drop_on(&mut harness, file);
    until(&mut harness, "the dropped file", |harness| typed(harness) == text);
    let trace = folder.path().join("trace.json");
    std::fs::write(&trace, vec![b' '; 2 << 20]).unwrap();
    drop_on(&mut harness, trace);
    until(&mut harness, "the refusal", |harness| {
        shows(harness, "this is no scenario")
    });
    harness.get_by_role_and_label(Role::Button, "Dismiss").click();
    harness.run_steps(3);
    assert!(!shows(&harness, "this is no scenario"), "it was taken note of");
}

#[test]
fn the_next_window_begins_as_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let session = Some(folder.path().join("state/window.json"));
    let files = ["a.scenario.toml", "b.scenario.toml"].map(|name| folder.path().join(name));
    for file in &files {
        std::fs::write(file, SMALL).unwrap();
    }
    let mut harness = open(Start {
        scenarios: files
            .iter()
            .map(|file| Scenario::read(&file.display().to_string()).unwrap())
            .collect(),
        arrangement: Some(Arrangement::Plan),
        light: Some(true),
        session: session.clone(),
        ..Start::default()
    });
    until_checked(&mut harness);
    harness.get_by_label("b").click();
    let kept = folder.path().join("state/window.json");
    let holds_b = |_: &Harness<'_, App>| {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        text.contains("\"front\": 1")
    };
    until(&mut harness, "what is remembered while it is open", holds_b);
    std::fs::remove_file(&kept).unwrap();
    drop(harness);
    let harness = open(Start {
        session: session.clone(),
        ..Start::default()
    });
    let document = harness.state().document();
    assert_eq!(document.file, files[1].display().to_string());
    assert_eq!(document.shelf.len(), 2);
    assert_eq!(theme(&harness), Theme::Light);
    assert!(
        !shows(&harness, "No collectors yet"),
        "the fleet is behind the timeline"
    );
    drop(harness);
    std::fs::remove_file(&files[0]).unwrap();
    let harness = open(Start {
        session,
        ..Start::default()
    });
    assert_eq!(harness.state().document().shelf.len(), 1);
    assert!(
        shows(&harness, "no such file or folder"),
        "what is missing is said"
    );
}

#[test]
fn a_run_that_is_opened_comes_to_the_front_and_one_alone_starts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run.json");
    let stored =
        r#"{"schema": "result/1", "scenario": "stored", "title": "A stored run", "seed": 1, "metrics": {}}"#;
    std::fs::write(&run, stored).unwrap();
    let mut harness = open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        arrangement: Some(Arrangement::Experts),
        ..Start::default()
    });
    drop_on(&mut harness, run.clone());
    until(&mut harness, "its sheet: it has no timeline", |harness| {
        shows(harness, "Export to") && shows(harness, "A stored run")
    });
    let document = harness.state().document();
    assert_eq!(document.selection.item, Some(orrery_gui::Item::Run(1)));
    let mut alone = open(Start {
        runs: vec![run.display().to_string()],
        ..Start::default()
    });
    until(&mut alone, "the run", |harness| {
        !harness.state().document().runs.kept.is_empty()
    });
    alone.run_steps(20);
    let document = alone.state().document();
    assert!(
        document.shelf.is_empty() && document.running.is_none(),
        "nothing else is simulated"
    );
}

#[test]
fn runs_that_are_named_at_the_start_have_their_numbers_in_that_order_and_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str, padding: usize| {
        let run = folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        let stored = format!(
            r#"{{"schema": "result/1", "scenario": "{name}", "title": "Run {name}", "seed": 1, "metrics": {{}}}}{}"#,
            " ".repeat(padding)
        );
        std::fs::write(run.join("run.json"), stored).unwrap();
        run.display().to_string()
    };
    // The larger a file, the longer it is read.
    let names = ["one", "two", "three"];
    let runs: Vec<String> = names
        .iter()
        .zip([64 << 20, 8 << 20, 0])
        .map(|(name, padding)| store(name, padding))
        .collect();
    let mut harness = open(Start {
        runs: runs.clone(),
        ..Start::default()
    });
    until(&mut harness, "the runs", |harness| {
        harness.state().document().runs.kept.len() == 3
    });
    let kept = harness.state().document().runs.kept.clone();
    let titles: Vec<&str> = kept.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(titles, names);
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Button, "A: #1 one, simulated");
    let mut alone = open(Start {
        runs: runs[2..].to_vec(),
        ..Start::default()
    });
    until(&mut alone, "its sheet", |harness| {
        shows(harness, "Export to") && shows(harness, "Run three")
    });
}

#[test]
fn a_tab_keeps_its_place_when_its_scenario_is_edited() {
    let mut harness = open(Start {
        scenarios: ["one", "two"]
            .map(|name| Scenario::new(&format!("{name}.scenario.toml"), SMALL))
            .into(),
        ..Start::default()
    });
    let place = |harness: &Harness<'_, App>| harness.get_by_role_and_label(Role::Button, "two").rect();
    let before = place(&harness);
    crate::support::retype(&mut harness, &SMALL.replace("steps = 2", "steps = 3"));
    harness.get_by_role_and_label(Role::Button, "one •");
    assert_eq!(place(&harness), before);
}

#[test]
fn runs_that_were_opened_are_there_again_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let session = Some(folder.path().join("state/window.json"));
    let run = folder.path().join("run.json");
    let stored = r#"{"schema": "result/1", "scenario": "stored", "seed": 1, "metrics": {}}"#;
    std::fs::write(&run, stored).unwrap();
    let mut harness = open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        runs: vec![run.display().to_string()],
        session: session.clone(),
        ..Start::default()
    });
    let is_open = |harness: &Harness<'_, App>| harness.state().document().runs.kept.len() == 1;
    until(&mut harness, "the stored run", is_open);
    drop(harness);
    let again = || {
        open(Start {
            session: session.clone(),
            ..Start::default()
        })
    };
    let mut harness = again();
    until(&mut harness, "the stored run again", is_open);
    assert!(shows(&harness, "#1 stored"), "it is among the sources");
    harness.get_by_label("Let go of run #1").click();
    harness.run_steps(3);
    drop(harness);
    let mut harness = again();
    harness.run_steps(20);
    assert!(
        harness.state().document().runs.kept.is_empty(),
        "what was let go stays away"
    );
}

#[test]
fn a_shortcut_that_is_refused_says_why_in_the_status_bar() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    let why = Action::GoToWaitedFor.name();
    harness.key_press_modifiers(Modifiers::COMMAND, Key::G);
    harness.run_steps(3);
    assert!(shows(&harness, &format!("{why}: ")), "which one, and why");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::B);
    harness.run_steps(3);
    assert!(
        !shows(&harness, &format!("{why}: ")),
        "it is gone with the next one"
    );
}

#[test]
fn no_command_calls_the_arrangement_of_panels_a_layout() {
    for action in Action::ALL {
        let is_of_panels = action.menu() == Menu::View;
        let named = format!("{} {}", action.name(), action.meaning()).to_lowercase();
        // Layouts of the devices are what Explore shows.
        let is_explore = action == Action::Arrange(Arrangement::Explore);
        assert!(
            !is_of_panels || is_explore || !named.contains("layout"),
            "{named}"
        );
    }
}

#[test]
fn a_run_that_was_stopped_does_not_begin_again_with_the_next_window() {
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("state/window.json");
    let start = || Start {
        run_at_once: true,
        session: Some(session.clone()),
        ..Start::default()
    };
    let mut harness = open(start());
    until(&mut harness, "the run", |harness| {
        harness.state().document().running.is_some()
    });
    harness.get_by_role_and_label(Role::Button, "Stop").click();
    until(&mut harness, "its end", |harness| {
        harness.state().document().running.is_none()
    });
    drop(harness);
    let mut harness = open(start());
    until_checked(&mut harness);
    harness.run_steps(5);
    let document = harness.state().document();
    assert!(
        document.running.is_none() && document.runs.kept.is_empty(),
        "it is not run"
    );
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "a run that was asked for", |harness| {
        harness.state().document().running.is_some()
    });
    drop(harness);
    let mut harness = open(start());
    until(&mut harness, "the run of another window", |harness| {
        harness.state().document().running.is_some()
    });
}
