//! Errors as events.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::thread;
use std::time::Duration;

use super::{Device, answer, number, status};
use crate::player::{self, Player, code};

/// `nvmlEventTypeXidCriticalError`.
const XID: c_ulonglong = 8;
/// A set of events; there is one, and it needs no memory.
const SET: *mut c_void = std::ptr::without_provenance_mut(1);
/// `eventData` of an event that concerns no instance.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// `nvmlEventData_t`.
#[repr(C)]
struct EventData {
    device: Device,
    kind: c_ulonglong,
    data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetCreate(out: *mut *mut c_void) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, |_player| Ok(SET)) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(_set: *mut c_void) -> c_int {
    code::SUCCESS
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(device: Device, out: *mut c_ulonglong) -> c_int {
    let kinds = |player: &mut Player| {
        let tells = player.device(number(device))?.tells_xids;
        Ok(if tells { XID } else { 0 })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, kinds) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(device: Device, kinds: c_ulonglong, _set: *mut c_void) -> c_int {
    status(player::ask(|player| {
        let tells = player.device(number(device))?.tells_xids;
        (tells && kinds == XID).then_some(()).ok_or(code::NOT_SUPPORTED)
    }))
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetWait_v2(_set: *mut c_void, out: *mut EventData, millis: c_uint) -> c_int {
    let next = |player: &mut Player| player.next_xid().ok_or(code::TIMEOUT);
    // SAFETY: passed on as the caller promises.
    let answered = unsafe {
        answer(out, |player| {
            let (device, data) = next(player)?;
            Ok(EventData {
                device: std::ptr::without_provenance_mut(device + 1),
                kind: XID,
                data,
                gpu_instance: NO_INSTANCE,
                compute_instance: NO_INSTANCE,
            })
        })
    };
    if answered == code::TIMEOUT {
        thread::sleep(Duration::from_millis(u64::from(millis)));
    }
    answered
}
