//! A layout that a search found, written as a scenario: what it says of itself, and what it no longer says.

mod support;

use orrery_scenario::{LayoutChoice, Plan, Searchable, render};
use support::load_with;

const OLD: &str = r#"# A job.
schema = "scenario/1"
[scenario]
name = "mixtral"
title = "Mixtral 8x7B on 16 H100"
kind = "training"
notes = "measured by somebody"
[model]
from = "catalog"
name = "mixtral-8x7b"
[cluster]
nodes = 2 # two
[cluster.node]
gpu = "H100"
[parallel]
ep = 8
[training]
seq_len = 4096
global_batch = 64

[expect.mfu]
# Of a table.
check = "train.mfu.mean in 40 % .. 50 %"
why = "published"

[expect.fits]
check = "mem.hbm_peak.max <= 80 GiB" # all of it
"#;

fn loaded(text: &str, files: &[(&str, &str)]) -> Plan {
    load_with(text, files, &[]).unwrap_or_else(|faults| panic!("{text}\n{}", render(&faults)))
}

/// `plan`'s layout with tensors split in two.
fn split(plan: &Plan) -> LayoutChoice {
    LayoutChoice {
        tp: 2,
        ..LayoutChoice::of(plan)
    }
}

#[test]
fn a_layout_on_another_cluster_says_what_it_is_and_drops_what_was_found_of_the_old_one() {
    let old = loaded(OLD, &[]);
    let written = split(&old).written(OLD, &Searchable::of(old.clone()), 4).unwrap();
    let new = loaded(&written.text, &[]);
    assert_eq!((new.layout.tp, new.layout.world()), (2, 32));
    assert_eq!(new.identity.name, "mixtral-4-nodes-tp2-pp1-ep8");
    assert_eq!(written.name, new.identity.name);
    let title = &new.identity.title;
    assert!(
        title.contains("on 32 x H100") && title.contains("TP2 PP1") && !title.contains("16"),
        "{title}"
    );
    let notes = &new.identity.notes;
    assert!(
        notes.starts_with("Another layout of mixtral (TP1 PP1 CP1 EP8")
            && notes.contains("measured by somebody"),
        "{notes}"
    );
    let kept: Vec<&str> = new.expectations.iter().map(|known| known.id.as_str()).collect();
    assert_eq!(
        kept,
        ["fits"],
        "a demand holds for any layout, a finding does not"
    );
    for words in [
        "# Left out: it says what mixtral took (TP1 PP1 CP1 EP8",
        "# [expect.mfu]\n# Of a table.\n# check = \"train.mfu.mean in 40 % .. 50 %\"\n# why = \"published\"\n\n[expect.fits]",
        "# A job.",
        "nodes = 4 # two",
        "# all of it",
    ] {
        assert!(written.text.contains(words), "{words} in\n{}", written.text);
    }
}

#[test]
fn a_layout_found_from_one_that_was_found_is_named_once() {
    let old = loaded(OLD, &[]);
    let once = split(&old).written(OLD, &Searchable::of(old.clone()), 4).unwrap();
    let plan = loaded(&once.text, &[]);
    let twice = LayoutChoice::of(&old)
        .written(&once.text, &Searchable::of(plan), 8)
        .unwrap();
    assert_eq!(twice.name, "mixtral-8-nodes-tp1-pp1-ep8");
}

/// Its text may have been edited since somebody wrote down what that scenario took: another size, another batch.
#[test]
fn the_layout_that_a_scenario_has_drops_what_was_found_as_well() {
    let old = loaded(OLD, &[]);
    let written = LayoutChoice::of(&old)
        .written(OLD, &Searchable::of(old.clone()), 2)
        .unwrap();
    let new = loaded(&written.text, &[]);
    let kept: Vec<&str> = new.expectations.iter().map(|known| known.id.as_str()).collect();
    assert_eq!(kept, ["fits"]);
    let notes = &new.identity.notes;
    assert!(
        notes.starts_with("The layout of mixtral itself (TP1 PP1 CP1 EP8")
            && notes.contains("measured by somebody"),
        "{notes}"
    );
}

#[test]
fn what_another_file_expects_no_longer_fails() {
    let over = "extends = \"old.toml\"\n[scenario]\nname = \"over\"\n";
    let files = [("old.toml", OLD)];
    let plan = loaded(over, &files);
    let written = split(&plan)
        .written(over, &Searchable::of(plan.clone()), 2)
        .unwrap();
    let new = loaded(&written.text, &files);
    let found = new.expectations.iter().find(|known| known.id == "mfu").unwrap();
    assert_eq!(found.level, orrery_scenario::expect::Level::Info);
    assert!(found.why.starts_with("Left out"), "{}", found.why);
}
