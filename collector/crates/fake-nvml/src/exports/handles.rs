//! Handles of devices and of their instances, and what they are called.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};

use super::{Device, answer, answer_text, number};
use crate::player::{Call, Player, code};
use crate::script::{DeviceScript, InstanceScript};

/// Where the number of an instance begins in a handle; below it is the device's.
const INSTANCE_SHIFT: u32 = 16;

/// The handle of instance number `instance` of device number `device`.
pub(super) fn instance_handle(device: usize, instance: usize) -> Device {
    std::ptr::without_provenance_mut((device + 1) | ((instance + 1) << INSTANCE_SHIFT))
}

/// The device and the number of the instance of a handle, if it is one of an instance.
pub(super) fn parts_of(handle: Device) -> Option<(usize, usize)> {
    let (device, instance) = (
        handle.addr() & ((1 << INSTANCE_SHIFT) - 1),
        handle.addr() >> INSTANCE_SHIFT,
    );
    Some((device.checked_sub(1)?, instance.checked_sub(1)?))
}

/// The instance of `handle`, if it is one.
pub(super) fn instance(player: &mut Player, handle: Device) -> Option<Result<&InstanceScript, i32>> {
    let (device, instance) = parts_of(handle)?;
    Some(player.device(device).and_then(|script| {
        let mig = script.mig.as_ref().filter(|mig| mig.is_enabled);
        mig.and_then(|mig| mig.instances.get(instance))
            .ok_or(code::NOT_FOUND)
    }))
}

/// `nvmlMemory_v2_t`.
#[repr(C)]
struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlMemory_t`: what is reserved counts as used.
#[repr(C)]
struct MemoryOfOld {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// The handle of the first device for which `holds`.
fn find(player: &mut Player, holds: impl Fn(&DeviceScript) -> bool) -> Result<Device, i32> {
    let mut devices = player.script.devices.iter();
    let index = devices.position(holds).ok_or(code::NOT_FOUND)?;
    player.device(index)?;
    Ok(std::ptr::without_provenance_mut(index + 1))
}

/// The text that a caller handed over.
///
/// # Safety
/// `text` is null or ends in a zero, and lives as long as what is returned.
unsafe fn text_of<'a>(text: *const c_char) -> Result<&'a str, i32> {
    if text.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller promises the final zero.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_not_text| code::INVALID_ARGUMENT)
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut Device) -> c_int {
    let handle = |player: &mut Player| {
        player.device(index as usize)?;
        Ok(std::ptr::without_provenance_mut(index as usize + 1))
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, handle) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut Device) -> c_int {
    // SAFETY: passed on as the caller promises.
    let uuid = unsafe { text_of(uuid) };
    let handle = |player: &mut Player| {
        let uuid = uuid?;
        find(player, |device| device.uuid == uuid)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, handle) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(place: *const c_char, out: *mut Device) -> c_int {
    // SAFETY: passed on as the caller promises.
    let place = unsafe { text_of(place) };
    let handle = |player: &mut Player| {
        let place = place?;
        find(player, |device| device.pci_bus_id.as_deref() == Some(place))
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, handle) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetIndex(device: Device, out: *mut c_uint) -> c_int {
    let index = |player: &mut Player| {
        player.device(number(device))?;
        c_uint::try_from(number(device)).map_err(|_too_many| code::INVALID_ARGUMENT)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, index) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMinorNumber(device: Device, out: *mut c_uint) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { nvmlDeviceGetIndex(device, out) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(device: Device, out: *mut c_char, length: c_uint) -> c_int {
    let name = |player: &mut Player| match instance(player, device) {
        Some(instance) => instance.map(|instance| instance.name.clone()),
        None => player.named(number(device)).map(|device| device.name.clone()),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer_text(out, length, name) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: Device, out: *mut c_char, length: c_uint) -> c_int {
    let uuid = |player: &mut Player| match instance(player, device) {
        Some(instance) => instance.map(|instance| instance.uuid.clone()),
        None => player.named(number(device)).map(|device| device.uuid.clone()),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer_text(out, length, uuid) }
}

/// Total, reserved and used memory of a device or an instance.
fn memory_of(player: &mut Player, handle: Device) -> Result<[u64; 3], i32> {
    match instance(player, handle) {
        Some(instance) => instance.map(|instance| instance.memory_bytes),
        None => player.next(number(handle), Call::Memory, |script| &script.memory_bytes),
    }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, out: *mut Memory) -> c_int {
    let memory = |player: &mut Player| {
        let [total, reserved, used] = memory_of(player, device)?;
        let free = total.saturating_sub(reserved).saturating_sub(used);
        // `NVML_STRUCT_VERSION(Memory, 2)`: size and version, as the caller wrote it.
        let version = c_uint::try_from(size_of::<Memory>() | (2 << 24)).unwrap_or(0);
        Ok(Memory {
            version,
            total,
            reserved,
            free,
            used,
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, memory) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, out: *mut MemoryOfOld) -> c_int {
    let memory = |player: &mut Player| {
        let [total, reserved, used] = memory_of(player, device)?;
        let used = reserved + used;
        Ok(MemoryOfOld {
            total,
            free: total.saturating_sub(used),
            used,
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, memory) }
}
