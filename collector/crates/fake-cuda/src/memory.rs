//! Device memory: the host's own, so that a pointer means the same on both sides.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::stream::{enqueue, not_in_capture};
use crate::{OUT_OF_MEMORY, SUCCESS, put};

/// As devices align what they reserve.
const ALIGNMENT: usize = 256;
/// `CUDA_ERROR_INVALID_VALUE`.
const INVALID_VALUE: c_int = 1;

/// Sizes of what is reserved, by address.
static RESERVED: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), ALIGNMENT).ok()
}

/// Reserves memory.
///
/// # Safety
/// `address` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    let permitted = not_in_capture();
    if permitted != SUCCESS {
        return permitted;
    }
    let Some(layout) = layout(bytes) else {
        return OUT_OF_MEMORY;
    };
    // SAFETY: the layout has at least one byte.
    let reserved = unsafe { alloc_zeroed(layout) } as u64;
    if reserved == 0 {
        return OUT_OF_MEMORY;
    }
    let mut all = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(reserved, bytes);
    // SAFETY: as the caller says.
    unsafe { put(address, reserved) }
}

/// Gives memory back.
///
/// # Safety
/// Nobody may use it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    let mut all = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    match all.remove(&address).and_then(layout) {
        Some(layout) => {
            // SAFETY: it was reserved with this layout, and is no longer listed.
            unsafe { dealloc(address as *mut u8, layout) };
            SUCCESS
        }
        None => INVALID_VALUE,
    }
}

/// Fills memory.
///
/// # Safety
/// `address` must be valid for `bytes` bytes whenever it is done, and the stream be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8Async(
    address: u64,
    value: u8,
    bytes: usize,
    stream: *mut c_void,
) -> c_int {
    let work = move || {
        // SAFETY: as the caller says.
        unsafe { std::ptr::write_bytes(address as *mut u8, value, bytes) };
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// Copies to the device.
///
/// # Safety
/// Both must be valid for `bytes` bytes whenever it is done, and the stream be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: *mut c_void,
) -> c_int {
    let from = from as usize;
    let work = move || {
        // SAFETY: as the caller says.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// Copies from the device.
///
/// # Safety
/// Both must be valid for `bytes` bytes whenever it is done, and the stream be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    bytes: usize,
    stream: *mut c_void,
) -> c_int {
    let to = to as usize;
    let work = move || {
        // SAFETY: as the caller says.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// Copies from one device to another.
///
/// # Safety
/// Both must be valid for `bytes` bytes whenever it is done, and the stream be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    _to_context: *mut c_void,
    from: u64,
    _from_context: *mut c_void,
    bytes: usize,
    stream: *mut c_void,
) -> c_int {
    let work = move || {
        // SAFETY: as the caller says.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// Every device reaches every other.
///
/// # Safety
/// `can` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceCanAccessPeer(can: *mut c_int, _device: c_int, _peer: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(can, 1) }
}

/// Opens the memory of a peer.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxEnablePeerAccess(_peer: *mut c_void, _flags: c_uint) -> c_int {
    SUCCESS
}
