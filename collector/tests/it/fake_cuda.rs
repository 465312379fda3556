//! A driver of CUDA of the fake kind, for tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder with a driver of the fake kind under the driver's name.
pub(crate) fn driver() -> TempDir {
    driver_with(&[])
}

/// The same, under the names of `libraries` too.
pub(crate) fn driver_with(libraries: &[&str]) -> TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it lies in the target folder");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "orrery-fake-cuda", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the fake driver builds");
    let folder = tempfile::tempdir().expect("a folder");
    let library = target.join("debug/libfake_cuda.so");
    for name in ["libcuda.so", "libcuda.so.1"].iter().chain(libraries) {
        std::fs::copy(&library, folder.path().join(name)).expect("it can be copied");
    }
    folder
}

/// NVRTC as `kernels/fetch-nvrtc.sh` leaves it, if it does.
pub(crate) fn nvrtc() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let folder = target.join("nvrtc/nvidia/cuda_nvrtc/lib");
    folder.is_dir().then_some(folder)
}
