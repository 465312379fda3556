//! Recorded loads of experts, opened and judged: whether a balancer pays for them.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, OutputCommand};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use orrery_gui::{App, Arrangement, Home, Scenario, Start};

use crate::support::{SMALL, drop_on, open, shows, until, until_document};

/// Two MoE layers of sixteen experts in every step; the second one's first experts are hot.
fn counts() -> String {
    let mut table = "layer,expert,count\n".to_owned();
    for layer in 0..2 {
        for expert in 0..16 {
            let count = if expert < 2 {
                900 - 300 * layer
            } else {
                100 + expert
            };
            table.push_str(&format!("{layer},{expert},{count}\n"));
        }
    }
    table
}

fn window() -> Harness<'static, App> {
    open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        arrangement: Some(Arrangement::Plan),
        ..Start::default()
    })
}

fn until_judged(harness: &mut Harness<'_, App>) {
    until_document(harness, "the verdict", |document| {
        document
            .finished
            .as_ref()
            .is_some_and(|run| run.experts.is_some())
    });
}

#[test]
fn a_dropped_histogram_is_run_at_once_and_says_whether_eplb_pays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("histogram.csv");
    std::fs::write(&file, counts()).unwrap();
    let mut harness = window();
    drop_on(&mut harness, file);
    until_judged(&mut harness);
    let document = harness.state().document();
    assert!(
        document.file.ends_with("histogram-eplb.scenario.toml"),
        "{}",
        document.file
    );
    assert_eq!(
        document.keeping().map(|kept| kept.home),
        Some(Home::New),
        "it is in no file yet"
    );
    assert!(shows(
        &harness,
        "eplb lowers the imbalance, busiest device over mean: "
    ));
    assert!(
        shows(&harness, "It pays: it saves ") && shows(&harness, " on, of 600 steps, "),
        "from when on"
    );
    assert!(
        shows(
            &harness,
            " % of what their MoE layers take under static (dispatch, experts and combine)"
        ),
        "a share of what"
    );
    assert!(
        shows(&harness, " more of every device than static, "),
        "redundant slots cost memory"
    );
    assert!(
        shows(&harness, "Evidence: no balancer was timed") && shows(&harness, "R² of the sorted shares"),
        "what it rests on, and how well the law fits"
    );
    assert!(
        shows(&harness, "does not say how wide they are"),
        "what is assumed is said"
    );
    harness.get_by_role_and_label(Role::Image, "Loads of experts");
    harness.get_by_label("Copy the verdict").click();
    harness.run_steps(1);
    let copied = harness
        .output()
        .platform_output
        .commands
        .iter()
        .find_map(|command| match command {
            OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        });
    let copied = copied.expect("it is on the clipboard");
    assert!(
        copied.starts_with("Balancing pays: ") && copied.lines().count() > 4,
        "{copied}"
    );
}

#[test]
fn a_histogram_is_opened_by_its_path_and_laws_of_experts_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (file, laws) = (
        folder.path().join("dump.json"),
        folder.path().join("a.experts.json"),
    );
    std::fs::write(
        &file,
        "{\"expert_load\": [[9, 1, 1, 1, 1, 1, 1, 1], [1, 9, 1, 1, 1, 1, 1, 1]]}",
    )
    .unwrap();
    std::fs::write(&laws, "{\n  \"schema\": \"experts/1\",\n  \"laws\": []\n}").unwrap();
    let mut harness = window();
    let type_path = |harness: &mut Harness<'_, App>, path: &std::path::Path| {
        harness.get_by_label("Path").focus();
        harness.run_steps(2);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        harness.run_steps(1);
        harness
            .get_by_label("Path")
            .type_text(&path.display().to_string());
        harness.run_steps(2);
        harness.get_by_role_and_label(Role::Button, "Open file").click();
        harness.run_steps(3);
    };
    harness.key_press_modifiers(Modifiers::COMMAND, Key::O);
    harness.run_steps(3);
    type_path(&mut harness, &laws);
    until(&mut harness, "what they are", |harness| {
        shows(harness, "fitted laws of kernels of experts, no load")
    });
    type_path(&mut harness, &file);
    until_judged(&mut harness);
    assert!(!shows(&harness, "Open file"), "the question is answered");
    assert!(shows(&harness, "eplb-once"), "every policy is judged");
}

#[test]
fn a_histogram_alone_is_opened_without_a_scenario_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("histogram.csv");
    std::fs::write(&file, counts()).unwrap();
    let mut harness = open(Start {
        runs: vec![file.display().to_string()],
        ..Start::default()
    });
    until_judged(&mut harness);
    assert_eq!(harness.state().document().shelf.len(), 1);
}
