//! The program where there is no display: what `orrery` does.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::SMALL;

fn without_display(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orrery-gui"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .output()
        .expect("the program starts")
}

#[test]
fn files_are_run_as_by_the_command_and_one_line_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.scenario.toml"), SMALL).unwrap();
    let ran = without_display(folder.path(), &["small.scenario.toml"]);
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert_eq!(ran.status.code(), Some(0), "{err}");
    let said: Vec<&str> = err
        .lines()
        .filter(|line| line.starts_with("orrery-gui: "))
        .collect();
    assert_eq!(
        said,
        ["orrery-gui: no window: neither DISPLAY nor WAYLAND_DISPLAY is set; running without one"]
    );
    assert!(out.contains("scenarios: 1 passed, 0 failed"), "{out}");
    assert!(
        folder.path().join("orrery-runs/small-3/run.json").exists(),
        "the run is stored"
    );
}

#[test]
fn a_picture_needs_a_window_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ran = without_display(folder.path(), &["--screenshot", "a.png"]);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(!folder.path().join("a.png").exists(), "there is no picture");
}

#[test]
fn a_bad_command_line_ends_with_2_and_names_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, fix) in [
        (["--collector", "ftp://node"], "http://node:9477"),
        (["--nonsense", "x"], "--help"),
    ] {
        let ran = without_display(folder.path(), &arguments);
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), err.contains(fix)), (Some(2), true), "{err}");
    }
}
