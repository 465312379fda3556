//! Events: the host's clock, since everything is done when its call returns.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use crate::{SUCCESS, put};

type Event = Mutex<Option<Instant>>;

/// An event, never recorded yet.
///
/// # Safety
/// `event` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(event: *mut *mut c_void, _flags: c_uint) -> c_int {
    let made: Box<Event> = Box::default();
    // SAFETY: as the caller says.
    unsafe { put(event, Box::into_raw(made).cast()) }
}

/// Ends an event.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventDestroy_v2(event: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(event.cast::<Event>()) });
    SUCCESS
}

/// Records an event now.
///
/// # Safety
/// It must be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(event: *mut c_void, _stream: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    let event = unsafe { &*event.cast::<Event>() };
    *event.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    SUCCESS
}

/// Waits for an event: it is over.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(_event: *mut c_void) -> c_int {
    SUCCESS
}

/// Milliseconds between two events, a nanosecond at least.
///
/// # Safety
/// Both must be events, and `milliseconds` valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(
    milliseconds: *mut f32,
    begin: *mut c_void,
    end: *mut c_void,
) -> c_int {
    let at = |event: *mut c_void| {
        // SAFETY: as the caller says.
        let event = unsafe { &*event.cast::<Event>() };
        *event.lock().unwrap_or_else(PoisonError::into_inner)
    };
    let elapsed = at(begin)
        .zip(at(end))
        .map_or(0.0, |(begin, end)| (end - begin).as_secs_f32() * 1e3);
    // SAFETY: as the caller says.
    unsafe { put(milliseconds, elapsed.max(1e-6)) }
}
