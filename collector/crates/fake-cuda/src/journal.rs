//! What was done, a line each, in the file that `ORRERY_FAKE_CUDA_JOURNAL` names: kernels with their parameters, and graphs.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Adds a line, if anybody wants to know.
pub(crate) fn note(line: &str) {
    let Some(path) = std::env::var_os("ORRERY_FAKE_CUDA_JOURNAL") else {
        return;
    };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.expect("the test says where");
    file.write_all(format!("{line}\n").as_bytes())
        .expect("there is room");
}
