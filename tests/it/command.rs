//! The `orrery` command as a process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// What a run of the command gave.
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// The command, built with the profile of this test if it is not there or older than the sources.
///
/// It belongs to another package, so cargo does not hand its path to this one.
pub(crate) fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let own = std::env::current_exe().expect("a test knows its own path");
            let folder = own
                .ancestors()
                .nth(2)
                .expect("tests lie in `deps` of the profile's folder");
            let profile = match folder.file_name().and_then(|name| name.to_str()) {
                Some("debug") | None => "dev",
                Some(other) => other,
            };
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo)
                .args(["build", "--quiet", "--locked", "-p", "orrery", "--bin", "orrery"])
                .args(["--profile", profile, "--target-dir"])
                .arg(
                    folder
                        .parent()
                        .expect("the profile's folder lies in the target folder"),
                )
                .current_dir(crate::tidy::root())
                .output()
                .expect("cargo starts");
            assert!(
                built.status.success(),
                "{}",
                String::from_utf8_lossy(&built.stderr)
            );
            folder.join(format!("orrery{}", std::env::consts::EXE_SUFFIX))
        })
        .clone()
}

/// Runs the command in `folder`.
pub(crate) fn orrery(folder: &Path, arguments: &[&str]) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the command starts");
    Ran {
        code: status.code().expect("the command ends by itself"),
        out: String::from_utf8(stdout).expect("output is text"),
        err: String::from_utf8(stderr).expect("messages are text"),
    }
}

/// A folder with `scenario` as `s.toml`.
pub(crate) fn folder_with(scenario: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("s.toml"), scenario).expect("it can be written");
    folder
}

/// Says that a test cannot run here, unless its `name` is in `ORRERY_REQUIRE`.
pub(crate) fn skip(name: &str, reason: &str) {
    let required = std::env::var("ORRERY_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|entry| entry == name),
        "{name} is required: {reason}"
    );
    if let Some(path) = std::env::var_os("ORRERY_SKIPS") {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("it opens");
        writeln!(file, "{name}: {reason}").expect("it can be written");
    }
}
