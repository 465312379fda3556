//! The functions of NVRTC, and programs that are destroyed when dropped.

#![expect(
    unsafe_code,
    reason = "NVRTC is a C library; every block states why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::Architecture;
use crate::catalog::{HEADERS, Source};

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

/// What is used of the library.
#[derive(Debug)]
pub(super) struct Functions {
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

impl Functions {
    pub(super) fn of(library: &Library) -> Result<Self, libloading::Error> {
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

    /// The version, such as `(12, 9)`.
    pub(super) fn version(&self) -> (i32, i32) {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both pointers are valid for writes; on failure, which NVRTC documents only for null
        // pointers, the zeros stay.
        unsafe { (self.version)(&raw mut major, &raw mut minor) };
        (major, minor)
    }

    /// The CUBIN of `source` and what was said on the way; on failure the reason instead of the CUBIN.
    pub(super) fn compile(
        &self,
        source: &Source,
        architecture: Architecture,
    ) -> (Result<Vec<u8>, String>, String) {
        let mut program = OpenProgram {
            functions: self,
            program: ptr::null_mut(),
        };
        let outcome = program
            .create(source)
            .and_then(|()| program.compile(architecture))
            .and_then(|()| program.read(self.cubin_size, self.cubin));
        (outcome.map_err(|status| self.describe(status)), program.log())
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
        let [text, name] = [source.text, source.file].map(c_string);
        let texts = HEADERS.map(|header| c_string(header.text));
        let names = HEADERS.map(|header| c_string(header.file));
        let text_pointers = texts.each_ref().map(|text| text.as_ptr());
        let name_pointers = names.each_ref().map(|name| name.as_ptr());
        let count = c_int::try_from(HEADERS.len()).expect("there are few headers");
        let program = &raw mut self.program;
        // SAFETY: every pointer is valid for the call, strings end in NUL, and both arrays have `count` entries.
        checked(unsafe {
            (self.functions.create)(
                program,
                text.as_ptr(),
                name.as_ptr(),
                count,
                text_pointers.as_ptr(),
                name_pointers.as_ptr(),
            )
        })
    }

    fn compile(&self, architecture: Architecture) -> Result<(), Status> {
        let options = [
            c_string(&format!("--gpu-architecture={architecture}")),
            c_string("--std=c++17"),
            // Its words on registers and spills are read by `Usage`.
            c_string("--ptxas-options=-v"),
        ];
        let count = c_int::try_from(options.len()).expect("there are few options");
        let pointers = options.each_ref().map(|option| option.as_ptr());
        // SAFETY: the program was created, and the options are valid strings for the call.
        checked(unsafe { (self.functions.compile)(self.program, count, pointers.as_ptr()) })
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

pub(super) fn open_library(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: loading runs the library's initialisers; it is NVIDIA's compiler or what the user named as such.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
}
