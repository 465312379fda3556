//! CUBINs on disk, by what they were made of: source with headers, architecture, version of the compiler.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Architecture, CompileError, Compiler};
use crate::catalog::{HEADERS, Source};

/// A folder of CUBINs. One that cannot be read or written costs a compilation, never a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// Hash of `source` and every header, in hexadecimal: what a measurement names as the kernel that it measured.
#[must_use]
pub fn source_hash(source: &Source) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(source).chain(&HEADERS) {
        hash.update(part.file.as_bytes());
        hash.update([0]);
        hash.update(part.text.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    /// The cache in `folder`, which is made when something is kept.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the CUBIN of `source` for `architecture` by a compiler of `version` is kept.
    #[must_use]
    pub fn path(&self, source: &Source, architecture: Architecture, version: (i32, i32)) -> PathBuf {
        let stem = source.file.trim_end_matches(".cu");
        let hash = source_hash(source);
        let (major, minor) = version;
        self.folder.join(format!(
            "{stem}-{architecture}-nvrtc{major}.{minor}-{}.cubin",
            &hash[..16]
        ))
    }

    /// The CUBIN of `source`, from the cache or compiled and kept.
    ///
    /// # Errors
    ///
    /// [`CompileError::Refused`] where it has to be compiled and is not.
    pub fn cubin(
        &self,
        compiler: &Compiler,
        source: &Source,
        architecture: Architecture,
    ) -> Result<Vec<u8>, CompileError> {
        let path = self.path(source, architecture, compiler.version());
        if let Some(kept) = std::fs::read(&path).ok().filter(|bytes| is_cubin(bytes)) {
            return Ok(kept);
        }
        let cubin = compiler.cubin(source, architecture)?;
        // A full disk or a folder of somebody else's: the next run compiles again.
        let _kept = keep(&path, &cubin);
        Ok(cubin)
    }
}

/// Whether these bytes begin as a CUBIN does: ELF of machine 190, and not the half of a file.
fn is_cubin(bytes: &[u8]) -> bool {
    bytes.len() > 64 && bytes.starts_with(b"\x7fELF") && bytes[18..20] == 190_u16.to_le_bytes()
}

/// Under another name first, so that nobody reads a half.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().expect("a file in the cache lies in its folder");
    std::fs::create_dir_all(folder)?;
    let scratch = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = std::fs::File::create(&scratch)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&scratch, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SOURCES;

    #[test]
    fn a_path_names_all_that_a_cubin_depends_on() {
        let cache = Cache::new(PathBuf::from("kept"));
        let mut paths: Vec<PathBuf> = Vec::new();
        for source in &SOURCES {
            for architecture in Architecture::ALL {
                for version in [(12, 9), (13, 0)] {
                    paths.push(cache.path(source, architecture, version));
                }
            }
        }
        let changed = Source {
            text: "other",
            ..SOURCES[0]
        };
        paths.push(cache.path(&changed, Architecture::Sm80, (12, 9)));
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
        assert!(!is_cubin(b"\x7fELF"), "half a file is none");
    }
}
