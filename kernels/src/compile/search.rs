//! Where NVRTC may be.

use std::path::{Path, PathBuf};

/// Folders of a wheel root (`site-packages`, or an unpacked wheel) that hold the library.
const WHEEL_FOLDERS: [&str; 2] = ["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"];

/// What the library is called, newest first. Bare names are resolved by the system's loader.
const LIBRARY_NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];

/// Where toolkits install it.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"];

/// Where to look for NVRTC, in this order: the path given, wheel roots, the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The library itself, or a folder that holds it. If given, nothing else is tried.
    pub given: Option<PathBuf>,
    /// Folders into which wheels were installed or unpacked.
    pub wheel_roots: Vec<PathBuf>,
    /// Whether to ask the system's loader and the usual folders.
    pub system: bool,
}

impl Search {
    /// The libraries to try, best first.
    pub(super) fn candidates(&self) -> Vec<PathBuf> {
        if let Some(given) = &self.given {
            return if given.is_dir() {
                in_folder(given)
            } else {
                vec![given.clone()]
            };
        }
        let mut found: Vec<PathBuf> = self
            .wheel_roots
            .iter()
            .flat_map(|root| WHEEL_FOLDERS.iter().map(|folder| root.join(folder)))
            .flat_map(|folder| in_folder(&folder))
            .filter(|library| library.is_file())
            .collect();
        if self.system {
            found.extend(LIBRARY_NAMES.map(PathBuf::from));
            let folders = SYSTEM_FOLDERS
                .iter()
                .flat_map(|folder| in_folder(Path::new(folder)));
            found.extend(folders.filter(|library| library.is_file()));
        }
        found
    }

    /// Every place this search covers, for messages.
    pub(super) fn places(&self) -> String {
        let mut places: Vec<String> = match &self.given {
            Some(given) => vec![given.display().to_string()],
            None => self
                .wheel_roots
                .iter()
                .map(|root| root.display().to_string())
                .collect(),
        };
        if self.given.is_none() && self.system {
            places.extend(["the system's loader".to_owned(), SYSTEM_FOLDERS.join(", ")]);
        }
        places.join(", ")
    }
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    LIBRARY_NAMES.iter().map(|name| folder.join(name)).collect()
}

/// `libnvrtc-builtins.so.*` in the folder of `library`, if there is one.
pub(super) fn builtins_beside(library: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(library.parent()?)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("libnvrtc-builtins.so."))
        })
        .collect();
    found.sort();
    found.pop()
}
