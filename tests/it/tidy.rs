//! Invariants of the source text: size, openings, the shared lines of the lint files, words that do not belong.

use std::path::{Path, PathBuf};

/// The longest a source file may be.
const MAX_LINES: usize = 800;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .to_owned()
}

/// Every file below the source folders with the given ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["simulator", "collector", "gui", "kernels", "tests", "scenarios"]
        .map(|top| root().join(top))
        .into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn check(ending: &str, fault: impl Fn(&Path, &str) -> Option<String>) {
    let faults: Vec<String> = files(ending)
        .iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).expect("sources are text");
            fault(path, &text).map(|fault| format!("{}: {fault}", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_opens_with_what_it_is() {
    check(".rs", |_, text| {
        (!text.starts_with("//!")).then(|| "does not open with `//!`".to_owned())
    });
}

#[test]
fn no_source_file_is_too_long() {
    check(".rs", |_, text| {
        let lines = text.lines().count();
        (lines > MAX_LINES).then(|| format!("{lines} lines; split it, {MAX_LINES} is the most"))
    });
}

#[test]
fn no_test_is_ignored_and_no_lint_is_allowed() {
    // Written in two parts so that this file does not name what it forbids.
    let forbidden = [
        concat!("#[", "ignore"),
        concat!("#[", "should_panic"),
        concat!("#[", "allow("),
    ];
    check(".rs", |_, text| {
        forbidden
            .iter()
            .find(|word| text.contains(**word))
            .map(|word| format!("contains `{word}`"))
    });
}

/// Panels read the document and send commands; what they share lies beside them.
#[test]
fn no_panel_of_the_window_knows_another() {
    let panels = root().join("gui/src/panels");
    let names: Vec<String> = std::fs::read_dir(&panels)
        .expect("there are panels")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "mod")
        .collect();
    assert!(names.len() > 8, "{names:?}");
    check(".rs", |path, text| {
        let own = path.strip_prefix(&panels).ok()?.iter().next()?.to_str()?;
        let own = own.trim_end_matches(".rs");
        let others = names.iter().filter(|name| *name != own);
        let known = others.filter(|name| text.contains(&format!("panels::{name}")));
        let known: Vec<&str> = known.map(String::as_str).collect();
        (own != "mod" && !known.is_empty()).then(|| format!("knows {}", known.join(", ")))
    });
}

/// What is computed for a panel is computed without a widget, so that it can be tested and timed alone.
#[test]
fn models_and_the_document_of_the_window_hold_no_widget() {
    let source = root().join("gui/src");
    const OF_WIDGETS: [&str; 4] = [
        concat!("&mut ", "Ui"),
        concat!("&", "Ui"),
        concat!("egui::", "Ui"),
        "Response",
    ];
    check(".rs", |path, text| {
        let inside = path.strip_prefix(&source).ok()?;
        let name = inside.file_name()?.to_str()?;
        let is_plain = inside.starts_with("document")
            || ["model.rs", "fields.rs", "lane.rs", "layout.rs"].contains(&name);
        let held = OF_WIDGETS.iter().find(|word| text.contains(**word));
        held.filter(|_| is_plain).map(|word| format!("holds `{word}`"))
    });
}

#[test]
fn lint_files_agree_on_their_shared_lines() {
    let shared = std::fs::read_to_string(root().join("clippy.toml")).unwrap();
    check("clippy.toml", |_, text| {
        shared
            .lines()
            .find(|line| !line.trim().is_empty() && !text.lines().any(|own| own == *line))
            .map(|line| format!("lacks the shared line `{line}`"))
    });
}

#[test]
fn the_simulator_reads_no_clock_and_no_environment() {
    let forbidden = ["Instant::now", "SystemTime::now", "std::env::var", "std::thread"];
    check(".rs", |path, text| {
        let inside = path.starts_with(root().join("simulator/crates"));
        let aside = ["examples", "benches", "tests"]
            .iter()
            .any(|part| path.iter().any(|p| p == *part));
        let tests = path.file_name().is_some_and(|name| name == "tests.rs");
        let code = text.split("#[cfg(test)]").next().unwrap_or(text);
        (inside && !aside && !tests)
            .then(|| forbidden.iter().find(|word| code.contains(**word)))
            .flatten()
            .map(|word| format!("uses `{word}`"))
    });
}
