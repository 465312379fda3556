//! Predictions beside measurements, the kernels and the collectives that they are made of.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

use crate::support::{SMALL, open_text, shows, until_checked, until_document};

const MEMORY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/truth/megatron_ci_memory.csv.gz"
);

#[test]
fn a_table_of_measurements_is_compared_row_by_row() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num9);
    harness.run_steps(3);
    harness.get_by_label("How far can predictions be trusted?");
    let compare = |harness: &mut egui_kittest::Harness<'_, orrery_gui::App>, path: &str| {
        harness.get_by_label("Measurements").focus();
        harness.run_steps(2);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        harness.run_steps(1);
        harness.get_by_label("Measurements").type_text(path);
        harness.run_steps(2);
        harness.get_by_role_and_label(Role::Button, "Predict").click();
        harness.run_steps(2);
    };
    compare(&mut harness, "no/such/table.csv");
    until_document(&mut harness, "the refusal", |document| {
        document.calibrate.fault.is_some()
    });
    assert!(shows(&harness, "no/such/table.csv"), "the fault names the file");
    compare(&mut harness, MEMORY);
    until_document(&mut harness, "the comparison", |document| {
        document.calibrate.judged.is_some()
    });
    let document = harness.state().document();
    let (_, outcome) = document.calibrate.judged.clone().unwrap();
    let compared = outcome.rows.iter().filter(|row| row.result.is_ok()).count();
    assert!(compared > 300, "{compared}");
    assert!(
        document.calibrate.fault.is_none(),
        "the fault before is forgotten"
    );
    assert!(
        shows(&harness, "off on average"),
        "how far predictions can be trusted is said"
    );
    assert!(shows(&harness, "in the 80 % interval"));
}

#[test]
fn a_comparison_is_stopped() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num9);
    harness.run_steps(3);
    harness.get_by_label("Measurements").focus();
    harness.run_steps(2);
    // Every table there is: much longer than the test.
    let tables = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/truth");
    harness.get_by_label("Measurements").type_text(tables);
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::Button, "Predict").click();
    harness.run_steps(3);
    harness.get_by_label("Stop comparing").click();
    harness.run_steps(2);
    until_document(&mut harness, "the end", |document| {
        document.calibrate.judging.is_none()
    });
    harness.get_by_label("the comparison was stopped");
    harness.get_by_role_and_label(Role::Button, "Predict");
}

#[test]
fn kernels_and_collectives_of_the_scenario_are_shown() {
    let mut harness = open_text(SMALL);
    until_checked(&mut harness);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Num9);
    harness.run_steps(3);
    harness.get_by_label("Kernels").click();
    harness.run_steps(3);
    assert!(shows(&harness, "MLP, first product"));
    assert!(
        shows(&harness, "cublaslt"),
        "it is said whose kernels were measured"
    );
    harness.get_by_label("Comms").click();
    harness.run_steps(3);
    assert!(
        shows(&harness, "all_reduce of 8 ranks on 1 nodes"),
        "the machine is the scenario's"
    );
    assert!(shows(&harness, "what NCCL takes") || shows(&harness, "NCCL takes"));
}

/// A program that plans and measures as `orrery-collector` does, as far as the window knows; what follows the plan of
/// `calibrate --out` is `body`.
#[cfg(unix)]
fn program(folder: &std::path::Path, body: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("orrery-collector");
    let text = format!(
        "#!/bin/sh\necho 'copy 64 MiB   triton   1   0.12 GiB'\necho 'what is measured is kept as it comes: an interrupted run \
         goes on where it was'\n[ \"$2\" = --dry-run ] && exit 0\n{body}\n"
    );
    std::fs::write(&path, text).expect("the folder is ours");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    path
}

/// The part of the panel that measures, with the plan of `program`.
fn open_to_measure(program: std::path::PathBuf) -> egui_kittest::Harness<'static, orrery_gui::App> {
    let mut harness = crate::support::open(orrery_gui::Start {
        scenarios: vec![orrery_gui::Scenario::new("small.scenario.toml", SMALL)],
        calibrator: Some(program),
        arrangement: Some(orrery_gui::Arrangement::Calibrate),
        ..orrery_gui::Start::default()
    });
    harness.get_by_label("Measure this machine").click();
    harness.run_steps(3);
    until_document(&mut harness, "the plan", |document| {
        document.measuring.plan.is_some()
    });
    harness
}

#[cfg(unix)]
#[test]
fn this_machine_is_measured_with_the_plan_beforehand_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let body = "echo 'orrery-collector: [1/3] copy 64 MiB: 41.2 us' >&2\nexec sleep 60";
    let mut harness = open_to_measure(program(folder.path(), body));
    assert!(shows(&harness, "copy 64 MiB   triton"), "the plan is shown first");
    harness.get_by_label("Measure").click();
    harness.run_steps(2);
    until_document(&mut harness, "the first measurement", |document| {
        document
            .measuring
            .under_way
            .as_ref()
            .is_some_and(|under_way| under_way.done == (1, 3))
    });
    harness.get_by_label("[1/3] copy 64 MiB: 41.2 us");
    let began = std::time::Instant::now();
    harness.get_by_label("Stop measuring").click();
    harness.run_steps(2);
    until_document(&mut harness, "the end", |document| {
        document.measuring.under_way.is_none()
    });
    assert!(began.elapsed().as_secs() < 20, "it does not wait for the program");
    assert!(shows(&harness, "Stopped. What was measured is kept"));
}

#[cfg(unix)]
#[test]
fn what_came_of_a_calibration_or_why_nothing_did_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let body = "echo '3 measured, 0 from an earlier run, 0 failed'; echo \"profile: $3\"";
    let mut harness = open_to_measure(program(folder.path(), body));
    harness.get_by_label("Measure").click();
    harness.run_steps(2);
    until_document(&mut harness, "the end", |document| {
        document.measuring.ended.is_some()
    });
    assert!(shows(&harness, "3 measured, 0 from an earlier run, 0 failed"));
    assert!(shows(&harness, "calibrated.profile.json\""), "and how it is used");
    let body = "echo 'orrery-collector: no CUDA driver on this machine' >&2; exit 3";
    let mut harness = open_to_measure(program(folder.path(), body));
    harness.get_by_label("Measure").click();
    harness.run_steps(2);
    until_document(&mut harness, "the end", |document| {
        document.measuring.ended.is_some()
    });
    harness.get_by_label("Nothing was measured.");
    harness.get_by_label("no CUDA driver on this machine");
    assert!(shows(&harness, "`orrery-collector doctor` says what is missing"));
}

#[test]
fn without_the_program_that_measures_there_is_no_plan_and_nothing_to_press() {
    use egui_kittest::kittest::NodeT as _;
    let harness = open_to_measure("no/such/orrery-collector".into());
    harness.get_by_label("There is no plan.");
    assert!(shows(&harness, "`no/such/orrery-collector` cannot be started"));
    assert!(harness.get_by_label("Measure").accesskit_node().is_disabled());
}
