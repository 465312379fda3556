//! Recordings of several sorts become scenarios that run, and what is none is told.

use std::path::PathBuf;

use orrery_scenario::Loaded;

use super::*;
use crate::balancing::{self, Watch};
use crate::pipeline;

fn truth(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/truth")
        .join(name)
}

/// The report of the scenario on the recording `path`, with so many steps of each phase.
fn ran(path: &Path, steps: u64) -> orrery_report::BalancingReport {
    let recording = read(path).unwrap();
    let named = path.file_name().unwrap().to_str().unwrap();
    let text = scenario(&recording, named).unwrap();
    let file = path.with_file_name("a.scenario.toml").display().to_string();
    let short: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("steps = ") {
            true => format!("steps = {steps}"),
            false => line.to_owned(),
        })
        .collect();
    let loaded = pipeline::load_any(&file, &short.join("\n"), &[]);
    match loaded.unwrap_or_else(|faults| panic!("{faults:?}\n{text}")) {
        Loaded::Balancing(plan) => balancing::run(&plan, &Watch::new(&plan)).report,
        Loaded::Training(_) => panic!("it compares balancers"),
    }
}

#[test]
fn routes_of_a_model_that_is_in_no_catalogue_become_a_scenario_that_runs() {
    let path = truth("routing_tokens_deepseek_v2_lite_esft.csv.gz");
    assert!(is_recorded(&path));
    let report = ran(&path, 120);
    assert_eq!(report.identity.layout, "EP8, 72 slots a layer");
    assert_eq!(report.identity.model, "recorded, 26 layers of 64 experts, top 6");
    assert!(
        report.identity.notes.contains("are assumed"),
        "{}",
        report.identity.notes
    );
    let ids: Vec<&str> = report.policies.iter().map(|policy| policy.id.as_str()).collect();
    assert_eq!(ids, ["static", "eplb", "eplb-beside", "eplb-once"]);
}

#[test]
fn counts_of_several_models_are_taken_of_the_one_that_was_counted_most() {
    let path = truth("routing_counts_olmoe_mixtral.csv.gz");
    assert!(is_recorded(&path));
    let text = scenario(&read(&path).unwrap(), "counts.csv.gz").unwrap();
    assert!(
        text.contains("other parts of the recording are left out"),
        "{text}"
    );
    assert!(
        text.contains("a token takes 8 of them"),
        "counts do not tell: {text}"
    );
}

#[test]
fn a_dump_of_a_model_of_the_catalogue_is_of_that_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.json");
    let layer = |layer: usize| {
        (0..8)
            .map(|expert| 100 + (expert * 37 + layer * 11) % 90)
            .collect::<Vec<usize>>()
    };
    let counts: Vec<Vec<usize>> = (0..32).map(layer).collect();
    std::fs::write(&path, serde_json::json!({"logical_count": counts}).to_string()).unwrap();
    assert!(is_recorded(&path));
    let report = ran(&path, 60);
    assert_eq!(
        report.identity.model,
        "mixtral-8x7b, 32 layers of 8 experts, top 2"
    );
    assert_eq!(report.identity.layout, "EP8, 16 slots a layer");
}

#[test]
fn what_is_no_recording_is_told_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cases = [
        (put("a.csv", "# a remark\nlayer,expert,count\n0,0,1\n"), true),
        (put("b.csv", "task,seq,pos,layer,e0,e1\n"), true),
        (put("c.csv", "step,rank,seconds\n"), false),
        (put("d.json", "[ [1, 2], [3, 4] ]"), true),
        (put("e.json", "{\"expert_load\": [[1]]}"), true),
        (put("f.json", "{\"traceEvents\": []}"), false),
        (put("g.json", "{\"schema\": \"experts/1\", \"laws\": []}"), false),
        (put("h.toml", "[load]\nlayer = 1\n"), false),
        (folder.path().join("nothing.csv"), false),
    ];
    for (path, is) in cases {
        assert_eq!(is_recorded(&path), is, "{}", path.display());
    }
}

#[test]
fn experts_are_spread_over_as_many_devices_as_share_them_evenly() {
    for (experts, devices) in [(8, 8), (6, 2), (7, 1), (64, 8), (128, 16), (160, 32), (256, 32)] {
        assert_eq!(super::scenario::devices(experts), devices, "{experts}");
    }
}
