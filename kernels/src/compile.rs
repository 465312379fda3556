//! Compiles kernel sources to CUBINs with NVRTC, which is found at run time.
//!
//! A CUBIN and not PTX: PTX of a newer compiler is refused by an older driver of the same major version, a
//! CUBIN is not. This module never panics for want of a library and never reads the environment: paths come
//! from the caller.

#![expect(
    unsafe_code,
    reason = "NVRTC is a C library; every block states why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::catalog::{HEADER, Source};

/// The wheel that the tests run with, as pip spells it.
pub const PINNED_WHEEL: &str = "nvidia-cuda-nvrtc-cu12==12.9.86";

/// Folders of a wheel root (`site-packages`, or an unpacked wheel) that hold the library.
const WHEEL_FOLDERS: [&str; 2] = ["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"];

/// What the library is called, newest first. Bare names are resolved by the system's loader.
const LIBRARY_NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];

/// Where toolkits install it.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"];

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
    /// `sm_90a`: H100 and H200.
    Sm90a,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 2] = [Self::Sm80, Self::Sm90a];

    /// The name that NVRTC takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm80 => "sm_80",
            Self::Sm90a => "sm_90a",
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

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

type Program = *mut std::ffi::c_void;
type Status = c_int;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status;
type Size = unsafe extern "C" fn(Program, *mut usize) -> Status;
type Fill = unsafe extern "C" fn(Program, *mut c_char) -> Status;

/// NVRTC, loaded.
#[derive(Debug)]
pub struct Compiler {
    path: PathBuf,
    functions: Functions,
    // Held so that the functions stay valid; the companion is looked up by NVRTC when it compiles.
    _library: Library,
    _builtins: Option<Library>,
}

#[derive(Debug)]
struct Functions {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status,
    create: Create,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    compile: Compile,
    log_size: Size,
    log: Fill,
    cubin_size: Size,
    cubin: Fill,
    error_string: unsafe extern "C" fn(Status) -> *const c_char,
}

impl Search {
    /// The libraries to try, best first.
    fn candidates(&self) -> Vec<PathBuf> {
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
    fn places(&self) -> String {
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
        let builtins = builtins_beside(path)
            .map(|companion| open_library(&companion))
            .transpose();
        let builtins = builtins.map_err(unusable)?;
        let library = open_library(path).map_err(unusable)?;
        let functions = Functions::of(&library).map_err(unusable)?;
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
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both pointers are valid for writes; on failure, which NVRTC documents only for null
        // pointers, the zeros stay.
        unsafe { (self.functions.version)(&raw mut major, &raw mut minor) };
        (major, minor)
    }

    /// The CUBIN of `source` for `architecture`.
    ///
    /// # Errors
    ///
    /// [`CompileError::Refused`], with the compiler's messages.
    pub fn cubin(&self, source: &Source, architecture: Architecture) -> Result<Vec<u8>, CompileError> {
        let mut program = OpenProgram {
            functions: &self.functions,
            program: ptr::null_mut(),
        };
        let outcome = program
            .create(source)
            .and_then(|()| program.compile(architecture))
            .and_then(|()| program.read(self.functions.cubin_size, self.functions.cubin));
        outcome.map_err(|status| CompileError::Refused {
            source_file: source.file.to_owned(),
            architecture,
            reason: self.functions.describe(status),
            log: program.log(),
        })
    }
}

impl Functions {
    fn of(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: each signature is that of `nvrtc.h`, unchanged from CUDA 11.1 to 13.
        unsafe {
            Ok(Self {
                version: *library.get(b"nvrtcVersion\0")?,
                create: *library.get(b"nvrtcCreateProgram\0")?,
                destroy: *library.get(b"nvrtcDestroyProgram\0")?,
                compile: *library.get(b"nvrtcCompileProgram\0")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0")?,
                log: *library.get(b"nvrtcGetProgramLog\0")?,
                cubin_size: *library.get(b"nvrtcGetCUBINSize\0")?,
                cubin: *library.get(b"nvrtcGetCUBIN\0")?,
                error_string: *library.get(b"nvrtcGetErrorString\0")?,
            })
        }
    }

    fn describe(&self, status: Status) -> String {
        // SAFETY: NVRTC returns a static string for any status.
        let text = unsafe { (self.error_string)(status) };
        if text.is_null() {
            return format!("status {status}");
        }
        // SAFETY: not null, and NUL-terminated as `nvrtc.h` says.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// A program of NVRTC, destroyed when dropped.
struct OpenProgram<'a> {
    functions: &'a Functions,
    program: Program,
}

impl OpenProgram<'_> {
    fn create(&mut self, source: &Source) -> Result<(), Status> {
        let [text, name, header, header_name] =
            [source.text, source.file, HEADER.text, HEADER.file].map(c_string);
        let (headers, header_names) = ([header.as_ptr()], [header_name.as_ptr()]);
        let program = &raw mut self.program;
        // SAFETY: every pointer is valid for the call, strings end in NUL, and both arrays have one entry.
        checked(unsafe {
            (self.functions.create)(
                program,
                text.as_ptr(),
                name.as_ptr(),
                1,
                headers.as_ptr(),
                header_names.as_ptr(),
            )
        })
    }

    fn compile(&self, architecture: Architecture) -> Result<(), Status> {
        let options = [
            c_string(&format!("--gpu-architecture={architecture}")),
            c_string("--std=c++17"),
        ];
        let pointers = options.each_ref().map(|option| option.as_ptr());
        // SAFETY: the program was created, and both options are valid strings for the call.
        checked(unsafe { (self.functions.compile)(self.program, 2, pointers.as_ptr()) })
    }

    fn read(&self, size: Size, fill: Fill) -> Result<Vec<u8>, Status> {
        let mut length = 0;
        // SAFETY: the program was created, and the pointer is valid for writes.
        checked(unsafe { size(self.program, &raw mut length) })?;
        let mut bytes = vec![0_u8; length];
        // SAFETY: the buffer is as long as NVRTC just asked for.
        checked(unsafe { fill(self.program, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }

    /// The compiler's messages; empty where there are none.
    fn log(&self) -> String {
        if self.program.is_null() {
            return String::new();
        }
        let log = self
            .read(self.functions.log_size, self.functions.log)
            .unwrap_or_default();
        String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned()
    }
}

impl Drop for OpenProgram<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: created, not null and not used again.
            unsafe { (self.functions.destroy)(&raw mut self.program) };
        }
    }
}

const fn checked(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("sources and options of this crate hold no NUL")
}

fn open_library(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: loading runs the library's initialisers; it is NVIDIA's compiler or what the user named as such.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
}

/// `libnvrtc-builtins.so.*` in the folder of `library`, if there is one.
fn builtins_beside(library: &Path) -> Option<PathBuf> {
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
