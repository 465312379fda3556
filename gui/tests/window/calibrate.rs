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
