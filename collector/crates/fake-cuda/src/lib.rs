//! A `libcuda.so` with devices of an H100's shape, which fails as the variable `ORRERY_FAKE_CUDA` says.
//!
//! `no_device`: there is none. `refuse`: no stream is made. `wedge`: making one never returns. `crash`: making one ends the
//! process. Otherwise streams are made, device memory is memory of the host, and everything is done when the call returns, but for
//! what is captured into a graph ([`stream`]).
//! Kernels do nothing, so that every result that is looked at is wrong; but for those of the libraries that
//! `ORRERY_FAKE_CUDA_KERNELS` lists (sources of kernels, built for the CPU), and with `copies` the plain copy.
//! `cuMemHostAlloc` is missing, as functions are from drivers that are too old. Under the names of `libcublas.so`,
//! `libcublasLt.so` and `libnccl.so` it multiplies and exchanges on the host, slowly, the latter among processes ([`nccl`]).
//!
//! `ORRERY_FAKE_CUDA_DEVICES`, `_UNITS`, `_CACHE` and `_MAJOR` set how many devices there are, and of each its execution
//! units, bytes of second-level cache and major compute capability.

#![expect(
    unsafe_code,
    reason = "it is called from C; every function says what it writes"
)]

pub mod cublas;
pub mod cublaslt;
mod journal;
pub mod kernels;
pub mod memory;
pub mod nccl;
mod numbers;
pub mod stream;
pub mod time;

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `CUDA_SUCCESS`.
const SUCCESS: c_int = 0;
/// `CUDA_ERROR_OUT_OF_MEMORY`.
const OUT_OF_MEMORY: c_int = 2;
/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: c_int = 100;
/// `CUDA_ERROR_NOT_FOUND`.
const NOT_FOUND: c_int = 500;
/// `CUDA_ERROR_INVALID_DEVICE`.
const INVALID_DEVICE: c_int = 101;
/// What contexts and streams point at.
static THING: u8 = 0;

fn mood() -> String {
    std::env::var("ORRERY_FAKE_CUDA").unwrap_or_default()
}

/// The number that `ORRERY_FAKE_CUDA_<name>` holds, or the usual one.
fn number(name: &str, usual: c_int) -> c_int {
    let told = std::env::var(format!("ORRERY_FAKE_CUDA_{name}")).ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn thing() -> *mut c_void {
    (&raw const THING).cast_mut().cast()
}

/// Writes `value` where the caller wants it.
///
/// # Safety
/// `to` must be valid for a write.
unsafe fn put<T>(to: *mut T, value: T) -> c_int {
    // SAFETY: as the caller says.
    unsafe { to.write(value) };
    SUCCESS
}

/// Whether there is a driver.
#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    if mood() == "no_device" { NO_DEVICE } else { SUCCESS }
}

/// How many devices there are.
///
/// # Safety
/// `count` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(count, number("DEVICES", 1)) }
}

/// The device of this number.
///
/// # Safety
/// `device` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    if !(0..number("DEVICES", 1)).contains(&ordinal) {
        return INVALID_DEVICE;
    }
    // SAFETY: as the caller says.
    unsafe { put(device, ordinal) }
}

/// Its context.
///
/// # Safety
/// `context` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _device: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(context, thing()) }
}

/// Lets go of its context.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> c_int {
    SUCCESS
}

/// The context of this thread: none yet.
///
/// # Safety
/// `context` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(context, std::ptr::null_mut()) }
}

/// Makes it the context of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(_context: *mut c_void) -> c_int {
    SUCCESS
}

/// Units, cache and compute capability of an H100; 0 for the rest.
///
/// # Safety
/// `value` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) -> c_int {
    let answer = match attribute {
        16 => number("UNITS", 132),
        38 => number("CACHE", 50 << 20),
        75 => number("MAJOR", 9),
        _ => 0,
    };
    // SAFETY: as the caller says.
    unsafe { put(value, answer) }
}

/// Its name.
///
/// # Safety
/// `name` must be valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, _device: c_int) -> c_int {
    let text = b"FAKE H100 80GB HBM3\0";
    let count = text.len().min(usize::try_from(length).unwrap_or(0));
    // SAFETY: as the caller says, and the text is as long.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, count) };
    SUCCESS
}

/// Its memory: 80 GiB.
///
/// # Safety
/// `bytes` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(bytes, 80 << 30) }
}

/// Its identity: sixteen times 7 and its number.
///
/// # Safety
/// `uuid` must be valid for 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) -> c_int {
    let digit = 7 + u8::try_from(device).unwrap_or(0);
    // SAFETY: as the caller says.
    unsafe { put(uuid, [digit; 16]) }
}

/// The same, under the name that older bindings ask for.
///
/// # Safety
/// `uuid` must be valid for 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuDeviceGetUuid_v2(uuid, device) }
}

/// What a code is called.
///
/// # Safety
/// `text` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(_code: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(text, c"CUDA_ERROR_FAKE".as_ptr()) }
}

/// What a code means.
///
/// # Safety
/// `text` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(_code: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(text, c"as it was told".as_ptr()) }
}

/// NVIDIA's own libraries ask for tables of functions that no header names (NVRTC does when it compiles): there are none.
///
/// # Safety
/// `table` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetExportTable(table: *mut *const c_void, _id: *const c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(table, std::ptr::null()) };
    NOT_FOUND
}
