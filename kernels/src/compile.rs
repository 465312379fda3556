//! Compiles kernel sources to CUBINs with NVRTC, which is found at run time.
//!
//! A CUBIN and not PTX: PTX of a newer compiler is refused by an older driver of the same major version, a
//! CUBIN is not. This module never panics for want of a library and never reads the environment: paths come
//! from the caller.

mod cache;
mod nvrtc;
mod search;
mod usage;

use std::path::{Path, PathBuf};

use libloading::os::unix::Library;

pub use cache::{Cache, source_hash};
pub use search::Search;
pub use usage::Usage;

use crate::catalog::Source;

/// The wheel that the tests run with, as pip spells it.
pub const PINNED_WHEEL: &str = "nvidia-cuda-nvrtc-cu12==12.9.86";

/// Why NVRTC could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No library in any of the places.
    #[error(
        "NVRTC was not found: looked in {looked_in}\n  = help: pip install {PINNED_WHEEL}, or give its path"
    )]
    NotFound {
        /// Every place that was tried, separated by commas.
        looked_in: String,
    },
    /// A library that is there and does not load, or lacks a function.
    #[error("`{library}` cannot be used: {source}\n  = help: pip install {PINNED_WHEEL}")]
    Unusable {
        /// The library.
        library: String,
        /// What the loader said.
        source: libloading::Error,
    },
    /// NVRTC refused the source or the architecture.
    #[error("`{source_file}` does not compile for {architecture}: {reason}\n{log}")]
    Refused {
        /// The source file, as the catalogue names it.
        source_file: String,
        /// The architecture asked for.
        architecture: Architecture,
        /// NVRTC's name of the failure.
        reason: String,
        /// The compiler's messages.
        log: String,
    },
}

/// A GPU architecture that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// `sm_80`: A100.
    Sm80,
    /// `sm_89`: L4, L40S, RTX 4090.
    Sm89,
    /// `sm_90a`: H100 and H200.
    Sm90a,
    /// `sm_100a`: B200 and GB200.
    Sm100a,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 4] = [Self::Sm80, Self::Sm89, Self::Sm90a, Self::Sm100a];

    /// The name that NVRTC takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm80 => "sm_80",
            Self::Sm89 => "sm_89",
            Self::Sm90a => "sm_90a",
            Self::Sm100a => "sm_100a",
        }
    }

    /// The one for a device of this compute capability; none where its CUBINs would not load: those of `sm_80` run on
    /// every 8.x, those with an `a` on their own devices alone.
    #[must_use]
    pub const fn of(major: u32, minor: u32) -> Option<Self> {
        match (major, minor) {
            (8, 9) => Some(Self::Sm89),
            (8, _) => Some(Self::Sm80),
            (9, 0) => Some(Self::Sm90a),
            (10, 0) => Some(Self::Sm100a),
            _ => None,
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A compiled source: its CUBIN, and what each kernel in it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The CUBIN.
    pub cubin: Vec<u8>,
    /// Registers and spills, in the order in which the compiler named them.
    pub usage: Vec<Usage>,
    /// Warnings, and whatever else the compiler said beside the usage.
    pub messages: String,
}

/// NVRTC, loaded.
#[derive(Debug)]
pub struct Compiler {
    path: PathBuf,
    functions: nvrtc::Functions,
    // Held so that the functions stay valid; the companion is looked up by NVRTC when it compiles.
    _library: Library,
    _builtins: Option<Library>,
}

impl Compiler {
    /// Loads the first NVRTC that `search` finds.
    ///
    /// # Errors
    ///
    /// [`CompileError::NotFound`] where there is none, [`CompileError::Unusable`] where the first that exists
    /// does not load.
    pub fn load(search: &Search) -> Result<Self, CompileError> {
        for path in search.candidates() {
            // A bare name exists if the loader finds it; a path exists if it is a file.
            let bare = path.parent() == Some(Path::new(""));
            if !bare && !path.is_file() {
                continue;
            }
            match Self::open(&path) {
                Err(CompileError::Unusable { .. }) if bare => {}
                outcome => return outcome,
            }
        }
        Err(CompileError::NotFound {
            looked_in: search.places(),
        })
    }

    fn open(path: &Path) -> Result<Self, CompileError> {
        let unusable = |source| CompileError::Unusable {
            library: path.display().to_string(),
            source,
        };
        // Without this companion, compiling fails with NVRTC_ERROR_BUILTIN_OPERATION_FAILURE unless the
        // folder is on the loader's path.
        let builtins = search::builtins_beside(path)
            .map(|companion| nvrtc::open_library(&companion))
            .transpose();
        let builtins = builtins.map_err(unusable)?;
        let library = nvrtc::open_library(path).map_err(unusable)?;
        let functions = nvrtc::Functions::of(&library).map_err(unusable)?;
        Ok(Self {
            path: path.to_path_buf(),
            functions,
            _library: library,
            _builtins: builtins,
        })
    }

    /// The library in use.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of NVRTC, such as `(12, 9)`.
    #[must_use]
    pub fn version(&self) -> (i32, i32) {
        self.functions.version()
    }

    /// `source` compiled for `architecture`.
    ///
    /// # Errors
    ///
    /// [`CompileError::Refused`], with the compiler's messages.
    pub fn compile(&self, source: &Source, architecture: Architecture) -> Result<Compiled, CompileError> {
        let (outcome, log) = self.functions.compile(source, architecture);
        match outcome {
            Ok(cubin) => {
                let (usage, messages) = usage::read(&log);
                Ok(Compiled {
                    cubin,
                    usage,
                    messages,
                })
            }
            Err(reason) => Err(CompileError::Refused {
                source_file: source.file.to_owned(),
                architecture,
                reason,
                log,
            }),
        }
    }

    /// The CUBIN of `source` for `architecture`.
    ///
    /// # Errors
    ///
    /// [`CompileError::Refused`], with the compiler's messages.
    pub fn cubin(&self, source: &Source, architecture: Architecture) -> Result<Vec<u8>, CompileError> {
        self.compile(source, architecture).map(|compiled| compiled.cubin)
    }
}
