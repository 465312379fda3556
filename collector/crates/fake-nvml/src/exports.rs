//! The C symbols, in the shapes of nvml.h.
#![expect(
    unsafe_code,
    reason = "a C library writes through the pointers that its caller hands over"
)]

use std::ffi::{c_char, c_double, c_int, c_uint, c_ulonglong, c_void};

use crate::player::{self, Call, Player, code};

/// A device handle: its number plus one, so that it is never null.
type Device = *mut c_void;
/// A GPM sample: a box with the number of its device.
type GpmSample = *mut usize;

/// `nvmlUtilization_t`.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
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

/// `nvmlGpmSupport_t`.
#[repr(C)]
struct GpmSupport {
    version: c_uint,
    is_supported: c_uint,
}

/// `nvmlGpmMetric_t`; the three strings stay as the caller made them (null).
#[repr(C)]
struct GpmMetric {
    id: c_uint,
    status: c_int,
    value: c_double,
    words: [*mut c_char; 3],
}

/// `nvmlGpmMetricsGet_t` as far as it is used: in nvml.h 210 metrics follow, `count` of them filled.
#[repr(C)]
struct GpmMetrics {
    version: c_uint,
    count: c_uint,
    earlier: GpmSample,
    later: GpmSample,
    metrics: [GpmMetric; 210],
}

fn status(result: Result<(), i32>) -> c_int {
    result.err().unwrap_or(code::SUCCESS)
}

fn number(device: Device) -> usize {
    (device as usize).wrapping_sub(1)
}

/// Writes what `question` answers to `out`.
///
/// # Safety
/// `out` is null or valid for a write of a `T`.
unsafe fn answer<T>(out: *mut T, question: impl FnOnce(&mut Player) -> Result<T, i32>) -> c_int {
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
unsafe fn answer_text(
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
unsafe extern "C" fn nvmlDeviceGetName(device: Device, out: *mut c_char, length: c_uint) -> c_int {
    let name = |player: &mut Player| player.named(number(device)).map(|device| device.name.clone());
    // SAFETY: passed on as the caller promises.
    unsafe { answer_text(out, length, name) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: Device, out: *mut c_char, length: c_uint) -> c_int {
    let uuid = |player: &mut Player| player.named(number(device)).map(|device| device.uuid.clone());
    // SAFETY: passed on as the caller promises.
    unsafe { answer_text(out, length, uuid) }
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

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, out: *mut Memory) -> c_int {
    let memory = |player: &mut Player| {
        let [total, reserved, used] =
            player.next(number(device), Call::Memory, |script| &script.memory_bytes)?;
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
    // NVML_CLOCK_GRAPHICS is 0, NVML_CLOCK_SM 1, NVML_CLOCK_MEM 2.
    let megahertz = |player: &mut Player| match clock {
        1 => player.next(number(device), Call::SmClock, |script| &script.sm_clock_megahertz),
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
unsafe extern "C" fn nvmlGpmQueryDeviceSupport(device: Device, out: *mut GpmSupport) -> c_int {
    let support = |player: &mut Player| {
        let script = player.device(number(device))?;
        Ok(GpmSupport {
            version: 1,
            is_supported: c_uint::from(script.gpm.is_some()),
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, support) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleAlloc(out: *mut GpmSample) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, |_player| Ok(Box::into_raw(Box::new(usize::MAX)))) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleFree(sample: GpmSample) -> c_int {
    if sample.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: nvml.h lets a caller free only what `nvmlGpmSampleAlloc` gave, and once.
    drop(unsafe { Box::from_raw(sample) });
    code::SUCCESS
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleGet(device: Device, sample: GpmSample) -> c_int {
    let take = |player: &mut Player| {
        let script = player.device(number(device))?;
        script
            .gpm
            .is_some()
            .then_some(number(device))
            .ok_or(code::NOT_SUPPORTED)
    };
    // SAFETY: the caller hands over a sample of `nvmlGpmSampleAlloc`, which holds a `usize`.
    unsafe { answer(sample, take) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut GpmMetrics) -> c_int {
    // SAFETY: null or a request that nobody else uses during the call, as nvml.h demands.
    let Some(request) = (unsafe { request.as_mut() }) else {
        return code::INVALID_ARGUMENT;
    };
    // SAFETY: null or samples of `nvmlGpmSampleAlloc`, as nvml.h demands.
    let samples = unsafe { (request.earlier.as_ref(), request.later.as_ref()) };
    let (Some(earlier), Some(later)) = samples else {
        return code::INVALID_ARGUMENT;
    };
    if earlier != later || request.count as usize > request.metrics.len() {
        return code::INVALID_ARGUMENT;
    }
    status(player::ask(|player| {
        let script = player.device(*later)?;
        let values = script.gpm.as_ref().ok_or(code::NOT_SUPPORTED)?;
        for metric in &mut request.metrics[..request.count as usize] {
            match values.get(&metric.id) {
                Some(&value) => (metric.status, metric.value) = (code::SUCCESS, value),
                None => metric.status = code::NOT_SUPPORTED,
            }
        }
        Ok(())
    }))
}
