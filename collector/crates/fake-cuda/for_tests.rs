//! What tests of other packages include: a folder with this driver in it, built as it stands now, and the compiler of kernels.
//!
//! The driver is a library for C, found by the loader when a process starts: nothing can depend on it as on other crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it lies in the target folder")
}

/// A folder with the driver under its own names and those of `libraries`.
pub(crate) fn driver(libraries: &[&str]) -> TempDir {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "orrery-fake-cuda", "--target-dir"])
        .arg(target())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the fake driver builds");
    let folder = tempfile::tempdir().expect("a folder");
    let library = target().join("debug/libfake_cuda.so");
    for name in ["libcuda.so", "libcuda.so.1"].iter().chain(libraries) {
        std::fs::copy(&library, folder.path().join(name)).expect("it can be copied");
    }
    folder
}

/// NVRTC as `kernels/fetch-nvrtc.sh` leaves it, if it does; tests of compilation record the skip.
pub(crate) fn nvrtc() -> Option<PathBuf> {
    let folder = target().join("nvrtc/nvidia/cuda_nvrtc/lib");
    folder.is_dir().then_some(folder)
}
