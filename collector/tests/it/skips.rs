//! Tests that need a program of the system say so where it is missing, and fail where it is required.

use std::io::Write as _;
use std::process::{Command, Stdio};

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
            .expect("the file of skips can be appended to");
        writeln!(file, "{name}: {reason}").expect("the file of skips can be written");
    }
}

/// Whether `command` runs here; where it does not, that is said of `name`.
pub(crate) fn has_command(command: &str, name: &str) -> bool {
    let mut asked = Command::new(command);
    asked
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let runs = asked.status().is_ok_and(|status| status.success());
    if !runs {
        skip(name, &format!("`{command}` is not installed"));
    }
    runs
}
