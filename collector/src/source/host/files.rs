//! Small files of the kernel, read whole, with what their absence means.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use orrery_telemetry::{Absence, Reading};
use orrery_units::Bytes;

/// The most that is read of one file; `/proc/stat` of a machine of a thousand processors has 100 KiB.
const MOST_BYTES: u64 = 1024 * 1024;

/// The files below a folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn below(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The text of a file.
    pub(super) fn text(&self, path: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.folder.join(path))?
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of a file, or why there is none.
    pub(super) fn reading(&self, path: &str) -> Reading<String> {
        self.text(path).map_err(|fault| absence(&fault)).into()
    }

    /// The number that a file holds alone.
    pub(super) fn number(&self, path: &str) -> Reading<u64> {
        let number = |text: String| text.trim().parse().map_err(|_not_one| Absence::NotANumber).into();
        self.reading(path).and_then(number)
    }

    /// The number that a file holds alone, as bytes.
    pub(super) fn bytes(&self, path: &str) -> Reading<Bytes> {
        self.number(path).map(Bytes::new)
    }

    /// The names in a folder, in order; none that would leave it.
    pub(super) fn names(&self, path: &str) -> Reading<Vec<String>> {
        let list = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(self.folder.join(path))?;
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut names: Vec<String> = names.collect();
            names.sort();
            Ok(names)
        };
        list().map_err(|fault| absence(&fault)).into()
    }

    /// Whether there is something at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }
}

/// Why a file cannot be read. The kernel refuses what a device does not do with `EINVAL` or `EOPNOTSUPP`.
fn absence(fault: &io::Error) -> Absence {
    match fault.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
            Absence::NotSupported
        }
        io::ErrorKind::PermissionDenied => Absence::NoPermission,
        _ => Absence::Failed(fault.to_string().into()),
    }
}
