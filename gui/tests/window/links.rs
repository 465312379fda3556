//! What crossed the links of the cluster.

use egui_kittest::kittest::Queryable as _;
use orrery_gui::{Arrangement, Scenario, Start};

use crate::support::{SMALL, open, shows, until_document};

fn ran(text: &str) -> egui_kittest::Harness<'static, orrery_gui::App> {
    let mut harness = open(Start {
        scenarios: vec![Scenario::new("small.scenario.toml", text)],
        run_at_once: true,
        arrangement: Some(Arrangement::Timeline),
        ..Start::default()
    });
    harness.get_by_label("Links").click();
    until_document(&mut harness, "the end", |document| document.finished.is_some());
    harness
}

#[test]
fn a_run_on_paths_of_its_own_says_how_to_share_links() {
    let harness = ran(SMALL);
    harness.get_by_label("In this run every transfer had a path of its own.");
    assert!(shows(&harness, "contention = \"links\""), "it names the key");
}

#[test]
fn links_are_listed_the_busiest_first_and_found_by_name() {
    let shared = SMALL.replace(
        "[parallel]",
        "[cluster.fabric]\ncontention = \"links\"\n\n[parallel]",
    );
    assert_ne!(shared, SMALL);
    let mut harness = ran(&shared);
    let document = harness.state().document();
    let finished = document.finished.as_ref().expect("it has run");
    assert!(finished.links.is_some(), "links are shared");
    assert!(shows(&harness, "node 0 device 0 -> node 0 scale-up switch"));
    harness.get_by_label("Traffic between ranks");
    let field = harness.get_by_label("Find");
    field.focus();
    harness.run_steps(2);
    harness.get_by_label("Find").type_text("device 5 ->");
    harness.run_steps(3);
    assert!(!shows(&harness, "node 0 device 0 -> node 0 scale-up switch"));
    assert!(shows(
        &harness,
        "node 0 device 5 -> node 0 scale-up switch over the run"
    ));
    harness.get_by_label("Find").type_text("no such link");
    harness.run_steps(3);
    harness.get_by_label("No link has such a name.");
}
