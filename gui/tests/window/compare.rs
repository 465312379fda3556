//! Runs held against each other: simulated here, stored, and recorded.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{App, Arrangement, Document, Scenario, Start};

use crate::support::{SMALL, open, retype, shows, until, until_checked, until_document};

/// A window on the small scenario with `runs` opened beside it.
fn open_beside(runs: Vec<String>) -> Harness<'static, App> {
    open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", SMALL)],
        runs,
        arrangement: Some(Arrangement::Plan),
        ..Start::default()
    })
}

/// Brings the comparison to the front.
fn to_compare(harness: &mut Harness<'_, App>) {
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num5);
    harness.run_steps(3);
}

/// Runs the scenario in front.
fn run(harness: &mut Harness<'_, App>) {
    until_checked(harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    harness.run_steps(2);
}

fn num_runs(document: &Document) -> usize {
    document.runs.kept.len()
}

#[test]
fn two_runs_are_compared_and_swapped_and_what_differs_is_named() {
    let mut harness = open_beside(Vec::new());
    to_compare(&mut harness);
    harness.get_by_label("Nothing to compare yet");
    run(&mut harness);
    until_document(&mut harness, "the first run", |document| num_runs(document) == 1);
    harness.get_by_role_and_label(Role::Button, "A: #1 small, simulated");
    harness.get_by_label_contains("Choose a second run");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num3);
    harness.run_steps(3);
    retype(&mut harness, &SMALL.replace("tp = 2", "tp = 4"));
    run(&mut harness);
    until_document(&mut harness, "the second run", |document| num_runs(document) == 2);
    to_compare(&mut harness);
    until_document(&mut harness, "both steps", |document| document.runs.is_settled());
    let verdict = |harness: &Harness<'_, App>| {
        let document = harness.state().document();
        let compared = document.runs.compared[0].as_deref().cloned();
        compared
            .expect("two runs are compared")
            .expect("both are whole")
            .difference()
    };
    let slower = verdict(&harness);
    assert_ne!(slower, 0, "another layout takes another time");
    let words = if slower > 0 { " % longer" } else { " % shorter" };
    assert!(shows(&harness, words), "the verdict is a sentence");
    harness.get_by_label_contains("to the picosecond");
    harness.get_by_label_contains("exposed tensor traffic (TP): A ");
    harness.get_by_label("Settings").click();
    harness.run_steps(3);
    harness.get_by_label("parallel.tp");
    // What is chosen here is what the timeline shows.
    harness
        .get_by_role_and_label(Role::Button, "A: #1 small, simulated")
        .click();
    harness.run_steps(3);
    harness
        .query_all_by_label("#1 small, simulated")
        .last()
        .expect("it can be chosen")
        .click();
    harness.run_steps(3);
    assert_eq!(
        harness.state().document().runs.viewed().map(|run| run.id),
        Some(1)
    );
    harness.get_by_label("Swap A and B").click();
    harness.run_steps(3);
    assert_eq!(verdict(&harness), -slower);
    harness.get_by_role_and_label(Role::Button, "A: #2 small, simulated");
    let canvases = harness.query_all_by_role(Role::Canvas).count();
    assert_eq!(canvases, 2, "a timeline for each");
}

#[test]
fn a_recorded_trace_is_opened_beside_a_run_and_moves_with_it() {
    let folder = tempfile::tempdir().unwrap();
    write_traces(folder.path());
    let mut harness = open_beside(vec![folder.path().display().to_string()]);
    to_compare(&mut harness);
    run(&mut harness);
    until_document(&mut harness, "both", |document| {
        num_runs(document) == 2 && document.runs.is_settled()
    });
    let title = harness.state().document().runs.sides[0]
        .run
        .as_ref()
        .map(|run| run.title());
    assert!(
        title.unwrap().ends_with("recorded"),
        "what was measured is what others are held against"
    );
    assert!(
        shows(&harness, "MEASURED") && shows(&harness, "SIMULATED"),
        "each says which it is"
    );
    until_document(&mut harness, "what its step loses", |document| {
        document
            .runs
            .kept
            .iter()
            .any(|run| run.recorded && run.explained.starts_with("The step takes what it needs"))
    });
    harness.get_by_label_contains("step 1 of 2").click();
    harness.run_steps(3);
    harness.get_by_label_contains("step 2: ").click();
    until_document(&mut harness, "the other step", |document| {
        let side = &document.runs.sides[0];
        side.model.is_some() && side.step.is_some_and(|step| step.number == 1)
    });
    harness.get_by_label("Operations").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Button, "sm90_gemm").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Image, "Lengths of sm90_gemm");
    let spoken = |harness: &Harness<'_, App>| -> Vec<String> {
        let canvases = harness.query_all_by_role(Role::Canvas);
        canvases
            .filter_map(|canvas| canvas.accesskit_node().label())
            .collect()
    };
    let before = spoken(&harness);
    harness.get_by_label("Zoom in").click();
    until(&mut harness, "a nearer view of both", |harness| {
        let now = spoken(harness);
        now.len() == 2 && now.iter().zip(&before).all(|(now, before)| now != before)
    });
}

#[test]
fn what_cannot_be_opened_says_why_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rank-0.json");
    std::fs::write(&file, "{\"traceEvents\": [{}]}").unwrap();
    let mut harness = open_beside(vec![file.display().to_string()]);
    until(&mut harness, "the reason", |harness| {
        shows(harness, "rank-0.json")
    });
    assert_eq!(num_runs(&harness.state().document()), 0);
    run(&mut harness);
    until_document(&mut harness, "the run", |document| num_runs(document) == 1);
}

/// Two ranks and two steps as PyTorch's profiler writes them, in microseconds.
fn write_traces(folder: &std::path::Path) {
    for rank in 0..2 {
        let mut events = Vec::new();
        for step in 0..2 {
            let at = 1000 * step;
            let name = format!("ProfilerStep#{}", step + 1);
            events.push(format!(
                r#"{{"ph":"X","cat":"user_annotation","name":"{name}","pid":1,"tid":1,"ts":{at},"dur":990}}"#
            ));
            for (kernel, from, length) in [("sm90_gemm", 10, 400), ("flash_fwd_kernel", 420, 200 + 50 * step)]
            {
                let from = at + from;
                events.push(format!(
                    r#"{{"ph":"X","cat":"kernel","name":"{kernel}","pid":0,"tid":7,"ts":{from},"dur":{length},"args":{{"stream":7,"device":0}}}}"#
                ));
            }
        }
        let text = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"rank":{rank},"world_size":2}},"traceEvents":[{}]}}"#,
            events.join(",")
        );
        std::fs::write(folder.join(format!("rank-{rank}.json")), text)
            .expect("a temporary folder takes files");
    }
}
