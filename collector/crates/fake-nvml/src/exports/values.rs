//! Values by field number, error counters and processes.

use std::ffi::{c_int, c_longlong, c_uint, c_ulonglong};

use super::{Device, answer, number, status};
use crate::player::{self, Call, Player, code};
use crate::script::ProcessScript;

/// `NVML_VALUE_TYPE_UNSIGNED_INT` and `NVML_VALUE_TYPE_UNSIGNED_LONG_LONG`.
const NARROW: c_uint = 1;
const WIDE: c_uint = 3;
/// The track of a field that has none.
static NOTHING: Vec<u64> = Vec::new();
/// A process that runs on no instance.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// `nvmlFieldValue_t`, its union as the widest of its members.
#[repr(C)]
struct FieldValue {
    field: c_uint,
    scope: c_uint,
    timestamp: c_longlong,
    latency: c_longlong,
    kind: c_uint,
    status: c_int,
    value: c_ulonglong,
}

/// `nvmlProcessInfo_t` of the calls `_v2` and `_v3`.
#[repr(C)]
struct Process {
    pid: c_uint,
    memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: Device,
    count: c_int,
    values: *mut FieldValue,
) -> c_int {
    let Ok(count) = usize::try_from(count) else {
        return code::INVALID_ARGUMENT;
    };
    if values.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: not null, and valid for `count` values that nobody else uses during the call, as nvml.h demands.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    status(player::ask(|player| {
        player.device(number(device))?;
        for value in values {
            let found = field(player, number(device), value.field, value.scope);
            value.status = status(found.map(|(kind, number)| (value.kind, value.value) = (kind, number)));
        }
        Ok(())
    }))
}

/// The type and the next value of a field.
fn field(player: &mut Player, device: usize, asked: c_uint, scope: c_uint) -> Result<(c_uint, u64), i32> {
    let id = player.numbering().old(asked);
    let script = &player.script.devices[device];
    let is_narrow = script.narrow_fields.contains(&id);
    let value = player.play(device, Call::Field(id, scope), |script| {
        script.fields.track(id, scope).unwrap_or(&NOTHING)
    })?;
    Ok(if is_narrow {
        (NARROW, value & u64::from(c_uint::MAX))
    } else {
        (WIDE, value)
    })
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: Device,
    kind: c_uint,
    counter: c_uint,
    out: *mut c_ulonglong,
) -> c_int {
    let errors = |player: &mut Player| {
        let all = player.next(number(device), Call::Ecc(kind, counter), |script| &script.ecc)?;
        let place = kind.saturating_add(counter.saturating_mul(2)) as usize;
        all.get(place).copied().ok_or(code::INVALID_ARGUMENT)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, errors) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut Process,
) -> c_int {
    let processes = player::ask(|player| player.fact(number(device), |script| script.processes.clone()));
    // SAFETY: passed on as the caller promises.
    status(processes.and_then(|processes| unsafe { write_processes(&processes, count, infos) }))
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut Process,
) -> c_int {
    let known = player::ask(|player| player.device(number(device)).map(|_known| ()));
    // SAFETY: passed on as the caller promises.
    status(known.and_then(|()| unsafe { write_processes(&[], count, infos) }))
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut Process,
) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { nvmlDeviceGetGraphicsRunningProcesses_v3(device, count, infos) }
}

/// Writes `processes` and their number, if there is room for them.
///
/// # Safety
/// `count` is null or valid, and `infos` is null or valid for as many as `count` says.
unsafe fn write_processes(
    processes: &[ProcessScript],
    count: *mut c_uint,
    infos: *mut Process,
) -> Result<(), i32> {
    // SAFETY: null or valid, as the caller promises.
    let count = unsafe { count.as_mut() }.ok_or(code::INVALID_ARGUMENT)?;
    let room = *count as usize;
    *count = c_uint::try_from(processes.len()).map_err(|_too_many| code::INVALID_ARGUMENT)?;
    if room < processes.len() {
        return Err(code::INSUFFICIENT_SIZE);
    }
    for (place, process) in processes.iter().enumerate() {
        if infos.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        let info = Process {
            pid: process.pid,
            memory: process.memory_bytes,
            gpu_instance: process.gpu_instance.unwrap_or(NO_INSTANCE),
            compute_instance: process.gpu_instance.map_or(NO_INSTANCE, |_instance| 0),
        };
        // SAFETY: there is room for all of them, as the caller said.
        unsafe { infos.add(place).write(info) };
    }
    Ok(())
}
