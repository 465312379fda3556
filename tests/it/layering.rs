//! Who may know whom: the table of ARCHITECTURE.md held against the manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Allowed direct dependencies between packages of this workspace. A package missing here is a failure, so
/// that the table cannot fall behind.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("orrery-units", &[]),
    ("orrery-timeline", &["orrery-units"]),
    ("orrery-operation", &["orrery-units"]),
    ("orrery-experts", &["orrery-units"]),
    (
        "orrery-balance",
        &["orrery-units", "orrery-experts", "orrery-profile"],
    ),
    ("orrery-profile", &["orrery-units", "orrery-operation"]),
    ("orrery-taskgraph", &["orrery-units"]),
    ("orrery-kernels", &["orrery-units", "orrery-operation"]),
    (
        "orrery-telemetry",
        // Operation for the FLOPs of a model, from which a job's MFU comes.
        &["orrery-units", "orrery-timeline", "orrery-operation"],
    ),
    ("orrery-fake-cuda", &[]),
    ("orrery-fake-nvml", &[]),
    (
        "orrery-netlab",
        &["orrery-units", "orrery-taskgraph", "orrery-engine"],
    ),
    (
        "orrery-collector",
        &[
            "orrery-units",
            "orrery-operation",
            "orrery-telemetry",
            "orrery-profile",
            "orrery-kernels",
        ],
    ),
    (
        "orrery-gui",
        &[
            "orrery-units",
            "orrery",
            "orrery-scenario",
            "orrery-report",
            "orrery-timeline",
            "orrery-telemetry",
            "orrery-profile",
            // For its binary alone, which starts a collector in its own process; see the test below.
            "orrery-collector",
        ],
    ),
    (
        "orrery-engine",
        &["orrery-units", "orrery-taskgraph", "orrery-timeline"],
    ),
    (
        "orrery-scenario",
        &[
            "orrery-units",
            "orrery-operation",
            "orrery-profile",
            "orrery-experts",
            "orrery-balance",
        ],
    ),
    ("orrery-report", &["orrery-units", "orrery-timeline"]),
    ("orrery-trace", &["orrery-units", "orrery-timeline"]),
    (
        "orrery-replay",
        &[
            "orrery-units",
            "orrery-timeline",
            "orrery-taskgraph",
            "orrery-trace",
        ],
    ),
    (
        "orrery-workload",
        &[
            "orrery-units",
            "orrery-operation",
            "orrery-profile",
            "orrery-experts",
            "orrery-scenario",
            "orrery-taskgraph",
            "orrery-timeline",
        ],
    ),
    (
        "orrery",
        &[
            "orrery-units",
            "orrery-operation",
            "orrery-timeline",
            "orrery-profile",
            "orrery-taskgraph",
            "orrery-engine",
            "orrery-experts",
            "orrery-balance",
            "orrery-scenario",
            "orrery-workload",
            "orrery-report",
            "orrery-trace",
            "orrery-replay",
        ],
    ),
];

/// The tests know everything.
const KNOWS_EVERYTHING: &str = "orrery-tests";

#[test]
fn packages_know_only_whom_they_may() {
    let table: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut faults = Vec::new();
    for manifest in manifests() {
        let text = std::fs::read_to_string(&manifest).unwrap();
        faults.extend(faults_of(&text, &table));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_reversed_line_is_found() {
    let table: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let text = "[package]\nname = \"orrery-engine\"\n[dependencies]\norrery-scenario.workspace = true\n";
    assert_eq!(
        faults_of(text, &table),
        ["`orrery-engine` may not depend on `orrery-scenario`"]
    );
    let text = "[package]\nname = \"orrery-new\"\n";
    assert_eq!(
        faults_of(text, &table),
        ["`orrery-new` is missing from the layering table"]
    );
}

/// A manifest cannot give a dependency to a binary alone, so the sources are held to it: the library of the
/// window hears collectors over HTTP, and only `main.rs` knows that one may run in the same process.
#[test]
fn only_the_binary_of_the_window_knows_the_daemon() {
    let sources = crate::tidy::root().join("gui/src");
    let mut found = Vec::new();
    walk(&sources, ".rs", &mut found);
    assert!(found.len() > 10, "the walk found the window's sources");
    let mention = |path: &&PathBuf| {
        let text = std::fs::read_to_string(path).expect("sources are text");
        text.contains("orrery_collector")
    };
    let who: Vec<&PathBuf> = found.iter().filter(mention).collect();
    assert_eq!(who, [&sources.join("main.rs")]);
}

fn faults_of(manifest: &str, table: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let name = manifest["package"]["name"]
        .as_str()
        .expect("a package has a name");
    if name == KNOWS_EVERYTHING {
        return Vec::new();
    }
    let Some(allowed) = table.get(name) else {
        return vec![format!("`{name}` is missing from the layering table")];
    };
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    let edges = dependencies.into_iter().flat_map(toml::Table::keys);
    edges
        .filter(|edge| edge.starts_with("orrery") && !allowed.contains(&edge.as_str()))
        .map(|edge| format!("`{name}` may not depend on `{edge}`"))
        .collect()
}

/// The manifest of every member, found by walking: a package that is no member is found too.
fn manifests() -> Vec<PathBuf> {
    let root = crate::tidy::root();
    let mut found = Vec::new();
    for top in ["simulator", "collector", "gui", "kernels", "tests"] {
        walk(&root.join(top), "Cargo.toml", &mut found);
    }
    assert!(found.len() >= MAY_KNOW.len(), "the walk found the workspace");
    found
}

/// Every file below `folder` whose path ends so.
fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}
