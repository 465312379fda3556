//! The C symbols, in the shapes of nvml.h.
#![expect(
    unsafe_code,
    reason = "a C library writes through the pointers that its caller hands over"
)]

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

use crate::player::{self, Call, Player, code};

mod events;
mod facts;
mod gpm;
mod handles;
mod manners;
mod partitions;
mod values;

/// A device handle: its number plus one, so that it is never null.
pub(crate) type Device = *mut c_void;

/// `nvmlUtilization_t`.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

pub(crate) fn status(result: Result<(), i32>) -> c_int {
    result.err().unwrap_or(code::SUCCESS)
}

pub(crate) fn number(device: Device) -> usize {
    (device as usize).wrapping_sub(1)
}

/// Writes what `question` answers to `out`.
///
/// # Safety
/// `out` is null or valid for a write of a `T`.
pub(crate) unsafe fn answer<T>(out: *mut T, question: impl FnOnce(&mut Player) -> Result<T, i32>) -> c_int {
    status(player::ask(question).and_then(|value| {
        if out.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and the caller of the export promises a valid place.
        unsafe { out.write(value) };
        Ok(())
    }))
}

/// Writes the text that `question` answers to the buffer `out` of `length` bytes, with its final zero.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
pub(crate) unsafe fn answer_text(
    out: *mut c_char,
    length: c_uint,
    question: impl FnOnce(&mut Player) -> Result<String, i32>,
) -> c_int {
    status(player::ask(question).and_then(|text| {
        if out.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        if text.len() >= length as usize {
            return Err(code::INSUFFICIENT_SIZE);
        }
        // SAFETY: the text and its zero fit the `length` bytes that the caller promises.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), out, text.len());
            out.add(text.len()).write(0);
        }
        Ok(())
    }))
}

// SAFETY (of every export below): the name and the signature are those of nvml.h, and the loader of this
// library calls them under the rules of nvml.h; each pointer is checked against null before it is used.

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_int {
    status(player::start())
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_int {
    status(player::start())
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(fault: c_int) -> *const c_char {
    let words = match fault {
        code::SUCCESS => c"Success",
        code::UNINITIALIZED => c"Uninitialized",
        code::INVALID_ARGUMENT => c"Invalid Argument",
        code::NOT_SUPPORTED => c"Not Supported",
        code::NOT_FOUND => c"Not Found",
        code::GPU_IS_LOST => c"GPU is lost",
        _ => c"Unknown Error",
    };
    words.as_ptr()
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_int {
    status(player::shut_down())
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe {
        answer_text(out, length, |player| {
            Ok(format!("{}-orrery-fake", player.script.driver))
        })
    }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(out: *mut c_uint) -> c_int {
    let count = |player: &mut Player| {
        c_uint::try_from(player.script.devices.len()).map_err(|_source| code::INVALID_ARGUMENT)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, count) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUtilizationRates(device: Device, out: *mut Utilization) -> c_int {
    let rates = |player: &mut Player| {
        let [gpu, memory] = player.next(number(device), Call::Utilization, |script| {
            &script.utilization_percent
        })?;
        Ok(Utilization { gpu, memory })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, rates) }
}

/// An export that answers one number from one track.
macro_rules! export_number {
    ($name:ident, $number:ty, $call:ident, $track:ident) => {
        // SAFETY: as stated above the exports.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(device: Device, out: *mut $number) -> c_int {
            let next =
                |player: &mut Player| player.next(number(device), Call::$call, |script| &script.$track);
            // SAFETY: passed on as the caller promises.
            unsafe { answer(out, next) }
        }
    };
}

export_number!(nvmlDeviceGetPowerUsage, c_uint, Power, power_milliwatts);
export_number!(
    nvmlDeviceGetEnforcedPowerLimit,
    c_uint,
    PowerLimit,
    power_limit_milliwatts
);
export_number!(
    nvmlDeviceGetTotalEnergyConsumption,
    c_ulonglong,
    Energy,
    energy_millijoules
);
export_number!(
    nvmlDeviceGetCurrentClocksThrottleReasons,
    c_ulonglong,
    Throttle,
    throttle_bits
);

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperature(device: Device, sensor: c_int, out: *mut c_uint) -> c_int {
    let temperature = |player: &mut Player| match sensor {
        0 => player.next(number(device), Call::Temperature, |script| {
            &script.temperature_celsius
        }),
        _ => Err(code::INVALID_ARGUMENT),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, temperature) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetClockInfo(device: Device, clock: c_int, out: *mut c_uint) -> c_int {
    // NVML_CLOCK_GRAPHICS is 0, NVML_CLOCK_SM 1, NVML_CLOCK_MEM 2; the first two are one clock on devices of data centres.
    let megahertz = |player: &mut Player| match clock {
        0 | 1 => player.next(number(device), Call::SmClock, |script| &script.sm_clock_megahertz),
        2 => player.next(number(device), Call::MemoryClock, |script| {
            &script.memory_clock_megahertz
        }),
        _ => Err(code::NOT_SUPPORTED),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, megahertz) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetClock(device: Device, clock: c_int, id: c_int, out: *mut c_uint) -> c_int {
    // NVML_CLOCK_ID_CURRENT is 0; there are no clocks of applications here.
    if id != 0 {
        return code::NOT_SUPPORTED;
    }
    // SAFETY: passed on as the caller promises.
    unsafe { nvmlDeviceGetClockInfo(device, clock, out) }
}
