//! Devices that are divided (multi-instance GPU).

use std::ffi::{c_int, c_uint};

use super::handles::{instance, instance_handle, parts_of};
use super::{Device, answer, number, status};
use crate::player::{self, Player, code};

/// Instances that any device can have.
const MOST_INSTANCES: c_uint = 7;

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: Device,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    let mode = |player: &mut Player| {
        player.fact(number(device), |script| {
            Some(c_uint::from(script.mig.as_ref()?.is_enabled))
        })
    };
    let asked = player::ask(mode);
    if current.is_null() || pending.is_null() {
        return code::INVALID_ARGUMENT;
    }
    status(asked.map(|mode| {
        // SAFETY: not null, and the caller promises two valid places.
        unsafe {
            current.write(mode);
            pending.write(mode);
        }
    }))
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: Device, out: *mut c_uint) -> c_int {
    let count = |player: &mut Player| {
        player.fact(number(device), |script| {
            script.mig.as_ref().map(|_mig| MOST_INSTANCES)
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, count) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: Device,
    index: c_uint,
    out: *mut Device,
) -> c_int {
    let handle = |player: &mut Player| {
        let handle = instance_handle(number(device), index as usize);
        instance(player, handle)
            .ok_or(code::INVALID_ARGUMENT)?
            .map(|_found| handle)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, handle) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceIsMigDeviceHandle(device: Device, out: *mut c_uint) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, |_player| Ok(c_uint::from(parts_of(device).is_some()))) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Device, out: *mut Device) -> c_int {
    let parent = |player: &mut Player| {
        let (parent, _) = parts_of(device).ok_or(code::INVALID_ARGUMENT)?;
        player.device(parent)?;
        Ok(std::ptr::without_provenance_mut(parent + 1))
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, parent) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(device: Device, out: *mut c_uint) -> c_int {
    let number = |player: &mut Player| {
        let instance = instance(player, device).ok_or(code::INVALID_ARGUMENT)?;
        instance.map(|instance| instance.gpu_instance)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, number) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(device: Device, out: *mut c_uint) -> c_int {
    let number = |player: &mut Player| {
        let instance = instance(player, device).ok_or(code::INVALID_ARGUMENT)?;
        instance.map(|instance| instance.compute_instance)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, number) }
}
