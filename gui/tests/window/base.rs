//! A scenario that extends another file, which is at fault.

use egui_kittest::kittest::{NodeT as _, Queryable as _};
use orrery_gui::{Scenario, Start};

use crate::support::{SMALL, open, shows, typed, until, until_checked};

#[test]
fn a_fault_of_the_base_names_its_file_and_leads_there() {
    let folder = tempfile::tempdir().unwrap();
    let base = SMALL.replace("tp = 2", "tp = 2\nnonsense = 1");
    std::fs::write(folder.path().join("base.toml"), &base).unwrap();
    let file = folder.path().join("top.scenario.toml").display().to_string();
    let text = "extends = \"base.toml\"\n[scenario]\nname = \"top\"\n";
    std::fs::write(&file, text).unwrap();
    let mut harness = open(Start {
        scenarios: vec![Scenario::read(&file).unwrap()],
        ..Start::default()
    });
    until_checked(&mut harness);
    let document = harness.state().document();
    let fault = document.diagnostics.first().expect("an unknown key is a fault");
    assert_eq!(fault.file, "base.toml", "{fault:?}");
    let words = format!("base.toml, line {}:{} ", fault.line, fault.column);
    assert!(shows(&harness, &words), "the file at fault is named");
    harness.get_by_label_contains(&words).click();
    until(&mut harness, "the base in front", |harness| {
        typed(harness) == base
    });
    until_checked(&mut harness);
    let editor = harness.get_by_label("Scenario text");
    assert!(
        editor.accesskit_node().is_focused(),
        "the fault leads to its line"
    );
    assert!(shows(&harness, "top"), "the scenario that extends it stays open");
}
